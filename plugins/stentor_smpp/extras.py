"""The TLVs of a submit_sm: a channel's own, constant or from a message's metadata, and those that join segments.

Values are checked when the configuration is, as far as they are known then; what a client's metadata says is
checked when it is packed, and refuses that message alone.
"""

from functools import lru_cache
from typing import Final

import msgspec

from stentor.errors import Refusal
from stentor_smpp.dialect import Dialect
from stentor_smpp.pdu import encode_tlvs
from stentor_smpp.rules import TLVRule
from stentor_smpp.tlvs import (
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    TLV,
    TLV_SPECS,
    TLV_TAGS,
    tlv_name,
)
from stentor_smpp.udh import CONCATENATIONS, BrokenHeader, read_udh

_INTEGERS: Final = {"int1": 1, "int2": 2, "int4": 4}
_REMEMBERED: Final = 4096


def tag_of(tag: int | str) -> int:
    """The number of a tag. Raises ValueError saying what would be right."""
    if isinstance(tag, int):
        return tag
    if tag in TLV_TAGS:
        return TLV_TAGS[tag]
    try:
        number = int(tag, 16) if tag[:2].lower() == "0x" else int(tag)
    except ValueError:
        raise ValueError(f'"{tag}" is no tag') from None
    if not 1 <= number <= 0xFFFF:
        raise ValueError(f"{tag} does not fit a tag, which is 0x0001 to 0xFFFF")
    return number


def tlv_octets(rule: TLVRule, value: int | str) -> bytes:
    """The octets of a value. Raises ValueError with a sentence that begins with what the value must be."""
    octets = _typed(rule.type, value)
    spec = TLV_SPECS.get(tag_of(rule.tag))
    smallest, largest = (spec.smallest, spec.largest) if spec is not None else (0, 0xFFFF)
    if not smallest <= len(octets) <= largest:
        size = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
        raise ValueError(f"must be {size} octets, not {len(octets)}")
    return octets


def _typed(kind: str, value: int | str) -> bytes:
    if kind in _INTEGERS:
        size = _INTEGERS[kind]
        limit = 1 << 8 * size
        number = int(value) if isinstance(value, int) or (value.isascii() and value.isdigit()) else -1
        if not 0 <= number < limit:
            raise ValueError(f"must be a number from 0 to {limit - 1}")
        return number.to_bytes(size, "big")
    text = str(value)
    if kind == "octets":
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise ValueError("must be octets in hexadecimal") from None
    if kind == "text":
        return text.encode()
    if "\0" in text or not text.isascii():
        raise ValueError("must be ASCII without NUL")
    return text.encode() + b"\0"


class Extras:
    """The TLVs of one channel's own."""

    __slots__ = ("_from_metadata", "_rules", "constant")

    def __init__(self, config: Dialect) -> None:
        self._rules = [(rule, tag_of(rule.tag)) for rule in config.tlvs if rule.metadata]
        self.constant = encode_tlvs(
            tuple(
                (tag_of(rule.tag), tlv_octets(rule, rule.value))
                for rule in config.tlvs
                if rule.value is not None
            )
        )
        # Campaigns repeat their metadata, so most are read once.
        self._from_metadata = lru_cache(maxsize=_REMEMBERED)(self._read)

    def of(self, metadata: bytes | None) -> bytes:
        """All of them, encoded. Raises Refusal ``bad_request`` naming the metadata's key that is missing or wrong."""
        return self.constant + self._from_metadata(metadata) if self._rules else self.constant

    def _read(self, metadata: bytes | None) -> bytes:
        values: dict[str, object] = msgspec.json.decode(metadata) if metadata else {}
        tlvs: list[TLV] = []
        for rule, tag in self._rules:
            value = values.get(rule.metadata)
            if value is None:
                value = rule.default
            if value is None:
                if rule.required:
                    raise _refusal(rule, "is missing")
                continue
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise _refusal(rule, "must be a text or a whole number")
            try:
                tlvs.append((tag, tlv_octets(rule, value)))
            except ValueError as error:
                raise _refusal(rule, str(error)) from None
        return encode_tlvs(tuple(tlvs))


def _refusal(rule: TLVRule, fault: str) -> Refusal:
    tag = f"TLV {tlv_name(tag_of(rule.tag))}"
    return Refusal(
        "bad_request", f'metadata "{rule.metadata}" {fault}: the carrier wants it as {tag}', "$.metadata"
    )


@lru_cache(maxsize=_REMEMBERED)
def concatenation_tlvs(udh: bytes) -> tuple[bytes, bytes]:
    """A header without its concatenation, and that concatenation as TLVs (SMPP 3.4 section 5.3.2.22).

    What is no header, or has no concatenation, stays as it is.
    """
    header = read_udh(udh)
    if isinstance(header, BrokenHeader) or header.concatenation is None:
        return udh, b""
    joined = header.concatenation
    rest = b"".join(
        bytes((element, len(data))) + data
        for element, data in header.elements
        if element not in CONCATENATIONS
    )
    tlvs = (
        (SAR_MSG_REF_NUM, joined.reference.to_bytes(2, "big")),
        (SAR_TOTAL_SEGMENTS, bytes((joined.total,))),
        (SAR_SEGMENT_SEQNUM, bytes((joined.number,))),
    )
    return bytes((len(rest),)) + rest if rest else b"", encode_tlvs(tlvs)
