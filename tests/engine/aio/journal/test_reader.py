"""Reads: what each finds, in which order, in how small steps, and that none of them can change anything."""

import asyncio
import contextlib
import random
import re
import sqlite3
from pathlib import Path

import msgspec
import pytest

from stentor.aio.journal import queries
from stentor.aio.journal import reader as reader_module
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import Journal
from stentor.api.engine import Search
from stentor.errors import JournalError
from stentor.journal.records import BacklogKey, BacklogRead, Commit, History, Idempotency
from stentor.message import Direction, Error, Message, Segment, Status
from tests.engine.aio.journal.journal_helpers import (
    WALL_MS,
    Opened,
    accept,
    events,
    events_of,
    key_of,
    message,
    run,
    sent,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


# -- what a reader may not do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM message",
        "INSERT INTO setting VALUES ('a', 'b')",
        "CREATE TABLE t (a)",
        "PRAGMA user_version = 9",
        "BEGIN IMMEDIATE",
        "VACUUM",
    ],
)
def test_a_reader_cannot_write(path: Path, statement: str) -> None:
    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, message())
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await reader._disk.execute_fetchall(statement)

    run(work)


def test_a_readers_checkpoint_moves_nothing(path: Path) -> None:
    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, message())
            before = journal._unmoved_octets
            # Some versions of SQLite say that it may not, some do nothing in silence.
            with contextlib.suppress(sqlite3.OperationalError):
                await reader._disk.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
            assert journal._unmoved_octets == before > 0

    run(work)


def test_a_journal_that_is_not_there_cannot_be_read(path: Path) -> None:
    async def work() -> None:
        with pytest.raises(JournalError, match="cannot be opened"):
            await Reader.open(path)

    run(work)
    assert not path.exists()


# -- single messages ------------------------------------------------------------------------------------------------


def test_messages_come_in_the_order_of_the_keys_asked_for_without_those_unknown(path: Path) -> None:
    one, two, three = message(), message(), message()

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, one, two, three)
            assert await reader.messages([three.key, 77, one.key, two.key]) == [three, one, two]
            assert await reader.messages([]) == []
            assert await reader.message(two.key) == two
            assert await reader.message(77) is None

    run(work)


def test_a_message_comes_with_its_own_segments_only(path: Path) -> None:
    one, two = message(7, segments=255), message(8)
    segments = [Segment(n, Status.SENT, f"c{n}", f"c{n}", WALL_MS, channel="alpha") for n in range(1, 256)]

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, one, two)
            await journal.commit(
                Commit(2, segments={one.key + s.index: (one, s) for s in reversed(segments)})
            )
            found, neighbour = await reader.messages([one.key, two.key])
            assert found.segment_list == segments
            assert neighbour.segment_list == []

    run(work)


def test_a_message_without_its_body_and_numbers_can_still_be_read(path: Path) -> None:
    one = message()

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, one)
            await journal._disk.execute_fetchall("DELETE FROM body")
            await journal._disk.execute_fetchall("UPDATE message SET destination = NULL, originator = NULL")
            expected = msgspec.structs.replace(one, text=None, to="", originator="")
            assert await reader.message(one.key) == expected

    run(work)


def test_histories_are_in_order_of_time_and_of_one_message(path: Path) -> None:
    one, two = message(), message()
    error = Error("throttled", "88", "slow down")
    lines = [
        History(one.key, WALL_MS + 2, Status.QUEUED, 1, 2, "beta"),
        History(one.key, WALL_MS, Status.QUEUED, 1, 1, "alpha", error),
        History(two.key, WALL_MS + 1, Status.QUEUED),
    ]

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await journal.commit(Commit(1, accepted=[one, two], history=lines))
            assert await reader.history(one.key) == [lines[1], lines[0]]
            assert await reader.history(two.key) == [lines[2]]

    run(work)


# -- the backlog ----------------------------------------------------------------------------------------------------


def test_the_backlog_is_read_in_blocks_by_due_time_without_gap_or_repetition(path: Path) -> None:
    chance = random.Random(4)
    queued = [message(due_at_ms=WALL_MS + chance.randrange(5)) for _ in range(50)]
    others = [
        message(priority=1),
        message(route=("beta",)),
        message(route=("alpha", "beta")),
        message(status=Status.SENT),
        message(status=Status.SCHEDULED),
    ]

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            mixed = queued + others
            chance.shuffle(mixed)
            await accept(journal, *mixed)
            found: list[Message] = []
            after = (0, 0)
            alpha, both = BacklogKey(("alpha",), 2), BacklogKey(("alpha", "beta"), 2)
            while (
                blocks := await reader.backlog([BacklogRead(alpha, after, 7), BacklogRead(both, (0, 0), 7)])
            )[0]:
                block, beside = blocks
                assert len(block) <= 7
                assert beside == [others[2]], "each queue is read by itself, however many are read together"
                found += block
                after = (block[-1].due_at_ms, block[-1].key)
            assert found == sorted(queued, key=lambda one: (one.due_at_ms, one.key))

    run(work)


def test_scheduled_messages_come_when_due_and_the_next_is_named(path: Path) -> None:
    due = [message(status=Status.SCHEDULED, due_at_ms=WALL_MS + n * 10) for n in (3, 1, 2, 4)]

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            assert await reader.next_due_ms() == 0
            await accept(journal, message(), *due)
            assert await reader.next_due_ms() == WALL_MS + 10
            assert await reader.due(WALL_MS + 20, 10) == [due[1], due[2]]
            assert await reader.due(WALL_MS + 20, 1) == [due[1]]
            assert await reader.next_due_ms(WALL_MS + 20) == WALL_MS + 30
            assert await reader.next_due_ms(WALL_MS + 40) == 0

    run(work)


# -- receipts -------------------------------------------------------------------------------------------------------


def test_receipts_find_messages_by_channel_and_id_the_newest_of_two(path: Path) -> None:
    old, new, other = message(), message(), message()

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, old, new, other)
            await journal.commit(sent(old, match_id="7"))
            await journal.commit(sent(new, match_id="7"))
            await journal.commit(sent(other, channel="beta", match_id="8"))
            assert await reader.receipts("alpha", ["7", "8", "9"]) == [new]
            assert await reader.receipts("beta", ["7", "8"]) == [other]
            assert await reader.receipts("alpha", []) == []
            # SQLite's JSON ends a text at NUL: this must not find 7.
            assert await reader.receipts("alpha", ["7\0", "7\0x"]) == []

    run(work)


def test_a_message_of_which_two_segments_are_asked_for_comes_once_and_whole(path: Path) -> None:
    one = message(segments=3)
    one.segment_list = [
        Segment(n, Status.SENT, f"c{n}", f"c{n}", WALL_MS, channel="alpha") for n in (1, 2, 3)
    ]
    one.channel = "alpha"

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            segments = {one.key + segment.index: (one, segment) for segment in one.segment_list}
            await journal.commit(Commit(1, accepted=[one], segments=segments))
            assert await reader.receipts("alpha", ["c1", "c3"]) == [one]

    run(work)


def test_unanswered_messages_are_those_sent_long_ago_oldest_first(path: Path) -> None:
    long_ago, longer_ago, lately, answered = message(), message(), message(), message()
    # Its carrier held it until a moment ago.
    held = message(send_at_ms=WALL_MS + 301, sent_at_ms=WALL_MS + 10, status=Status.SENT)

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, long_ago, longer_ago, lately, answered, held)
            for one, at_ms in ((long_ago, 200), (longer_ago, 100), (lately, 300), (answered, 50)):
                await journal.commit(sent(one, at_ms=WALL_MS + at_ms))
            answered.final_at_ms = WALL_MS + 60
            await journal.commit(Commit(2, changed={answered.key: answered}))
            assert await reader.unanswered(WALL_MS + 300, 10) == [longer_ago, long_ago]
            assert await reader.unanswered(WALL_MS + 300, 1) == [longer_ago]
            assert await reader.unanswered(WALL_MS + 302, 1) == [held]

    run(work)


# -- searches -------------------------------------------------------------------------------------------------------


def passes(one: Message, search: Search) -> bool:
    """Whether a message is meant by a search: each filter by itself."""
    at_ms = one.submitted_at_ms  # the helpers make keys of this time
    return (
        one.account == search.account
        and search.status in (None, one.status)
        and search.to in (None, one.to)
        and search.originator in (None, one.originator)
        and search.ref in (None, one.ref)
        and search.channel in (None, one.channel)
        and search.direction in (None, one.direction)
        and (search.since_ms is None or at_ms >= search.since_ms)
        and (search.until_ms is None or at_ms < search.until_ms)
        and (search.before_key is None or one.key < search.before_key)
    )


def any_message(chance: random.Random, number: int) -> Message:
    status = chance.choice(tuple(Status))
    return message(
        number,
        account=chance.choice(("default", "other")),
        to=chance.choice(("+40711000001", "+40711000002", "+3670")),
        originator=chance.choice(("Shop", "Bank")),
        ref=chance.choice((None, None, "r1", "r2")),
        channel=chance.choice(("", "alpha", "beta")),
        status=status,
        direction=Direction.MO if status is Status.RECEIVED else Direction.MT,
    )


def any_search(chance: random.Random, limit: int) -> Search:
    def maybe(*values: object) -> object:
        return chance.choice((None, None, *values))

    return Search(
        account=chance.choice(("default", "other", "nobody")),
        status=maybe(*Status),
        to=maybe("+40711000001", "+3670", "+0"),
        originator=maybe("Shop"),
        ref=maybe("r1", "r2", "r3"),
        channel=maybe("alpha", ""),
        direction=maybe(*Direction),
        since_ms=maybe(WALL_MS + 50, WALL_MS + 200),
        until_ms=maybe(WALL_MS + 250, WALL_MS + 60),
        before_key=maybe(key_of(100), key_of(280)),
        limit=limit,
    )  # type: ignore[arg-type]  # drawn from values of each field's type


def test_a_search_finds_what_looking_at_every_message_finds(path: Path, scale) -> None:
    chance = random.Random(6)
    stored = [any_message(chance, number) for number in range(1, 301)]

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, *stored)
            for _ in range(scale(gate=400, nightly=10_000, release=50_000)):
                search = any_search(chance, chance.choice((1, 3, 1000)))
                meant = [one for one in reversed(stored) if passes(one, search)][: search.limit]
                assert await reader.search(search) == meant, search

    run(work)


def test_a_search_goes_on_over_any_number_of_pages(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "FIRST_PAGE_ROWS", 1)
    monkeypatch.setattr(reader_module, "PAGE_ROWS", 8)
    stored = [message(number, channel="rare" if number % 40 == 3 else "alpha") for number in range(1, 201)]
    meant = [one for one in reversed(stored) if one.channel == "rare"]

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, *stored)
            assert await reader.search(Search("default", channel="rare", limit=3)) == meant[:3]
            assert await reader.search(Search("default", channel="rare", limit=50)) == meant
            assert await reader.search(Search("default", channel="none", limit=1)) == []

    run(work)


def test_a_listing_paged_by_its_cursor_shows_each_message_once(path: Path) -> None:
    stored = [message(number) for number in range(1, 101)]

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await accept(journal, *stored)
            found: list[Message] = []
            cursor: int | None = None
            while page := await reader.search(Search("default", before_key=cursor, limit=9)):
                found += page
                cursor = page[-1].key
            assert found == stored[::-1]

    run(work)


# -- events and answers ---------------------------------------------------------------------------------------------


def test_events_go_on_after_any_seq_for_an_account_and_for_all_channels(path: Path) -> None:
    one, other = message(), message(account="other")
    told = events(1, *([one, other, one] * 60))

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            for start in range(0, len(told), 5):
                await journal.commit(Commit(1, events=told[start : start + 5]))
            mine = [event for event in told if event.account == "default"]
            assert await events_of(reader, 0, 1000, "default") == mine
            assert await events_of(reader, mine[4].seq, 3, "default") == mine[5:8]
            assert await events_of(reader, told[-1].seq, 3, "default") == []
            assert await events_of(reader, 0, 1000, "nobody") == []

    run(work)


def test_answers_of_a_stream_come_by_line_from_any_line_on(path: Path) -> None:
    answers = [Idempotency("default", "k", line, b"d%d" % line, WALL_MS, b"a") for line in range(10)]
    whole = Idempotency("default", "k", -1, b"d", WALL_MS, b"a")
    others = [
        Idempotency("default", "other", 3, b"", WALL_MS, b""),
        Idempotency("b", "k", 3, b"", WALL_MS, b""),
    ]

    async def work() -> None:
        async with Opened(path) as (journal, reader):
            await journal.commit(Commit(1, idempotency=[*reversed(answers), whole, *others]))
            assert await reader.idempotency("default", "k", -1, 1) == [whole]
            assert await reader.idempotency("default", "k", 4, 3) == answers[4:7]
            assert await reader.idempotency("default", "none", 0, 3) == []

    run(work)


# -- cost -----------------------------------------------------------------------------------------------------------


async def plan(journal: Journal, statement: str, parameters: dict[str, object]) -> list[str]:
    rows = await journal._disk.execute_fetchall("EXPLAIN QUERY PLAN " + statement, parameters)
    return [row[3] for row in rows]


TABLES = ("message", "m", "body", "b", "segment", "s", "event", "idempotency")
HOT = (
    "_BACKLOG",
    "_DUE",
    "_NEXT_DUE",
    "_UNANSWERED",
    "_OVERDUE",
    "_RECEIPTS",
    "_BY_KEYS",
    "_EVENTS",
    "_IDEMPOTENCY",
)


@pytest.mark.parametrize("name", HOT)
def test_no_hot_read_scans_a_table_or_sorts_one(path: Path, name: str) -> None:
    statement = getattr(reader_module, name)
    parameters = dict.fromkeys(re.findall(r":(\w+)", statement))

    async def work() -> None:
        async with Opened(path) as (journal, _reader):
            steps = await plan(journal, statement, parameters)
            # A segment list is a co-routine that is named like the table it searches.
            scans = [step for step in steps if step.split()[:2] in [["SCAN", table] for table in TABLES]]
            assert scans in ([], ["SCAN s"]), steps
            # The one must find the newest of several, of a few; the other sorts a page.
            if name not in ("_RECEIPTS", "_OVERDUE"):
                assert not [step for step in steps if "TEMP B-TREE" in step], steps

    run(work)


@pytest.mark.parametrize("sweep", queries.SWEEPS, ids=lambda sweep: sweep.index)
def test_sweeps_and_counts_look_at_an_index_alone(path: Path, sweep: queries.Sweep) -> None:
    async def work() -> None:
        async with Opened(path) as (journal, _reader):
            where = sweep.range(sweep.first, sweep.last)
            count = f"SELECT count(*) FROM message INDEXED BY {sweep.index} WHERE status = {sweep.status}"
            for statement in (sweep.page_end, sweep.expiring, count):
                steps = await plan(
                    journal,
                    statement,
                    where
                    | {"page": 1, "expires_after_ms": 1, "expires_after_key": 1, "until_ms": 1, "limit": 1},
                )
                looked = [step for step in steps if "message" in step]
                assert looked
                assert all("USING COVERING INDEX" in step for step in looked), steps

    run(work)


def test_reads_and_commits_go_on_side_by_side(path: Path) -> None:
    async def work() -> None:
        async with Opened(path) as (journal, reader):
            for _ in range(20):
                one = message()
                await asyncio.gather(
                    accept(journal, one), reader.search(Search("default")), events_of(reader, 0, 9, "x")
                )
                assert await reader.message(one.key) == one

    run(work)
