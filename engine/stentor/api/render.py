"""From what the engine holds to the JSON of the contract: messages, segments, results of submits, timelines.

The Structs here are the documented shapes; ``openapi`` derives the schemas from them. Results of submits are
the one exception to "fill a Struct, encode it": there are tens of thousands a second, so their text is put
together by hand.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, cast

import msgspec

from stentor.ids import id_octets, id_text
from stentor.message import NOT_LEFT, PRIORITY_WORDS, STATUS_WORDS, Direction, Error, Message, Segment, Status
from stentor.pacing.strands import HELD
from stentor.text.segments import Encoding

encode: Final = msgspec.json.Encoder().encode

Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
StatusWord = Literal[
    "scheduled",
    "queued",
    "sending",
    "sent",
    "delivered",
    "undelivered",
    "rejected",
    "failed",
    "expired",
    "cancelled",
    "unknown",
    "received",
]
DirectionWord = Literal["mt", "mo"]
PriorityWord = Literal["urgent", "high", "normal", "bulk"]
EncodingWord = Literal["gsm7", "ucs2", "binary", "latin1"]

ENCODING_WORDS: Final[dict[Encoding, EncodingWord]] = {
    Encoding.GSM7: "gsm7",
    Encoding.UCS2: "ucs2",
    Encoding.BINARY: "binary",
    Encoding.LATIN1: "latin1",
}
_STATUS_WORDS: Final = cast(tuple[StatusWord, ...], STATUS_WORDS)
_DIRECTION_WORDS: Final[dict[Direction, DirectionWord]] = {Direction.MT: "mt", Direction.MO: "mo"}


class Result(msgspec.Struct, frozen=True, rename={"originator": "from"}):
    """What a submit is answered: the message as it was accepted."""

    id: str
    to: str
    originator: str | None
    status: StatusWord
    encoding: EncodingWord
    segments: int
    ref: str | None


class SegmentBody(msgspec.Struct, frozen=True):
    """One air-interface part; ``index`` counts from 1. One that has not left, or never did, has the status of the
    message."""

    index: int
    status: StatusWord
    carrier_id: str | None
    sent_at: Time | None
    final_at: Time | None
    error: Error | None


class MessageBody(msgspec.Struct, frozen=True, rename={"originator": "from"}):
    """A message, whole. Times are RFC 3339 in UTC with milliseconds; null: not yet, or none."""

    id: str
    direction: DirectionWord
    to: str
    originator: str | None
    text: str | None
    data: bytes | None
    udh: bytes | None
    flash: bool
    status: StatusWord
    priority: PriorityWord
    channel: str | None
    encoding: EncodingWord
    segments: int
    ref: str | None
    metadata: dict[str, Any] | None
    submitted_at: Time
    send_at: Time | None
    expires_at: Time | None
    sent_at: Time | None
    final_at: Time | None
    attempts: int
    error: Error | None
    segment_list: list[SegmentBody]
    batch: str | None
    held: bool
    ordered: bool


class ChargeBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a carrier counted: ``segments`` and ``price``, a decimal of ``currency``; what it did not say is absent."""

    segments: int = 0
    price: str = ""
    currency: str = ""


class TimelineEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change or attempt. ``segment`` is absent for the message as a whole; ``charge`` is what the carrier counted
    for what it took."""

    at: Time
    status: StatusWord
    segment: int = 0
    attempt: int = 0
    channel: str = ""
    carrier_id: str | None = None
    error: Error | None = None
    charge: ChargeBody | None = None


class Timeline(msgspec.Struct, frozen=True):
    """What became of a message, oldest first."""

    id: str
    timeline: list[TimelineEntry]


class Listing(msgspec.Struct, frozen=True):
    """One page of messages, newest first; ``next`` is the cursor of the page after it."""

    messages: list[MessageBody]
    next: str | None


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


# Messages of one commit have most of their times in common.
@lru_cache(maxsize=4096)
def time_text(at_ms: int) -> str:
    """RFC 3339, UTC, milliseconds: ``2027-01-15T08:00:00.000Z``."""
    second, milliseconds = divmod(at_ms, 1000)
    return f"{_second_text(second)}.{milliseconds:03d}Z"


def time_or_none(at_ms: int) -> str | None:
    return time_text(at_ms) if at_ms else None


@lru_cache(maxsize=4096)
def _result_middle(originator: str, status: Status, encoding: Encoding, segments: int) -> bytes:
    """What recurs in results: few originators send nearly all."""
    return b'"from":%b,"status":"%b","encoding":"%b","segments":%d' % (
        encode(originator or None),
        STATUS_WORDS[status].encode(),
        encoding.value.encode(),
        segments,
    )


def result(message: Message) -> bytes:
    """The Result of an accepted message: one JSON object on one line, without its end."""
    ref = message.ref
    return b'{"id":"%b","to":"%b",%b,"ref":%b}' % (
        id_octets(message.key, message.tail),
        message.to.encode(),
        _result_middle(message.originator, message.status, message.encoding, message.segments),
        b"null" if ref is None else encode(ref),
    )


def _segment_body(segment: Segment) -> SegmentBody:
    return SegmentBody(
        segment.index,
        _word(segment.status),
        segment.carrier_id,
        time_or_none(segment.sent_at_ms),
        time_or_none(segment.final_at_ms),
        segment.error,
    )


@lru_cache(maxsize=4096)
def _waiting_segment(index: int, status: Status) -> SegmentBody:
    return SegmentBody(index, _word(status), None, None, None, None)


def _segment_bodies(message: Message) -> list[SegmentBody]:
    """The segments: those that left, and while others have not, or when they never will, these in their places with
    what became of the message."""
    known, status = message.segment_list, message.status
    if status not in NOT_LEFT or message.direction is Direction.MO:
        return [_segment_body(segment) for segment in known] if known else []
    indexes = range(1, message.segments + 1)
    if message.final_at_ms:
        ended = time_text(message.final_at_ms)
        bodies = [SegmentBody(index, _word(status), None, None, ended, message.error) for index in indexes]
    else:
        bodies = [_waiting_segment(index, status) for index in indexes]
    for segment in known:
        if segment.index <= len(bodies):
            bodies[segment.index - 1] = _segment_body(segment)
    return bodies


def _send_at_ms(message: Message) -> int:
    """What was postponed for quiet hours waits for another time than was asked for."""
    if message.status is Status.SCHEDULED:
        return max(message.send_at_ms, message.due_at_ms)
    return message.send_at_ms


def _word(status: Status) -> StatusWord:
    return _STATUS_WORDS[status]


def message_body(message: Message, status: Status | None = None) -> MessageBody:
    """The message as clients see it, with ``status`` for its own when an event tells of an earlier one."""
    sent_at_ms, final_at_ms = message.sent_at_ms, message.final_at_ms
    metadata = message.metadata
    # By place, in the order of the fields: there are tens of thousands a second, and names cost a microsecond.
    return MessageBody(
        id_text(message.key, message.tail),
        _DIRECTION_WORDS[message.direction],
        message.to,
        message.originator or None,
        message.text,
        message.data,
        message.udh,
        message.flash,
        _STATUS_WORDS[message.status if status is None else status],
        PRIORITY_WORDS[message.priority],
        message.channel or None,
        ENCODING_WORDS[message.encoding],
        message.segments,
        message.ref,
        # Kept as the octets the client sent; the encoder copies them as they are.
        None if metadata is None else cast(Any, msgspec.Raw(metadata)),
        time_text(message.submitted_at_ms),
        time_or_none(_send_at_ms(message)),
        time_or_none(message.expires_at_ms),
        time_text(sent_at_ms) if sent_at_ms else None,
        time_text(final_at_ms) if final_at_ms else None,
        message.attempts,
        message.error,
        _segment_bodies(message),
        message.batch,
        message.strand == HELD and not final_at_ms,
        message.is_ordered,
    )
