"""Messages from handsets (MO), short and long, in every way parts can travel and go astray (TS 23.040 §9.2.3.24).

Everything follows from one ``Random``. Nothing here waits or sends: a part comes with the delay after which it is to be
sent, and a part that is lost does not come at all.
"""

from enum import Enum
from random import Random
from typing import Final

import msgspec

from bench.peers.receipts import Delivery
from stentor.text import gsm0338
from stentor.text.segments import Encoding, cut
from stentor_smpp.fields import DELIVER_SM
from stentor_smpp.pdu import encode_body
from stentor_smpp.tlvs import MESSAGE_PAYLOAD, SAR_MSG_REF_NUM, SAR_SEGMENT_SEQNUM, SAR_TOTAL_SEGMENTS, TLV

MAX_PARTS: Final = 255
_UDHI: Final = 0x40


class Way(Enum):
    """How the parts of a long message say that they are."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"


class Order(Enum):
    """In which order parts come."""

    STRAIGHT = "straight"
    REVERSED = "reversed"
    SHUFFLED = "shuffled"


class Coding(Enum):
    """The alphabet of a message."""

    GSM = "gsm"
    UCS2 = "ucs2"


class InboundForm(msgspec.Struct, frozen=True, kw_only=True):
    """What the messages are like. ``text`` with ``{n}`` for the number; shares are of messages with parts."""

    to: str = "40700000000"
    text: str = "Reply number {n}"
    coding: Coding = Coding.GSM
    way: Way = Way.UDH8
    order: Order = Order.STRAIGHT
    late: float = 0.0
    late_s: float = 1.0
    missing: float = 0.0
    twice: float = 0.0


class Part(msgspec.Struct, frozen=True):
    """One deliver_sm and when it is due, in seconds from now."""

    delay_s: float
    delivery: Delivery


def make_inbound(form: InboundForm, number: int, random: Random) -> list[Part]:
    """The parts of message ``number`` in the order they are to be sent."""
    text = form.text.replace("{n}", str(number))
    if form.coding is Coding.GSM and not gsm0338.is_encodable(text):
        raise ValueError(f"{text[:40]!r} is not in the GSM 7-bit alphabet; try the coding ucs2")
    encoding = Encoding.GSM7 if form.coding is Coding.GSM else Encoding.UCS2
    pieces = cut(text, encoding, wide_reference=form.way is Way.UDH16)
    if len(pieces) > MAX_PARTS:
        raise ValueError(f"a text of {len(pieces)} parts; {MAX_PARTS} is the most")
    if form.way is Way.PAYLOAD:
        pieces = [b"".join(pieces)]
    parts = [
        Part(0.0, Delivery(_body(form, number, piece, len(pieces), index), b"-", ""))
        for index, piece in enumerate(pieces, 1)
    ]
    return _astray(form, parts, random) if len(parts) > 1 else parts


def _body(form: InboundForm, number: int, piece: bytes, total: int, index: int) -> bytes:
    fields: dict[str, object] = {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": f"407{number % 10**8:08d}",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": form.to,
        "data_coding": 8 if form.coding is Coding.UCS2 else 0,
    }
    tlvs: tuple[TLV, ...] = ()
    if form.way is Way.PAYLOAD:
        return encode_body(DELIVER_SM, fields, ((MESSAGE_PAYLOAD, piece),))
    if total > 1:
        # Handsets count their long messages; the reference is of one handset and comes again after a while.
        reference = number + 1
        if form.way is Way.SAR:
            tlvs = (
                (SAR_MSG_REF_NUM, (reference & 0xFFFF).to_bytes(2, "big")),
                (SAR_TOTAL_SEGMENTS, bytes((total,))),
                (SAR_SEGMENT_SEQNUM, bytes((index,))),
            )
        else:
            fields["esm_class"] = _UDHI
            piece = _header(form.way, reference, total, index) + piece
    return encode_body(DELIVER_SM, {**fields, "short_message": piece}, tlvs)


def _header(way: Way, reference: int, total: int, index: int) -> bytes:
    if way is Way.UDH16:
        return bytes((6, 8, 4, reference >> 8 & 0xFF, reference & 0xFF, total, index))
    return bytes((5, 0, 3, reference & 0xFF, total, index))


def _astray(form: InboundForm, parts: list[Part], random: Random) -> list[Part]:
    """The parts in disorder, one of them late, twice or missing."""
    if form.order is Order.REVERSED:
        parts = parts[::-1]
    elif form.order is Order.SHUFFLED:
        parts = random.sample(parts, len(parts))
    chosen = random.randrange(len(parts))
    if random.random() < form.missing:
        return parts[:chosen] + parts[chosen + 1 :]
    if random.random() < form.twice:
        parts = [*parts, parts[chosen]]
    if random.random() < form.late:
        parts = [*parts[:chosen], *parts[chosen + 1 :], Part(form.late_s, parts[chosen].delivery)]
    return parts
