"""How a journal gets from any version to the present one. Forward only; each step is one transaction.

The version stands in ``user_version``, the mark of a journal in ``application_id``. A file without tables is
version 0.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final

from stentor.aio import failpoints
from stentor.errors import JournalDamaged

APPLICATION_ID: Final = 0x53544E54  # "STNT"

_PARTS: Final = """
-- Parts of inbound messages that wait for the others; bounded, and read as a whole at the start.
CREATE TABLE part (
    key         INTEGER PRIMARY KEY,
    family      TEXT    NOT NULL,
    channel     TEXT    NOT NULL,
    originator  TEXT    NOT NULL,
    destination TEXT    NOT NULL,
    reference   INTEGER NOT NULL,
    total       INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    encoding    TEXT    NOT NULL,
    text        TEXT,
    data        BLOB
) STRICT;

-- Messages joined of parts not long ago, so that a part that is repeated is known.
CREATE TABLE joined (
    key         INTEGER PRIMARY KEY,   -- the message's
    family      TEXT    NOT NULL,
    originator  TEXT    NOT NULL,
    destination TEXT    NOT NULL,
    reference   INTEGER NOT NULL,
    total       INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    digests     BLOB    NOT NULL
) STRICT;
"""


def _script(name: str) -> str:
    return files("stentor.aio.journal").joinpath(name).read_text("utf-8")


STEPS: Final = (
    _script("schema.sql"),
    _PARTS,
    _script("schema_control.sql"),
    _script("schema_memory.sql"),
    _script("schema_webhooks.sql"),
    _script("schema_charges.sql"),
    _script("schema_parked.sql"),
)
"""Step i takes a journal from version i to i + 1. Steps are only ever appended."""


def version(db: sqlite3.Connection, steps: Sequence[str] = STEPS) -> int:
    """The version of an open file. Raises JournalDamaged for another program's file, or one of a newer
    stentor."""
    (found,) = db.execute("PRAGMA user_version").fetchone()
    (mark,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if mark != APPLICATION_ID and (mark or found or tables):
        raise JournalDamaged("the file is another program's database; name another, or move it away")
    if found > len(steps):
        raise JournalDamaged(
            f"the journal was written by a newer stentor (version {found}, this one knows {len(steps)});"
            " install that one, or restore a backup of before"
        )
    assert isinstance(found, int)
    return found


def migrate(db: sqlite3.Connection, steps: Sequence[str] = STEPS) -> None:
    """Take the journal to the present version. What was done stays done if a later step fails."""
    for number in range(version(db, steps), len(steps)):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(steps[number]):
                db.execute(statement)
                failpoints.hit("migration-step")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {number + 1}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _statements(script: str) -> Iterator[str]:
    # executescript would commit what is open before it begins.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
