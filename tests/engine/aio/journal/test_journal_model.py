"""Any history of commits, checkpoints, crashes and restarts leaves what a journal made of dictionaries holds."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import Journal
from stentor.journal.records import Commit, HeldPart, JoinedParts
from stentor.message import Event, EventKind, Message, Segment
from stentor.webhooks.records import WebhookRecords
from tests.conftest import SCALE
from tests.engine.aio.journal.journal_helpers import (
    WALL_MS,
    Model,
    by_key,
    by_name,
    compare,
    crash,
    held_parts,
    histories,
    idempotencies,
    joined_parts,
    key_of,
    messages_of,
    names,
    parked_receipts,
    segments_of,
    texts,
    webhook_records,
)

NUMBERS = st.integers(1, 12)


class JournalMachine(RuleBasedStateMachine):
    """A journal and its model, driven by the same commits."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="stentor-journal-"))
        self.runner = asyncio.Runner()
        self.model = Model()
        self.seq = 0
        self.crashes = 0
        self.failed = Commit(0)

    @initialize()
    def open(self) -> None:
        self.reopen(self.folder / "journal.db")

    def reopen(self, path: Path) -> None:
        async def opened() -> tuple[Journal, Reader]:
            return await Journal.open(path, wall_ms=WALL_MS), await Reader.open(path)

        self.journal, self.reader = self.runner.run(opened())

    def close(self) -> None:
        async def closed() -> None:
            await self.reader.close()
            await self.journal.close()

        self.runner.run(closed())

    def commit(self, commit: Commit) -> None:
        """Write a commit, with what is left of the one before it if that failed."""
        failed, self.failed = self.failed, Commit(0)
        commit.changed = failed.changed | commit.changed
        commit.segments = failed.segments | commit.segments
        commit.events = failed.events + commit.events
        self.runner.run(self.journal.commit(commit))
        self.model.commit(commit)

    @rule(
        accepted=st.lists(messages_of(NUMBERS), max_size=4, unique_by=lambda one: one.key),
        settings_=st.dictionaries(texts, texts, max_size=2),
        history=st.lists(histories, max_size=3),
        parked=st.lists(parked_receipts, max_size=2),
        idempotency=st.lists(idempotencies, max_size=3),
    )
    def accept(
        self, accepted: list[Message], settings_: dict[str, str], history, parked, idempotency
    ) -> None:
        self.commit(
            Commit(
                1,
                accepted=accepted,
                history=history,
                parked=by_name(parked),
                idempotency=idempotency,
                settings=settings_,
                events=self.events(accepted),
            )
        )

    @rule(
        states=st.lists(messages_of(NUMBERS), max_size=4),
        segments=st.lists(segments_of(st.integers(1, 255)), max_size=4),
        is_failed=st.booleans(),
    )
    def change(self, states: list[Message], segments: list[Segment], is_failed: bool) -> None:
        """What changed is written now, or its commit fails and goes with the next."""
        commit = Commit(
            2,
            changed={one.key: one for one in states},
            segments={
                one.key + segment.index: (one, segment)
                for one, segment in zip(states, segments, strict=False)
            },
            events=self.events(states),
        )
        if not is_failed:
            self.commit(commit)
        else:
            self.failed.changed |= commit.changed
            self.failed.segments |= commit.segments
            self.failed.events += commit.events

    @rule()
    def repeat(self) -> None:
        """A commit whose end nobody saw is written again."""
        commit, self.failed = self.failed, Commit(0)
        self.commit(commit)
        self.commit(commit)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.model.parked:
            gone = data.draw(st.lists(st.sampled_from(sorted(self.model.parked)), max_size=3))
            self.commit(Commit(3, parked=dict.fromkeys(gone)))

    @rule(
        parts=st.lists(held_parts, max_size=3),
        joined=st.lists(joined_parts, max_size=2),
        dropped=st.lists(st.integers(1, 20).map(key_of), max_size=4),
        memory=st.dictionaries(st.tuples(names, texts), st.none() | st.binary(max_size=12), max_size=3),
    )
    def hold(
        self,
        parts: list[HeldPart],
        joined: list[JoinedParts],
        dropped: list[int],
        memory: dict[tuple[str, str], bytes | None],
    ) -> None:
        """Parts come, are joined, and are dropped, and drivers keep and forget, all in one commit or some of it."""
        self.commit(Commit(5, parts=by_key(parts), joined=by_key(joined), dropped=dropped, memory=memory))

    @rule(records=webhook_records())
    def tell_webhooks(self, records: WebhookRecords) -> None:
        self.commit(Commit(6, webhooks=records))

    @rule(kind=st.sampled_from(("PASSIVE", "TRUNCATE")))
    def checkpoint(self, kind: str) -> None:
        self.runner.run(self.journal.checkpoint(kind))  # type: ignore[arg-type]  # drawn from the two there are

    @rule()
    def crash(self) -> None:
        """The process is killed: what the files hold now is opened; the old ones are let go of."""
        self.crashes += 1
        path = crash(self.journal.path, self.folder / f"crash{self.crashes}")
        self.close()
        self.reopen(path)
        self.runner.run(compare(self.model, self.journal, self.reader))

    @rule()
    def restart(self) -> None:
        self.close()
        self.reopen(self.journal.path)
        self.runner.run(compare(self.model, self.journal, self.reader))

    @rule(key=NUMBERS.map(key_of))
    def show(self, key: int) -> None:
        found = self.runner.run(self.reader.message(key))
        assert found == (self.model.message(key) if key in self.model.messages else None)

    @rule(name=names)
    def tell(self, name: str) -> None:
        """A channel's event concerns every account."""
        self.seq += 1
        self.commit(Commit(4, events=[Event(self.seq, EventKind.CHANNEL_UP, WALL_MS, "", 0, name, "up")]))

    def events(self, messages: list[Message]) -> list[Event]:
        first = self.seq + 1
        self.seq += len(messages)
        return [
            Event(seq, EventKind.QUEUED, WALL_MS, one.account, one.key)
            for seq, one in enumerate(messages, first)
        ]

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.close()
        self.runner.close()
        shutil.rmtree(self.folder)


JournalMachine.TestCase.settings = settings(
    max_examples=SCALE(gate=40, nightly=2_000, release=20_000), stateful_step_count=25
)
TestJournalAgainstModel = JournalMachine.TestCase
