"""What simulated phones are like: the app's own periods, and shares and delays of everything that goes wrong."""

from typing import Final

import msgspec

from bench.peers.behaviour import Delay, Shape

NEVER: Final = Delay()
BASELINE: Final = "1.68.0"


class Periods(msgspec.Struct, frozen=True, gc=False):
    """The app's own waiting times in seconds, which no user sets."""

    reconnects: tuple[float, float, float] = (5.0, 30.0, 60.0)
    """Before attempts 1 to 5 of a stream, 6 to 10, and all later ones. There is no jitter."""
    poll: float = 900.0
    refresh: float = 86_400.0
    retry: float = 10.0
    longest_retry: float = 18_000.0
    hook_retry: float = 5.0
    window: float = 60.0
    """The unit of the limits: a minute."""

    def hurried(self, factor: float) -> "Periods":
        """All of them so many times shorter."""
        first, second, third = self.reconnects
        return Periods(
            (first / factor, second / factor, third / factor),
            self.poll / factor,
            self.refresh / factor,
            self.retry / factor,
            self.longest_retry / factor,
            self.hook_retry / factor,
            self.window,
        )

    def reconnect_s(self, attempt: int) -> float:
        """The pause before the attempt, counted from 1."""
        return self.reconnects[0 if attempt <= 5 else 1 if attempt <= 10 else 2]

    def retry_s(self, repeats: int) -> float:
        """The pause before a request that failed so many times before is made again."""
        return min(self.retry * 2.0**repeats, self.longest_retry)


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """Shares are between 0 and 1: of phones, of starts, of messages or of reports, as their comment says.
    Delays between accidents are drawn for each phone; the zero delay means never."""

    periods: Periods = Periods()
    versions: tuple[tuple[str, float], ...] = ((BASELINE, 1.0),)
    sims: int = 1
    pushed: float = 0.0
    """Of phones: hold a push token and open no stream."""
    foreign: float = 0.0
    """Of phones: come from another server and begin with its token."""
    old_dates: float = 0.0
    """Of phones: write the offset of a date as Android 5 did."""
    skew: Delay = NEVER
    """How far a phone's clock is ahead or behind."""

    duplicates: float = 0.0
    """Of starts: a second PATCH, and with it a second stream."""
    restart_every: Delay = NEVER
    restart_takes: Delay = Delay(Shape.UNIFORM, 1.0, 5.0)
    wiped: float = 0.0
    """Of restarts: the app's data are cleared; it registers anew and has forgotten every message."""
    radio_lost_every: Delay = NEVER
    radio_lost_for: Delay = Delay(Shape.UNIFORM, 2.0, 20.0)
    doze_every: Delay = NEVER
    doze_for: Delay = Delay(Shape.UNIFORM, 30.0, 120.0)

    handover: Delay = Delay(Shape.UNIFORM, 0.1, 0.4)
    sent_after: Delay = Delay(Shape.UNIFORM, 1.0, 3.0)
    delivered_after: Delay = Delay(Shape.UNIFORM, 1.0, 5.0)
    failing: float = 0.0
    """Of messages: Android reports a failure."""
    undelivered: float = 0.0
    """Of messages: a delivery report says failed."""
    unheard: float = 0.0
    """Of messages: no delivery report ever comes."""
    unsent: float = 0.0
    """Of messages: Sent is never seen, Delivered follows Processed."""
    parts_limit: int = 30
    """Parts a minute that Android lets the app send; 0 for any number."""

    report_delay: Delay = NEVER
    report_late: float = 0.0
    report_late_by: Delay = Delay(Shape.UNIFORM, 0.5, 5.0)
    """What is late keeps the snapshot it was made with, so it comes behind later ones."""
    report_twice: float = 0.0
    report_missing: float = 0.0

    inbound_every: Delay = NEVER
    inbound_twice: float = 0.0
    """Of inbound messages: delivered a second time under another id."""


def version_of(text: str) -> tuple[int, ...]:
    """``1.53.1`` as numbers to compare. Raises ValueError."""
    return tuple(int(word) for word in text.split("."))
