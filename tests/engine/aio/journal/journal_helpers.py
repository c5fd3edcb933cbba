"""What the journal's tests share: messages of any shape, a slow obvious model of the journal, and crashes."""

import asyncio
import copy
import itertools
import shutil
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
from hypothesis import strategies as st

from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import Journal
from stentor.driver import Inbound, Part
from stentor.ids import first_key_at, id_text
from stentor.journal.records import Commit, HeldPart, History, Idempotency, JoinedParts, ParkedReceipt
from stentor.message import Delivery, Direction, Error, Event, EventKind, Message, Priority, Segment, Status
from stentor.text.segments import Encoding
from stentor.webhooks.records import AttemptBlock, Progress, Waiting, WebhookRecords, WebhookRecovery
from stentor.webhooks.subscription import Webhook

T = TypeVar("T")

WALL_MS = 1_800_000_000_000
MUTABLE = (
    "status",
    "channel",
    "due_at_ms",
    "sent_at_ms",
    "final_at_ms",
    "attempts",
    "error",
    "encoding",
    "segments",
    "strand",
)

_numbers = itertools.count(1)


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run a test's coroutine function to its end, but not for ever."""

    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await work()

    return asyncio.run(bounded())


def key_of(number: int) -> int:
    """The key of the message of this number; one a millisecond."""
    return first_key_at(WALL_MS + number)


def message(number: int | None = None, **fields: object) -> Message:
    """A plain message, numbered through unless told otherwise."""
    number = next(_numbers) if number is None else number
    known: dict[str, object] = {
        "key": key_of(number),
        "tail": number,
        "account": "default",
        "to": "+40711000001",
        "originator": "Shop",
        "text": f"text {number}",
        "encoding": Encoding.GSM7,
        "segments": 1,
        "submitted_at_ms": WALL_MS + number,
        "due_at_ms": WALL_MS + number,
        "expires_at_ms": WALL_MS + number + 172_800_000,
        "route": ("alpha",),
    }
    return Message(**(known | fields))  # type: ignore[arg-type]  # fields are checked by the tests' outcome


def part(number: int, index: int, total: int = 3, **fields: object) -> HeldPart:
    """A part of a long message, with a key of its own."""
    known: dict[str, object] = {"originator": "+40711000001", "to": "1234", "text": f"part {index}"}
    item = Inbound(**(known | fields), part=Part(7, total, index))  # type: ignore[arg-type]  # as above
    return HeldPart(key_of(number), "alpha", "alpha", WALL_MS + number, item)


def joined(number: int, total: int = 2) -> JoinedParts:
    """What is remembered of a long message."""
    return JoinedParts(
        key_of(number), "alpha", "+40711000001", "1234", 9, total, WALL_MS, bytes(range(8)) * total
    )


def by_name(receipts: Iterable[ParkedReceipt]) -> dict[tuple[str, str], ParkedReceipt | None]:
    """Parked receipts as a commit holds them."""
    return {(receipt.family, receipt.match_id): receipt for receipt in receipts}


def sent(one: Message, channel: str = "alpha", at_ms: int = WALL_MS + 50_000, match_id: str = "") -> Commit:
    """Let a message of one segment be sent; the commit that says so."""
    match_id = match_id or id_text(one.key, one.tail)
    segment = Segment(1, Status.SENT, match_id.upper(), match_id, at_ms, channel=channel)
    one.status, one.channel, one.sent_at_ms, one.attempts = Status.SENT, channel, at_ms, one.attempts + 1
    one.segment_list = [segment]
    return Commit(1, changed={one.key: one}, segments={one.key + 1: (one, segment)})


def events(first_seq: int, *messages: Message, kind: EventKind = EventKind.QUEUED) -> list[Event]:
    """One event for each message, numbered from ``first_seq``."""
    return [Event(seq, kind, WALL_MS + seq, m.account, m.key) for seq, m in enumerate(messages, first_seq)]


async def accept(journal: Journal, *messages: Message) -> None:
    await journal.commit(Commit(1, accepted=list(messages)))


async def reopened(path: Path) -> Journal:
    return await Journal.open(path, wall_ms=WALL_MS)


def crash(path: Path, folder: Path) -> Path:
    """The files as a process leaves them that is killed now: the shared-memory index is lost with it."""
    folder.mkdir()
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, folder / source.name)
    return folder / path.name


class Model:
    """The journal as dictionaries: what is there after all commits so far."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        self.segments: dict[int, Segment] = {}
        self.history: dict[tuple[int, int, int, int, int], History] = {}
        self.events: dict[int, Event] = {}
        self.parked: dict[tuple[str, str], ParkedReceipt] = {}
        self.idempotency: dict[tuple[str, str, int], Idempotency] = {}
        self.settings: dict[str, str] = {}
        self.parts: dict[int, HeldPart] = {}
        self.joined: dict[int, JoinedParts] = {}
        self.memory: dict[tuple[str, str], bytes] = {}
        self.webhooks: dict[int, Webhook] = {}
        self.progress: dict[int, Progress] = {}
        self.waiting: dict[tuple[int, int], Waiting] = {}
        self.attempts: dict[tuple[int, int, int], AttemptBlock] = {}

    def commit(self, commit: Commit) -> None:
        commit = copy.deepcopy(commit)
        for one in commit.accepted + commit.received:
            self.messages[one.key] = one
        for key, one in commit.changed.items():
            if key in self.messages:
                for field in MUTABLE:
                    setattr(self.messages[key], field, getattr(one, field))
                if one.status is Status.SENDING and one.delivery is Delivery.AT_LEAST_ONCE:
                    # Only an attempt that may not be repeated is kept as one: any other is queued again after a crash.
                    self.messages[key].status = Status.QUEUED
        for key, (one, segment) in commit.segments.items():
            self.segments[key] = msgspec.structs.replace(segment, channel=segment.channel or one.channel)
        for line in commit.history:
            self.history[line.key, line.at_ms, line.segment, line.attempt, line.status] = line
        self.events |= {event.seq: event for event in commit.events}
        for name, receipt in commit.parked.items():
            self.parked.pop(name, None)
            if receipt is not None:
                self.parked[name] = receipt
        self.idempotency |= {(a.account, a.key, a.line): a for a in commit.idempotency}
        self.settings |= commit.settings
        self.parts |= commit.parts
        self.joined |= commit.joined
        for key in commit.dropped:
            self.parts.pop(key, None)
            self.joined.pop(key, None)
        self.settings = {name: value for name, value in self.settings.items() if value}
        for owned, value in commit.memory.items():
            self.memory.pop(owned, None)
            if value is not None:
                self.memory[owned] = value

        self.commit_webhooks(commit.webhooks)

    def commit_webhooks(self, records: WebhookRecords) -> None:
        self.progress |= records.progress
        self.attempts |= records.attempts
        for name, row in records.waiting.items():
            self.waiting.pop(name, None)
            if row is not None:
                self.waiting[name] = row
        for key, one in records.webhooks.items():
            if one is not None:
                self.webhooks[key] = one
                continue
            self.webhooks.pop(key, None)
            self.progress.pop(key, None)
            self.waiting = {name: row for name, row in self.waiting.items() if name[0] != key}
            self.attempts = {name: row for name, row in self.attempts.items() if name[0] != key}

    def recovered_webhooks(self) -> list[WebhookRecovery]:
        """What is found at the start of each webhook there is."""
        found = []
        for key, one in sorted(self.webhooks.items()):
            blocks = [row for name, row in self.attempts.items() if name[0] == key]
            newest = tuple(max((b.number for b in blocks if b.ring == ring), default=-1) for ring in (0, 1))
            rows = tuple(row for name, row in sorted(self.waiting.items()) if name[0] == key)
            last = max((block.last_attempt for block in blocks), default=0)
            progress = self.progress.get(key, Progress(key, 0))
            found.append(WebhookRecovery(one, progress, rows, newest if blocks else (), last))
        return found

    def message(self, key: int) -> Message:
        stored = [self.segments[k] for k in sorted(self.segments) if key < k <= key + 255]
        # One that was taken back is as if it was not there.
        segments = [segment for segment in stored if segment.status >= Status.SENT]
        return msgspec.structs.replace(self.messages[key], segment_list=segments)

    def all_messages(self) -> list[Message]:
        return [self.message(key) for key in sorted(self.messages)]


class Opened:
    """``async with Opened(path) as (journal, reader)``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def __aenter__(self) -> tuple[Journal, Reader]:
        self.journal = await reopened(self.path)
        self.reader = await Reader.open(self.path)
        return self.journal, self.reader

    async def __aexit__(self, *_: object) -> None:
        await self.reader.close()
        await self.journal.close()


async def events_of(reader: Reader, after_seq: int, limit: int, account: str) -> list[Event]:
    """The first events that concern an account, page by page."""
    found: list[Event] = []
    is_end = False
    while not is_end and len(found) < limit:
        page = await reader.told(after_seq, limit - len(found), lambda event: event.account in (account, ""))
        found += [event for event, _ in page.pairs]
        after_seq, is_end = page.last_seq, page.is_end
    return found


async def compare(model: Model, journal: Journal, reader: Reader) -> None:
    """Everything the journal gives back, by any way, is what the model holds."""
    recovery = journal.recovery
    keys = sorted(model.messages)
    for found, wanted in zip(await reader.messages(keys), model.all_messages(), strict=True):
        assert found == wanted, f"{found} is not {wanted}"
    for key in keys:
        lines = [line for line in model.history.values() if line.key == key]
        assert sorted(await reader.history(key), key=repr) == sorted(lines, key=repr)
    accounts = {one.account for one in model.messages.values()} | {
        event.account for event in model.events.values()
    }
    for account in accounts:
        concerning = [model.events[seq] for seq in sorted(model.events)]
        concerning = [event for event in concerning if event.account in (account, "")]
        assert await events_of(reader, 0, 10_000, account) == concerning
    for (account, key, line), answer in model.idempotency.items():
        assert await reader.idempotency(account, key, line, 1) == [answer]
    assert recovery.settings == model.settings
    assert {(r.family, r.match_id): r for r in recovery.parked} == model.parked
    assert recovery.parts == [model.parts[key] for key in sorted(model.parts)]
    assert recovery.joined == [model.joined[key] for key in sorted(model.joined)]
    memory = {(channel, name): v for channel, kept in recovery.memory.items() for name, v in kept.items()}
    assert memory == model.memory
    assert recovery.webhooks == model.recovered_webhooks()
    for key in model.webhooks:
        logged = sorted(
            (b for b in model.attempts.values() if b.webhook == key), key=lambda b: b.last_attempt
        )
        assert sorted(await reader.attempts(key)) == [(block.last_attempt, block.octets) for block in logged]
    compare_recovery(model, recovery_counts(model), journal)


def recovery_counts(model: Model) -> tuple[dict[tuple[tuple[str, ...], int, int], int], list[int], list[int]]:
    """Queued messages by queue, due times of the scheduled, keys of the leased: by looking at all."""
    queues: dict[tuple[tuple[str, ...], int, int], int] = {}
    for one in model.messages.values():
        if one.status is Status.QUEUED:
            queue = one.route, one.priority, one.strand
            queues[queue] = queues.get(queue, 0) + 1
    scheduled = [one.due_at_ms for one in model.messages.values() if one.status is Status.SCHEDULED]
    leased = [one.key for one in model.messages.values() if one.status is Status.SENDING]
    return queues, scheduled, leased


def compare_recovery(
    model: Model,
    counts: tuple[dict[tuple[tuple[str, ...], int, int], int], list[int], list[int]],
    journal: Journal,
) -> None:
    queues, scheduled, leased = counts
    recovery = journal.recovery
    assert {(queue.route, queue.priority, queue.strand): n for queue, n in recovery.backlog.items()} == queues
    assert (recovery.scheduled, recovery.next_due_ms) == (len(scheduled), min(scheduled, default=0))
    by_key = {one.key: one for one in recovery.leased}
    assert by_key == {key: model.message(key) for key in leased}
    assert recovery.last_key == max([*model.messages, *model.parts, *model.webhooks], default=0)
    assert recovery.last_seq == max(model.events, default=0)


# -- strategies -----------------------------------------------------------------------------------------------------

# NUL and what JSON or SQL would escape are the characters a text is most easily spoilt at.
texts = st.text(
    st.one_of(st.sampled_from("\0'\"\\\n?:€😀"), st.characters(exclude_categories=("Cs",))), max_size=12
)
times = st.integers(0, 2**42)
names = st.sampled_from(("alpha", "beta", 'with "quotes" and blanks', "Ünïcode"))
errors = st.builds(Error, texts, st.none() | texts, texts)
statuses = st.sampled_from(Status)


def segments_of(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[Segment]:
    return st.builds(
        Segment,
        index=numbers,
        status=statuses,
        carrier_id=st.none() | texts,
        match_id=st.none() | texts,
        sent_at_ms=times,
        final_at_ms=times,
        error=st.none() | errors,
    )


def messages_of(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[Message]:
    """Messages whose every field is anything it may be; ``numbers`` decides which message it is."""
    return st.builds(
        Message,
        key=numbers.map(key_of),
        tail=st.integers(0, 2**62 - 1),
        account=names,
        to=texts,
        originator=texts,
        text=st.none() | texts,
        encoding=st.sampled_from(Encoding),
        segments=st.integers(1, 255),
        submitted_at_ms=times,
        due_at_ms=times,
        expires_at_ms=times,
        route=st.lists(names, max_size=3).map(tuple),
        priority=st.sampled_from(Priority),
        status=statuses,
        channel=names,
        direction=st.sampled_from(Direction),
        delivery=st.sampled_from(Delivery),
        wants_receipt=st.booleans(),
        flash=st.booleans(),
        reference=st.integers(0, 65535),
        send_at_ms=times,
        sent_at_ms=times,
        final_at_ms=times,
        attempts=st.integers(0, 1000),
        error=st.none() | errors,
        ref=st.none() | texts,
        metadata=st.none() | st.binary(max_size=12),
        data=st.none() | st.binary(max_size=12),
        udh=st.none() | st.binary(max_size=12),
        batch=st.none() | names,
        strand=st.integers(-1, 3),
        is_ordered=st.booleans(),
        callback_url=st.none() | texts,
        ignores_quiet=st.booleans(),
    )


histories = st.builds(
    History,
    key=st.integers(1, 12).map(key_of),
    at_ms=st.integers(WALL_MS, WALL_MS + 3),
    status=statuses,
    segment=st.integers(0, 2),
    attempt=st.integers(0, 2),
    channel=names,
    error=st.none() | errors,
)
parked_receipts = st.builds(
    ParkedReceipt,
    family=names,
    match_id=texts,
    status=statuses,
    at_ms=times,
    error=st.none() | errors,
    done_at_ms=times,
)
idempotencies = st.builds(
    Idempotency,
    account=names,
    key=texts,
    line=st.integers(-1, 3),
    digest=st.binary(max_size=8),
    at_ms=times,
    answer=st.binary(max_size=8),
)


held_parts = st.builds(
    HeldPart,
    key=st.integers(1, 12).map(key_of),
    family=names,
    channel=names,
    at_ms=times,
    item=st.builds(
        Inbound,
        originator=texts,
        to=texts,
        text=st.none() | texts,
        encoding=st.sampled_from(Encoding),
        data=st.none() | st.binary(max_size=12),
        part=st.builds(
            Part, reference=st.integers(0, 2**21), total=st.integers(2, 255), index=st.integers(1, 255)
        ),
    ),
)
joined_parts = st.builds(
    JoinedParts,
    key=st.integers(13, 20).map(key_of),
    family=names,
    originator=texts,
    to=texts,
    reference=st.integers(0, 2**21),
    total=st.integers(2, 255),
    at_ms=times,
    digests=st.binary(min_size=16, max_size=24),
)

_hooks = st.integers(21, 23).map(key_of)
_rings = st.tuples(_hooks, st.integers(0, 1), st.integers(0, 3))


@st.composite
def webhook_records(draw: st.DrawFn) -> WebhookRecords:
    """A commit's part of webhooks, of which each may be made, go on, wait, log and be removed."""
    hooks = draw(st.lists(_hooks, max_size=2, unique=True))
    waiting = draw(st.lists(st.tuples(_hooks, st.integers(1, 4)), max_size=4, unique=True))
    blocks = draw(st.lists(_rings, max_size=3, unique=True))
    gone = st.booleans()
    return WebhookRecords(
        {
            key: None
            if draw(gone)
            else draw(
                st.builds(
                    Webhook,
                    key=st.just(key),
                    tail=st.integers(0, 2**62 - 1),
                    account=names,
                    url=texts,
                    created_at_ms=times,
                    events=st.lists(texts, max_size=2).map(tuple),
                    channels=st.lists(texts, max_size=2).map(tuple),
                    fields=st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
                    secret=st.binary(max_size=8),
                    previous_secret=st.binary(max_size=8),
                    previous_until_ms=times,
                    is_enabled=st.booleans(),
                    reason=texts,
                    is_callback=st.booleans(),
                )
            )
            for key in hooks
        },
        {key: Progress(key, *draw(st.tuples(*[times] * 7))) for key in hooks},
        {
            (key, seq): None
            if draw(gone)
            else Waiting(
                key, Event(seq, EventKind.SENT, draw(times), "a", 256), draw(st.integers(0, 9)), 5, 6
            )
            for key, seq in waiting
        },
        {
            (key, ring, slot): AttemptBlock(
                key, ring, slot, *draw(st.tuples(*[times] * 3)), draw(st.binary(max_size=9))
            )
            for key, ring, slot in blocks
        },
    )


Keyed = TypeVar("Keyed", Message, HeldPart, JoinedParts)


def by_key(rows: Iterable[Keyed]) -> dict[int, Keyed]:
    return {row.key: row for row in rows}
