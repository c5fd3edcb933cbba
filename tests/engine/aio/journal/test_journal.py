"""The journal as its users see it: what it was given comes back, from a file opened and closed in good order."""

import asyncio
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stentor.aio.journal import rows
from stentor.aio.journal.disk import sqlite_is_affected
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import CHECKPOINT_OCTETS, IDLE_S, TRUNCATE_S, Journal
from stentor.errors import JournalBusy, JournalError
from stentor.journal.records import Commit, History, Idempotency, ParkedReceipt
from stentor.message import Error, EventKind, Status
from tests.engine.aio.journal.journal_helpers import (
    WALL_MS,
    Model,
    accept,
    by_name,
    compare,
    crash,
    events,
    events_of,
    message,
    messages_of,
    reopened,
    run,
    segments_of,
    sent,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def size(path: Path, suffix: str = "") -> int:
    return path.with_name(path.name + suffix).stat().st_size


def test_a_new_journal_holds_nothing_and_is_for_its_owner_only(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        assert journal.recovery.backlog == {}
        assert (journal.recovery.last_key, journal.recovery.last_seq) == (0, 0)
        await journal.close()

    run(work)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_closing_leaves_one_file_without_a_log(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        reader = await Reader.open(path)
        await accept(journal, message())
        await reader.close()
        await journal.close()

    run(work)
    assert sorted(file.name for file in path.parent.iterdir()) == ["journal.db", "journal.db-lock"]


@settings(max_examples=40)
@given(st.lists(messages_of(st.integers(1, 8)), max_size=8, unique_by=lambda one: one.key), st.data())
def test_every_field_of_a_message_and_of_its_segments_comes_back(tmp_path_factory, messages, data) -> None:
    model = Model()
    pairs = [(one, data.draw(segments_of(st.integers(1, 255)))) for one in messages]
    commit = Commit(
        1,
        accepted=[one for one in messages if one.status is not Status.RECEIVED],
        received=[one for one in messages if one.status is Status.RECEIVED],
        segments={one.key + segment.index: (one, segment) for one, segment in pairs},
    )
    model.commit(commit)
    path = tmp_path_factory.mktemp("fields") / "journal.db"

    async def work() -> None:
        journal = await reopened(path)
        await journal.commit(commit)
        await journal.close()
        journal = await reopened(path)
        reader = await Reader.open(path)
        await compare(model, journal, reader)
        await reader.close()
        await journal.close()

    run(work)


def test_one_commit_writes_records_of_all_kinds(path: Path) -> None:
    model = Model()
    one, other = message(), message(status=Status.SENDING)
    error = Error("carrier_busy", "0x14", "queue full")
    commit = Commit(
        1,
        accepted=[one, other],
        received=[message(status=Status.RECEIVED, final_at_ms=WALL_MS)],
        history=[History(one.key, WALL_MS, Status.QUEUED, 1, 1, "alpha", error)],
        events=events(1, one, other),
        parked=by_name([ParkedReceipt("f", "77", Status.DELIVERED, WALL_MS, error, WALL_MS - 1)]),
        idempotency=[Idempotency("default", "k", -1, b"\0digest", WALL_MS, b"\0answer")],
        settings={"paused": "alpha"},
    )
    model.commit(commit)
    later = sent(one)
    later.parked = {("f", "77"): None, ("f", "never parked"): None}
    later.settings = {"paused": ""}
    later.history = [History(one.key, WALL_MS + 1, Status.SENT, 1, 2, "alpha")]

    async def work() -> None:
        journal = await reopened(path)
        await journal.commit(commit)
        await journal.commit(later)
        model.commit(later)
        await journal.close()
        journal = await reopened(path)
        reader = await Reader.open(path)
        await compare(model, journal, reader)
        await reader.close()
        await journal.close()

    run(work)


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, rows.MAX_ROWS, rows.MAX_ROWS + 1, 5000])
def test_a_commit_of_any_size_is_written_whole(path: Path, count: int) -> None:
    accepted = [message(n) for n in range(1, count + 1)]

    async def work() -> None:
        journal = await reopened(path)
        await accept(journal, *accepted)
        commits = [sent(one) for one in accepted]
        await journal.commit(
            Commit(
                2,
                changed={key: one for commit in commits for key, one in commit.changed.items()},
                segments={key: pair for commit in commits for key, pair in commit.segments.items()},
            )
        )
        reader = await Reader.open(path)
        assert await reader.messages([one.key for one in accepted]) == accepted
        await reader.close()
        await journal.close()

    run(work)


def test_a_row_is_taken_when_the_commit_is_called_not_when_it_is_written(path: Path) -> None:
    one = message(text="first")

    async def work() -> None:
        journal = await reopened(path)
        committed = asyncio.ensure_future(accept(journal, one))
        await asyncio.sleep(0)  # the commit is on its way
        one.status, one.text = Status.CANCELLED, "second"
        await committed
        reader = await Reader.open(path)
        stored = await reader.message(one.key)
        assert stored is not None
        assert (stored.status, stored.text) == (Status.QUEUED, "first")
        await reader.close()
        await journal.close()

    run(work)


def test_records_written_twice_leave_the_same_journal(path: Path) -> None:
    one = message()
    model = Model()

    async def work() -> None:
        journal = await reopened(path)
        first = Commit(1, accepted=[one], events=events(1, one))
        for _ in range(2):
            await journal.commit(first)
            model.commit(first)
        second = sent(one)
        second.events = events(2, one, kind=EventKind.SENT)
        merged = Commit(
            3, changed=second.changed, segments=second.segments, events=first.events + second.events
        )
        for commit in (second, merged, second):
            await journal.commit(commit)
            model.commit(commit)
        await journal.close()
        journal = await reopened(path)
        reader = await Reader.open(path)
        await compare(model, journal, reader)
        await reader.close()
        await journal.close()

    run(work)


def test_an_empty_commit_writes_nothing(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        before = journal.wal_octets
        await journal.commit(Commit(1))
        assert journal.snapshot().commits == 0
        assert journal.wal_octets == before
        await journal.close()

    run(work)


def test_half_a_surrogate_pair_does_not_keep_its_neighbours_from_being_written(path: Path) -> None:
    broken, whole = message(text="a\ud83db"), message(text="😀")

    async def work() -> None:
        journal = await reopened(path)
        await accept(journal, broken, whole)
        reader = await Reader.open(path)
        assert [one.text for one in await reader.messages([broken.key, whole.key])] == ["a\ufffdb", "😀"]
        await reader.close()
        await journal.close()

    run(work)


def test_the_same_journal_is_not_opened_twice(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        with pytest.raises(JournalBusy, match="another stentor"):
            await reopened(path)
        await accept(journal, message())
        await journal.close()
        await (await reopened(path)).close()

    run(work)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(JournalError, match="nowhere"):
            await reopened(tmp_path / "nowhere" / "journal.db")

    run(work)


@pytest.mark.parametrize(("durability", "synchronous"), [("power", 2), ("process", 1)])
def test_durability_decides_how_a_commit_is_synced(path: Path, durability, synchronous: int) -> None:
    async def work() -> None:
        journal = await Journal.open(path, durability)
        ((found,),) = await journal._disk.execute_fetchall("PRAGMA synchronous")
        assert found == synchronous
        assert journal.snapshot().durability == durability
        await journal.close()

    run(work)


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("wal_autocheckpoint", 0),
        ("secure_delete", 1),
        ("busy_timeout", 0),
        ("mmap_size", 0),
    ],
)
def test_the_writer_runs_with_the_pragmas_it_needs(path: Path, pragma: str, value: object) -> None:
    async def work() -> None:
        journal = await reopened(path)
        ((found,),) = await journal._disk.execute_fetchall(f"PRAGMA {pragma}")
        assert found == value
        await journal.close()

    run(work)


@pytest.mark.parametrize(
    ("version", "is_affected"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_the_versions_with_the_checkpoint_race_are_known(version, is_affected: bool) -> None:
    assert sqlite_is_affected(version) is is_affected


def test_a_snapshot_counts_commits_rows_and_octets(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        one = message()
        await accept(journal, one, message())
        await journal.commit(sent(one))
        snapshot = journal.snapshot()
        assert (snapshot.state, snapshot.commits, snapshot.rows, snapshot.detail) == ("open", 2, 4, "")
        assert snapshot.last_commit_ms > 0
        assert snapshot.file_octets == size(path)
        assert 0 < snapshot.wal_octets <= size(path, "-wal")
        await journal.close()

    run(work)


# -- the log --------------------------------------------------------------------------------------------------------


def heavy(count: int = 200) -> Commit:
    return Commit(1, accepted=[message(text="x" * 1000) for _ in range(count)])


def test_the_log_is_moved_before_it_grows_long(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        longest = 0
        for _ in range(60):
            await journal.commit(heavy())
            longest = max(longest, journal.wal_octets)
        assert size(path) > 2 * CHECKPOINT_OCTETS
        assert CHECKPOINT_OCTETS <= longest < 1.5 * CHECKPOINT_OCTETS
        await journal.close()

    run(work)


def test_a_pinned_reader_stops_a_checkpoint_but_no_commit(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        await accept(journal, message())
        reader = await Reader.open(path)
        await reader._disk.execute_fetchall("BEGIN")
        await reader._disk.execute_fetchall("SELECT count(*) FROM message")
        for _ in range(40):
            await journal.commit(heavy())
        stuck = await journal.checkpoint()
        assert not stuck.is_complete
        assert journal.wal_octets > CHECKPOINT_OCTETS
        assert not (await journal.checkpoint("TRUNCATE")).is_complete
        await reader._disk.execute_fetchall("COMMIT")
        assert (await journal.checkpoint()).is_complete
        await journal.checkpoint("TRUNCATE")
        assert journal.wal_octets == 0
        assert size(path, "-wal") == 0
        await reader.close()
        await journal.close()

    run(work)


def test_an_idle_journal_moves_its_log_and_an_old_one_truncates_it(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        await accept(journal, message())
        await journal.maintain(100.0)
        assert journal._unmoved_octets > 0
        await journal.maintain(100.0 + IDLE_S)
        assert journal._unmoved_octets == 0
        assert size(path, "-wal") > 0
        await journal.maintain(100.0 + TRUNCATE_S)
        assert size(path, "-wal") == 0
        await journal.close()

    run(work)


# -- age ------------------------------------------------------------------------------------------------------------

DAY_S = 86_400.0


def test_old_events_and_answers_are_pruned_and_the_newest_event_stays(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        one = message()
        for seq in (1, 2, 3):
            answer = Idempotency("default", f"k{seq}", -1, b"d", WALL_MS, b"a")
            await journal.commit(Commit(seq, events=events(seq, one), idempotency=[answer]))
        reader = await Reader.open(path)

        async def kept() -> tuple[int, int]:
            answers = [await reader.idempotency("default", f"k{seq}", -1, 1) for seq in (1, 2, 3)]
            return len(await events_of(reader, 0, 100, "default")), sum(map(len, answers))

        await journal.maintain(50.0)
        assert await kept() == (3, 3)
        await journal.maintain(50.0 + DAY_S + 1)
        assert await kept() == (3, 0)
        await journal.maintain(50.0 + 3 * DAY_S + 1)
        assert await kept() == (1, 0)
        await reader.close()
        await journal.close()
        journal = await reopened(path)
        assert journal.recovery.last_seq == 3
        await journal.close()

    run(work)


# -- what a crash leaves --------------------------------------------------------------------------------------------


def test_what_was_committed_before_a_crash_is_there_after_it(path: Path, tmp_path: Path) -> None:
    model = Model()

    async def work() -> None:
        journal = await reopened(path)
        one, leased, later = message(), message(status=Status.SENDING), message(status=Status.SCHEDULED)
        first = Commit(1, accepted=[one, leased, later], events=events(1, one, leased))
        await journal.commit(first)
        model.commit(first)
        second = sent(one)
        await journal.commit(second)
        model.commit(second)
        after = await reopened(crash(path, tmp_path / "after"))
        reader = await Reader.open(after.path)
        await compare(model, after, reader)
        assert [one.key for one in after.recovery.leased] == [leased.key]
        assert after.recovery.next_due_ms == later.due_at_ms
        await reader.close()
        await after.close()
        await journal.close()

    run(work)


def test_a_segments_receipt_is_awaited_until_it_came(path: Path) -> None:
    one = message()

    async def work() -> None:
        journal = await reopened(path)
        reader = await Reader.open(path)
        await accept(journal, one)
        await journal.commit(sent(one, match_id="77"))
        (found,) = await reader.receipts("alpha", ["77"])
        assert found == one
        (segment,) = one.segment_list
        one.segment_list = [
            msgspec.structs.replace(segment, status=Status.DELIVERED, match_id=None, final_at_ms=WALL_MS)
        ]
        one.status, one.final_at_ms = Status.DELIVERED, WALL_MS
        await journal.commit(
            Commit(3, changed={one.key: one}, segments={one.key + 1: (one, one.segment_list[0])})
        )
        assert await reader.receipts("alpha", ["77"]) == []
        assert await reader.message(one.key) == one
        await reader.close()
        await journal.close()

    run(work)
