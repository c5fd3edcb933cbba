"""What the journal does when it cannot do its work: each fault is named, keeps nothing half done, and lifts."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from stentor.aio.journal import recovery
from stentor.aio.journal import writer as journal_module
from stentor.aio.journal.disk import translate
from stentor.aio.journal.migrate import STEPS
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import Journal
from stentor.errors import JournalBusy, JournalDamaged, JournalError, JournalFull, SyncFailed
from stentor.journal.records import BacklogKey, BacklogRead, Commit, Idempotency, ParkedReceipt
from stentor.message import Status
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
    reopened,
    run,
    sent,
)
from tests.support.source import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def test_a_full_disk_refuses_commits_until_there_is_room_and_loses_none(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.aio.journal.full_disk", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["endings"][:5] == ["kept"] * 5
    assert set(said["endings"][10:20]) == {"JournalFull"}
    assert said["endings"][20:] == ["kept"] * 10
    assert (said["state"], said["state after"]) == ("full", "open")
    assert "disk" in said["detail"]
    assert said["all kept found"] is True


def test_a_commit_that_fails_anywhere_in_it_leaves_nothing_of_itself(path: Path) -> None:
    one, other = message(), message()
    model = Model()
    commit = sent(one)
    commit.accepted = [other, message(), message()]
    commit.events = events(2, one, other)
    commit.parked = by_name([ParkedReceipt("f", "1", Status.DELIVERED, WALL_MS)])
    commit.idempotency = [Idempotency("default", "k", -1, b"d", WALL_MS, b"a")]
    commit.settings = {"a": "b"}
    every = 20  # steps of SQLite's machine between two places to fail at

    async def work() -> None:
        journal = await reopened(path)
        first = Commit(
            1, accepted=[message(one.key >> 20 & 0xFF, key=one.key, tail=one.tail)], events=events(1, one)
        )
        await journal.commit(first)
        model.commit(first)
        reader = await Reader.open(path)
        failures = 0
        while True:
            left = failures

            def is_last() -> bool:
                nonlocal left
                left -= 1
                return left < 0

            await journal._disk.set_progress_handler(is_last, every)
            try:
                await journal.commit(commit)
            except JournalError:
                failures += 1
            else:
                break
            await journal._disk.set_progress_handler(None, 0)  # type: ignore[arg-type]  # None takes it away
            assert await reader.messages([one.key, other.key]) == [model.message(one.key)]
            assert await events_of(reader, 0, 10, "default") == first.events
        await journal._disk.set_progress_handler(None, 0)  # type: ignore[arg-type]  # as above
        assert failures > 20
        model.commit(commit)
        await reader.close()
        await journal.close()
        journal = await reopened(path)
        reader = await Reader.open(path)
        await compare(model, journal, reader)
        await reader.close()
        await journal.close()

    run(work)


def test_a_stranger_with_the_lock_is_reported_and_waited_out(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        stranger = sqlite3.connect(path, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalBusy, match="another program"):
            await accept(journal, message())
        assert journal.snapshot().state == "busy"
        stranger.execute("ROLLBACK")
        stranger.close()
        one = message()
        await accept(journal, one)
        assert journal.snapshot().state == "open"
        reader = await Reader.open(path)
        assert await reader.message(one.key) == one
        await reader.close()
        await journal.close()

    run(work)


def test_a_journal_that_a_stranger_has_locked_is_not_opened(path: Path) -> None:
    async def work() -> None:
        await (await reopened(path)).close()
        stranger = sqlite3.connect(path, isolation_level=None)
        stranger.execute("PRAGMA locking_mode = EXCLUSIVE")
        stranger.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalBusy):
            await reopened(path)
        stranger.close()
        await (await reopened(path)).close()

    run(work)


def make_text(path: Path) -> None:
    path.write_bytes(b"This is no database at all. " * 100)


def make_foreign(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE bookmark (url TEXT)")
    db.commit()
    db.close()


def make_marked_by_another(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA application_id = 252006674")
    db.close()


def make_newer(path: Path) -> None:
    run(lambda: _opened_and_closed(path))
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    db.close()


async def _opened_and_closed(path: Path) -> None:
    await (await reopened(path)).close()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (make_text, "not a journal"),
        (make_foreign, "another program's"),
        (make_marked_by_another, "another program's"),
        (make_newer, "newer stentor"),
    ],
)
def test_a_file_that_is_not_ours_to_write_is_refused_and_left_as_it_is(path: Path, make, says: str) -> None:
    make(path)
    before = path.read_bytes()

    async def work() -> None:
        with pytest.raises(JournalDamaged, match=says):
            await reopened(path)

    run(work)
    assert path.read_bytes() == before


def test_a_page_spoilt_before_an_unclean_stop_is_found_at_the_start(path: Path, tmp_path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        await accept(journal, *(message(n) for n in range(1, 500)))
        await journal.checkpoint("TRUNCATE")
        after = crash(path, tmp_path / "after")
        await journal.close()
        octets = bytearray(after.read_bytes())
        octets[8 * 4096 : 9 * 4096] = b"\xa5" * 4096
        after.write_bytes(octets)
        with pytest.raises(JournalDamaged, match="restore it from a backup"):
            await reopened(after)

    run(work)


def test_a_log_torn_at_its_end_costs_only_what_was_not_committed(path: Path, tmp_path: Path) -> None:
    first, second = message(), message()

    async def work() -> None:
        journal = await reopened(path)
        await accept(journal, first)
        whole = path.with_name("journal.db-wal").stat().st_size
        await accept(journal, second)
        after = crash(path, tmp_path / "after")
        await journal.close()
        log = after.with_name("journal.db-wal")
        log.write_bytes(log.read_bytes()[: whole + 3000])
        journal = await reopened(after)
        reader = await Reader.open(after)
        assert await reader.messages([first.key, second.key]) == [first]
        await reader.close()
        await journal.close()

    run(work)


def failure(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = name  # type: ignore[misc]  # what the module sets on its own errors
    return error


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_FULL", JournalFull),
        ("SQLITE_IOERR_WRITE", JournalFull),
        ("SQLITE_IOERR_FSYNC", SyncFailed),
        ("SQLITE_IOERR_DIR_FSYNC", SyncFailed),
        ("SQLITE_IOERR_READ", JournalDamaged),
        ("SQLITE_BUSY", JournalBusy),
        ("SQLITE_BUSY_SNAPSHOT", JournalBusy),
        ("SQLITE_CORRUPT", JournalDamaged),
        ("SQLITE_CORRUPT_INDEX", JournalDamaged),
        ("SQLITE_NOTADB", JournalDamaged),
        ("SQLITE_READONLY_DIRECTORY", JournalError),
        ("SQLITE_CONSTRAINT_NOTNULL", AssertionError),
        ("SQLITE_MISMATCH", AssertionError),
        ("SQLITE_ERROR", AssertionError),
    ],
)
def test_each_error_of_sqlite_has_one_meaning(name: str, kind: type[Exception]) -> None:
    meaning = translate(failure(name))
    assert type(meaning) is kind
    assert len(str(meaning)) > 20


@pytest.mark.parametrize("fails", ["_transact", "checkpoint"])
def test_after_a_failed_sync_nothing_more_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    attempts: list[int] = []

    def fail(*_: object) -> None:
        attempts.append(1)
        raise failure("SQLITE_IOERR_FSYNC")

    async def work() -> None:
        journal = await reopened(path)
        monkeypatch.setattr(journal_module if fails == "_transact" else recovery, fails, fail)
        calls = [lambda: accept(journal, message()), journal.checkpoint, lambda: journal.maintain(5.0)]
        for call in calls if fails == "_transact" else calls[1:] + calls[:1]:
            with pytest.raises(SyncFailed):
                await call()
        assert journal.snapshot().state == "failed"
        await journal.close()

    run(work)
    assert attempts == [1]


def test_a_checkpoint_that_finds_no_room_stops_neither_a_commit_nor_the_end(path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise failure("SQLITE_FULL")

    one = message()

    async def work() -> None:
        journal = await reopened(path)
        monkeypatch.setattr(journal_module, "CHECKPOINT_OCTETS", 1)
        journal._checkpoint_at_octets = 1
        monkeypatch.setattr(recovery, "checkpoint", fail)
        await accept(journal, one)
        await accept(journal, message())
        assert journal.snapshot().state == "open"
        with pytest.raises(JournalFull):
            await journal.checkpoint()
        await journal.close()
        monkeypatch.undo()
        journal = await reopened(path)
        assert sum(journal.recovery.backlog.values()) == 2
        await journal.close()

    run(work)


def test_a_row_the_schema_refuses_is_a_bug_of_ours_and_keeps_nothing(path: Path) -> None:
    good, bad = message(), message()
    bad.segments = "three"  # type: ignore[assignment]  # the bug it is about

    async def work() -> None:
        journal = await reopened(path)
        with pytest.raises(AssertionError, match="cannot store TEXT"):
            await accept(journal, good, bad)
        reader = await Reader.open(path)
        assert await reader.messages([good.key, bad.key]) == []
        await accept(journal, good)
        await reader.close()
        await journal.close()

    run(work)


# -- cancelled waiters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(4))
def test_a_commit_whose_waiter_is_cancelled_is_written_all_the_same(path: Path, turns: int) -> None:
    one, other = message(), message()

    async def work() -> None:
        journal = await reopened(path)
        task = asyncio.ensure_future(accept(journal, one))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await accept(journal, other)
        reader = await Reader.open(path)
        # Cancelled before it began to run, the commit was never asked for.
        assert await reader.messages([one.key, other.key]) == ([one, other] if turns else [other])
        assert journal.snapshot().commits == (2 if turns else 1)
        await reader.close()
        await journal.close()

    run(work)


def test_a_cancelled_read_leaves_no_transaction_that_pins_the_log(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        await accept(journal, *(message() for _ in range(2000)))
        reader = await Reader.open(path)
        for _ in range(5):
            task = asyncio.ensure_future(
                reader.backlog([BacklogRead(BacklogKey(("alpha",), 2), (0, 0), 2000)])
            )
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await accept(journal, message())
        assert await reader.next_due_ms() == 0
        assert (await journal.checkpoint("TRUNCATE")).is_complete
        assert journal.wal_octets == 0
        await reader.close()
        await journal.close()

    run(work)


def test_the_journal_says_who_may_open_it_when_its_folder_is_gone(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        await journal.close()
        shutil.rmtree(path.parent)
        with pytest.raises(JournalError):
            await Journal.open(path)

    run(work)
