"""How webhooks stand in rows, like ``rows`` for all else: the statements that write them, and the way back."""

import sqlite3
from collections.abc import Iterable
from itertools import chain
from typing import Any, Final

import msgspec

from stentor.aio.journal.rows import Call, Value, Write, insert
from stentor.message import Event
from stentor.webhooks.attempts import RINGS
from stentor.webhooks.records import AttemptBlock, Progress, Waiting, WebhookRecords, WebhookRecovery
from stentor.webhooks.subscription import Webhook

PRUNED_BLOCKS: Final = 100

_WEBHOOK_COLUMNS: Final = (
    "key tail account url created_at_ms events channels fields secret previous_secret previous_until_ms is_enabled"
    " reason is_callback"
)
_PROGRESS_COLUMNS: Final = (
    "webhook seq failing_since_ms delivered_at_ms replay_seq replay_end_seq replay_since_ms replay_until_ms"
)
WEBHOOK: Final = insert("webhook", _WEBHOOK_COLUMNS)
PROGRESS: Final = insert("webhook_progress", _PROGRESS_COLUMNS)
WAITING: Final = insert("webhook_waiting", "webhook seq event attempts due_at_ms since_ms")
OVER: Final = Write(
    2, "DELETE FROM webhook_waiting WHERE (webhook, seq) IN (SELECT column1, column2 FROM (VALUES {values}))"
)
ATTEMPTS: Final = insert("webhook_attempt", "webhook ring slot number last_attempt at_ms block")
REMOVED: Final = tuple(
    Write(1, f"DELETE FROM {table} WHERE {column} IN (SELECT column1 FROM (VALUES {{values}}))")
    for table, column in (
        ("webhook", "key"),
        ("webhook_progress", "webhook"),
        ("webhook_waiting", "webhook"),
        ("webhook_attempt", "webhook"),
    )
)
SELECT_BLOCKS: Final = (
    "SELECT last_attempt, block FROM webhook_attempt WHERE webhook = :webhook ORDER BY last_attempt DESC"
)

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_event: Final = msgspec.msgpack.Decoder(Event).decode
_decode_words: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_fields: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


def calls(records: WebhookRecords) -> list[Call]:
    """The statements that write the webhooks' part of a commit."""
    if not records.rows:
        return []
    kept = [webhook for webhook in records.webhooks.values() if webhook is not None]
    removed = [key for key, webhook in records.webhooks.items() if webhook is None]
    waiting = [row for row in records.waiting.values() if row is not None]
    over = [name for name, row in records.waiting.items() if row is None]
    written = [
        WEBHOOK.calls(_webhooks(kept)),
        PROGRESS.calls(_progress(records.progress.values())),
        WAITING.calls(_waiting(waiting)),
        OVER.calls(list(chain.from_iterable(over))),
        ATTEMPTS.calls(_attempts(records.attempts.values())),
    ]
    # Last: what is gone leaves nothing behind, whatever else was recorded of it.
    written += (write.calls([*removed]) for write in REMOVED)
    return list(chain.from_iterable(written))


def _webhooks(webhooks: Iterable[Webhook]) -> list[Value]:
    values: list[Value] = []
    for w in webhooks:
        lists = (msgspec.json.encode(each).decode() for each in (w.events, w.channels, w.fields))
        values += (w.key, w.tail, w.account, w.url, w.created_at_ms, *lists)
        values += (w.secret, w.previous_secret, w.previous_until_ms, +w.is_enabled, w.reason, +w.is_callback)
    return values


def _progress(progress: Iterable[Progress]) -> list[Value]:
    return list(chain.from_iterable(msgspec.structs.astuple(each) for each in progress))


def _waiting(waiting: Iterable[Waiting]) -> list[Value]:
    values: list[Value] = []
    for row in waiting:
        values += (
            row.webhook,
            row.event.seq,
            _encode(row.event),
            row.attempts,
            row.due_at_ms,
            row.since_ms,
        )
    return values


def _attempts(blocks: Iterable[AttemptBlock]) -> list[Value]:
    return list(chain.from_iterable(msgspec.structs.astuple(each) for each in blocks))


def recover(db: sqlite3.Connection) -> list[WebhookRecovery]:
    """All webhooks with all that waits, and where their logs end."""
    progress = {row[0]: Progress(*row) for row in db.execute(_select(_PROGRESS_COLUMNS, "webhook_progress"))}
    waiting: dict[int, list[Waiting]] = {}
    for webhook, event, attempts, due_at_ms, since_ms in db.execute(
        "SELECT webhook, event, attempts, due_at_ms, since_ms FROM webhook_waiting ORDER BY webhook, seq"
    ):
        row = Waiting(webhook, _decode_event(event), attempts, due_at_ms, since_ms)
        waiting.setdefault(webhook, []).append(row)
    blocks: dict[int, list[int]] = {}
    last: dict[int, int] = {}
    for webhook, ring, number, attempt in db.execute(
        "SELECT webhook, ring, max(number), max(last_attempt) FROM webhook_attempt GROUP BY webhook, ring"
    ):
        blocks.setdefault(webhook, [-1] * RINGS)[ring] = number
        last[webhook] = max(attempt, last.get(webhook, 0))
    return [
        WebhookRecovery(
            webhook,
            progress.get(webhook.key, Progress(webhook.key, 0)),
            tuple(waiting.get(webhook.key, ())),
            tuple(blocks.get(webhook.key, ())),
            last.get(webhook.key, 0),
        )
        for webhook in map(_webhook, db.execute(_select(_WEBHOOK_COLUMNS, "webhook") + " ORDER BY key"))
    ]


def _webhook(row: tuple[Any, ...]) -> Webhook:
    key, tail, account, url, created_at_ms, events, channels, fields, *rest = row
    secret, previous_secret, previous_until_ms, is_enabled, reason, is_callback = rest
    return Webhook(
        key,
        tail,
        account,
        url,
        created_at_ms,
        _decode_words(events),
        _decode_words(channels),
        _decode_fields(fields),
        secret,
        previous_secret,
        previous_until_ms,
        bool(is_enabled),
        reason,
        bool(is_callback),
    )


def _select(columns: str, table: str) -> str:
    return f"SELECT {', '.join(columns.split())} FROM {table}"


def prune(db: sqlite3.Connection, attempts_before_ms: int) -> None:
    """Delete some of the attempts that are older."""
    db.execute(
        "DELETE FROM webhook_attempt WHERE rowid IN"
        " (SELECT rowid FROM webhook_attempt WHERE at_ms < ? ORDER BY at_ms LIMIT ?)",
        (attempts_before_ms, PRUNED_BLOCKS),
    )
