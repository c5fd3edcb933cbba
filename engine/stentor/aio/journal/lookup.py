"""Finds messages by destination or reference, without an index that every commit writes at random places.

A usual index on the destination costs each message a page of its own in the log: with some million messages stored,
commits take three times as long. So messages are indexed a block at a time, once it is full: its words are sorted and
appended, one write in sequence. A search asks each block and then looks at the newest messages one by one.

Invariants: blocks are ranges of keys, a block is named by its last key, and every message whose key is not beyond the
last block stands in its block, whenever it was committed.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from stentor.aio.journal.rows import Call, Value, Write
from stentor.message import Message

BLOCK_ROWS: Final = 8192
"""Messages of one block: some ten milliseconds to write; ten million messages are 1,200 blocks to ask."""

DESTINATION: Final = 1
REF: Final = 2

_BLOCK_END = "SELECT key FROM message WHERE key > :indexed ORDER BY key LIMIT 1 OFFSET :rows - 1"
_INDEX_BLOCK = f"""
    INSERT INTO lookup (block, kind, word, key)
    SELECT :end, {DESTINATION}, destination, key FROM message
        WHERE key > :indexed AND key <= :end AND destination IS NOT NULL
    UNION ALL
    SELECT :end, {REF}, ref, key FROM message WHERE key > :indexed AND key <= :end AND ref IS NOT NULL
    ORDER BY 2, 3, 4
"""
_LATE: Final = Write(
    3,
    "INSERT OR IGNORE INTO lookup (block, kind, word, key)"
    " SELECT (SELECT min(block) FROM lookup WHERE block >= column1), column2, column3, column1"
    " FROM (VALUES {values}) WHERE column1 <> 0",
)

_KEYS = """
    WITH RECURSIVE blocks (block) AS (
        SELECT max(block) FROM lookup
        UNION ALL
        SELECT (SELECT max(block) FROM lookup WHERE block < blocks.block) FROM blocks
        WHERE blocks.block IS NOT NULL AND blocks.block > :since)
    SELECT key FROM (
        SELECT key FROM message
            WHERE key > coalesce((SELECT max(block) FROM lookup), 0)
            AND key < :before AND key >= :since AND {column} = :{name}
        UNION ALL
        SELECT found.key FROM blocks CROSS JOIN lookup found
            ON found.block = blocks.block AND found.kind = {kind} AND found.word = :{name}
            AND found.key < :before AND found.key >= :since)
    ORDER BY key DESC LIMIT :page
"""

BY_DESTINATION: Final = _KEYS.format(column="destination", name="to", kind=DESTINATION)
"""A SELECT of the keys of messages to ``:to``, newest first, at most ``:page`` from ``:since`` on and ``:before``."""
BY_REF: Final = _KEYS.format(column="ref", name="ref", kind=REF)
"""The same for messages with the reference ``:ref``."""


def indexed_key(db: sqlite3.Connection) -> int:
    """The last key that stands in a block, 0 for none."""
    (found,) = db.execute("SELECT max(block) FROM lookup").fetchone()
    return found or 0


def index_block(db: sqlite3.Connection, indexed: int) -> int:
    """Index the block after ``indexed`` if it is full. The last key that is indexed then."""
    full = db.execute(_BLOCK_END, {"indexed": indexed, "rows": BLOCK_ROWS}).fetchone()
    if full is None:
        return indexed
    (end,) = full
    db.execute(_INDEX_BLOCK, {"indexed": indexed, "end": end})
    assert isinstance(end, int)
    return end


def late_calls(messages: Iterable[Message], indexed: int) -> list[Call]:
    """What puts messages into their blocks that are committed after their blocks were indexed."""
    values: list[Value] = []
    for m in messages:
        if m.key <= indexed:
            values += (m.key, DESTINATION, m.to)
            if m.ref is not None:
                values += (m.key, REF, m.ref)
    return list(_LATE.calls(values))
