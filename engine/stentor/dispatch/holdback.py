"""What is held back: single messages, and whole batches that are paused, resumed or cancelled.

A held message stays what it is, ``queued`` or ``scheduled``, in a strand that is never read
(``stentor.pacing.strands``). A batch is known by its account and label alone. A change to it takes effect at once for
whatever would leave, and then goes through the journal's messages of the batch block by block, each block after the
commit of the last: as many as they are, memory and commits stay small. What was begun is kept in the journal's
settings and goes on after a restart.

Invariants: nothing of a paused batch begins to leave, and a long message that has begun is completed; a message in
strand HELD is in no queue; it counts against the backlog.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from stentor.dispatch.reading import Reading
from stentor.errors import Refusal
from stentor.journal.backlog import Backlog
from stentor.journal.records import BatchRead
from stentor.message import Message, Status
from stentor.pacing.gate import Gate
from stentor.pacing.pace import Pace
from stentor.pacing.strands import HELD, strand_in_order
from stentor.settling.ledger import Ledger
from stentor.settling.lifecycle import Change

BLOCK: Final = 500
"""Messages that one read of a batch finds, and one commit changes: a few milliseconds."""

BATCHES: Final = 10_000
"""Batches that may be paused at once; also those whose pace and end are remembered."""

SETTING: Final = "batch:"

Name = tuple[str, str]
"""Account and label."""


class Phase(enum.Enum):
    """What is being done about a batch. CANCELLED: all that could be found is, what comes back from drivers may not be
    yet."""

    PAUSED = "paused"
    RESUMING = "resuming"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class Work(msgspec.Struct):
    """One change to a batch. ``until_key``: the newest message that a cancellation concerns. ``number`` tells the
    answers to its own reads from those to an earlier one's."""

    phase: Phase
    number: int
    until_key: int = 0


class Holdback:
    """Holds, releases and ends. ``discard(message)`` takes a message from wherever it waits in memory, ``end(message,
    change, wall_ms)`` ends one that is there, ``forget(message)`` drops what is known beside one that leaves memory:
    all are the dispatcher's."""

    __slots__ = (
        "_backlog",
        "_discard",
        "_end",
        "_forget",
        "_gate",
        "_ledger",
        "_number",
        "_paces",
        "_reading",
        "_works",
    )

    def __init__(
        self,
        ledger: Ledger,
        backlog: Backlog,
        reading: Reading,
        gate: Gate,
        settings: Mapping[str, str],
        discard: Callable[[Message], None],
        end: Callable[[Message, Change, int], None],
        forget: Callable[[Message], None],
    ) -> None:
        self._ledger = ledger
        self._backlog = backlog
        self._reading = reading
        self._gate = gate
        self._discard = discard
        self._end = end
        self._forget = forget
        self._number = 0
        self._paces: dict[Name, Pace] = {}
        self._works: dict[Name, Work] = {}
        for name, value in settings.items():
            if name.startswith(SETTING):
                phase, _, until = value.partition(" ")
                account, batch = msgspec.json.decode(name.removeprefix(SETTING), type=Name)
                self._works[account, batch] = Work(Phase(phase), self._next(), int(until or 0))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def start(self) -> None:
        """Go on with what an earlier run had begun."""
        for name, work in self._works.items():
            self._ask(name, work)

    # -- messages on their way --------------------------------------------------------------------------------------

    def assign(self, message: Message) -> None:
        """Give a message its strand; one that is held keeps it."""
        if message.strand == HELD:
            return
        message.strand = self._strand(message)

    def _strand(self, message: Message) -> int:
        """Where it waits when it is not held. All that must keep their order are together."""
        if message.is_ordered:
            return strand_in_order(message.account, message.to)
        batch = message.batch and (message.account, message.batch)
        return self._gate.strand(message, batch)

    def enters(self, message: Message) -> None:
        """A message of a batch is going to wait: held back if its batch is."""
        work = self._works.get((message.account, message.batch or ""))
        if work is None or message.status not in (Status.SCHEDULED, Status.QUEUED):
            return
        if work.phase is Phase.PAUSED and message.strand != HELD and not message.segment_list:
            self._move(message, HELD)
        elif work.phase is Phase.RESUMING and message.strand == HELD:
            self._move(message, self._strand(message))

    def stops(self, message: Message, wall_ms: int) -> bool:
        """Whether a message of a batch that is in memory may not leave, or not be tried again; it is held or ended
        then."""
        work = self._works.get((message.account, message.batch or ""))
        return work is not None and self._stop(work, message, wall_ms)

    def departs(self, message: Message, now: float) -> None:
        """A message of a batch leaves: it counts for the batch's pace."""
        name = message.account, message.batch or ""
        pace = self._paces.get(name)
        if pace is None:
            if len(self._paces) >= BATCHES:
                del self._paces[next(iter(self._paces))]
            pace = self._paces[name] = Pace(now)
        pace.note(1, now)

    def _stop(self, work: Work, message: Message, wall_ms: int) -> bool:
        if message.segment_list:
            return False  # what has begun to leave is completed
        if work.phase is Phase.PAUSED:
            self._hold(message)
            return True
        if work.phase is Phase.RESUMING or not self._concerns(work, message):
            return False
        self._discard(message)
        self._end(message, Change.CANCEL, wall_ms)
        return True

    def _concerns(self, work: Work, message: Message) -> bool:
        return not work.until_key or message.key <= work.until_key

    # -- single messages --------------------------------------------------------------------------------------------

    def hold(self, stored: Message) -> Message:
        """Hold back a message, given as the journal has it. Raises Refusal (409) once it has left or is final."""
        message = self._reading.latest(stored)
        if message.segment_list or message.status not in (Status.SCHEDULED, Status.QUEUED):
            raise Refusal(
                "already_left", f"the message is {message.status.word} and cannot be held", "$", 409
            )
        if message.strand != HELD:
            self._hold(message)
        return message

    def release(self, stored: Message) -> Message:
        """Let a held message go on. Raises Refusal (409) for one that is not held, or whose batch is."""
        message = self._reading.latest(stored)
        if message.strand != HELD or message.status not in (Status.SCHEDULED, Status.QUEUED):
            raise Refusal("not_held", f"the message is {message.status.word} and not held", "$", 409)
        if self.phase(message.account, message.batch or "") is Phase.PAUSED:
            raise Refusal("batch_paused", "the message's batch is paused: resume that", "$", 409)
        self._release(message)
        return message

    def _hold(self, message: Message) -> None:
        backlog = self._backlog
        if message.key in backlog.open:
            self._discard(message)
            self._forget(message)
            backlog.leave(message)
        elif self._is_counted(message):
            backlog.leave_behind(message)
        else:
            # It is counted, as held, when it is known to be queued.
            self._move(message, HELD)
            return
        self._move(message, HELD)
        backlog.enter(message)
        self._reading.expiries.expect(message.key, message.expires_at_ms)

    def _release(self, message: Message) -> None:
        is_counted = self._is_counted(message)
        if is_counted:
            self._backlog.leave_behind(message)
        self._move(message, self._strand(message))
        if is_counted:
            self._ledger.effects.queued[message.key] = message

    def _is_counted(self, message: Message) -> bool:
        """It stands behind in a queue."""
        return message.status is Status.QUEUED and self._ledger.to_be_queued(message.key) is None

    def _move(self, message: Message, strand: int) -> None:
        message.strand = strand
        self._ledger.changed(message)

    # -- batches ----------------------------------------------------------------------------------------------------

    def phase(self, account: str, batch: str) -> Phase | None:
        """What is being done about a batch; None for one that goes its way."""
        work = self._works.get((account, batch))
        return None if work is None or work.phase is Phase.CANCELLED else work.phase

    def rate(self, account: str, batch: str, now: float) -> float:
        """Messages of the batch that left in each of the last seconds."""
        pace = self._paces.get((account, batch))
        return pace.rate(now) if pace is not None else 0.0

    def pause(self, account: str, batch: str) -> None:
        """Nothing more of the batch leaves, nor of what is submitted for it later, until it is resumed."""
        if sum(work.phase is Phase.PAUSED for work in self._works.values()) >= BATCHES:
            raise Refusal("too_many_batches", f"at most {BATCHES} batches are paused at once", "$", 429)
        self._begin((account, batch), Phase.PAUSED)

    def resume(self, account: str, batch: str) -> None:
        """All that is held of the batch goes on, also what was held message by message."""
        self._begin((account, batch), Phase.RESUMING)

    def cancel(self, account: str, batch: str, until_key: int) -> None:
        """Cancel what has not left of the batch and was accepted up to ``until_key``."""
        self._begin((account, batch), Phase.CANCELLING, until_key)

    def _begin(self, name: Name, phase: Phase, until_key: int = 0) -> None:
        self._works.pop(name, None)
        work = self._works[name] = Work(phase, self._next(), until_key)
        self._save(name, f"{phase.value} {until_key}" if until_key else phase.value)
        self._ask(name, work)

    @property
    def _block(self) -> int:
        return min(BLOCK, self._reading.block)

    def _save(self, name: Name, value: str) -> None:
        self._ledger.commit.settings[SETTING + msgspec.json.encode(name).decode()] = value

    def _ask(self, name: Name, work: Work) -> None:
        first = (HELD, 2**63 - 1) if work.phase is Phase.PAUSED else (HELD - 1, 0)
        # What falls due meanwhile goes from the scheduled to the queued, so these are gone through last.
        self._reading.ask(BatchRead(*name, Status.SCHEDULED, first, self._block, work.number))

    def found(self, read: BatchRead, messages: Sequence[Message], wall_ms: int) -> None:
        """A block of a batch was read."""
        name = read.account, read.batch
        work = self._works.get(name)
        if work is None or work.number != read.number:
            return  # something else was asked for meanwhile
        ours = self._ours(work, messages)
        # Taken now: what was read may itself be the copy that is changed.
        last = (ours[-1].strand, ours[-1].key) if ours else read.after
        for stored in ours:
            self._apply(work, self._reading.latest(stored), wall_ms)
        if len(ours) == read.limit:
            self._reading.ask_again(msgspec.structs.replace(read, after=last))
        elif read.status == Status.SCHEDULED:
            first = (HELD, 2**63 - 1) if work.phase is Phase.PAUSED else (HELD - 1, 0)
            self._reading.ask_again(msgspec.structs.replace(read, status=int(Status.QUEUED), after=first))
        else:
            self._finish(name, work)

    def _ours(self, work: Work, messages: Sequence[Message]) -> Sequence[Message]:
        """What is held comes first in a batch: a resumption ends with the first that is not."""
        if work.phase is Phase.RESUMING:
            return [message for message in messages if message.strand == HELD]
        return messages

    def _apply(self, work: Work, message: Message, wall_ms: int) -> None:
        if message.status not in (Status.SCHEDULED, Status.QUEUED) or not self._concerns(work, message):
            return
        if message.segment_list:
            return  # what has begun to leave is completed
        if work.phase is Phase.PAUSED:
            if message.strand != HELD:
                self._hold(message)
        elif work.phase is Phase.RESUMING:
            if message.strand == HELD:
                self._release(message)
        elif message.key in self._backlog.open:
            self._discard(message)
            self._end(message, Change.CANCEL, wall_ms)
        else:
            self._reading.end(message, Change.CANCEL, wall_ms)

    def _finish(self, name: Name, work: Work) -> None:
        """The journal was gone through."""
        if work.phase is Phase.RESUMING:
            del self._works[name]
            self._save(name, "")
        elif work.phase is Phase.CANCELLING:
            work.phase = Phase.CANCELLED
            self._save(name, "")
            self._forget_cancelled()

    def _forget_cancelled(self) -> None:
        done = [name for name, work in self._works.items() if work.phase is Phase.CANCELLED]
        for name in done[: max(0, len(done) - BATCHES)]:
            del self._works[name]
