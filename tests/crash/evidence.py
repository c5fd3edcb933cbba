"""What is known of a history: the records of client and carrier, and the journal as each life of the daemon left it.

Nothing of the engine is used: journals are read by plain SQL, and the numbers of statuses and events and the layout of
ids are written down here a second time, as the journal's schema and RFC 9562 have them.
"""

import json
import sqlite3
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

SCHEDULED, QUEUED, SENDING, SENT, DELIVERED, UNDELIVERED, REJECTED, FAILED, EXPIRED, CANCELLED, UNKNOWN = (
    range(11)
)
AT_LEAST_ONCE, AT_MOST_ONCE = range(2)
WORDS = (
    "scheduled", "queued", "sending", "sent", "delivered", "undelivered", "rejected", "failed", "expired", "cancelled",
    "unknown",
)  # fmt: skip
EVENT_WORDS = (
    *(f"message.{word}" for word in ("queued", *WORDS[SENT:], "received")), "channel.up", "channel.down",
    "webhook.disabled",
)  # fmt: skip
EPOCH_MS = 1_577_836_800_000

Line = dict[str, Any]


@dataclass
class Life:
    """One process of the daemon. ``how``: kill or stop. Times are monotonic nanoseconds, 0 for never; ``cost_s`` is the
    processor time it took until it was ready."""

    number: int
    failpoint: str
    started: int
    ready: int = 0
    ended: int = 0
    how: str = ""
    code: int | None = None
    cost_s: float = 0.0


@dataclass(frozen=True)
class Row:
    """A message's row. ``segments``: index → (status, carrier id, is final)."""

    key: int
    tail: int
    to: str
    status: int
    delivery: int
    count: int
    is_final: bool
    text: str
    segments: Mapping[int, tuple[int, str, bool]]


@dataclass
class Image:
    """A journal as a life left it. ``doubted``: keys of messages whose timelines tell that more than one of their
    attempts may have left."""

    integrity: str
    rows: Mapping[int, Row] = field(default_factory=dict)
    parked: frozenset[str] = frozenset()
    events: Sequence[tuple[int, str, int]] = ()
    gaps: Sequence[str] = ()
    doubted: frozenset[int] = frozenset()

    @cached_property
    def by_destination(self) -> Mapping[str, list[Row]]:
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows.values():
            found[row.to.removeprefix("+")].append(row)
        return found

    def settled(self, to: str, index: int) -> bool:
        """Whether the result of a segment's submission is durable."""
        return any(
            row.is_final or row.segments.get(index, (0,))[0] >= SENT
            for row in self.by_destination.get(to, ())
        )

    def keeps(self, carrier_id: str, place: tuple[str, int] | None) -> bool:
        """Whether the journal has the receipt of that carrier's id: applied, or waiting for its message."""
        if carrier_id in self.parked:
            return True
        to, index = place or ("", 0)
        for row in self.by_destination.get(to, ()):
            _, known, is_final = row.segments.get(index, (0, "", False))
            if known == carrier_id:
                return is_final
        return False


def look_at(path: Path) -> Image:
    """Read a journal that nobody has open; a missing or unmigrated one is an empty image."""
    if not path.exists():
        return Image("ok")
    db = sqlite3.connect(path)
    try:
        (integrity,) = db.execute("PRAGMA integrity_check").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if integrity != "ok" or not version:
            return Image(integrity)
        return Image(integrity, _rows(db), _parked(db), *_events(db), _doubted(db))
    except sqlite3.DatabaseError as error:
        return Image(str(error))
    finally:
        db.close()


def _rows(db: sqlite3.Connection) -> dict[int, Row]:
    segments: dict[int, dict[int, tuple[int, str, bool]]] = defaultdict(dict)
    for key, status, carrier_id, final in db.execute(
        "SELECT key, status, carrier_id, final_at_ms FROM segment"
    ):
        segments[key & ~255][key & 255] = status, carrier_id or "", bool(final)
    found = db.execute(
        "SELECT m.key, tail, destination, status, delivery, segments, final_at_ms, text FROM message m"
        " LEFT JOIN body b ON b.key = m.key WHERE direction = 0"
    )
    return {
        key: Row(key, tail, to, status, delivery, count, bool(final), text or "", segments.get(key, {}))
        for key, tail, to, status, delivery, count, final, text in found
    }


def _parked(db: sqlite3.Connection) -> frozenset[str]:
    return frozenset(match_id for (match_id,) in db.execute("SELECT match_id FROM parked"))


def _doubted(db: sqlite3.Connection) -> frozenset[int]:
    found = db.execute(
        "SELECT key FROM history WHERE json_extract(error, '$.code') IN ('no_answer', 'begun_anew')"
    )
    return frozenset(key for (key,) in found)


def _events(db: sqlite3.Connection) -> tuple[list[tuple[int, str, int]], list[str]]:
    """(seq, type, key) of every event, and what is wrong with their numbers."""
    events: list[tuple[int, str, int]] = []
    gaps: list[str] = []
    last = 0
    for last_seq, first_seq, block in db.execute(
        "SELECT last_seq, first_seq, block FROM event ORDER BY last_seq"
    ):
        decoded = msgspec.msgpack.decode(block)
        numbers = [event[0] for event in decoded]
        if numbers != list(range(last + 1, last_seq + 1)) or first_seq != last + 1:
            gaps.append(f"events {numbers[:1]}..{last_seq} follow event {last}")
        last = last_seq
        events += [(event[0], EVENT_WORDS[event[1] - 1], event[4]) for event in decoded]
    return events, gaps


def read_lines(path: Path) -> list[Line]:
    """A record's lines. The last may be half written: its writer was ended."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


def key_of(text: str) -> tuple[int, int]:
    """The journal's key and tail of an id: 48 bits of milliseconds, 12 of counter, 62 of chance (RFC 9562)."""
    value = uuid.UUID(text).int
    stamp = ((value >> 80) - EPOCH_MS) << 12 | value >> 64 & 0xFFF
    return stamp << 8, value & ((1 << 62) - 1)


@dataclass
class Copy:
    """A segment as the carrier saw it. ``index`` of ``count`` from its UDH; ``place`` is whose it is."""

    at: int
    life: int
    link: int
    carrier_id: str
    to: str
    index: int
    count: int
    text: str
    status: int

    @property
    def place(self) -> tuple[str, int]:
        return self.to, self.index


def _copy(line: Line, life: int) -> Copy:
    octets = bytes.fromhex(line["hex"])
    index = count = 1
    if line["esm"] & 0x40:
        header, octets = octets[1 : octets[0] + 1], octets[octets[0] + 1 :]
        assert header[0] in (0x00, 0x08), "every header here is one of concatenation"
        count, index = header[-2:]
    text = octets.decode("utf-16-be" if line["coding"] == 8 else "ascii")
    return Copy(line["t"], life, line["c"], line["m"], line["to"], index, count, text, line["status"])


@dataclass
class Records:
    """All that is known of one history. ``window``: submissions without a result there may be, over all lanes.

    ``links_may_die``: also while the daemon lives. ``has_failed_commits``: the numbers of their events are missing.
    ``start_s``: the processor time of a start with nothing to recover.
    """

    client: Sequence[Line]
    carrier: Sequence[Line]
    lives: Sequence[Life]
    images: Mapping[int, Image]
    logs: Mapping[int, Sequence[str]] = field(default_factory=dict)
    window: int = 0
    links_may_die: bool = False
    has_failed_commits: bool = False
    start_s: float = 0.0

    @property
    def journal(self) -> Image:
        """As the last life left it."""
        return self.images[self.lives[-1].number]

    @cached_property
    def tries(self) -> dict[str, Line]:
        return {line["to"].removeprefix("+"): line for line in self.client if line["e"] == "try"}

    @cached_property
    def acks(self) -> list[Line]:
        return [line for line in self.client if line["e"] == "ack"]

    @cached_property
    def cancels(self) -> dict[str, list[Line]]:
        """By id."""
        found: dict[str, list[Line]] = defaultdict(list)
        for line in self.client:
            if line["e"] == "cancel":
                found[line["id"]].append(line)
        return found

    @cached_property
    def life_of_link(self) -> dict[int, int]:
        return {line["c"]: line["life"] for line in self.carrier if line["e"] == "bind"}

    @cached_property
    def copies(self) -> list[Copy]:
        """Every submission the carrier read, in order."""
        return [_copy(line, self.life_of_link[line["c"]]) for line in self.carrier if line["e"] == "submit"]

    @cached_property
    def taken(self) -> Mapping[tuple[str, int], list[Copy]]:
        """What the carrier took, by destination and segment, in order."""
        found: dict[tuple[str, int], list[Copy]] = defaultdict(list)
        for copy in self.copies:
            if copy.status == 0:
                found[copy.place].append(copy)
        return found

    @cached_property
    def place_of_id(self) -> dict[str, tuple[str, int]]:
        return {copy.carrier_id: copy.place for copy in self.copies}

    def life(self, number: int) -> Life:
        return self.lives[number - 1]
