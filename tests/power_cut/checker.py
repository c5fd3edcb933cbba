"""Opens what a power cut left and says which commit it holds. It shares no code with the engine.

An image is opened as anybody would open it: by SQLite itself, which recovers. Then its structure is checked, and the
contents of all tables must be exactly those after one of the plan's commits: so a commit is there whole or not at all.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.power_cut.images import Image
from tests.power_cut.plan import COLUMNS, VERSION, Tables
from tests.power_cut.trace import SUFFIXES

EMPTY = -1
"""The commit of an image without any table, or with those of an older version: the journal was still being made."""

_ORDER = {table: ", ".join(columns.split(", ")[:2]) for table, columns in COLUMNS.items()}
_READS = {
    table: f"SELECT {columns} FROM {table} ORDER BY {_ORDER[table]}" for table, columns in COLUMNS.items()
}
_NEWEST = "SELECT coalesce((SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'commit'), 0)"


@dataclass(frozen=True)
class Verdict:
    """What an image holds: everything up to ``commit`` and nothing of a later one, or else it has a ``fault``."""

    commit: int = EMPTY
    fault: str = ""


class Checker:
    """Looks at images in a folder of its own, one at a time."""

    def __init__(self, folder: Path, states: list[Tables]) -> None:
        self._path = folder / "image"
        self._states = states

    def look(self, image: Image, is_thorough: bool = False) -> Verdict:
        """Recover an image and compare it; ``is_thorough`` compares the indexes with their tables too."""
        self.put(image)
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as db:
                # Only the image matters; what this connection writes may be lost.
                db.execute("PRAGMA synchronous = OFF")
                for sentence in _structure(db, is_thorough):
                    return Verdict(fault=f"corrupt: {sentence}")
                return self._contents(db)
        except sqlite3.DatabaseError as error:
            return Verdict(fault=f"corrupt: {type(error).__name__}: {error}")

    def put(self, image: Image) -> None:
        """Make the folder hold the image and nothing else."""
        for suffix in (*SUFFIXES, "-shm"):
            path = Path(f"{self._path}{suffix}")
            if suffix in image:
                path.write_bytes(image[suffix])
            else:
                path.unlink(missing_ok=True)

    def _contents(self, db: sqlite3.Connection) -> Verdict:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if not tables or _is_between_versions(db, tables):
            return Verdict(EMPTY)
        if not tables >= COLUMNS.keys():
            return Verdict(fault=f"torn: there are tables, but not {sorted(COLUMNS.keys() - tables)}")
        (commit,) = db.execute(_NEWEST).fetchone()
        if not 0 <= commit < len(self._states):
            return Verdict(fault=f"torn: it says that it holds commit {commit}, which never was")
        for table, wanted in self._states[commit].items():
            if db.execute(_READS[table]).fetchall() != wanted:
                return Verdict(fault=f"torn: {table} is not as it was after commit {commit}")
        return Verdict(commit)


def _is_between_versions(db: sqlite3.Connection, tables: set[str]) -> bool:
    """An older version that a migration was about to take further: nothing was ever written to it."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return 0 < version < VERSION and not any(
        db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables & COLUMNS.keys()
    )


def _structure(db: sqlite3.Connection, is_thorough: bool) -> Iterator[str]:
    """What is wrong with the file; nothing is what is hoped for."""
    check = "integrity_check" if is_thorough else "quick_check"
    for (line,) in db.execute(f"PRAGMA {check}(1)"):
        if line != "ok":
            yield line
