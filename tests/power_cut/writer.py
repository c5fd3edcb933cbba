"""The process whose disk is cut off: a real journal that is given the commits of a plan, one by one.

Run as ``python -m tests.power_cut.writer PATH SEED COMMITS SETTING CACHE``. It prints a line when it could begin and
begins at a line on its input. From then on it writes to its output only the number of each commit, when the journal
has said that it is durable; 0 says that the journal is open.

SETTING is a durability, or ``off``: then the journal believes it is durable, and SQLite syncs nothing. CACHE is the
number of pages SQLite may keep; with a few, it writes parts of a transaction before it is committed, as it does with
very large ones.
"""

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

import msgspec

from stentor.aio.journal import disk
from stentor.aio.journal.writer import Journal
from stentor.driver import Inbound, Part
from stentor.journal.records import Commit, HeldPart, History, Idempotency, JoinedParts, ParkedReceipt
from stentor.message import Delivery, Error, Event, EventKind, Message, Priority, Segment, Status
from stentor.text.segments import Encoding
from stentor.webhooks.records import AttemptBlock, Progress, Waiting, WebhookRecords
from stentor.webhooks.subscription import Webhook
from tests.power_cut.plan import (
    HOOK_KEY,
    HOOK_SLOTS,
    HOOK_URL,
    START_MS,
    MessageRow,
    PartRow,
    SegmentRow,
    Step,
    steps,
)
from tests.power_cut.trace import READY, REPORTS


def message(row: MessageRow, text: str | None = None) -> Message:
    """The engine's record of a row."""
    return Message(
        key=row.key,
        tail=row.tail,
        account="main",
        to=row.destination,
        originator="stentor",
        text=text,
        encoding=Encoding.UCS2,
        segments=row.segments,
        submitted_at_ms=START_MS,
        due_at_ms=row.due_at_ms,
        expires_at_ms=START_MS + 3_600_000,
        route=row.route,
        priority=Priority(row.priority),
        status=Status(row.status),
        channel=row.channel,
        delivery=Delivery(row.delivery),
        sent_at_ms=row.sent_at_ms,
        final_at_ms=row.final_at_ms,
        attempts=row.attempts,
        error=None if row.error is None else msgspec.json.decode(row.error, type=Error),
        ref=row.ref,
    )


def segment(row: SegmentRow) -> Segment:
    return Segment(
        index=row.key & 255,
        status=Status(row.status),
        carrier_id=row.carrier_id,
        match_id=row.match_id,
        sent_at_ms=row.sent_at_ms,
        final_at_ms=row.final_at_ms,
        channel=row.channel,
    )


def part(row: PartRow) -> HeldPart:
    item = Inbound(row.originator, "1234", row.text, part=Part(row.reference, 9, row.number))
    return HeldPart(row.key, "smpp", "alpha", START_MS, item)


def commit(step: Step, known: dict[int, Message]) -> Commit:
    """The engine's record of a commit."""
    accepted = [message(row, step.texts[row.key]) for row in step.accepted]
    changed = {row.key: message(row) for row in step.changed}
    known |= {one.key: one for one in accepted} | changed
    return Commit(
        number=step.number,
        accepted=accepted,
        changed=changed,
        segments={row.key: (known[row.key & ~255], segment(row)) for row in step.segments},
        history=[
            History(row.key, row.at_ms, Status(row.status), 0, row.attempt, row.channel)
            for row in step.history
        ],
        events=[Event(row.seq, EventKind(row.kind), *row[2:]) for row in step.events],
        parked={
            (row.family, row.match_id): ParkedReceipt(row.family, row.match_id, Status(row.status), row.at_ms)
            for row in step.parked
        }
        | dict.fromkeys(step.forgotten),
        idempotency=[
            Idempotency("main", row.key, row.line, row.digest, START_MS, row.answer)
            for row in step.idempotency
        ],
        settings={"commit": str(step.number)},
        received=[message(row, step.texts[row.key]) for row in step.received],
        parts={row.key: part(row) for row in step.parts},
        joined={
            row.key: JoinedParts(
                row.key, "smpp", row.originator, "1234", row.reference, 9, START_MS, row.digests
            )
            for row in step.joined
        },
        dropped=step.dropped,
        memory={(row.channel, row.name): row.value for row in step.memory},
        webhooks=webhooks(step),
    )


def webhooks(step: Step) -> WebhookRecords:
    hook, key = step.hook, HOOK_KEY
    rows: dict[tuple[int, int], Waiting | None] = {
        (key, seq): Waiting(key, Event(seq, EventKind.SENT, START_MS, "main", 512), 1, START_MS, START_MS)
        for seq in hook.waiting
    }
    slot = step.number % HOOK_SLOTS
    return WebhookRecords(
        webhooks={key: Webhook(key, 1, "main", HOOK_URL, START_MS)},
        progress={key: Progress(key, hook.seq)},
        waiting=rows | {(key, seq): None for seq in hook.over},
        attempts={(key, 0, slot): AttemptBlock(key, 0, slot, step.number, step.number, START_MS, hook.block)},
    )


async def write(path: Path, seed: int, commits: int, durability: str) -> None:
    """Give a journal all commits of the plan, and leave it open as a crash would."""
    journal = await Journal.open(path, durability, START_MS)
    report(0)
    known: dict[int, Message] = {}
    reader: sqlite3.Connection | None = None
    for step in steps(seed, commits):
        await journal.commit(commit(step, known))
        report(step.number)
        match step.upkeep:
            case "passive":
                await journal.checkpoint("PASSIVE")
            case "truncate":
                await journal.checkpoint("TRUNCATE")
            case "maintain":
                await journal.maintain(float(step.number))
            case "pin":
                reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM message").fetchone()
            case "unpin" if reader is not None:
                reader.close()
            case "reopen":
                await journal.close()
                journal = await Journal.open(path, durability, START_MS)


def report(number: int) -> None:
    os.write(REPORTS, b"%d\n" % number)


def main(path: str, seed: str, commits: str, setting: str, cache_pages: str) -> None:
    disk._WRITER_PRAGMAS["cache_size"] = int(cache_pages)
    if setting == "off":
        disk._SYNCHRONOUS["power"] = 0
    os.write(REPORTS, READY)
    sys.stdin.buffer.readline()
    asyncio.run(write(Path(path), int(seed), int(commits), "process" if setting == "process" else "power"))
    # As a crash does: what is open is not closed, and nothing is tidied up.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
