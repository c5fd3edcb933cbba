"""What is done to a journal's file besides commits: looked at when it is opened, moved, pruned.

All of it runs on the writing connection's thread and is bounded: by an index that covers the question, or by
a limit.
"""

import sqlite3
from typing import Final, Literal

import msgspec

from stentor.aio import failpoints
from stentor.aio.journal import rows, webhook_rows
from stentor.errors import JournalDamaged
from stentor.journal.records import BacklogKey, JoinedParts, ParkedReceipt, Recovery
from stentor.message import Status

CheckpointKind = Literal["PASSIVE", "TRUNCATE"]

PRUNED_BLOCKS: Final = 200
PRUNED_ANSWERS: Final = 2000


class Checkpoint(msgspec.Struct, frozen=True, gc=False):
    """What a checkpoint did: pages in the log, and how many of them are in the main file now."""

    log_pages: int
    moved_pages: int

    @property
    def is_complete(self) -> bool:
        return self.log_pages == self.moved_pages


def checkpoint(db: sqlite3.Connection, kind: CheckpointKind) -> Checkpoint:
    """Move the log into the main file. That a reader is in the way is no error, only less is moved."""
    # The busy flag says little: what was moved does.
    failpoints.hit("checkpoint")
    _busy, log_pages, moved_pages = db.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
    failpoints.hit("checkpointed")
    return Checkpoint(log_pages, moved_pages)


def quick_check(db: sqlite3.Connection) -> None:
    """Look at every page. Raises JournalDamaged with what is wrong first."""
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise JournalDamaged(f"the journal is damaged; restore it from a backup (quick_check: {found})")


def recover(db: sqlite3.Connection) -> Recovery:
    """What the journal holds. Queues are counted by their index; only what is in doubt, parked, waits for
    other parts, is a driver's memory or belongs to webhooks is read."""
    *last_keys, last_seq = db.execute(
        "SELECT (SELECT max(key) FROM message), (SELECT max(key) FROM part), (SELECT max(key) FROM webhook),"
        " (SELECT max(last_seq) FROM event)"
    ).fetchone()
    queues = db.execute(
        "SELECT route, priority, strand, count(*) FROM message INDEXED BY message_backlog"
        " WHERE status = 1 GROUP BY route, priority, strand"
    )
    scheduled, next_due_ms = db.execute(
        "SELECT count(*), min(due_at_ms) FROM message INDEXED BY message_scheduled WHERE status = 0"
    ).fetchone()
    leased = db.execute(rows.select_messages("SELECT key FROM message WHERE status = 2")).fetchone()
    parked = db.execute(
        "SELECT family, match_id, status, at_ms, error, done_at_ms, charge FROM parked ORDER BY at_ms"
    )
    memory: dict[str, dict[str, bytes]] = {}
    for channel, name, value in db.execute("SELECT channel, name, value FROM driver_memory"):
        memory.setdefault(channel, {})[name] = value
    return Recovery(
        # Parts and webhooks have keys from the same source.
        last_key=max(key or 0 for key in last_keys),
        last_seq=last_seq or 0,
        backlog={
            BacklogKey(rows.parse_route(route), priority, strand): count
            for route, priority, strand, count in queues
        },
        scheduled=scheduled,
        next_due_ms=next_due_ms or 0,
        leased=rows.parse_messages(*leased),
        parked=[
            ParkedReceipt(
                family,
                match_id,
                Status(status),
                at_ms,
                rows.parse_error(error),
                done_at_ms,
                rows.parse_charge(charge),
            )
            for family, match_id, status, at_ms, error, done_at_ms, charge in parked
        ],
        settings=dict(db.execute("SELECT name, value FROM setting")),
        parts=[rows.parse_part(row) for row in db.execute(rows.SELECT_PARTS)],
        joined=[JoinedParts(*row) for row in db.execute(rows.SELECT_JOINED)],
        memory=memory,
        webhooks=webhook_rows.recover(db),
    )


def prune(db: sqlite3.Connection, events_before_ms: int, answers_before_ms: int) -> None:
    """Delete some of the events and idempotency records that are older.

    The newest event stays: the numbers of all events to come follow from it.
    """
    failpoints.hit("pruning")
    db.execute(
        "DELETE FROM event WHERE last_seq < (SELECT max(last_seq) FROM event) AND last_seq IN"
        " (SELECT last_seq FROM (SELECT last_seq, at_ms FROM event ORDER BY last_seq LIMIT ?)"
        " WHERE at_ms < ?)",
        (PRUNED_BLOCKS, events_before_ms),
    )
    db.execute(
        "DELETE FROM idempotency WHERE id IN"
        " (SELECT id FROM (SELECT id, at_ms FROM idempotency ORDER BY id LIMIT ?) WHERE at_ms < ?)",
        (PRUNED_ANSWERS, answers_before_ms),
    )
