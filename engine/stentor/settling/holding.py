"""Messages in doubt that may not be repeated, held while something may yet tell of them.

A held message is in no queue and not in the active set; its status is SENDING and its lease stands in the journal, so
that a start finds it and holds it again. It leaves when its doubts are settled, or as UNKNOWN: when they are too old,
or when the table of doubts is full and had to drop one.
"""

from collections.abc import MutableMapping
from typing import Final

from stentor.message import Error, Message, Status
from stentor.outcome import Submission, reference_of
from stentor.scheduling.lanes import Channel
from stentor.settling.doubts import Doubt, Doubts
from stentor.settling.ledger import Ledger
from stentor.settling.lifecycle import Change, advance, finish

STOPPED: Final = Error("no_answer", None, "the daemon stopped while the attempt was under way")


class Holding:
    """Owns the table of doubts and the held messages, by key. ``counters`` are the settler's."""

    __slots__ = ("_counters", "_ledger", "doubts", "held")

    def __init__(self, ledger: Ledger, limit: int, counters: MutableMapping[str, int]) -> None:
        self._ledger = ledger
        self._counters = counters
        self.doubts = Doubts(limit)
        self.held: dict[int, Message] = {}

    def doubt(
        self,
        message: Message,
        token: int,
        submission: Submission | None,
        channel: Channel,
        wall_ms: int,
    ) -> None:
        """A submission may have left, and no answer was seen. Something may yet tell of it. One that is not known any
        more is of the last attempt that counts."""
        name = None
        if channel.capabilities.echoes_reference:
            attempt = submission.attempt if submission is not None else message.attempts
            name = channel.family, reference_of(token, attempt), message.to
        oldest = self.doubts.add(Doubt(token, message, submission, channel, channel.family, wall_ms, name))
        if oldest is not None and oldest.message.key in self.held:
            self.give_up(oldest.message, wall_ms)

    def hold(self, message: Message, error: Error, wall_ms: int) -> None:
        """Hold a message that is no longer in memory but for this. Its attempt counts."""
        message.attempts += 1
        message.error = error
        self._ledger.note(message, wall_ms, Status.SENDING, error)
        self._ledger.changed(message)
        self.held[message.key] = message

    def hold_again(self, message: Message, channel: Channel, wall_ms: int) -> None:
        """A start found an at-most-once attempt without an answer: it was held before, or the daemon died under it."""
        whole = channel.capabilities.unit == "message"
        done = {segment.index for segment in message.segment_list if segment.status >= Status.SENT}
        was_held = message.error is not None and message.error.code == "no_answer"
        if was_held:
            self.held[message.key] = message
        else:
            self.hold(message, STOPPED, wall_ms)
        for index in (1,) if whole else range(1, message.segments + 1):
            # It may be the oldest itself, and make room for what is left of it.
            if index not in done and message.key in self.held:
                self.doubt(message, message.key + index, None, channel, wall_ms)

    def give_up(self, message: Message, wall_ms: int) -> None:
        """Nothing settled its doubt: it ends as UNKNOWN."""
        del self.held[message.key]
        finish(message, Change.DOUBT, wall_ms)
        self._counters["finished"] += 1
        self._ledger.ended(message, wall_ms)
        self.doubts.drop(message)

    def release(self, message: Message) -> None:
        """What was in doubt of it did leave; the rest is sent like any other message, once that is durable."""
        del self.held[message.key]
        advance(message, Change.GIVE_BACK)
        message.error = None
        self._ledger.changed(message)
        self._ledger.effects.queued[message.key] = message

    def expire(self, before_ms: int, wall_ms: int) -> None:
        """What has been in doubt since before then can be settled no more."""
        for doubt in self.doubts.expire(before_ms):
            if doubt.message.key in self.held:
                self.give_up(doubt.message, wall_ms)
