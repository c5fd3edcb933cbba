"""How long a bind waits before it tries again. Pure: time and chance are arguments.

A lost or unreachable peer is tried again after pauses that double. A peer that refused the login is left alone for
minutes, because accounts get locked; one that still holds our old session needs a while to let go of it.
"""

from typing import Final

from stentor_smpp.status import RALYBND, StatusClass, lookup

STEADY_S: Final = 30.0
"""A bind that stood this long starts the pauses anew."""
_MOST_DOUBLINGS: Final = 20


class Pauses:
    """The pauses of one bind."""

    __slots__ = ("_first_s", "_longest_s", "_pause_s", "_refused_longest_s", "_refused_s", "refusals")

    def __init__(self, first_s: float, longest_s: float, refused_s: float, refused_longest_s: float) -> None:
        self._first_s = self._pause_s = first_s
        self._longest_s = longest_s
        self._refused_s = refused_s
        self._refused_longest_s = refused_longest_s
        # Refusals of the login one after the other.
        self.refusals = 0

    def bound(self) -> None:
        """The login was taken."""
        self.refusals = 0

    def lost(self, stood_s: float, chance: float) -> float:
        """The pause after a connection that could not be made, or that ended ``stood_s`` after it was bound."""
        if stood_s >= STEADY_S:
            self._pause_s = self._first_s
        pause_s = self._pause_s
        self._pause_s = min(self._longest_s, pause_s * 2)
        return pause_s * (0.5 + chance)

    def refused(self, status: int, chance: float, others_refusals: int = 0) -> float:
        """The pause after a bind was refused."""
        if is_login_refused(status):
            self.refusals += 1
            doublings = min(_MOST_DOUBLINGS, max(self.refusals, others_refusals) - 1)
            pause_s = min(self._refused_longest_s, self._refused_s * (1 << doublings))
        else:
            # Above all RALYBND: the SMSC still holds our old session and lets go of it in its own time.
            pause_s = self._refused_s / 2
        return max(self._first_s, pause_s) * (0.75 + chance / 2)


def is_login_refused(status: int) -> bool:
    """True for what will not mend itself: wrong password, unknown account, no right to bind."""
    return status != RALYBND and lookup(status).status_class is StatusClass.BIND_FATAL
