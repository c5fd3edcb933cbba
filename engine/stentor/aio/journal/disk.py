"""A connection to the journal's file, on a thread of its own, and what SQLite's errors mean to us.

Owns how a file is opened: the pragmas, read back one by one, and the lock that keeps a second daemon out.
Everything that touches the file runs as one function on the connection's thread: a transaction is one hop,
and nothing that happens to the task that waits for it can leave a transaction open.
"""

import fcntl
import logging
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple, cast

import aiosqlite

from stentor.errors import JournalBusy, JournalDamaged, JournalError, JournalFull, SyncFailed

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

OLDEST_SQLITE: Final = (3, 37, 0)
"""The first with STRICT tables."""

CACHED_STATEMENTS: Final = 256

_WRITER_PRAGMAS: Final[dict[str, int | str]] = {
    "journal_mode": "wal",
    "foreign_keys": 1,
    "secure_delete": 1,
    "busy_timeout": 0,  # nobody else may write: busy is a stranger, and must be loud
    "temp_store": 2,
    "wal_autocheckpoint": 0,
    "journal_size_limit": 64 * 1024 * 1024,
    "mmap_size": 0,
    "cache_size": -32 * 1024,
}
_READER_PRAGMAS: Final[dict[str, int | str]] = {
    "query_only": 1,
    "busy_timeout": 250,
    "temp_store": 2,
    "wal_autocheckpoint": 0,
    "mmap_size": 0,
    "cache_size": -8 * 1024,
}
_SYNCHRONOUS: Final = {"power": 2, "process": 1}

# aiosqlite logs every call with its arguments at debug level: texts and numbers.
logging.getLogger("aiosqlite").setLevel(logging.WARNING)


class Disk(aiosqlite.Connection):
    """One SQLite connection and its thread."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], chunk_rows: int) -> None:
        super().__init__(connect, chunk_rows)
        # A process that fails must end, not wait for a connection that nobody closes any more: what its thread was
        # doing is undone as by any crash.
        self._thread.daemon = True

    async def run(self, function: Callable[[sqlite3.Connection, *Ts], T], *arguments: *Ts) -> T:
        """Run ``function(connection, *arguments)`` on the thread, after all that was asked before.

        It runs to its end whatever becomes of the caller. Raises what it raises, SQLite's errors as ours.
        """
        # aiosqlite offers one call a hop; _execute is the hop itself, which a transaction needs to be one.
        hop = self._execute(_translating, function, self._conn, *arguments)  # type: ignore[no-untyped-call]
        return cast(T, await hop)


async def open_writer(path: Path, durability: str) -> Disk:
    """Open, or create, the file for writing. The pragmas wait for :func:`prepare_writer`.

    Raises JournalError and its kin.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise JournalError(f"SQLite {wanted} or later is needed, this is {sqlite3.sqlite_version}")
    assert durability in _SYNCHRONOUS, durability
    return await _open(path, "rw")


async def open_reader(path: Path) -> Disk:
    """Open the file for reading alone: neither a statement nor a checkpoint of this connection can change
    it."""
    disk = await _open(path, "ro")
    try:
        await disk.run(_set_pragmas, _READER_PRAGMAS)
    except BaseException:
        await disk.close()
        raise
    return disk


async def _open(path: Path, mode: str) -> Disk:
    refused: list[sqlite3.Error] = []

    def connect() -> sqlite3.Connection:
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        try:
            return sqlite3.connect(
                uri, uri=True, isolation_level=None, timeout=0, cached_statements=CACHED_STATEMENTS
            )
        except sqlite3.Error as error:
            # aiosqlite leaves the thread of a failed connection to itself; only a connection can be closed.
            refused.append(error)
            return sqlite3.connect(":memory:")

    disk = Disk(connect, 64)
    await disk
    if refused:
        await disk.close()
        raise translate(refused[0]) from refused[0]
    return disk


def prepare_writer(db: sqlite3.Connection, durability: str) -> None:
    """Set the pragmas of the writing connection. Raises JournalError for one that did not take."""
    _set_pragmas(db, _WRITER_PRAGMAS | {"synchronous": _SYNCHRONOUS[durability]})


def _set_pragmas(db: sqlite3.Connection, pragmas: dict[str, int | str]) -> None:
    for name, wanted in pragmas.items():
        db.execute(f"PRAGMA {name} = {wanted}").fetchall()
        row = db.execute(f"PRAGMA {name}").fetchone()
        # SQLite answers nothing at all about memory mapping where it was built without.
        if row is not None and row[0] != wanted:
            raise JournalError(f"SQLite did not take PRAGMA {name} = {wanted}: it is {row[0]}")


class Lock:
    """Keeps a second daemon out, for as long as this one lives. A file beside the journal, held by
    flock(2)."""

    def __init__(self, path: Path) -> None:
        """Raises JournalBusy if another process holds it, JournalError if the folder cannot be written to."""
        name = f"{path}-lock"
        try:
            self._fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"{name} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise JournalBusy(f"another stentor has {path} open; stop it first") from error

    def release(self) -> None:
        os.close(self._fd)


class LogGauge:
    """Reads how long the log is out of the index SQLite keeps in shared memory (its file format, section 2).

    The file is opened once and closed after the last connection: closing any descriptor of it would drop the
    locks that SQLite holds through its own.
    """

    _FRAME_HEADER_OCTETS = 24
    _MAX_FRAME_AT = 16
    _BACKFILLED_AT = 96

    def __init__(self, path: Path, page_octets: int) -> None:
        self._fd = os.open(f"{path}-shm", os.O_RDONLY | os.O_CLOEXEC)
        self._frame_octets = page_octets + self._FRAME_HEADER_OCTETS

    @property
    def octets(self) -> int:
        """Length of the log as it is in use; the file may be longer."""
        return self._number(self._MAX_FRAME_AT) * self._frame_octets

    @property
    def unmoved_octets(self) -> int:
        """The part of it that no checkpoint has moved into the main file yet."""
        unmoved = self._number(self._MAX_FRAME_AT) - self._number(self._BACKFILLED_AT)
        return max(0, unmoved) * self._frame_octets

    def _number(self, offset: int) -> int:
        return int.from_bytes(os.pread(self._fd, 4, offset), sys.byteorder)

    def close(self) -> None:
        os.close(self._fd)


def sqlite_is_affected(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> bool:
    """Whether two connections that write and checkpoint at the same instant can lose a transaction
    (3.51.3)."""
    if version >= (3, 51, 3):
        return False
    return not ((3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0))


def _translating(
    function: Callable[[sqlite3.Connection, *Ts], T], db: sqlite3.Connection, *arguments: *Ts
) -> T:
    try:
        return function(db, *arguments)
    except sqlite3.Error as error:
        raise translate(error) from error


_MEANINGS: Final[dict[str, tuple[type[JournalError], str]]] = {
    "SQLITE_FULL": (JournalFull, "the disk is full; work resumes when there is room"),
    "SQLITE_IOERR_WRITE": (JournalFull, "the disk or a quota is full, or the disk fails"),
    "SQLITE_IOERR_SHMSIZE": (JournalFull, "the disk is full; work resumes when there is room"),
    "SQLITE_IOERR_TRUNCATE": (JournalFull, "the disk fails"),
    "SQLITE_IOERR_FSYNC": (SyncFailed, "the disk could not make writes durable; recover by a new start"),
    "SQLITE_IOERR_DIR_FSYNC": (SyncFailed, "the disk could not make writes durable; recover by a new start"),
    "SQLITE_BUSY": (JournalBusy, "another program holds the journal's lock; let go of it, or stop it"),
    "SQLITE_LOCKED": (JournalBusy, "another program holds the journal's lock; let go of it, or stop it"),
    "SQLITE_CORRUPT": (JournalDamaged, "the journal is damaged; restore it from a backup"),
    "SQLITE_NOTADB": (JournalDamaged, "the file is not a journal; name another, or move it away"),
    "SQLITE_CANTOPEN": (JournalError, "the journal cannot be opened; its folder must exist and be writable"),
    "SQLITE_READONLY": (JournalError, "the journal may not be written; give its owner the right to"),
    "SQLITE_PERM": (JournalError, "the journal may not be opened; give its owner the right to"),
    "SQLITE_IOERR": (JournalDamaged, "it cannot be read; look at the disk, then restore from a backup"),
}


def translate(error: sqlite3.Error) -> Exception:
    """What SQLite reports, as what it means to us. What only a bug of ours can cause is an AssertionError."""
    name = getattr(error, "sqlite_errorname", None) or ""
    while name:
        if name in _MEANINGS:
            kind, meaning = _MEANINGS[name]
            return kind(f"{meaning} ({error.sqlite_errorname}: {error})")
        # Extended codes refine the one before their last part.
        name = name.rpartition("_")[0]
    if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
        return JournalError("interrupted")
    return AssertionError(f"{type(error).__name__}: {error}")
