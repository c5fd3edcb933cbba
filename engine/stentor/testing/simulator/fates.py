"""What has become of each segment, as its carriers know it, and what may therefore be handed over.

A segment's fate is *settled* (taken, or refused for good), *free* (it did not leave, or nobody took it) or in *doubt*.
A crash puts in doubt what was under way, and what was settled and not durable yet.
"""

from collections.abc import Collection, Sequence
from typing import Final, Literal, Protocol

from stentor.driver import Capabilities, Followed
from stentor.ids import message_key
from stentor.message import Delivery, Status
from stentor.outcome import Deferred, Outcome, Refused, Returned, Scope, Sent, Submission, Unknown
from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.journal import ModelJournal

Fate = Literal["settled", "free", "doubt"]
TOLD: Final = ("no_answer", "begun_anew")
"""What a timeline says of an attempt that may not be the only one that left."""


class Peer(Protocol):
    """A carrier."""

    name: str
    capabilities: Capabilities

    def query(self, segments: Sequence[Followed]) -> None:
        """Asked what became of them."""

    def withdraw(self, segments: Sequence[Followed]) -> None:
        """Asked not to deliver them."""

    def recall(self, submissions: Sequence[Submission]) -> Collection[int]:
        """Asked to give them back."""


class Fates:
    """Fates by token. ``live`` is with a driver; ``told`` are segments of which a late answer has told the engine that
    they left; ``anew`` left once more, where a carrier could not complete their message; ``delivery`` is what each
    message was promised, by key; ``asked_back`` are segments that are a whole message, which is cancelled and which its
    carrier was asked for."""

    def __init__(self, journal: ModelJournal) -> None:
        self.journal = journal
        self.delivery: dict[int, Delivery] = {}
        self.live: dict[int, Submission] = {}
        self.told: dict[int, None] = {}
        self.anew: dict[int, None] = {}
        self.asked_back: dict[int, None] = {}
        self._fate: dict[int, Fate] = {}
        self._copies: dict[int, int] = {}
        self._holders: dict[int, tuple[Peer, int]] = {}

    def has_left(self, token: int) -> bool:
        """Was the segment ever with a driver?"""
        return token in self._holders

    def is_settled(self, token: int) -> bool:
        return self._fate.get(token) == "settled"

    def may_be_repeated(self, token: int) -> bool:
        return self.delivery[message_key(token)] is Delivery.AT_LEAST_ONCE

    def check(self, submission: Submission, carrier: Peer) -> None:
        """Something is handed to a driver: may it be?"""
        token = submission.token
        row = self.journal.messages.get(message_key(token))
        fate = self._fate.get(token)
        if row is None:
            raise Violation(f"segment {token} left before its message was stored")
        if row.final_at_ms:
            raise Violation(f"segment {token} left though its message is {row.status.word}")
        if token in self.live:
            raise Violation(f"segment {token} left twice at once")
        if token in self.asked_back and self.may_be_repeated(token):
            raise Violation(f"segment {token} left again though it was asked back and had come back")
        if carrier.capabilities.unit == "message" and submission.segments > 1 and self.may_be_repeated(token):
            self._forget_segments(message_key(token))
        elif fate == "settled":
            raise Violation(f"segment {token} left again though its result was known")
        if not self.may_be_repeated(token):
            if fate == "doubt" and not self._may_ask_again(submission, carrier):
                raise Violation(f"segment {token} left again, its message may be sent at most once")
            if row.status is not Status.SENDING:
                raise Violation(f"segment {token} left before its lease was durable")
        self.live[token] = submission
        self._holders[token] = (carrier, submission.attempt)

    def _may_ask_again(self, submission: Submission, carrier: Peer) -> bool:
        """An idempotent peer is handed the same attempt once more, and one that can be asked is asked about it."""
        holder = self._holders[submission.token]
        is_question = bool(submission.doubtful_since_ms)
        return (carrier.capabilities.is_idempotent or is_question) and holder == (carrier, submission.attempt)

    def _forget_segments(self, key: int) -> None:
        """Who takes whole messages cannot complete one: what had left of it counts no longer."""
        for index in range(1, 256):
            fate = self._fate.get(key + index)
            if fate == "settled":
                self._fate[key + index] = "free"
            if fate in ("settled", "doubt"):
                # A receipt may have told of what is in doubt, by its reference.
                self.anew[key + index] = None

    def note(self, outcome: Outcome) -> None:
        """A driver answers for a submission."""
        token = outcome.submission.token
        self.live.pop(token, None)
        match outcome:
            case _ if token in self.told:
                self._fate[token] = "settled"
            case Deferred() if outcome.submission.doubtful_since_ms:
                self._fate[token] = "free"
            case _ if self._fate.get(token) == "doubt" and not isinstance(outcome, Sent | Refused):
                pass  # what was handed over once more and came back may have left the first time
            case Refused() if outcome.scope in (Scope.LANE, Scope.CHANNEL):
                if self._fate.get(token) != "doubt":
                    self._fate[token] = "free"
            case Sent() | Refused():
                self._fate[token] = "settled"
            case Unknown():
                self._fate[token] = "doubt"
            case Deferred() | Returned():
                self._fate[token] = "free"

    def took(self, token: int) -> None:
        """A carrier took the segment, and knows of no other copy."""
        self._copies[token] = self._copies.get(token, 0) + 1

    def note_late(self, token: int) -> None:
        """An answer came behind its doubt, and the engine knows of that."""
        self.told[token] = None
        if token not in self.live:
            self._fate[token] = "settled"

    def crash(self) -> None:
        self._fate.update(dict.fromkeys(self.live, "doubt"))
        self.asked_back.clear()
        self.live.clear()
        for token, fate in self._fate.items():
            if fate == "settled" and not self._is_durable(token):
                self._fate[token] = "doubt"
        self.told = {token: None for token in self.told if self._is_durable(token)}

    def _is_durable(self, token: int) -> bool:
        row = self.journal.segments.get(token)
        message = self.journal.messages[message_key(token)]
        return bool(message.final_at_ms) or (row is not None and row[1].status >= Status.SENT)

    def check_end(self) -> None:
        """What a late answer told of has left, and nobody may say that it cannot be known. What was taken twice says so
        in its timeline."""
        for token, copies in self._copies.items():
            lines = self.journal.history.get(message_key(token), ())
            if copies > 1 and not any(line.error and line.error.code in TOLD for line in lines):
                raise Violation(f"segment {token} was taken {copies} times, and its timeline does not say so")
        for token in self.told:
            row = self.journal.messages[message_key(token)]
            is_doubt = (
                row.status is Status.UNKNOWN and row.error is not None and row.error.code == "no_answer"
            )
            if is_doubt and row.segments == 1:
                raise Violation(f"segment {token} left, as its late answer told, and is {row.status.word}")
