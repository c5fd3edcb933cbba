"""What a journal is given, commit by commit, and what it must hold after each: plain rows, made from a seed.

Knows nothing of the engine: the writer makes the engine's records of these rows, the checker compares tables with
them. A commit is a map of tables to rows; what a table holds is the last row of each key.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, NamedTuple

import msgspec

SCHEDULED, QUEUED, SENDING, SENT, DELIVERED, UNDELIVERED, FAILED, RECEIVED = 0, 1, 2, 3, 4, 5, 7, 11
VERSION = 7
"""Of the journal; a migration that was cut short leaves an earlier one, and nothing in it."""
START_MS = 1_790_000_000_000
FIRST_STAMP = 860_000_000_000_000
ROUTES = (("alpha",), ("beta", "alpha"))
TEXTS = ("Your code is 4711", "Привет, мир", "今日は晴れです", "Grüße aus Köln! ")

HOOK_KEY = 256
HOOK_URL = "https://example.com/hook"
HOOK_SLOTS = 7

Upkeep = Literal["none", "passive", "truncate", "maintain", "pin", "unpin", "reopen"]


@dataclass(frozen=True)
class MessageRow:
    """A row of ``message``, without the columns that never differ here."""

    key: int
    tail: int
    status: int
    priority: int
    route: tuple[str, ...]
    channel: str
    segments: int
    delivery: int
    due_at_ms: int
    sent_at_ms: int
    final_at_ms: int
    attempts: int
    error: str | None
    ref: str | None
    destination: str


class SegmentRow(NamedTuple):
    key: int
    status: int
    channel: str
    carrier_id: str | None
    match_id: str | None
    sent_at_ms: int
    final_at_ms: int


class HistoryRow(NamedTuple):
    key: int
    at_ms: int
    attempt: int
    status: int
    channel: str


class ParkedRow(NamedTuple):
    family: str
    match_id: str
    status: int
    at_ms: int


class IdempotencyRow(NamedTuple):
    key: str
    line: int
    digest: bytes
    answer: bytes


class PartRow(NamedTuple):
    key: int
    originator: str
    reference: int
    number: int
    text: str


class JoinedRow(NamedTuple):
    key: int
    originator: str
    reference: int
    digests: bytes


class MemoryRow(NamedTuple):
    channel: str
    name: str
    value: bytes | None


class HookStep(NamedTuple):
    """What a commit has of the plan's one webhook: it comes with the first; ``seq`` is how far it is, ``waiting`` and
    ``over`` are events that wait from now on and no longer, ``block`` fills the next slot of its log."""

    seq: int
    waiting: list[int]
    over: list[int]
    block: bytes


class EventRow(NamedTuple):
    seq: int
    kind: int
    at_ms: int
    account: str
    key: int
    channel: str
    detail: str


@dataclass
class Step:
    """One commit, and what is done to the journal after it."""

    number: int
    accepted: list[MessageRow]
    texts: dict[int, str]
    changed: list[MessageRow]
    segments: list[SegmentRow]
    history: list[HistoryRow]
    parked: list[ParkedRow]
    forgotten: list[tuple[str, str]]
    idempotency: list[IdempotencyRow]
    events: list[EventRow]
    received: list[MessageRow]
    parts: list[PartRow]
    joined: list[JoinedRow]
    dropped: list[int]
    memory: list[MemoryRow]
    hook: HookStep
    upkeep: Upkeep = "none"


Tables = dict[str, list[tuple]]
"""What stands in each table, in the order of its key."""

COLUMNS = {
    "message": "key, tail, status, priority, route, channel, segments, delivery, due_at_ms, sent_at_ms, final_at_ms,"
    " attempts, error, ref, destination",
    "body": "key, text",
    "segment": "key, status, channel, carrier_id, match_id, sent_at_ms, final_at_ms",
    "history": "key, at_ms, attempt, status, channel",
    "parked": "family, match_id, status, at_ms",
    "idempotency": "key, line, digest, answer",
    "event": "last_seq, first_seq, at_ms, block",
    "setting": "name, value",
    "part": "key, originator, reference, number, text",
    "joined": "key, originator, reference, digests",
    "driver_memory": "channel, name, value",
    "webhook": "key, url",
    "webhook_progress": "webhook, seq",
    "webhook_waiting": "webhook, seq, attempts",
    "webhook_attempt": "slot, number, block",
}


def steps(seed: int, commits: int) -> Iterator[Step]:
    """The commits of a seed, numbered from 1."""
    random = Random(f"power cut {seed}")
    inbound = Random(f"inbound {seed}")
    random_memory = Random(f"memory {seed}")
    hooks = _hooks(Random(f"webhooks {seed}"))
    upkeeps = _upkeeps(random)
    open_messages: dict[int, MessageRow] = {}
    parked: list[ParkedRow] = []
    held: list[PartRow] = []
    seq = 0
    for number in range(1, commits + 1):
        at_ms = START_MS + 10 * number
        hook = next(hooks)
        step = Step(
            number, [], {}, [], [], [], [], [], [], [], [], [], [], [], _memory(random_memory), hook, next(upkeeps)
        )  # fmt: skip
        for line in range(random.choice((1, 1, 2, 5))):
            message = _message(random, number, line, at_ms)
            step.accepted.append(message)
            step.texts[message.key] = random.choice(TEXTS) * random.choice((1, 1, 1, 8, 200))
            step.idempotency.append(IdempotencyRow(f"request-{number}", line, random.randbytes(8), b"{}"))
        for key in random.sample(list(open_messages), min(len(open_messages), random.randint(0, 5))):
            message = _advance(random, step, open_messages.pop(key), at_ms)
            step.changed.append(message)
            if not message.final_at_ms:
                open_messages[key] = message
        open_messages |= {message.key: message for message in step.accepted}
        if parked and random.random() < 0.5:
            gone = parked.pop(0)
            step.forgotten.append((gone.family, gone.match_id))
        if random.random() < 0.4:
            step.parked.append(ParkedRow("smpp", f"parked-{number}", DELIVERED, at_ms))
            parked += step.parked
        held = _receive(inbound, step, held, at_ms)
        for message in [*step.accepted, *step.changed]:
            seq += 1
            step.events.append(EventRow(seq, 1, at_ms, "main", message.key, message.channel, ""))
        yield step


def states(seed: int, commits: int) -> list[Tables]:
    """What must stand in the tables after each commit; the first is an empty journal's."""
    held: dict[str, dict[object, tuple]] = {table: {} for table in COLUMNS}
    found = [_sorted(held)]
    for step in steps(seed, commits):
        for message in [*step.accepted, *step.received, *step.changed]:
            row = list(vars(message).values())
            row[4] = json.dumps(message.route, separators=(",", ":"))
            held["message"][message.key] = tuple(row)
        held["body"] |= {key: (key, text) for key, text in step.texts.items()}
        held["segment"] |= {segment.key: tuple(segment) for segment in step.segments}
        held["history"] |= {row[:2]: tuple(row) for row in step.history}
        held["parked"] |= {row[:2]: tuple(row) for row in step.parked}
        for name in step.forgotten:
            del held["parked"][name]
        held["part"] |= {row.key: tuple(row) for row in step.parts}
        held["joined"] |= {row.key: tuple(row) for row in step.joined}
        for key in step.dropped:
            held["part"].pop(key, None)
            held["joined"].pop(key, None)
        for row in step.memory:
            held["driver_memory"].pop(row[:2], None)
            if row.value is not None:
                held["driver_memory"][row[:2]] = tuple(row)
        _hold_hook(held, step)
        held["idempotency"] |= {row[:2]: tuple(row) for row in step.idempotency}
        block = msgspec.msgpack.encode([list(event) for event in step.events])
        first, last = step.events[0], step.events[-1]
        held["event"][last.seq] = (last.seq, first.seq, last.at_ms, block)
        held["setting"]["commit"] = ("commit", str(step.number))
        found.append(_sorted(held))
    return found


def _hold_hook(held: dict[str, dict[object, tuple]], step: Step) -> None:
    hook = step.hook
    held["webhook"][HOOK_KEY] = (HOOK_KEY, HOOK_URL)
    held["webhook_progress"][HOOK_KEY] = (HOOK_KEY, hook.seq)
    held["webhook_waiting"] |= {seq: (HOOK_KEY, seq, 1) for seq in hook.waiting}
    for seq in hook.over:
        held["webhook_waiting"].pop(seq, None)
    slot = step.number % HOOK_SLOTS
    held["webhook_attempt"][slot] = (slot, step.number, hook.block)


def _sorted(held: dict[str, dict[object, tuple]]) -> Tables:
    return {table: sorted(rows.values(), key=lambda row: row[:2]) for table, rows in held.items()}


def _upkeeps(random: Random) -> Iterator[Upkeep]:
    """Checkpoints of all kinds, also with a reader in the way of one, and now and then a new start."""
    rounds = ["passive", "truncate", "pinned", "maintain", "passive", "reopen"]
    while True:
        random.shuffle(rounds)
        for round_ in rounds:
            yield from ["none"] * random.randint(0, 2)
            if round_ == "pinned":
                yield from ("pin", "none", "passive", "unpin", "passive")
            else:
                yield round_


def _message(random: Random, number: int, line: int, at_ms: int) -> MessageRow:
    return MessageRow(
        key=(FIRST_STAMP + number * 64 + line) << 8,
        tail=random.getrandbits(62),
        status=random.choice((SCHEDULED, QUEUED, QUEUED, QUEUED)),
        priority=random.randint(0, 3),
        route=random.choice(ROUTES),
        channel="",
        segments=random.randint(1, 2),
        delivery=random.getrandbits(1),
        due_at_ms=at_ms,
        sent_at_ms=0,
        final_at_ms=0,
        attempts=0,
        error=None,
        ref=random.choice((None, f"order-{number}-{line}")),
        destination=f"+4915{random.randint(10**8, 10**9 - 1)}",
    )


def _receive(random: Random, step: Step, held: list[PartRow], at_ms: int) -> list[PartRow]:
    """A part of a long message comes, and now and then the last, which makes them a message; those that still wait."""
    number = len(held) + 1
    if number <= 2 or random.random() < 0.5:
        key = (FIRST_STAMP + step.number * 64 + 32) << 8
        held = [*held, PartRow(key, "+4915112345678", step.number, number, random.choice(TEXTS))]
        step.parts.append(held[-1])
        return held
    message = _message(random, step.number, 33, at_ms)
    step.received.append(replace(message, status=RECEIVED, segments=number, final_at_ms=at_ms))
    step.texts[message.key] = "".join(part.text for part in held)
    step.joined.append(
        JoinedRow(message.key, held[0].originator, held[0].reference, random.randbytes(8 * number))
    )
    step.dropped += [part.key for part in held]
    return []


def _memory(random: Random) -> list[MemoryRow]:
    """What a driver keeps anew or forgets, now and then; a large value spills over many pages."""
    if random.random() < 0.6:
        return []
    value = random.choice((None, b"", b"token", random.randbytes(9_000)))
    return [MemoryRow("alpha", f"phone-{random.randint(1, 3)}", value)]


def _hooks(random: Random) -> Iterator[HookStep]:
    """A webhook that fails now and then, and whose log goes round."""
    seq = 0
    waiting: list[int] = []
    while True:
        seq += random.randint(0, 3)
        new = [seq] if seq not in waiting and random.random() < 0.4 else []
        over = [waiting.pop(0)] if waiting and random.random() < 0.4 else []
        waiting += new
        yield HookStep(seq, new, over, random.randbytes(random.choice((10, 100, 9_000))))


def _advance(random: Random, step: Step, message: MessageRow, at_ms: int) -> MessageRow:
    """The next thing that happens to a message, with what else is then written."""
    channel = message.channel or message.route[0]
    if message.status == SCHEDULED:
        return replace(message, status=QUEUED, due_at_ms=at_ms)
    if message.status == QUEUED and message.delivery == 1:
        return replace(message, status=SENDING, channel=channel, attempts=message.attempts + 1)
    if message.status in (QUEUED, SENDING):
        if random.random() < 0.2:
            step.history.append(HistoryRow(message.key, at_ms, message.attempts + 1, QUEUED, channel))
            return replace(message, status=QUEUED, due_at_ms=at_ms + 500, attempts=message.attempts + 1)
        if random.random() < 0.2:
            error = '{"code":"no_answer","carrier_code":null,"detail":"it was said"}'
            return replace(message, status=FAILED, final_at_ms=at_ms, error=error)
        for index in range(1, message.segments + 1):
            name = f"{message.key:x}.{index}"
            step.segments.append(SegmentRow(message.key + index, SENT, channel, name, name, at_ms, 0))
        return replace(message, status=SENT, channel=channel, sent_at_ms=at_ms)
    status = random.choice((DELIVERED, DELIVERED, UNDELIVERED))
    for index in range(1, message.segments + 1):
        name = f"{message.key:x}.{index}"
        step.segments.append(
            SegmentRow(message.key + index, status, channel, name, None, message.sent_at_ms, at_ms)
        )
    return replace(message, status=status, final_at_ms=at_ms)
