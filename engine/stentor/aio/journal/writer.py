"""The journal: one connection that writes, and what it finds when it is opened.

Owns the file: start-up, one transaction at a time, checkpoints, upkeep. Invariants: whatever
:meth:`Journal.commit` returned for is as durable as configured; a commit is there as a whole or not at all;
no other connection writes or checkpoints. What became of a commit whose waiter was cancelled stands in the
journal, not in the exception.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar, TypeVarTuple

from stentor.aio import failpoints
from stentor.aio.journal import lookup, recovery, rows, webhook_rows
from stentor.aio.journal.disk import (
    Disk,
    Lock,
    LogGauge,
    open_writer,
    prepare_writer,
    sqlite_is_affected,
    translate,
)
from stentor.aio.journal.migrate import migrate, version
from stentor.aio.journal.recovery import Checkpoint, CheckpointKind
from stentor.dispatch.snapshot import JournalSnapshot
from stentor.errors import JournalBusy, JournalError, JournalFull, SyncFailed
from stentor.journal.records import Commit, Recovery
from stentor.message import Message
from stentor.webhooks.attempts import KEPT_MS as ATTEMPTS_KEPT_MS

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CHECKPOINT_OCTETS: Final = 4 * 1024 * 1024
"""A commit that finds so much log moves it into the main file first."""
RETRY_OCTETS: Final = 1024 * 1024
"""How much more log a checkpoint that a reader stopped waits for before it is tried again."""
IDLE_S: Final = 1.0
TRUNCATE_S: Final = 3600.0
BLOCKS_A_CALL: Final = 20
"""Blocks of messages indexed in one second, at most: more than can be accepted in it."""
EVENTS_KEPT_MS: Final = 3 * 24 * 3600 * 1000
IDEMPOTENCY_KEPT_MS: Final = 24 * 3600 * 1000


class Journal:
    """The writer. Made by :meth:`open`; readers of the same file are to be closed before it."""

    def __init__(self, path: Path, durability: str, wall_ms: int, lock: Lock, disk: Disk) -> None:
        self.path = path
        self.durability = durability
        self.recovery = Recovery()
        self._lock = lock
        self._disk = disk
        self._gauge: LogGauge | None = None
        self._wall_ms = wall_ms
        self._commits = 0
        self._rows = 0
        self._last_commit_ms = 0.0
        self._checkpoint_at_octets = CHECKPOINT_OCTETS
        self._trouble: JournalError | None = None
        self._opened_at: float | None = None
        self._truncated_at = 0.0
        self._idle_since = 0.0
        self._commits_seen = -1
        self._indexed_key = 0

    @classmethod
    async def open(
        cls, path: Path, durability: Literal["power", "process"] = "power", wall_ms: int = 0
    ) -> "Journal":
        """Open or create the journal and read what it holds, before anything is served.

        ``wall_ms`` is the time; from it the age of what may be pruned is counted. Raises JournalDamaged for a
        file that is corrupt, newer or not ours, JournalBusy if another program has it, JournalError for all
        else.
        """
        lock = Lock(path)
        try:
            is_unclean = _make_ready(path)
            disk = await open_writer(path, durability)
        except OSError as error:
            lock.release()
            raise JournalError(f"{path} cannot be opened: {error.strerror}") from error
        except BaseException:
            lock.release()
            raise
        journal = cls(path, durability, wall_ms, lock, disk)
        try:
            await disk.run(journal._prepare, is_unclean)
        except BaseException:
            await journal._release()
            raise
        return journal

    async def commit(self, commit: Commit) -> None:
        """Write all of ``commit`` in one transaction; once this returns it is as durable as configured.

        The rows are taken from it before this waits for the first time. Raises JournalFull or JournalBusy:
        nothing was kept, and the next commit may succeed. Raises SyncFailed: nothing is known, the process
        must end.
        """
        calls = rows.calls(commit) + webhook_rows.calls(commit.webhooks)
        if calls:
            await self._run(self._write, calls, commit.accepted + commit.received, commit.rows)

    async def checkpoint(self, kind: CheckpointKind = "PASSIVE") -> Checkpoint:
        """Move the log into the main file, as far as no reader needs it; TRUNCATE also empties the log's
        file."""
        return await self._run(recovery.checkpoint, kind)

    async def maintain(self, now: float) -> None:
        """Upkeep that is due at the monotonic time ``now``; to be called about once a second. Each step is
        short."""
        if self._opened_at is None:
            self._opened_at = self._truncated_at = now
        if self._commits != self._commits_seen:
            self._commits_seen, self._idle_since = self._commits, now
        if now - self._truncated_at >= TRUNCATE_S:
            self._truncated_at = now
            await self.checkpoint("TRUNCATE")
        elif now - self._idle_since >= IDLE_S and self._unmoved_octets:
            await self.checkpoint()
        for _ in range(BLOCKS_A_CALL):
            if not await self._run(self._index_block):
                break
        # The wall clock at the start and monotonic time since: a clock that jumps ahead must not age
        # anything.
        wall_ms = self._wall_ms + round((now - self._opened_at) * 1000)
        await self._run(recovery.prune, wall_ms - EVENTS_KEPT_MS, wall_ms - IDEMPOTENCY_KEPT_MS)
        await self._run(webhook_rows.prune, wall_ms - ATTEMPTS_KEPT_MS)

    async def close(self) -> None:
        """Fold the log into the main file and let go of it. Readers must be closed before."""
        try:
            await self.checkpoint("TRUNCATE")
        except (JournalFull, SyncFailed):
            pass  # what is in the log stays there, and is read at the next start
        finally:
            await self._release()

    def snapshot(self) -> JournalSnapshot:
        """How the journal is, for `status` and metrics."""
        return JournalSnapshot(
            state=_state(self._trouble),
            durability=self.durability,
            commits=self._commits,
            rows=self._rows,
            last_commit_ms=self._last_commit_ms,
            file_octets=self.path.stat().st_size,
            wal_octets=self.wal_octets,
            sqlite_version=sqlite3.sqlite_version,
            sqlite_is_affected=sqlite_is_affected(),
            detail=str(self._trouble or ""),
        )

    @property
    def wal_octets(self) -> int:
        """Length of the log in use; the cost of a system call."""
        return self._gauge.octets if self._gauge is not None else 0

    @property
    def _unmoved_octets(self) -> int:
        return self._gauge.unmoved_octets if self._gauge is not None else 0

    async def _run(self, function: Callable[[sqlite3.Connection, *Ts], T], *arguments: *Ts) -> T:
        return await self._disk.run(self._watched, function, *arguments)

    async def _release(self) -> None:
        try:
            await self._disk.close()
        finally:
            if self._gauge is not None:
                self._gauge.close()
                self._gauge = None
            self._lock.release()

    # -- on the connection's thread --------------------------------------------------------------------------

    def _watched(
        self, db: sqlite3.Connection, function: Callable[[sqlite3.Connection, *Ts], T], *arguments: *Ts
    ) -> T:
        """Remember what goes wrong; after a failed sync nothing more is done."""
        if isinstance(self._trouble, SyncFailed):
            raise self._trouble
        try:
            return function(db, *arguments)
        except sqlite3.Error as error:
            meaning = translate(error)
            if isinstance(meaning, JournalError):
                self._trouble = meaning
            raise meaning from error

    def _prepare(self, db: sqlite3.Connection, is_unclean: bool) -> None:
        # First of all whose file it is: nothing may be written to a stranger's.
        version(db)
        prepare_writer(db, self.durability)
        if is_unclean:
            recovery.quick_check(db)
        migrate(db)
        self.recovery = recovery.recover(db)
        self._indexed_key = lookup.indexed_key(db)
        failpoints.hit("recovered")
        (page_octets,) = db.execute("PRAGMA page_size").fetchone()
        self._gauge = LogGauge(self.path, page_octets)

    def _index_block(self, db: sqlite3.Connection) -> bool:
        before, self._indexed_key = self._indexed_key, lookup.index_block(db, self._indexed_key)
        return self._indexed_key != before

    def _write(self, db: sqlite3.Connection, calls: list[rows.Call], new: list[Message], count: int) -> None:
        if new and min(one.key for one in new) <= self._indexed_key:
            calls += lookup.late_calls(new, self._indexed_key)
        if self._unmoved_octets >= self._checkpoint_at_octets:
            self._move_log(db)
        started = time.perf_counter()
        try:
            _transact(db, calls)
        except UnicodeEncodeError:
            # A carrier's text may hold half a surrogate pair. It must not keep all others from being written.
            _transact(db, [(sql, [rows.storable(value) for value in values]) for sql, values in calls])
        self._trouble = None
        self._commits += 1
        self._rows += count
        self._last_commit_ms = (time.perf_counter() - started) * 1000

    def _move_log(self, db: sqlite3.Connection) -> None:
        try:
            done = recovery.checkpoint(db, "PASSIVE")
        except sqlite3.Error as error:
            if not isinstance(translate(error), JournalFull):
                raise
            # There may still be room for the commit itself; if not, it says so.
            self._checkpoint_at_octets = self._unmoved_octets + RETRY_OCTETS
            return
        left = 0 if done.is_complete else self._unmoved_octets + RETRY_OCTETS
        self._checkpoint_at_octets = max(CHECKPOINT_OCTETS, left)


def _make_ready(path: Path) -> bool:
    """Create the file if there is none. True if its last writer did not close it."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # The log of a journal that was closed in good order is gone.
    return os.path.exists(f"{path}-wal")


def _transact(db: sqlite3.Connection, calls: list[rows.Call]) -> None:
    try:
        # Also this one may be interrupted when it has begun already.
        db.execute("BEGIN IMMEDIATE")
        for sql, values in calls:
            db.execute(sql, values)
        failpoints.hit("open-transaction")
        db.execute("COMMIT")
        failpoints.hit("closed-transaction")
    finally:
        # Some errors roll back by themselves, others leave it to us.
        if db.in_transaction:
            db.execute("ROLLBACK")


def _state(trouble: JournalError | None) -> str:
    match trouble:
        case None:
            return "open"
        case JournalFull():
            return "full"
        case JournalBusy():
            return "busy"
        case _:
            return "failed"
