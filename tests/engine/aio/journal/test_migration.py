"""How a journal gets from any version to the present one: the files of each version stand in tests/data/journals.

A file of a version is made once, when the version is released, by ``python -m
tests.engine.aio.journal.test_migration``.
"""

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stentor.aio.journal.migrate import APPLICATION_ID, STEPS, migrate, version
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import Journal
from stentor.errors import JournalDamaged
from stentor.journal.records import Commit, History, Idempotency, ParkedReceipt
from stentor.message import Charge, Error, EventKind, Segment, Status
from stentor.webhooks.records import AttemptBlock, Progress, Waiting, WebhookRecords
from stentor.webhooks.subscription import Webhook
from tests.engine.aio.journal.journal_helpers import (
    WALL_MS,
    Model,
    by_key,
    by_name,
    compare,
    events,
    joined,
    key_of,
    message,
    part,
    run,
    sent,
)
from tests.support.source import ROOT

JOURNALS = ROOT / "tests/data/journals"


def commits_of_old() -> Iterator[Commit]:
    """What the file of every version was written with."""
    queued = message(1, ref="r1", metadata=b'{"a":1}')
    gone = message(2, text="Grüße €", account="other")
    leased = message(3, status=Status.SENDING, channel="alpha", attempts=1)
    binary = message(4, text=None, data=b"\0\xff", udh=b"\5\0\3\1\2\1", status=Status.SCHEDULED)
    error = Error("carrier_busy", "0x14", "queue full")
    yield Commit(
        1,
        accepted=[queued, gone, leased, binary],
        received=[message(5, status=Status.RECEIVED, final_at_ms=WALL_MS)],
        history=[History(gone.key, WALL_MS, Status.QUEUED, 1, 1, "alpha", error)],
        events=events(1, queued, gone, leased, binary),
        parked=by_name([ParkedReceipt("f", "77", Status.DELIVERED, WALL_MS, error, WALL_MS - 1)]),
        idempotency=[Idempotency("default", "k", -1, b"\0digest", WALL_MS, b"\0answer")],
        settings={"paused": "alpha"},
    )
    commit = sent(gone, match_id="abc")
    commit.events = events(5, gone, kind=EventKind.SENT)
    yield commit
    gone.segment_list = [Segment(1, Status.DELIVERED, "ABC", None, gone.sent_at_ms, WALL_MS)]
    gone.status, gone.final_at_ms = Status.DELIVERED, WALL_MS
    yield Commit(3, changed={gone.key: gone}, segments={gone.key + 1: (gone, gone.segment_list[0])})


def commits_of(number: int) -> Iterator[Commit]:
    """What the file of this version was written with: what that version knew."""
    yield from commits_of_old()
    if number >= 2:
        yield Commit(
            4, parts=by_key([part(6, 1), part(7, 3, text=None, data=b"\xd8\x3d")]), joined=by_key([joined(8)])
        )
    if number >= 4:
        yield Commit(
            5, memory={("alpha", "phone"): b"\0\xff", ("alpha", "empty"): b"", ("beta", "phone"): b"x"}
        )

    if number >= 5:
        key = key_of(9)
        waiting = Waiting(key, events(4, message(10))[0], 2, WALL_MS, WALL_MS - 5)
        yield Commit(
            6,
            accepted=[message(11, callback_url="https://example.com/told")],
            webhooks=WebhookRecords(
                {
                    key: Webhook(
                        key, 7, "default", "https://example.com", WALL_MS, fields=(("A", "b"),), secret=b"s"
                    )
                },
                {key: Progress(key, 3, failing_since_ms=WALL_MS)},
                {(key, 4): waiting},
                {(key, 1, 0): AttemptBlock(key, 1, 0, 0, 2, WALL_MS, b"\x90")},
            ),
        )
    if number >= 6:
        charged = History(key_of(2), WALL_MS, Status.SENDING, 1, 2, "alpha", None, Charge(2, 45_000, "EUR"))
        yield Commit(7, history=[charged])
    if number >= 7:
        dear = ParkedReceipt("f", "78", Status.SENT, WALL_MS, None, 0, Charge(2, 45_000, "EUR"))
        yield Commit(8, parked=by_name([dear]))


@pytest.mark.parametrize("number", range(1, len(STEPS) + 1))
def test_a_journal_of_every_version_is_opened_with_all_it_holds(tmp_path: Path, number: int) -> None:
    path = tmp_path / "journal.db"
    shutil.copyfile(JOURNALS / f"version{number}.db", path)
    model = Model()
    for commit in commits_of(number):
        model.commit(commit)

    async def work() -> None:
        journal = await Journal.open(path)
        reader = await Reader.open(path)
        await compare(model, journal, reader)
        await reader.close()
        await journal.close()

    run(work)


def schema(db: sqlite3.Connection) -> list[str]:
    return sorted(row[0] for row in db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def test_a_new_journal_and_a_migrated_one_have_the_same_schema(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    shutil.copyfile(JOURNALS / "version1.db", path)
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(":memory:")) as new:
        for db in (old, new):
            migrate(db)
            assert version(db) == len(STEPS)
        assert schema(old) == schema(new)


LATER = (
    "CREATE TABLE later (a INTEGER);\nINSERT INTO later VALUES (1);",
    "ALTER TABLE later ADD COLUMN b TEXT;",
)


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        yield db


def test_steps_are_taken_from_where_a_journal_stands(db: sqlite3.Connection) -> None:
    migrate(db)
    migrate(db, STEPS + LATER[:1])
    migrate(db, STEPS + LATER)
    migrate(db, STEPS + LATER)
    assert version(db, STEPS + LATER) == len(STEPS) + 2
    assert db.execute("SELECT a, b FROM later").fetchall() == [(1, None)]


def test_a_step_that_fails_is_undone_and_those_before_it_are_kept(db: sqlite3.Connection) -> None:
    broken = (*STEPS, LATER[0], "INSERT INTO later VALUES (2);\nINSERT INTO nowhere VALUES (1);")
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(db, broken)
        assert version(db, broken) == len(STEPS) + 1
        assert db.execute("SELECT a FROM later").fetchall() == [(1,)]


def test_a_process_killed_at_any_statement_of_a_step_finds_the_step_undone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    stopped_after: set[int] = set()
    for steps in range(0, 20_000, 37):
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            left = iter(range(steps))
            db.set_progress_handler(lambda left=left: next(left, None) is None, 1)
            with contextlib.suppress(sqlite3.OperationalError):
                migrate(db)
        with closing(sqlite3.connect(path)) as db:
            stopped_after.add(version(db))
            assert bool(schema(db)) == bool(version(db))
            migrate(db)
            assert version(db) == len(STEPS)
        if len(STEPS) in stopped_after:
            break
    assert stopped_after == set(range(len(STEPS) + 1))


def test_there_is_no_way_back(db: sqlite3.Connection) -> None:
    migrate(db, STEPS + LATER)
    with pytest.raises(JournalDamaged, match=f"version {len(STEPS) + 2}, this one knows {len(STEPS)}"):
        migrate(db)


def test_a_journal_is_marked_as_ours(db: sqlite3.Connection) -> None:
    migrate(db)
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


async def make(path: Path) -> None:
    journal = await Journal.open(path)
    for commit in commits_of(len(STEPS)):
        await journal.commit(commit)
    await journal.close()


if __name__ == "__main__":
    made = JOURNALS / f"version{len(STEPS)}.db"
    made.unlink(missing_ok=True)
    asyncio.run(make(made))
    made.with_name(made.name + "-lock").unlink()
