"""One attempt at a message: the outcomes of its submissions, gathered until the last is in."""

import msgspec

from stentor.message import Error
from stentor.outcome import Deferred, Outcome, Refused, Returned, Scope, Sent, Unknown


class Attempt(msgspec.Struct, gc=False):
    """What an attempt knows while ``pending`` of its submissions have no outcome.

    ``failures`` are outcomes other than Sent, by token; the rest says what they come to. ``turned_away``: refused for
    no fault of its own. ``slots``: of the record of flights, for what is in doubt.
    """

    pending: int
    failures: dict[int, Outcome] = msgspec.field(default_factory=dict)
    refused: Refused | None = None
    turned_away: Refused | None = None
    deferred: Deferred | None = None
    doubt: Unknown | None = None
    is_throttled: bool = False
    is_returned: bool = False
    slots: list[int] = msgspec.field(default_factory=list)

    def gather(self, outcome: Outcome) -> None:
        """One submission more has its outcome."""
        self.pending -= 1
        if not isinstance(outcome, Sent):
            self.failures[outcome.submission.token] = outcome
            self._add(outcome)

    def forgive(self, token: int) -> bool:
        """The segment had left after all; False if its submission has no outcome yet."""
        if self.failures.pop(token, None) is None:
            return False
        self.refused = self.turned_away = self.deferred = self.doubt = None
        self.is_throttled = self.is_returned = False
        for outcome in self.failures.values():
            self._add(outcome)
        return True

    def _add(self, outcome: Outcome) -> None:
        match outcome:
            case Refused() if outcome.scope in (Scope.LANE, Scope.CHANNEL):
                self.turned_away = outcome
            case Refused():
                self.refused = outcome
            case Deferred() if outcome.is_throttle:
                self.is_throttled = True
            case Deferred():
                self.deferred = outcome
            case Unknown():
                self.doubt = outcome
            case Returned():
                self.is_returned = True

    @property
    def doubtful(self) -> list[int]:
        """Tokens of what is in doubt."""
        return [token for token, outcome in self.failures.items() if isinstance(outcome, Unknown)]


def error_of(outcome: Refused | Deferred | Unknown) -> Error:
    """Why, as the message will say it."""
    if isinstance(outcome, Unknown):
        return Error("no_answer", None, outcome.reason)
    return Error(outcome.code, outcome.carrier_code, outcome.detail[:200])
