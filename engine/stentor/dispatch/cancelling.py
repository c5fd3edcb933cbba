"""What clients cancel: what waits ends at once, what a driver has is asked back, what has left may be.

A driver that can recall (``Capabilities.can_recall``) is asked for what it was handed and has not answered for. What
it gives back at once waits again, and ends there. What it asks its peer for is remembered here: if it comes back, in
whatever way, it ends instead of being tried again. That is remembered in memory alone, for whoever cancelled was not
told that it is cancelled; a driver that remembers it says so when it is handed the message again after a start.

Invariant: nothing ends here of which a segment has left.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from stentor.dispatch.reading import Reading
from stentor.journal.backlog import Backlog
from stentor.message import Message, Status
from stentor.outcome import Submission
from stentor.settling.following import Following, already_left, asked_back
from stentor.settling.lifecycle import Change
from stentor.settling.settle import Flight

Recalls = Sequence[tuple[str, list[Submission]]]
"""What to ask which channel's driver to give back."""


class Cancelling:
    """``discard(message)`` takes a message from wherever it waits in memory, ``end(message, change, wall_ms)`` ends one
    that is there; both are the dispatcher's. ``flights`` are the settler's."""

    __slots__ = ("_backlog", "_discard", "_end", "_flights", "_following", "_reading", "_recalls", "_wanted")

    def __init__(
        self,
        backlog: Backlog,
        reading: Reading,
        following: Following,
        flights: Mapping[int, Flight],
        discard: Callable[[Message], None],
        end: Callable[[Message, Change, int], None],
    ) -> None:
        self._backlog = backlog
        self._reading = reading
        self._following = following
        self._flights = flights
        self._discard = discard
        self._end = end
        self._recalls: dict[str, list[Submission]] = {}
        self._wanted: set[int] = set()

    # -- asking back ------------------------------------------------------------------------------------------------

    def recall(self, stored: Message) -> None:
        """Have the drivers that hold any of a message asked for it, if they can give it back."""
        message = self._reading.latest(stored)
        for token in range(message.key + 1, message.key + message.segments + 1):
            flight = self._flights.get(token)
            if flight is not None:
                self._ask_back(flight)

    def recall_batch(self, account: str, batch: str) -> None:
        """Likewise for all of a batch that any driver holds."""
        for flight in self._flights.values():
            message = flight[1]
            if message.batch == batch and message.account == account:
                self._ask_back(flight)

    def _ask_back(self, flight: Flight) -> None:
        submission, message, lane, _ = flight
        if lane.channel.capabilities.can_recall and not message.segment_list:
            self._recalls.setdefault(lane.channel.name, []).append(submission)

    def take_recalls(self) -> Recalls:
        """What to ask which drivers for."""
        recalls, self._recalls = self._recalls, {}
        return list(recalls.items())

    def recalled(self, submissions: Sequence[Submission], asked: Collection[int]) -> None:
        """A driver was asked for these, and has asked its peer for those of these tokens."""
        self.asked([each.token for each in submissions if each.token in asked])

    def asked(self, tokens: Iterable[int]) -> None:
        """A driver has asked its peer for what it holds under these tokens, of which a start had forgotten it too."""
        for token in tokens:
            flight = self._flights.get(token)
            if flight is not None:
                self._wanted.add(flight[1].key)

    # -- ending -----------------------------------------------------------------------------------------------------

    def cancel(self, stored: Message, wall_ms: int) -> Message:
        """Cancel a message, given as the journal has it. Raises Refusal (409) once it has left or is final; who has it
        and can is then asked to take it back."""
        message = self._reading.latest(stored)
        if message.segment_list or message.status not in (Status.SCHEDULED, Status.QUEUED):
            is_wanted = message.status is Status.SENDING and message.key in self._wanted
            if is_wanted or self._following.withdraw(message):
                raise asked_back()
            raise already_left(message)
        if message.key in self._backlog.open:
            self._discard(message)
            self._end(message, Change.CANCEL, wall_ms)
        else:
            self._reading.end(message, Change.CANCEL, wall_ms)
        return message

    def stops(self, message: Message, wall_ms: int) -> bool:
        """Whether a message that came back was asked for, and has ended now."""
        if message.key not in self._wanted:
            return False
        self._wanted.discard(message.key)
        if message.segment_list:
            return False  # what has begun to leave is completed
        self._discard(message)
        self._end(message, Change.CANCEL, wall_ms)
        return True

    def sweep(self) -> None:
        """What has left memory is asked for no more."""
        if self._wanted:
            self._wanted &= self._backlog.open.keys()
