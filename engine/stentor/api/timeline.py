"""The timeline of a message: every state change and attempt that is on record, oldest first.

Put together from three places: the message's own times, those of its segments, and the history of failed
attempts, intermediate receipts and charges. What a carrier charged stands with the attempt it took. A message of
one segment is told as one line of events, not as two that say the same.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import cast

from msgspec.structs import replace

from stentor.api.render import ChargeBody, StatusWord, Timeline, TimelineEntry, time_text
from stentor.ids import id_text
from stentor.journal.records import History
from stentor.message import Charge, Direction, Error, Message, Status

_Moment = tuple[int, int, TimelineEntry]
"""When, the rank among what happened in the same millisecond, and what."""


def timeline(message: Message, history: Sequence[History]) -> Timeline:
    """``history`` may be in any order."""
    begun_ms = message.submitted_at_ms
    moved = next(
        (line for line in history if line.status is Status.SCHEDULED and line.at_ms == begun_ms), None
    )
    lines = [line for line in history if line is not moved and line.charge is None]
    charges = _charges(history)
    beginning = _beginning(message, moved.error if moved is not None else None, lines)
    moments = [*beginning, *_attempts(lines), *_segments(message), *_end(message, lines, charges)]
    moments.sort(key=lambda moment: moment[:2])
    return Timeline(id_text(message.key, message.tail), [entry for _, _, entry in moments])


def _charges(history: Sequence[History]) -> list[History]:
    """One line for each attempt that was charged, the earliest first: what a receipt says replaces what the answer or
    an earlier receipt said, so that nothing is charged twice."""
    charges: dict[tuple[int, int], History] = {}
    for line in sorted((line for line in history if line.charge is not None), key=lambda line: line.at_ms):
        name = line.segment, line.attempt
        known = charges.get(name)
        charges[name] = line if known is None else replace(known, charge=_latest(known.charge, line.charge))
    return list(charges.values())


def _latest(known: Charge | None, said: Charge | None) -> Charge:
    assert known is not None, "they were chosen for their charges"
    assert said is not None, "they were chosen for their charges"
    currency = said.currency if said.price_micros else ""
    return Charge(
        said.segments or known.segments, said.price_micros or known.price_micros, currency or known.currency
    )


def _moment(
    rank: int,
    at_ms: int,
    status: Status,
    *,
    segment: int = 0,
    attempt: int = 0,
    channel: str = "",
    carrier_id: str | None = None,
    error: Error | None = None,
    charge: ChargeBody | None = None,
) -> _Moment:
    word = cast(StatusWord, status.word)
    entry = TimelineEntry(time_text(at_ms), word, segment, attempt, channel, carrier_id, error, charge)
    return at_ms, rank, entry


def _beginning(message: Message, moved_by: Error | None, attempts: Sequence[History]) -> Iterator[_Moment]:
    """``moved_by``: why it was scheduled though it was to leave at once, or later than it was to."""
    submitted_at_ms = message.submitted_at_ms
    if message.direction is Direction.MO:
        yield _moment(0, submitted_at_ms, Status.RECEIVED, channel=message.channel)
        return
    if message.send_at_ms <= submitted_at_ms:
        yield _moment(0, submitted_at_ms, Status.QUEUED)
        return
    # It was queued before it was to be sent if a channel took it ahead of that; whatever came next was not sooner.
    known = [message.send_at_ms, message.due_at_ms, *(line.at_ms for line in attempts)]
    queued_ms = min([*known, message.sent_at_ms] if message.sent_at_ms else known)
    is_waiting = message.status is Status.SCHEDULED
    if is_waiting or queued_ms > submitted_at_ms:
        yield _moment(0, submitted_at_ms, Status.SCHEDULED, error=moved_by)
    ended_before = message.is_final and message.final_at_ms < queued_ms
    if not is_waiting and not ended_before:
        yield _moment(1, queued_ms, Status.QUEUED)


def _attempts(history: Sequence[History]) -> Iterator[_Moment]:
    for line in history:
        yield _moment(
            2,
            line.at_ms,
            line.status,
            segment=line.segment,
            attempt=line.attempt,
            channel=line.channel,
            error=line.error,
        )


def _segments(message: Message) -> Iterator[_Moment]:
    """Segments of a long message; the only segment of a short one is told with the message."""
    if message.segments == 1:
        return
    for segment in message.segment_list:
        if segment.sent_at_ms:
            yield _moment(
                3,
                segment.sent_at_ms,
                Status.SENT,
                segment=segment.index,
                channel=message.channel,
                carrier_id=segment.carrier_id,
            )
        if segment.final_at_ms and segment.status is not Status.SENT:
            yield _moment(5, segment.final_at_ms, segment.status, segment=segment.index, error=segment.error)


def _end(message: Message, history: Sequence[History], charges: list[History]) -> Iterator[_Moment]:
    """``history`` tells of every attempt but the last one of a message that was sent, or was ended by its attempt.
    Attempts that were charged and are not the last stand by themselves."""
    last = charges.pop() if charges and message.sent_at_ms else None
    for line in charges:
        yield _moment(
            3,
            line.at_ms,
            Status.SENT,
            attempt=line.attempt,
            channel=line.channel,
            charge=_charge_body(line),
        )
    if message.sent_at_ms:
        only = message.segment_list[0] if message.segments == 1 and message.segment_list else None
        yield _moment(
            4,
            message.sent_at_ms,
            Status.SENT,
            attempt=message.attempts,
            channel=message.channel,
            carrier_id=only.carrier_id if only else None,
            charge=_charge_body(last),
        )
    if message.is_final and message.status not in (Status.SENT, Status.RECEIVED):
        told = max((line.attempt for line in history), default=0)
        attempt, channel = 0, ""
        if not message.sent_at_ms and message.attempts > told:
            attempt, channel = message.attempts, message.channel
        yield _moment(
            6, message.final_at_ms, message.status, attempt=attempt, channel=channel, error=message.error
        )


def _charge_body(line: History | None) -> ChargeBody | None:
    if line is None or line.charge is None:
        return None
    charge = line.charge
    price = f"{Decimal(charge.price_micros).scaleb(-6).normalize():f}" if charge.price_micros else ""
    return ChargeBody(charge.segments, price, charge.currency)
