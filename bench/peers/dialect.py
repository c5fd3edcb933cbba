"""How a carrier writes: its message ids, and its delivery receipts in every shape seen in the field.

Owns what stands in a receipt and where (SMPP 3.4 section 4.6.1, appendix B); not when it is sent. Every shape says
the same facts, so a client that reads them all finds the same id and state in each. Nothing here waits or sends.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from random import Random
from typing import Final

import msgspec

from stentor_smpp.fields import DATA_SM, DELIVER_SM
from stentor_smpp.pdu import encode_body
from stentor_smpp.tlvs import (
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    RECEIPTED_MESSAGE_ID,
    TLV,
    USER_MESSAGE_REFERENCE,
)

_UUIDS: Final = uuid.UUID("5a7e9c1e-0000-4000-8000-000000000000")


class Notation(Enum):
    """How a message's number is written as its id."""

    # A member is one object; hashing its name, as Enum does, is four times slower.
    __hash__ = object.__hash__

    PADDED_HEX = "padded-hex"
    HEX = "hex"
    UPPER_HEX = "upper-hex"
    PREFIXED_HEX = "0x-hex"
    DECIMAL = "dec"
    PADDED_DECIMAL = "padded-dec"
    UUID = "uuid"


_WRITERS: Final[dict[Notation, Callable[[int], str]]] = {
    Notation.PADDED_HEX: "{:013x}".format,
    Notation.HEX: "{:x}".format,
    Notation.UPPER_HEX: "{:X}".format,
    Notation.PREFIXED_HEX: "0x{:x}".format,
    Notation.DECIMAL: str,
    Notation.PADDED_DECIMAL: "{:020d}".format,
    Notation.UUID: lambda number: str(uuid.uuid5(_UUIDS, str(number))),
}


def write_id(number: int, notation: Notation) -> bytes:
    """The id of the SMSC's message of that number."""
    return _WRITERS[notation](number).encode("ascii")


class Shape(Enum):
    """What is unusual about a receipt."""

    __hash__ = object.__hash__

    USUAL = "usual"
    EXTRA_KEYS = "extra-keys"
    SECONDS = "seconds"
    CENTURY = "century"
    DASHED_DATES = "dashed-dates"
    SMPP_DATES = "smpp-dates"
    NO_DATES = "no-dates"
    LOWER_CASE = "lower-case"
    UPPER_CASE = "upper-case"
    UNDERSCORES = "underscores"
    SPACED = "spaced"
    SHORT = "short"
    STATE_FIRST = "state-first"
    LONG_WORDS = "long-words"
    REASON = "reason"
    NUMBER_FIRST = "number-first"
    NUL_AT_END = "nul-at-end"
    UCS2 = "ucs2"
    UCS2_UNMARKED = "ucs2-unmarked"
    ASCII_AS_UCS2 = "ascii-as-ucs2"
    PAYLOAD = "payload"
    UDH = "udh"
    TLV = "tlv"
    TLV_AND_TEXT = "tlv-and-text"
    DISAGREEING = "disagreeing"
    NO_NUL = "no-nul"
    NULS = "nuls"
    UNMARKED = "unmarked"
    DATA_SM = "data-sm"


class Facts(msgspec.Struct, frozen=True):
    """What a receipt is about. ``source`` and ``destination`` are those of the submission: TON, NPI and address; times
    are seconds since 1970."""

    id: str
    state: str
    source: tuple[int, int, str]
    destination: tuple[int, int, str]
    service_type: str = ""
    submitted_at: float = 0.0
    done_at: float = 0.0
    text: str = ""
    reference: bytes | None = None
    is_intermediate: bool = False


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One carrier's way of writing. ``shapes`` with their shares; empty: as ``--receipts`` says."""

    ids: Notation = Notation.PADDED_HEX
    receipt_ids: Notation | None = None
    shapes: tuple[tuple[Shape, float], ...] = ()
    is_reference_echoed: bool = False

    @property
    def is_plain(self) -> bool:
        return self == Dialect()

    def shape(self, random: Random) -> Shape:
        """The shape of the next receipt."""
        if len(self.shapes) == 1:
            return self.shapes[0][0]
        return random.choices([shape for shape, _ in self.shapes], [share for _, share in self.shapes])[0]


STATES: Final = {
    "SCHEDLD": 0,
    "ENROUTE": 1,
    "DELIVRD": 2,
    "EXPIRED": 3,
    "DELETED": 4,
    "UNDELIV": 5,
    "ACCEPTD": 6,
    "UNKNOWN": 7,
    "REJECTD": 8,
    "SKIPPED": 9,
}
"""Values of message_state (SMPP 3.4 section 5.2.28) by the words of receipts."""
UNFINISHED: Final = frozenset(("SCHEDLD", "ENROUTE", "ACCEPTD"))

_LONG_WORDS: Final = {
    "DELIVRD": "DELIVERED",
    "UNDELIV": "UNDELIVERABLE",
    "REJECTD": "REJECTED",
    "ACCEPTD": "ACCEPTED",
}
_RECEIPT: Final = 0x04
_INTERMEDIATE: Final = 0x20
_UDHI: Final = 0x40
_UCS2: Final = 0x08
_GSM_ERROR: Final = b"\x03\x00\x1b"
_HEADER: Final = b"\x05\x00\x03\x07\x01\x01"
_WRONG: Final = {"DELIVRD": "UNDELIV"}
_BLANK: Final = {
    "protocol_id": 0,
    "priority_flag": 0,
    "replace_if_present_flag": 0,
    "sm_default_msg_id": 0,
}

_DATES: Final = {
    Shape.SECONDS: "%y%m%d%H%M%S",
    Shape.CENTURY: "%Y%m%d%H%M%S",
    Shape.DASHED_DATES: "%Y-%m-%d %H:%M:%S",
    Shape.SMPP_DATES: "%y%m%d%H%M%S000+",
    Shape.NO_DATES: "0000000000",
}
_USUAL_DATE: Final = "%y%m%d%H%M"
_USUAL: Final = (
    "id:{id} sub:001 dlvrd:{dlvrd} submit date:{submitted} done date:{done} "
    "stat:{state} err:{err} text:{text}"
)
_PATTERNS: Final = {
    Shape.EXTRA_KEYS: _USUAL.replace(" text:", " mccmnc:22610 IMSI:226101234567890 text:"),
    Shape.UPPER_CASE: "ID:{id} SUB:001 DLVRD:{dlvrd} SUBMIT DATE:{submitted} DONE DATE:{done} STAT:{state} ERR:{err}",
    Shape.UNDERSCORES: _USUAL.replace(" date:", "_date:"),
    Shape.SPACED: _USUAL.replace(":{", ": {").replace(" stat", ",  stat"),
    Shape.SHORT: "id:{id} stat:{state}",
    Shape.STATE_FIRST: "stat:{state} err:{err} id:{id} done date:{done}",
    Shape.REASON: _USUAL.replace("stat:{state}", "stat:{state}: as the network said"),
    Shape.NUMBER_FIRST: "{to}#" + _USUAL,
    Shape.NUL_AT_END: _USUAL + "\0",
}
_WITH_TLVS: Final = frozenset(
    (
        Shape.TLV,
        Shape.TLV_AND_TEXT,
        Shape.DISAGREEING,
        Shape.NO_NUL,
        Shape.NULS,
        Shape.UNMARKED,
        Shape.DATA_SM,
    )
)
_WITHOUT_TEXT: Final = frozenset((Shape.TLV, Shape.NO_NUL, Shape.NULS))


def write_receipt(facts: Facts, shape: Shape) -> tuple[int, bytes]:
    """``(command_id, body)`` of the receipt."""
    body = write_text(facts, shape)
    tlvs: tuple[TLV, ...] = _tlvs(facts, shape) if shape in _WITH_TLVS else ()
    esm_class = _INTERMEDIATE if facts.is_intermediate else _RECEIPT
    if shape is Shape.UDH:
        esm_class |= _UDHI
        body = _HEADER + body
    elif shape is Shape.UNMARKED:
        esm_class = 0
    if facts.reference is not None:
        tlvs += ((USER_MESSAGE_REFERENCE, facts.reference),)
    # A text beyond one octet's length travels as payload whatever the shape.
    if shape in (Shape.PAYLOAD, Shape.DATA_SM) or len(body) > 254:
        tlvs += ((MESSAGE_PAYLOAD, body),)
        body = b""
    coding = _UCS2 if shape in (Shape.UCS2, Shape.ASCII_AS_UCS2) else 0
    fields = _addresses(facts) | {"esm_class": esm_class, "registered_delivery": 0, "data_coding": coding}
    if shape is Shape.DATA_SM:
        return DATA_SM, encode_body(DATA_SM, fields, tlvs)
    return DELIVER_SM, encode_body(DELIVER_SM, {**_BLANK, **fields, "short_message": body}, tlvs)


def _addresses(facts: Facts) -> dict[str, object]:
    """A receipt comes from the destination and goes to the source."""
    to, source = facts.destination, facts.source
    return {
        "service_type": facts.service_type,
        "source_addr_ton": to[0],
        "source_addr_npi": to[1],
        "source_addr": to[2],
        "dest_addr_ton": source[0],
        "dest_addr_npi": source[1],
        "destination_addr": source[2],
    }


def write_text(facts: Facts, shape: Shape) -> bytes:
    """The receipt's text as octets; empty when it lives in TLVs alone."""
    if shape in _WITHOUT_TEXT:
        return b""
    date = _DATES.get(shape, _USUAL_DATE)
    state, message_id = facts.state, facts.id
    if shape is Shape.LONG_WORDS:
        state = _LONG_WORDS.get(state, state)
    if shape is Shape.DISAGREEING:
        state, message_id = _WRONG.get(state, "DELIVRD"), "0" * len(message_id)
    text = _PATTERNS.get(shape, _USUAL).format(
        id=message_id,
        to=facts.destination[2],
        dlvrd="001" if state == "DELIVRD" else "000",
        submitted=_date(date, int(facts.submitted_at)),
        done=_date(date, int(facts.done_at)),
        state=state.lower() if shape is Shape.LOWER_CASE else state,
        err="000" if state in ("DELIVRD", "ENROUTE", "ACCEPTD") else "027",
        text=facts.text[:20],
    )
    if shape in (Shape.UCS2, Shape.UCS2_UNMARKED):
        return text.encode("utf-16-be")
    return text.encode("latin-1", "replace")


@lru_cache(maxsize=1024)
def _date(pattern: str, wall_s: int) -> str:
    return time.strftime(pattern, time.gmtime(wall_s))


def _tlvs(facts: Facts, shape: Shape) -> tuple[TLV, ...]:
    nuls = {Shape.NO_NUL: 0, Shape.NULS: 3}.get(shape, 1)
    tlvs: tuple[TLV, ...] = (
        (RECEIPTED_MESSAGE_ID, facts.id.encode("latin-1") + bytes(nuls)),
        (MESSAGE_STATE, bytes((STATES.get(facts.state, 7),))),
    )
    if facts.state not in ("DELIVRD", *UNFINISHED):
        tlvs += ((NETWORK_ERROR_CODE, _GSM_ERROR),)
    return tlvs


def parse_shapes(text: str) -> tuple[tuple[Shape, float], ...]:
    """``ucs2``, ``usual=0.9,tlv=0.1``, or ``all`` for every shape alike. Raises ValueError."""
    if text == "all":
        return tuple((shape, 1 / len(Shape)) for shape in Shape)
    found: list[tuple[Shape, float]] = []
    for part in text.split(","):
        name, equals, share = part.partition("=")
        found.append((Shape(name.strip()), float(share) if equals else 1.0))
    if any(share <= 0 for _, share in found):
        raise ValueError(f"{text!r}: a share is above 0")
    return tuple(found)


def names(members: Sequence[Enum]) -> str:
    """The words of an option, for its help."""
    return ", ".join(str(member.value) for member in members)
