"""Reads of the committed journal, on a connection that cannot write.

Invariants: no read disturbs the writer; a read is one statement, so that it leaves no transaction open
whatever becomes of its caller; what may look at many rows does so in pages, each a short read of its own, so
that the log can be folded in between. Messages come as fresh copies, with their segments.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from stentor.aio.journal import rows
from stentor.aio.journal.disk import Disk, open_reader
from stentor.aio.journal.queries import (
    AGES_S,
    FIRST_PAGE_ROWS,
    PAGE_ROWS,
    SWEEPS,
    Parameters,
    Sweep,
    search_statement,
)
from stentor.aio.journal.shown import read_shown
from stentor.aio.journal.webhook_rows import SELECT_BLOCKS
from stentor.api.engine import Search
from stentor.ids import first_key_at, message_key
from stentor.journal.records import BacklogRead, BatchRead, ExpiredRead, History, Idempotency, OverdueRead
from stentor.message import STATUS_OF_EVENT, Event, Message, Status
from stentor.pacing.caps import Sent

PAGE_BLOCKS: Final = 16
"""Blocks of events, each of one commit, that one read decodes."""

_LAST_KEY: Final = 2**63 - 1

_BY_KEYS = rows.select_messages("SELECT value AS key FROM json_each(:keys)")
_BACKLOG = rows.select_messages(
    "SELECT key FROM message INDEXED BY message_backlog"
    " WHERE status = 1 AND route = :route AND priority = :priority AND strand = :strand"
    " AND (due_at_ms, key) > (:due_at_ms, :key) ORDER BY due_at_ms, key LIMIT :limit"
)
_DUE = rows.select_messages(
    "SELECT key FROM message INDEXED BY message_scheduled WHERE status = 0 AND due_at_ms <= :until_ms"
    " ORDER BY due_at_ms, key LIMIT :limit"
)
_NEXT_DUE = (
    "SELECT min(due_at_ms) FROM message INDEXED BY message_scheduled"
    " WHERE status = 0 AND due_at_ms > :after_ms"
)
# A carrier may use an id again: the newest message is meant.
_RECEIPTS = rows.select_messages(
    "SELECT DISTINCT max(s.key) & ~255 AS key FROM json_each(:match_ids) wanted CROSS JOIN segment s"
    " ON s.channel = :channel AND s.match_id = wanted.value AND s.match_id IS NOT NULL GROUP BY wanted.value"
)
_UNANSWERED = rows.select_messages(
    "SELECT key FROM message INDEXED BY message_unanswered"
    " WHERE status = 3 AND final_at_ms = 0 AND sent_at_ms < :before_ms AND send_at_ms < :before_ms"
    " ORDER BY sent_at_ms LIMIT :limit"
)
# Through the index, page by page, for what one of the channels sent.
_OVERDUE = (
    "WITH page AS MATERIALIZED (SELECT sent_at_ms, key, channel FROM message INDEXED BY message_unanswered"
    " WHERE status = 3 AND final_at_ms = 0 AND (sent_at_ms, key) > (:after_ms, :after_key)"
    " AND sent_at_ms < :before_ms ORDER BY sent_at_ms, key LIMIT :page)"
    " SELECT (SELECT count(*) FROM page),"
    " (SELECT json_array(sent_at_ms, key) FROM page ORDER BY sent_at_ms DESC, key DESC LIMIT 1),"
    " (SELECT json_group_array(key) FROM"
    " (SELECT key FROM page WHERE channel = :channel ORDER BY sent_at_ms, key LIMIT :limit))"
)
_BATCH = rows.select_messages(
    "SELECT key FROM message INDEXED BY message_batch"
    " WHERE account = :account AND batch = :batch AND batch IS NOT NULL AND status = :status"
    " AND (strand, key) > (:strand, :key) ORDER BY strand, key LIMIT :limit"
)
_BATCH_COUNTS = (
    "SELECT status, strand = -1, count(*) FROM message INDEXED BY message_batch"
    " WHERE account = :account AND batch = :batch AND batch IS NOT NULL GROUP BY status, strand = -1"
)
_ADMITTED = (
    "SELECT m.account, m.destination, coalesce(b.text, b.data), m.submitted_at_ms FROM message m"
    " LEFT JOIN body b ON b.key = m.key WHERE m.key > :since AND m.direction = 0 AND m.destination IS NOT NULL"
    " ORDER BY m.key DESC LIMIT :limit"
)
_HISTORY = (
    "SELECT key, at_ms, status, segment, attempt, channel, error, charge FROM history WHERE key = :key"
    " ORDER BY at_ms, attempt, segment"
)
_EVENTS = "SELECT last_seq, block FROM event WHERE last_seq > :after_seq ORDER BY last_seq LIMIT :page"
_IDEMPOTENCY = (
    "SELECT account, key, line, digest, at_ms, answer FROM idempotency"
    " WHERE account = :account AND key = :key AND line >= :first_line ORDER BY line LIMIT :limit"
)

_encode = msgspec.json.Encoder().encode
_decode_keys = msgspec.json.Decoder(list[int]).decode
_decode_expiries = msgspec.json.Decoder(list[tuple[int, int]]).decode

Row = tuple[Any, ...]


def _nothing() -> None:
    pass


class Told(msgspec.Struct, frozen=True):
    """Events in order, each with the message it tells of, None where there is none; as a text where texts were asked
    for and the message has one (``shown``). ``last_seq``: all up to there were looked at. ``is_end``: there were no
    more."""

    pairs: Sequence[tuple[Event, Message | bytes | None]]
    last_seq: int
    is_end: bool


class Rest(msgspec.Struct):
    """What a page left over of the block it ended in: the events behind ``after_seq``. One commit's, at most."""

    after_seq: int = -1
    events: Sequence[Event] = ()


class Reader:
    """One read-only connection. Calls are answered one after the other; a slow one delays only those behind
    it."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._rest = Rest()

    @classmethod
    async def open(cls, path: Path) -> "Reader":
        """Open a journal that its writer has open. Raises JournalError."""
        return cls(await open_reader(path))

    async def close(self) -> None:
        """Let go of the file; to be done before the writer does."""
        await self._disk.close()

    async def message(self, key: int) -> Message | None:
        found = await self.messages((key,))
        return found[0] if found else None

    async def messages(self, keys: Sequence[int]) -> list[Message]:
        """The messages of these keys that exist, in the order of ``keys``."""
        return await self._messages(_BY_KEYS, {"keys": _json(keys)}) if keys else []

    async def backlog(self, reads: Sequence[BacklogRead]) -> list[list[Message]]:
        """For each read the queued messages of its queue behind the position ``after``, in the queue's order."""
        return await self._disk.run(_read_backlog, reads)

    async def due(self, until_ms: int, limit: int) -> list[Message]:
        """Scheduled messages due by ``until_ms``, earliest first."""
        return await self._messages(_DUE, {"until_ms": until_ms, "limit": limit})

    async def next_due_ms(self, after_ms: int = -1) -> int:
        """When the first scheduled message after ``after_ms`` is due, 0 for none."""
        ((at_ms,),) = await self._rows(_NEXT_DUE, {"after_ms": after_ms})
        return at_ms or 0

    async def receipts(self, channel: str, match_ids: Sequence[str]) -> list[Message]:
        """Messages sent by ``channel`` that await a receipt under one of these ids; the newest, if several
        do."""
        # SQLite's JSON ends a text at NUL, and would look for what stands before it.
        wanted = [match_id for match_id in match_ids if "\0" not in match_id]
        return await self._messages(_RECEIPTS, {"channel": channel, "match_ids": _json(wanted)})

    async def expired(self, read: ExpiredRead, found_out: Callable[[], None] = _nothing) -> list[Message]:
        """Queued and scheduled messages whose validity ends between two times, the earliest first. ``found_out`` is
        called when it is known which, before they are read."""
        found: list[tuple[int, int]] = []
        for sweep in SWEEPS:
            await self._sweep(sweep, read, found)
        found.sort()
        found_out()
        return await self.messages([key for _, key in found[: read.limit]])

    async def batch(self, read: BatchRead) -> list[Message]:
        """Messages of a batch in one status, in the order of strand and key."""
        return await self._messages(
            _BATCH,
            {
                "account": read.account,
                "batch": read.batch,
                "status": read.status,
                "strand": read.after[0],
                "key": read.after[1],
                "limit": read.limit,
            },
        )

    async def batch_counts(self, account: str, batch: str) -> dict[tuple[Status, bool], int]:
        """How many messages of a batch there are, by status and whether they are held."""
        found = await self._rows(_BATCH_COUNTS, {"account": account, "batch": batch})
        return {(Status(status), bool(is_held)): count for status, is_held, count in found}

    async def admitted(self, since_ms: int, limit: int) -> list[Sent]:
        """The newest messages accepted since a time, at most ``limit``, oldest first: what caps count."""
        parameters: Parameters = {"since": _key_at(since_ms), "limit": limit}
        found = await self._rows(_ADMITTED, parameters)
        return [Sent(account, to, body, at_ms) for account, to, body, at_ms in reversed(found)]

    async def shape(self, now_ms: int, limit: int) -> tuple[dict[tuple[str, int], int], bool]:
        """Queued messages, counted by the first four characters of the destination and by the place of their age in
        AGES_S; and whether that is all of them, for no more than about ``limit`` are looked at."""
        counts: dict[tuple[str, int], int] = {}
        sweep = SWEEPS[0]
        after: Sequence[int | str] = sweep.first
        moments: Parameters = {
            f"since_{place}_ms": now_ms - age_s * 1000 for place, age_s in enumerate(AGES_S)
        }
        page: Parameters = {"page": PAGE_ROWS}
        for _ in range(-(-limit // PAGE_ROWS)):
            ends = await self._rows(sweep.page_end, sweep.range(after) | page)
            end = ends[0] if ends else sweep.last
            for prefix, young, count in await self._rows(sweep.shape, sweep.range(after, end) | moments):
                name = prefix, len(AGES_S) - young
                counts[name] = counts.get(name, 0) + count
            if not ends:
                return counts, True
            after = end
        return counts, False

    async def unanswered(self, before_ms: int, limit: int) -> list[Message]:
        """Messages sent before ``before_ms`` that still wait for a receipt, oldest first."""
        return await self._messages(_UNANSWERED, {"before_ms": before_ms, "limit": limit})

    async def overdue(self, read: OverdueRead, found_out: Callable[[], None] = _nothing) -> list[Message]:
        """Messages that one channel sent and that wait for a receipt, between a position and a time, oldest first.
        ``found_out`` as in :meth:`expired`."""
        keys: list[int] = []
        after: Sequence[int] = read.after
        while len(keys) < read.limit:
            parameters: Parameters = {
                "after_ms": after[0],
                "after_key": after[1],
                "before_ms": read.before_ms,
                "channel": read.channel,
                "page": FIRST_PAGE_ROWS,
                "limit": read.limit - len(keys),
            }
            ((examined, last, found),) = await self._rows(_OVERDUE, parameters)
            keys += _decode_keys(found)
            if examined < FIRST_PAGE_ROWS:
                break
            after = _decode_keys(last)
        found_out()
        return await self.messages(keys)

    async def search(self, search: Search) -> list[Message]:
        """Messages that pass all filters, newest first.

        ``since_ms``, included, and ``until_ms``, excluded, are compared with the time in the message's id.
        """
        parameters = _search_parameters(search)
        found: list[Message] = []
        page = max(FIRST_PAGE_ROWS, search.limit)
        statement = search_statement(search)
        while len(found) < search.limit:
            parameters |= {"page": page, "limit": search.limit - len(found)}
            ((examined, lowest, messages, octets),) = await self._rows(statement, parameters)
            found += rows.parse_messages(messages, octets)
            if examined < page:
                break
            parameters["before"] = lowest
            page = min(page * 4, PAGE_ROWS)
        return found

    async def history(self, key: int) -> list[History]:
        """The lines of a message's timeline, oldest first."""
        return [
            History(
                key,
                at_ms,
                Status(status),
                segment,
                attempt,
                channel,
                rows.parse_error(error),
                rows.parse_charge(charge),
            )
            for key, at_ms, status, segment, attempt, channel, error, charge in await self._rows(
                _HISTORY, {"key": key}
            )
        ]

    async def told(
        self, after_seq: int, limit: int, wants: Callable[[Event], bool], *, as_text: bool = False
    ) -> Told:
        """The first events after ``after_seq`` that are wanted, with their messages, at most ``limit`` of them. It
        looks at some thousands of others on the way and no more. ``wants`` is called on another thread."""
        return await self._disk.run(_read_told, self._rest, after_seq, limit, wants, as_text)

    async def event(self, seq: int) -> Event | None:
        """One event, as long as it is kept."""
        found = await self._rows(_EVENTS, {"after_seq": seq - 1, "page": 1})
        return next(
            (event for _, block in found for event in rows.parse_events(block) if event.seq == seq), None
        )

    async def seq_before(self, at_ms: int) -> int:
        """A seq that all events kept from this time on are behind, and not many of before."""
        return await self._disk.run(_seq_before, at_ms)

    async def attempts(self, webhook: int) -> list[tuple[int, bytes]]:
        """The blocks of a webhook's log, each with the number of its last attempt, the newest first."""
        return [(number, block) for number, block in await self._rows(SELECT_BLOCKS, {"webhook": webhook})]

    async def idempotency(self, account: str, key: str, first_line: int, limit: int) -> list[Idempotency]:
        """What the lines of a request from ``first_line`` on were answered, in order."""
        parameters: Parameters = {"account": account, "key": key, "first_line": first_line, "limit": limit}
        return [Idempotency(*row) for row in await self._rows(_IDEMPOTENCY, parameters)]

    async def _sweep(self, sweep: Sweep, read: ExpiredRead, found: list[tuple[int, int]]) -> None:
        """Add to ``found`` what one index of waiting messages has that expires, as (time, key): as many as were asked
        for of the earliest, or as many as have expired already."""
        after: Sequence[int | str] = sweep.first
        page: Parameters = {"page": PAGE_ROWS}
        bounds: Parameters = {
            "expires_after_ms": read.after[0],
            "expires_after_key": read.after[1],
            "until_ms": read.until_ms,
            "limit": read.limit,
        }
        while True:
            ends = await self._rows(sweep.page_end, sweep.range(after) | page)
            end = ends[0] if ends else sweep.last
            ((expiring,),) = await self._rows(sweep.expiring, sweep.range(after, end) | bounds)
            found += _decode_expiries(expiring)
            found.sort()
            del found[read.limit :]
            if not ends or (len(found) == read.limit and found[-1][0] <= read.now_ms):
                return
            after = end

    async def _messages(self, statement: str, parameters: Parameters) -> list[Message]:
        return await self._disk.run(_read_messages, statement, parameters)

    async def _rows(self, statement: str, parameters: Parameters) -> list[Row]:
        return await self._disk.run(_read, statement, parameters)


def _read(db: sqlite3.Connection, statement: str, parameters: Parameters) -> list[Row]:
    return db.execute(statement, parameters).fetchall()


def _read_messages(db: sqlite3.Connection, statement: str, parameters: Parameters) -> list[Message]:
    # Decoding on this thread as well leaves the loop out of it.
    ((messages, octets),) = db.execute(statement, parameters).fetchall()
    return rows.parse_messages(messages, octets)


def _read_backlog(db: sqlite3.Connection, reads: Sequence[BacklogRead]) -> list[list[Message]]:
    return [
        _read_messages(
            db,
            _BACKLOG,
            {
                "route": rows.route_text(read.queue.route),
                "priority": +read.queue.priority,
                "strand": read.queue.strand,
                "due_at_ms": read.after[0],
                "key": read.after[1],
                "limit": read.limit,
            },
        )
        for read in reads
    ]


def _read_told(
    db: sqlite3.Connection,
    rest: Rest,
    after_seq: int,
    limit: int,
    wants: Callable[[Event], bool],
    as_text: bool,
) -> Told:
    found: list[Event] = []
    last_seq, is_end = after_seq, False
    if rest.after_seq == after_seq:
        # A commit may tell of thousands of events: they are not read and decoded anew for each page.
        last_seq = _add_wanted(found, rest.events, last_seq, limit, wants, rest)
    if len(found) < limit:
        # Left half read, it would keep the log from being folded in.
        with closing(db.execute(_EVENTS, {"after_seq": last_seq, "page": PAGE_BLOCKS})) as blocks:
            is_end = True
            for count, (_, block) in enumerate(blocks, 1):
                last_seq = _add_wanted(found, rows.parse_events(block), last_seq, limit, wants, rest)
                is_end = count < PAGE_BLOCKS and len(found) < limit
                if len(found) == limit:
                    break
    return Told(_with_messages(db, found, as_text=as_text), last_seq, is_end)


def _with_messages(
    db: sqlite3.Connection, events: Sequence[Event], *, as_text: bool
) -> list[tuple[Event, Message | bytes | None]]:
    tokens = [event.key | STATUS_OF_EVENT[event.kind] if event.key else 0 for event in events]
    texts = read_shown(db, [token for token in tokens if token]) if as_text else {}
    keys = sorted({message_key(token) for token in tokens if token and token not in texts})
    read = _read_messages(db, _BY_KEYS, {"keys": _json(keys)}) if keys else []
    messages = {message.key: message for message in read}
    return [
        (event, texts.get(token) or messages.get(event.key))
        for event, token in zip(events, tokens, strict=True)
    ]


def _add_wanted(
    found: list[Event],
    events: Sequence[Event],
    last_seq: int,
    limit: int,
    wants: Callable[[Event], bool],
    rest: Rest,
) -> int:
    """Add events to ``found`` until it has ``limit``; up to which one was looked. What is left is the ``rest``."""
    for place, event in enumerate(events, 1):
        # A commit that was tried again may have told of an event twice.
        if event.seq <= last_seq:
            continue
        last_seq = event.seq
        if wants(event):
            found.append(event)
            if len(found) == limit:
                rest.after_seq, rest.events = last_seq, events[place:]
                return last_seq
    rest.after_seq, rest.events = -1, ()
    return last_seq


def _seq_before(db: sqlite3.Connection, at_ms: int) -> int:
    # There is no index on times, for they grow with the numbers: so halving finds the block.
    low, high = db.execute("SELECT min(last_seq), max(last_seq) FROM event").fetchone()
    if low is None:
        return 0
    low -= 1
    while low < high:
        middle = (low + high) // 2
        last_seq, last_at_ms = db.execute(
            "SELECT last_seq, at_ms FROM event WHERE last_seq > ? ORDER BY last_seq LIMIT 1", (middle,)
        ).fetchone()
        if last_at_ms < at_ms:
            low = last_seq
        else:
            high = middle
    return int(low)


def _search_parameters(search: Search) -> Parameters:
    before = _LAST_KEY if search.before_key is None else search.before_key
    if search.until_ms is not None:
        before = min(before, _key_at(search.until_ms))
    return {
        "before": before,
        "since": 0 if search.since_ms is None else _key_at(search.since_ms),
        "account": search.account,
        "status": None if search.status is None else +search.status,
        "to": search.to,
        "originator": search.originator,
        "ref": search.ref,
        "channel": search.channel,
        "direction": None if search.direction is None else +search.direction,
    }


def _key_at(at_ms: int) -> int:
    """The first key of a moment, as far as there are keys: a client may name any year there is."""
    return max(0, min(first_key_at(at_ms), _LAST_KEY))


def _json(values: Sequence[int] | Sequence[str]) -> str:
    return _encode(values).decode()
