"""Submissions that their channel hands over again, because nothing but its peer's answer can settle their doubt.

An at-most-once submission that a peer may have is *bound* to its channel: no other may be given it. An idempotent peer
(``Capabilities.is_idempotent``) is sent it again; one that can be asked (``Capabilities.can_look_up``) is asked, after
a restart, whether it has it. It waits in ``Channel.repeats`` whenever it is not with a driver, as the same attempt.
"""

from collections.abc import Callable, Iterable

import msgspec

from stentor.message import Message
from stentor.outcome import Outcome, Refused, Returned, Scope, Sent, Submission, Unknown
from stentor.scheduling.lanes import Channel


class Repeats:
    """Which tokens are bound to which channel, None once that is gone. ``gather(message, outcome, wall_ms)`` is the
    settler's."""

    __slots__ = ("_gather", "bound")

    def __init__(self, gather: Callable[[Message, Outcome, int], None]) -> None:
        self._gather = gather
        self.bound: dict[int, Channel | None] = {}

    def bind(self, message: Message, submission: Submission, channel: Channel, wall_ms: int) -> None:
        """Hand it over again, as soon as a lane of its channel can take it, if there is time."""
        if _is_too_late(message, submission, wall_ms):
            self._gather(message, Unknown(submission, "not_repeated"), wall_ms)
            return
        self.bound[submission.token] = channel
        self._hand_over_again(message, submission, channel)

    def _hand_over_again(self, message: Message, submission: Submission, channel: Channel) -> None:
        # A copy: what is still said of the one before must not be taken for its outcome.
        channel.wake()
        channel.repeats.append((message, msgspec.structs.replace(submission)))

    def outcome(self, message: Message, outcome: Outcome, wall_ms: int) -> Outcome | None:
        """What an outcome of a bound submission means for its message, None when it is handed over once more."""
        submission = outcome.submission
        channel = self.bound[submission.token]
        is_answer = isinstance(outcome, Sent) or (
            isinstance(outcome, Refused) and outcome.scope in (Scope.MESSAGE, Scope.DESTINATION)
        )
        if submission.doubtful_since_ms:
            is_answer = not isinstance(outcome, Returned)
        if is_answer or channel is None or _is_too_late(message, submission, wall_ms):
            del self.bound[submission.token]
            return outcome if is_answer else Unknown(submission, "not_repeated")
        self._hand_over_again(message, submission, channel)
        return None

    def unbind(self, channel: Channel, wall_ms: int) -> None:
        """The channel is gone for good: what only its peer could settle stays in doubt."""
        for token, bound in self.bound.items():
            if bound is channel:
                self.bound[token] = None
        self.give_up(channel, list(channel.repeats), wall_ms)

    def expire(self, channel: Channel, wall_ms: int) -> None:
        """The validity of some has passed, and with it the time to ask again."""
        expired = [pair for pair in channel.repeats if pair[0].expires_at_ms <= wall_ms]
        self.give_up(channel, expired, wall_ms)

    def give_up_questions(self, channel: Channel, wall_ms: int) -> None:
        """The channel cannot look up any more: it would send what it is to ask about."""
        asked = [pair for pair in channel.repeats if pair[1].doubtful_since_ms]
        self.give_up(channel, asked, wall_ms)

    def give_up(self, channel: Channel, which: Iterable[tuple[Message, Submission]], wall_ms: int) -> None:
        for message, submission in which:
            channel.repeats.remove((message, submission))
            del self.bound[submission.token]
            self._gather(message, Unknown(submission, "not_repeated"), wall_ms)


def _is_too_late(message: Message, submission: Submission, wall_ms: int) -> bool:
    """Its validity has passed, and with it the time to hand it over; what a peer is only asked about may be late."""
    return message.expires_at_ms <= wall_ms and not submission.doubtful_since_ms
