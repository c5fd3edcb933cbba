"""Every timer of a session as one frozen value that is asked with the current time.

Owns the durations and the moments they count from (SMPP 3.4 sections 2.7 and 7.2). Nothing here runs: a
session replaces the value when something happened and asks it which deadline is next and which have passed.
The response timer of requests is the one exception: its deadlines stand with the requests, which expire in
the order they were sent; only its duration is kept here.
"""

from enum import Enum
from typing import Final

import msgspec


class Timer(Enum):
    """What ran out."""

    SESSION_INIT = "session_init"
    BIND_RESPONSE = "bind response"
    ENQUIRE_LINK = "enquire_link"
    ENQUIRE_RESPONSE = "enquire_link response"
    INACTIVITY = "inactivity"
    UNBIND_RESPONSE = "unbind response"
    PDU = "pdu"


class TimerSettings(msgspec.Struct, frozen=True, gc=False):
    """Durations in seconds. None switches off the two that may be off."""

    session_init_s: float = 10.0
    bind_response_s: float = 10.0
    enquire_link_s: float | None = 30.0
    enquire_response_s: float = 10.0
    inactivity_s: float | None = None
    response_s: float = 30.0
    unbind_response_s: float = 5.0
    # A PDU once begun must be whole by then, or one octet a second would hold a buffer for ever.
    pdu_s: float = 10.0


_NEVER: Final = float("inf")


class Timers(msgspec.Struct, frozen=True, gc=False):
    """The moments the running timers count from, monotonic seconds; None where a timer does not run."""

    settings: TimerSettings
    opened_at: float
    bind_at: float | None = None
    received_at: float | None = None
    message_at: float | None = None
    enquire_at: float | None = None
    unbind_at: float | None = None
    pdu_at: float | None = None

    def bind_sent(self, now: float) -> "Timers":
        """The ESME asked to be bound."""
        return Timers(self.settings, self.opened_at, now, pdu_at=self.pdu_at)

    def bound(self, now: float) -> "Timers":
        """The bind stands: from now on silence and idleness count."""
        return Timers(self.settings, self.opened_at, None, now, now, pdu_at=self.pdu_at)

    def received(self, now: float, is_message: bool, pdu_at: float | None) -> "Timers":
        """Whole PDUs came in: the peer lives, whatever they were. ``pdu_at``: when the part left over
        began."""
        if self.received_at is None:
            return Timers(
                self.settings, self.opened_at, self.bind_at, unbind_at=self.unbind_at, pdu_at=pdu_at
            )
        message_at = now if is_message else self.message_at
        return Timers(self.settings, self.opened_at, None, now, message_at, None, self.unbind_at, pdu_at)

    def began(self, pdu_at: float) -> "Timers":
        """A PDU began and is not whole yet."""
        return msgspec.structs.replace(self, pdu_at=pdu_at)

    def sent(self, now: float) -> "Timers":
        """A message was sent; only the inactivity timer cares."""
        return msgspec.structs.replace(self, message_at=now)

    def enquired(self, now: float) -> "Timers":
        """enquire_link was sent."""
        return msgspec.structs.replace(self, enquire_at=now)

    def unbind_sent(self, now: float) -> "Timers":
        """unbind was sent: nothing but its answer is waited for any more."""
        return msgspec.structs.replace(self, unbind_at=now)

    def next_deadline(self, oldest_response: float | None = None) -> float:
        """The earliest deadline, that of the oldest request included; infinity when nothing runs."""
        earliest = _NEVER if oldest_response is None else oldest_response
        for deadline, _ in self._deadlines():
            if deadline < earliest:
                earliest = deadline
        return earliest

    def fired(self, now: float) -> list[Timer]:
        """The timers whose deadline is not after ``now``, earliest first."""
        due = sorted((deadline, timer.value) for deadline, timer in self._deadlines() if deadline <= now)
        return [Timer(name) for _, name in due]

    def _deadlines(self) -> list[tuple[float, Timer]]:
        settings = self.settings
        running: list[tuple[float, Timer]] = []
        if self.pdu_at is not None:
            running.append((self.pdu_at + settings.pdu_s, Timer.PDU))
        if self.unbind_at is not None:
            running.append((self.unbind_at + settings.unbind_response_s, Timer.UNBIND_RESPONSE))
        elif self.received_at is not None:
            self._bound_deadlines(settings, self.received_at, running)
        elif self.bind_at is not None:
            running.append((self.bind_at + settings.bind_response_s, Timer.BIND_RESPONSE))
        else:
            running.append((self.opened_at + settings.session_init_s, Timer.SESSION_INIT))
        return running

    def _bound_deadlines(
        self, settings: TimerSettings, received_at: float, running: list[tuple[float, Timer]]
    ) -> None:
        if self.enquire_at is not None:
            running.append((self.enquire_at + settings.enquire_response_s, Timer.ENQUIRE_RESPONSE))
        elif settings.enquire_link_s is not None:
            running.append((received_at + settings.enquire_link_s, Timer.ENQUIRE_LINK))
        if settings.inactivity_s is not None and self.message_at is not None:
            running.append((self.message_at + settings.inactivity_s, Timer.INACTIVITY))
