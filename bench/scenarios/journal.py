"""The journal alone: commits of made-up messages through their whole life, in transactions of four sizes."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

from bench.harness import ROOT, BenchError
from bench.scenario import Figure, Result, Scenario, Size
from stentor.aio.journal.writer import Journal
from stentor.ids import IdGenerator
from stentor.journal.records import Commit
from stentor.message import Event, EventKind, Message, Segment, Status
from stentor.text.segments import Encoding

WALL_MS = 1_800_000_000_000
TEXT = "Your parcel arrives today between 14:00 and 16:00. Track it at example.com/t"
KINDS = ("accepted", "sent", "delivered")


def make_messages(count: int) -> list[Message]:
    """New messages as admission leaves them."""
    ids = IdGenerator(os.urandom)
    messages = []
    for number in range(count):
        key, tail = ids.next(WALL_MS)
        messages.append(
            Message(
                key=key,
                tail=tail,
                account="default",
                to=f"+407{number:08d}",
                originator="stentor",
                text=TEXT,
                encoding=Encoding.GSM7,
                segments=1,
                submitted_at_ms=WALL_MS,
                due_at_ms=WALL_MS,
                expires_at_ms=WALL_MS + 172_800_000,
                route=("alpha",),
            )
        )
    return messages


def blocks(messages: Sequence[Message], rows: int) -> Iterator[Sequence[Message]]:
    for start in range(0, len(messages), rows):
        yield messages[start : start + rows]


class Writer:
    """Writes the three records of each message's life, a kind at a time."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seq = 0

    async def write(self, kind: str, messages: Sequence[Message], rows: int) -> float:
        """Seconds for one record of this kind of every message, ``rows`` to a transaction."""
        if kind != "accepted":
            for message in messages:
                _advance(message, kind)
        started = time.perf_counter()
        for block in blocks(messages, rows):
            await self._journal.commit(self._commit(kind, block))
        return time.perf_counter() - started

    def _commit(self, kind: str, block: Sequence[Message]) -> Commit:
        event = {"accepted": EventKind.QUEUED, "sent": EventKind.SENT, "delivered": EventKind.DELIVERED}[kind]
        first = self._seq + 1
        self._seq += len(block)
        events = [Event(seq, event, WALL_MS, each.account, each.key) for seq, each in enumerate(block, first)]
        if kind == "accepted":
            return Commit(0, accepted=list(block), events=events)
        changed = {each.key: each for each in block}
        segments = {each.key + 1: (each, each.segment_list[0]) for each in block}
        return Commit(0, changed=changed, segments=segments, events=events)


def _advance(message: Message, kind: str) -> None:
    if kind == "sent":
        name = f"{message.key:013x}"
        message.status, message.channel, message.sent_at_ms = Status.SENT, "alpha", WALL_MS
        message.attempts = 1
        message.segment_list.append(Segment(1, Status.SENT, name, name, WALL_MS))
    else:
        message.status, message.final_at_ms = Status.DELIVERED, WALL_MS
        segment = message.segment_list[0]
        segment.status, segment.match_id, segment.final_at_ms = Status.DELIVERED, None, WALL_MS


async def _measure(counts: dict[int, int]) -> dict[int, dict[str, float]]:
    """By rows a transaction: rows a second of each kind, and messages a second of the whole life."""
    base = ROOT / "var" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    found: dict[int, dict[str, float]] = {}
    for rows, count in counts.items():
        with tempfile.TemporaryDirectory(dir=base) as folder:
            journal = await Journal.open(Path(folder) / "journal.db", wall_ms=WALL_MS)
            writer, messages = Writer(journal), make_messages(count)
            times = {kind: await writer.write(kind, messages, rows) for kind in KINDS}
            if journal.snapshot().state != "open":
                raise BenchError(f"the journal is {journal.snapshot().state}")
            await journal.close()
        found[rows] = {kind: count / time_s for kind, time_s in times.items()}
        found[rows]["life"] = count / sum(times.values())
    return found


def run(size: Size) -> Result:
    counts = size.pick(
        {1: 1500, 10: 10_000, 100: 50_000, 1000: 100_000},
        {1: 300, 10: 2000, 100: 10_000, 1000: 20_000},
        {1: 5, 100: 300},
    )
    found = uvloop.run(_measure(counts))
    figures = []
    for rows, speeds in found.items():
        each = ", ".join(f"{kind} {speeds[kind]:,.0f}" for kind in KINDS)
        name = f"messages a second, whole life, {rows} a transaction"
        figures.append(Figure(name, speeds["life"], "/s", note=f"rows/s: {each}"))
    return Result(figures, [], {str(rows): speeds for rows, speeds in found.items()})


SCENARIO = Scenario(
    name="journal",
    summary="commits alone: a message accepted, sent and delivered, in transactions of 1, 10, 100 and 1000",
    limit="fsync(2) for small transactions, SQLite's own work in its thread for large ones.",
    estimate="About 1,000 messages/s one at a time (three transactions of 0.3 to 1 ms), 8,000 at 10, 30,000 at 100, "
    "40,000 at 1000: seven rows and nine index entries a message, at 3 µs each.",
    refutation="A transaction of 1000 that is not at least twenty times faster a message than one of 1: then "
    "something is paid by the row that should be paid by the transaction.",
    run=run,
)
