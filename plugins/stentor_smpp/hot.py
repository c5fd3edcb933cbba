"""Fast paths for the three PDUs that carry the volume: submit_sm, deliver_sm and their responses.

Everything here equals the generic codec of ``pdu`` on what it accepts, and says None where the generic codec
must look closer; tests hold the two together. No function copies more than the octets it returns.
"""

import re
from functools import lru_cache
from struct import Struct as Packer
from typing import ClassVar, Final

import msgspec

from stentor_smpp.fields import DELIVER_SM, DELIVER_SM_RESP, LAYOUTS, SUBMIT_SM, Field
from stentor_smpp.pdu import HEADER, HEADER_OCTETS, PDU, EncodeError, encode_string, read_tlvs
from stentor_smpp.tlvs import TLV

_FIELDS: Final[dict[str, Field]] = {field.name: field for field in LAYOUTS[SUBMIT_SM].fields}
_LENGTHS: Final = tuple(bytes((size,)) for size in range(256))
_DESTINATION_LIMIT: Final = _FIELDS["destination_addr"].size - 1

# esm_class up to sm_length when both times are empty, which is nearly always.
_FIXED_PART: Final = Packer(">10B")
_FIXED_OCTETS: Final = _FIXED_PART.size
_DELIVER_RESPONSE: Final = Packer(">IIIIB")


@lru_cache(maxsize=4096)
def submit_head(
    service_type: str, source_ton: int, source_npi: int, source_addr: str, dest_ton: int, dest_npi: int
) -> bytes:
    """The constant octets of a submit_sm before the destination. Raises EncodeError; remembered."""
    for value in (source_ton, source_npi, dest_ton, dest_npi):
        _check_octet("TON or NPI", value)
    return b"".join(
        (
            encode_string(_FIELDS["service_type"], service_type),
            bytes((source_ton, source_npi)),
            encode_string(_FIELDS["source_addr"], source_addr),
            bytes((dest_ton, dest_npi)),
        )
    )


@lru_cache(maxsize=4096)
def submit_tail(
    esm_class: int = 0,
    data_coding: int = 0,
    registered_delivery: int = 0,
    validity_period: str = "",
    schedule_delivery_time: str = "",
    protocol_id: int = 0,
    priority_flag: int = 0,
    replace_if_present_flag: int = 0,
    sm_default_msg_id: int = 0,
) -> bytes:
    """The constant octets between destination and sm_length, with the destination's NUL. Remembered.

    Raises EncodeError.
    """
    coding = (registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id)
    flags = (esm_class, protocol_id, priority_flag)
    for value in (*flags, *coding):
        _check_octet("esm_class to sm_default_msg_id", value)
    return b"".join(
        (
            b"\0",
            bytes(flags),
            encode_string(_FIELDS["schedule_delivery_time"], schedule_delivery_time),
            encode_string(_FIELDS["validity_period"], validity_period),
            bytes(coding),
        )
    )


def _check_octet(name: str, value: int) -> None:
    if not 0 <= value <= 255:
        raise EncodeError(f"{name} {value} does not fit one octet")


def pack_submit_sm(head: bytes, destination: str, tail: bytes, text: bytes, tlvs: bytes = b"") -> bytes:
    """Body of a submit_sm (no header) from ``submit_head``, ``submit_tail`` and what changes per message.

    ``tlvs`` are octets made by ``encode_tlvs``. Raises EncodeError for a destination or text that does not
    fit.
    """
    try:
        address = destination.encode("latin-1")
        length = _LENGTHS[len(text)]
    except UnicodeEncodeError:
        raise EncodeError(f"destination_addr {destination!r} is not Latin-1") from None
    except IndexError:
        raise EncodeError(f"short_message of {len(text)} octets, at most 255 fit") from None
    if len(address) > _DESTINATION_LIMIT or 0 in address:
        raise EncodeError(f"destination_addr {destination!r}: at most 20 characters, none of them NUL")
    return head + address + tail + length + text + tlvs


def parse_message(
    octets: bytes, start: int, end: int, command_id: int, status: int, sequence: int
) -> PDU | None:
    """A submit_sm or deliver_sm whose frame is ``octets[start:end]``; None sends the caller to the generic
    codec.

    Positions only grow, so one look at the last of them proves that no field reached beyond the end.
    """
    find = octets.find
    at = start + 16
    service_end = find(0, at, at + 6)
    source_end = find(0, service_end + 3, service_end + 24)
    destination_end = find(0, source_end + 3, source_end + 24)
    # A search that failed gives -1, and any search from there would run in the PDU before.
    if service_end < at or source_end < service_end or destination_end < source_end:
        return None
    text_at = destination_end + 1 + _FIXED_OCTETS
    if text_at > end:
        return None
    esm, pid, priority, schedule, validity, registered, replace, coding, canned, size = (
        _FIXED_PART.unpack_from(octets, destination_end + 1)
    )
    behind = text_at + size
    if schedule or validity or behind > end:
        return None
    tlvs: tuple[TLV, ...] | None = () if end - behind < 4 else read_tlvs(octets, behind, end)
    if tlvs is None:
        return None
    fields = {
        "service_type": octets[at:service_end].decode("latin-1") if service_end > at else "",
        "source_addr_ton": octets[service_end + 1],
        "source_addr_npi": octets[service_end + 2],
        "source_addr": octets[service_end + 3 : source_end].decode("latin-1"),
        "dest_addr_ton": octets[source_end + 1],
        "dest_addr_npi": octets[source_end + 2],
        "destination_addr": octets[source_end + 3 : destination_end].decode("latin-1"),
        "esm_class": esm,
        "protocol_id": pid,
        "priority_flag": priority,
        "schedule_delivery_time": "",
        "validity_period": "",
        "registered_delivery": registered,
        "replace_if_present_flag": replace,
        "data_coding": coding,
        "sm_default_msg_id": canned,
        "short_message": octets[text_at:behind],
    }
    return PDU(command_id, status, sequence, fields, tlvs)


class UsualReceipt(msgspec.Struct, frozen=True, gc=False):
    """A deliver_sm that holds nothing but a receipt in the usual words (SMPP 3.4 appendix B), as octets."""

    command_id: ClassVar[int] = DELIVER_SM

    sequence: int
    id: bytes
    done_date: bytes
    stat: bytes
    err: bytes


_USUAL_RECEIPT: Final = re.compile(
    # service_type; TON, NPI and address of both sides.
    rb"[^\0]{0,5}\0..[^\0]{0,20}\0..[^\0]{0,20}\0"
    # esm_class of a receipt without UDH, protocol_id, priority_flag, no times, registered_delivery,
    # replace_if_present_flag, data_coding of one octet a character, sm_default_msg_id, sm_length.
    rb"[\x04-\x07]..\0\0..[\x00\x01\x03].(.)"
    rb"id:([^\s,;:\0]+) sub:\d+ dlvrd:\d+ submit date:\d+ done date:(\d+) stat:([A-Za-z]+)"
    rb" err:([^\s,;:\0]*)(?: [Tt]ext:.*)?",
    re.DOTALL,
)


def parse_usual_receipt(octets: bytes, start: int, end: int, sequence: int) -> UsualReceipt | None:
    """The receipt in a deliver_sm whose frame is ``octets[start:end]``; None for any other shape and any TLV.

    One expression over the whole body costs a fifth of taking the PDU apart and reading its text then.
    """
    found = _USUAL_RECEIPT.fullmatch(octets, start + 16, end)
    if found is None:
        return None
    size, message_id, done_date, stat, err = found.groups()
    if size[0] != end - found.end(1):
        return None
    return UsualReceipt(sequence, message_id, done_date, stat, err)


def parse_message_id(octets: bytes, start: int, end: int) -> str | None:
    """The message_id of a response that holds nothing else; None for anything the generic codec must read."""
    at = start + 16
    if octets.find(0, at, end) == end - 1 and end - at <= 65 and end > at:
        return octets[at : end - 1].decode("latin-1")
    return None


def parse_submit_sm_resp(octets: bytes, start: int, end: int) -> tuple[int, int, str | None]:
    """``(status, sequence, message_id)`` of a response whose frame is ``octets[start:end]``."""
    _, _, status, sequence = HEADER.unpack_from(octets, start)
    return status, sequence, parse_message_id(octets, start, end)


def pack_deliver_sm_resp(sequence: int) -> bytes:
    """A whole deliver_sm_resp with status 0 and the lone NUL of its message_id (SMPP 3.4 section 4.6.2)."""
    return _DELIVER_RESPONSE.pack(HEADER_OCTETS + 1, DELIVER_SM_RESP, 0, sequence, 0)
