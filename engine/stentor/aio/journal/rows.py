"""How records stand in rows: the statements that write them, the values they carry, and the way back.

Writing. A batch goes into the journal as one multi-row ``VALUES`` statement, because the interpreter lock is
given up and taken back at every step of a statement, and a statement that carries the batch has one step. Row
counts are rounded up to powers of two, so that a few prepared statements serve every batch; the rows that
fill up begin with 0, which no real row does. Binding None, a bool or an enum member costs seven times as much
as an integer, so None travels as 0 where text is expected and members as plain numbers.

Reading. A block of messages comes back as one row that holds one JSON text, for the same reason, and is
decoded into Structs in one go. JSON carries no octets: these come beside it, in hexadecimal, for the few
messages that have any.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import Any, Final

import msgspec

from stentor.driver import Inbound, Part
from stentor.journal.records import Commit, HeldPart, History, Idempotency, JoinedParts, ParkedReceipt
from stentor.message import Charge, Delivery, Error, Event, Message, Segment, Status
from stentor.text.segments import Encoding

Value = int | str | bytes
Call = tuple[str, list[Value]]
"""One statement and its parameters."""

MAX_ROWS: Final = 1024
"""Rows of one statement, at most: 1,024 rows of 28 values stay below SQLite's 32,766 parameters."""


class Write(msgspec.Struct, frozen=True):
    """A statement that writes rows of one kind: ``{values}`` stands for the rows, of ``width`` values
    each."""

    width: int
    sql: str

    def calls(self, values: list[Value]) -> Iterator[Call]:
        """The calls that write ``values``, the rows' values one after the other. The list is used up."""
        width = self.width
        size = width * MAX_ROWS
        for start in range(0, len(values), size):
            block = values if len(values) <= size else values[start : start + size]
            rows = 1 << (len(block) // width - 1).bit_length()
            block += (0,) * (rows * width - len(block))
            yield _statement(self.sql, width, rows), block


@cache
def _statement(sql: str, width: int, rows: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return sql.replace("{values}", ",".join([row] * rows))


def insert(table: str, columns: str) -> Write:
    """Insert whole rows, replacing those with the same key. A ``?`` behind a column's name: None travels as
    0."""
    names = columns.split()
    taken = (f"NULLIF(column{i}, 0)" if name[-1] == "?" else f"column{i}" for i, name in enumerate(names, 1))
    return Write(
        len(names),
        f"INSERT OR REPLACE INTO {table} ({', '.join(name.rstrip('?') for name in names)})"
        f" SELECT {', '.join(taken)} FROM (VALUES {{values}}) WHERE column1 <> 0",
    )


_USUAL: Final = (
    "key tail account direction status priority route channel encoding segments delivery wants_receipt flash"
    " reference submitted_at_ms send_at_ms due_at_ms expires_at_ms sent_at_ms final_at_ms attempts error?"
    " ref? destination originator"
)
USUAL: Final = insert("message", _USUAL)
MESSAGE: Final = insert("message", f"{_USUAL} batch? strand is_ordered")
# The column is_ordered holds a bit for each thing few messages are: 1 is_ordered, 2 ignores_quiet.
# Route, reference and expiry stay as they were accepted.
CHANGE: Final = Write(
    11,
    "UPDATE message SET status = new.column2, channel = new.column3, due_at_ms = new.column4,"
    " sent_at_ms = new.column5, final_at_ms = new.column6, attempts = new.column7,"
    " error = NULLIF(new.column8, 0), encoding = new.column9, segments = new.column10, strand = new.column11"
    " FROM (VALUES {values}) AS new WHERE message.key = new.column1",
)
TEXT: Final = insert("body", "key text")
BODY: Final = insert("body", "key text? data? udh? metadata? callback?")
SEGMENT: Final = insert("segment", "key status channel carrier_id? match_id? sent_at_ms final_at_ms error?")
EVENTS: Final = insert("event", "last_seq first_seq at_ms block")
HISTORY: Final = insert("history", "key at_ms segment attempt status channel error? charge?")
PARKED: Final = insert("parked", "family match_id status at_ms error? done_at_ms charge?")
FORGOTTEN: Final = Write(
    2, "DELETE FROM parked WHERE (family, match_id) IN (SELECT column1, column2 FROM (VALUES {values}))"
)
IDEMPOTENCY: Final = insert("idempotency", "account key line digest at_ms answer")
SETTING: Final = insert("setting", "name value")
PART: Final = insert(
    "part",
    "key family channel originator destination reference total number at_ms encoding text? data?",
)
JOINED: Final = insert("joined", "key family originator destination reference total at_ms digests")
SELECT_PARTS: Final = (
    "SELECT key, family, channel, originator, destination, reference, total, number, at_ms, encoding, text, data"
    " FROM part ORDER BY key"
)
SELECT_JOINED: Final = (
    "SELECT key, family, originator, destination, reference, total, at_ms, digests FROM joined ORDER BY key"
)
DROPPED: Final = tuple(
    Write(1, f"DELETE FROM {table} WHERE key IN (SELECT column1 FROM (VALUES {{values}}))")
    for table in ("part", "joined")
)
MEMORY: Final = insert("driver_memory", "channel name value")
MEMORY_GONE: Final = Write(
    2, "DELETE FROM driver_memory WHERE (channel, name) IN (SELECT column1, column2 FROM (VALUES {values}))"
)
UNSET: Final = Write(1, "DELETE FROM setting WHERE name IN (SELECT column1 FROM (VALUES {values}))")

_QUEUED, _SENDING, _AT_LEAST_ONCE = +Status.QUEUED, +Status.SENDING, +Delivery.AT_LEAST_ONCE


# -- writing -------------------------------------------------------------------------------------------------


def calls(commit: Commit) -> list[Call]:
    """All statements of a commit. What they carry is copied now: messages change while they are being
    written."""
    written: list[Iterator[Call]] = []
    new = commit.accepted + commit.received if commit.received else commit.accepted
    if new:
        usual = [m for m in new if not (m.strand or m.is_ordered or m.ignores_quiet or m.batch is not None)]
        written.append(USUAL.calls(_messages(usual)))
        if len(usual) < len(new):
            written.append(MESSAGE.calls(_marked(new)))
        plain, rich = _bodies(new)
        written.append(TEXT.calls(plain))
        written.append(BODY.calls(rich))
    if commit.changed:
        written.append(CHANGE.calls(_changes(commit.changed.values())))
    if commit.segments:
        written.append(SEGMENT.calls(_segments(commit.segments)))
    if commit.events:
        written.append(EVENTS.calls(_events(commit.events)))
    if commit.history:
        written.append(HISTORY.calls(_history(commit.history)))
    if commit.parked:
        kept = [receipt for receipt in commit.parked.values() if receipt is not None]
        gone = [name for name, receipt in commit.parked.items() if receipt is None]
        written.append(PARKED.calls(_parked(kept)))
        written.append(FORGOTTEN.calls(list(chain.from_iterable(gone))))
    # One that was kept and dropped between two commits is in both, too.
    if commit.parts:
        written.append(PART.calls(_parts(commit.parts.values())))
    if commit.joined:
        written.append(JOINED.calls(_joined(commit.joined.values())))
    if commit.dropped:
        written += (write.calls([*commit.dropped]) for write in DROPPED)
    if commit.idempotency:
        written.append(IDEMPOTENCY.calls(_idempotency(commit.idempotency)))
    if commit.settings:
        settings = [(name, value) for name, value in commit.settings.items() if value]
        written.append(SETTING.calls(list(chain.from_iterable(settings))))
        written.append(UNSET.calls([name for name, value in commit.settings.items() if not value]))
    if commit.memory:
        remembered = [(*name, value) for name, value in commit.memory.items() if value is not None]
        forgotten = [name for name, value in commit.memory.items() if value is None]
        written.append(MEMORY.calls(list(chain.from_iterable(remembered))))
        written.append(MEMORY_GONE.calls(list(chain.from_iterable(forgotten))))
    return list(chain.from_iterable(written))


def _messages(messages: Iterable[Message]) -> list[Value]:
    values: list[Value] = []
    for m in messages:
        error = m.error
        ref = m.ref
        values += (
            m.key,
            m.tail,
            m.account,
            +m.direction,
            +m.status,
            +m.priority,
            route_text(m.route),
            m.channel,
            m.encoding._value_,
            m.segments,
            +m.delivery,
            +m.wants_receipt,
            +m.flash,
            m.reference,
            m.submitted_at_ms,
            m.send_at_ms,
            m.due_at_ms,
            m.expires_at_ms,
            m.sent_at_ms,
            m.final_at_ms,
            m.attempts,
            0 if error is None else _error_text(error),
            0 if ref is None else ref,
            m.to,
            m.originator,
        )
    return values


def _marked(messages: Iterable[Message]) -> list[Value]:
    """Those that have more to be said of them than all have."""
    marked = [m for m in messages if m.strand or m.is_ordered or m.ignores_quiet or m.batch is not None]
    columns = _messages(marked)
    width = USUAL.width
    values: list[Value] = []
    for place, m in enumerate(marked):
        values += columns[place * width : place * width + width]
        values += (m.batch or 0, m.strand, m.is_ordered | m.ignores_quiet << 1)
    return values


def _changes(messages: Iterable[Message]) -> list[Value]:
    values: list[Value] = []
    for m in messages:
        error = m.error
        status = +m.status
        if status == _SENDING and m.delivery == _AT_LEAST_ONCE:
            # After a crash it is sent again; only what may not be is found there as having been under way.
            status = _QUEUED
        values += (
            m.key,
            status,
            m.channel,
            m.due_at_ms,
            m.sent_at_ms,
            m.final_at_ms,
            m.attempts,
            0 if error is None else _error_text(error),
            m.encoding._value_,
            m.segments,
            m.strand,
        )
    return values


def _bodies(messages: Iterable[Message]) -> tuple[list[Value], list[Value]]:
    """The bodies that are nothing but a text, and the others."""
    plain: list[Value] = []
    rich: list[Value] = []
    for m in messages:
        text = m.text
        callback = m.callback_url
        if text is not None and m.metadata is None and m.data is None and m.udh is None and callback is None:
            plain += (m.key, text)
        else:
            octets = (0 if part is None else part for part in (text, m.data, m.udh, m.metadata, callback))
            rich += (m.key, *octets)
    return plain, rich


def _segments(segments: dict[int, tuple[Message, Segment]]) -> list[Value]:
    values: list[Value] = []
    for key, (message, segment) in segments.items():
        carrier_id, match_id, error = segment.carrier_id, segment.match_id, segment.error
        values += (
            key,
            +segment.status,
            segment.channel or message.channel,
            0 if carrier_id is None else carrier_id,
            0 if match_id is None else match_id,
            segment.sent_at_ms,
            segment.final_at_ms,
            0 if error is None else _error_text(error),
        )
    return values


_encode_events = msgspec.msgpack.Encoder().encode


def _events(events: Sequence[Event]) -> list[Value]:
    first, last = events[0], events[-1]
    return [last.seq, first.seq, last.at_ms, _encode_events(events)]


def _history(lines: Iterable[History]) -> list[Value]:
    values: list[Value] = []
    for line in lines:
        error = 0 if line.error is None else _error_text(line.error)
        charge = 0 if line.charge is None else _charge_text(line.charge)
        values += (
            line.key,
            line.at_ms,
            line.segment,
            line.attempt,
            +line.status,
            line.channel,
            error,
            charge,
        )
    return values


def _parked(receipts: Iterable[ParkedReceipt]) -> list[Value]:
    values: list[Value] = []
    for receipt in receipts:
        error = 0 if receipt.error is None else _error_text(receipt.error)
        charge = 0 if receipt.charge is None else _charge_text(receipt.charge)
        values += (
            receipt.family,
            receipt.match_id,
            +receipt.status,
            receipt.at_ms,
            error,
            receipt.done_at_ms,
            charge,
        )
    return values


def _idempotency(answers: Iterable[Idempotency]) -> list[Value]:
    values: list[Value] = []
    for a in answers:
        values += (a.account, a.key, a.line, a.digest, a.at_ms, a.answer)
    return values


def _parts(parts: Iterable[HeldPart]) -> list[Value]:
    values: list[Value] = []
    for held in parts:
        item, part = held.item, held.item.part
        assert part is not None
        text, data = item.text, item.data
        values += (
            held.key,
            held.family,
            held.channel,
            item.originator,
            item.to,
            part.reference,
            part.total,
            part.index,
            held.at_ms,
            item.encoding.value,
            0 if text is None else text,
            0 if data is None else data,
        )
    return values


def _joined(messages: Iterable[JoinedParts]) -> list[Value]:
    values: list[Value] = []
    for m in messages:
        values += (m.key, m.family, m.originator, m.to, m.reference, m.total, m.at_ms, m.digests)
    return values


@lru_cache(maxsize=4096)
def route_text(route: tuple[str, ...]) -> str:
    """A route as it stands in its column."""
    return msgspec.json.encode(route).decode()


@lru_cache(maxsize=4096)
def parse_route(text: str) -> tuple[str, ...]:
    """A route from its column."""
    return msgspec.json.decode(text, type=tuple[str, ...])


@lru_cache(maxsize=4096)
def _error_text(error: Error) -> str:
    return msgspec.json.encode(error).decode()


def _charge_text(charge: Charge) -> str:
    return msgspec.json.encode(charge).decode()


def storable(value: Value) -> Value:
    """A value as UTF-8 can hold it: half a surrogate pair, which is no character, becomes U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


# -- reading -------------------------------------------------------------------------------------------------

# Those that are taken back (they were sent, and the message went anew) are as if they were not there.
_SEGMENTS = """(SELECT json_group_array(json_object(
    'index', s.key & 255, 'status', s.status, 'carrier_id', s.carrier_id, 'match_id', s.match_id,
    'sent_at_ms', s.sent_at_ms, 'final_at_ms', s.final_at_ms, 'error', json(s.error), 'channel', s.channel))
    FROM (SELECT * FROM segment WHERE key > m.key AND key <= m.key + 255 AND status > 2 ORDER BY key) s)"""

# COALESCE: numbers are NULL once they are erased.
_MESSAGE = f"""json_object(
    'key', m.key, 'tail', m.tail, 'account', m.account, 'to', coalesce(m.destination, ''),
    'originator', coalesce(m.originator, ''), 'text', b.text, 'encoding', m.encoding, 'segments', m.segments,
    'submitted_at_ms', m.submitted_at_ms, 'due_at_ms', m.due_at_ms, 'expires_at_ms', m.expires_at_ms,
    'route', json(m.route), 'priority', m.priority, 'status', m.status, 'channel', m.channel,
    'direction', m.direction, 'delivery', m.delivery,
    'wants_receipt', iif(m.wants_receipt, json('true'), json('false')),
    'flash', iif(m.flash, json('true'), json('false')), 'reference', m.reference, 'send_at_ms', m.send_at_ms,
    'sent_at_ms', m.sent_at_ms, 'final_at_ms', m.final_at_ms, 'attempts', m.attempts, 'error', json(m.error),
    'ref', m.ref, 'batch', m.batch, 'strand', m.strand,
    'is_ordered', iif(m.is_ordered & 1, json('true'), json('false')),
    'ignores_quiet', iif(m.is_ordered & 2, json('true'), json('false')), 'callback_url', b.callback,
    'segment_list', {_SEGMENTS})"""

_OCTETS = """json_array(m.key, iif(b.data IS NULL, NULL, hex(b.data)), iif(b.udh IS NULL, NULL, hex(b.udh)),
    iif(b.metadata IS NULL, NULL, hex(b.metadata)))"""


def select_messages(wanted: str) -> str:
    """A statement that reads messages as one row, for :func:`parse_messages`.

    ``wanted`` is a SELECT of keys, in a column named ``key``, in the order the messages are to have.
    """
    return f"""SELECT json_group_array({_MESSAGE}),
        json_group_array({_OCTETS}) FILTER (WHERE coalesce(b.data, b.udh, b.metadata) IS NOT NULL)
        FROM ({wanted}) w CROSS JOIN message m ON m.key = w.key LEFT JOIN body b ON b.key = m.key"""


_Octets = tuple[int, str | None, str | None, str | None]
_decode_messages = msgspec.json.Decoder(list[Message]).decode
_decode_octets = msgspec.json.Decoder(list[_Octets]).decode
_decode_error = msgspec.json.Decoder(Error).decode
_decode_events = msgspec.msgpack.Decoder(list[Event]).decode


def parse_messages(messages: str, octets: str) -> list[Message]:
    """Messages from the row of a :func:`select_messages` statement."""
    found = _decode_messages(messages)
    if octets != "[]":
        by_key = {message.key: message for message in found}
        for key, data, udh, metadata in _decode_octets(octets):
            message = by_key[key]
            message.data, message.udh, message.metadata = _unhex(data), _unhex(udh), _unhex(metadata)
    return found


def parse_events(block: bytes) -> list[Event]:
    """The events of one row."""
    return _decode_events(block)


def parse_part(row: tuple[Any, ...]) -> HeldPart:
    """A part from its columns, in the order in which they are written."""
    key, family, channel, originator, to, reference, total, index, at_ms, encoding, text, data = row
    part = Part(reference, total, index)
    return HeldPart(
        key, family, channel, at_ms, Inbound(originator, to, text, Encoding(encoding), data, part=part)
    )


def parse_error(text: str | None) -> Error | None:
    """An error from its column."""
    return None if text is None else _decode_error(text)


_decode_charge: Final = msgspec.json.Decoder(Charge).decode


def parse_charge(text: str | None) -> Charge | None:
    """A charge from its column."""
    return None if text is None else _decode_charge(text)


def _unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
