"""The send loop of a simulated phone, and what Android and the network make of each message. Pure."""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

from bench.peers.phone_agenda import Agenda
from bench.peers.phone_habits import Habits
from bench.peers.phone_outbox import Entry, Outbox, Recipient, State
from bench.peers.phone_statistics import Statistics

SKIPS_LIMITS: Final = 100
"""Priorities from here on wait for no limit and no pause."""
_FAILURES: Final = (
    "RESULT_ERROR_GENERIC_FAILURE (Generic failure cause)",
    "RESULT_NETWORK_REJECT (Network rejected the request)",
    "RESULT_MODEM_ERROR (Modem error)",
)
_NO_SERVICE: Final = "Send result: RESULT_ERROR_NO_SERVICE (No service)"
_TOO_MANY: Final = "Send result: RESULT_ERROR_LIMIT_EXCEEDED (Too many messages)"
_UNDELIVERED: Final = "Delivery result from SC +15550009999: 65"
LIMIT_PERIODS: Final = {
    "Disabled": 0.0,
    "PerMinute": 1.0,
    "Per30Minutes": 30.0,
    "PerHour": 60.0,
    "PerDay": 1440.0,
}
"""Lengths in minutes."""


class Pace(msgspec.Struct, frozen=True):
    """What settings say about sending."""

    interval_min_s: float = 0.0
    interval_max_s: float = 0.0
    limit_period: str = "Disabled"
    limit_value: int = 0
    is_fifo: bool = False

    @property
    def order(self) -> str:
        """As a pull asks for it."""
        return "fifo" if self.is_fifo else "lifo"


class Modem:
    """Sends what waits in the outbox, one message at a time; tells each change of a message's state."""

    def __init__(
        self,
        habits: Habits,
        outbox: Outbox,
        agenda: Agenda,
        random: Random,
        wall_ms: Callable[[float], int],
        changed: Callable[[float, Entry], None],
        handed: Callable[[float, Entry], None],
        statistics: Statistics,
    ) -> None:
        self.pace = Pace()
        self.is_on = False
        self.has_network = True
        self._habits = habits
        self._outbox = outbox
        self._agenda = agenda
        self._random = random
        self._wall_ms = wall_ms
        self._changed = changed
        self._handed = handed
        self._statistics = statistics
        self._is_busy = False
        self._free_at = 0.0
        self._previous_priority = -128
        self._processed: deque[float] = deque(maxlen=10_000)
        self._parts: deque[tuple[float, int]] = deque()

    def consider(self, now: float) -> None:
        """Send the next message if there is one and it may go now; else come back when it may."""
        if not self.is_on or self._is_busy:
            return
        wall_ms = self._wall_ms(now)
        entry = self._outbox.take(wall_ms, is_fifo=self.pace.is_fifo)
        if entry is None:
            due_ms = self._outbox.next_due_ms()
            if due_ms is not None:
                self._agenda.add(now + (due_ms - wall_ms) / 1000 + 0.001, self.consider)
            return
        at = now if self._may_skip(entry) else max(self._free_at, self._allowed_at(now))
        if at > now:
            self._agenda.add(at, self.consider)
            return
        self._outbox.waiting.remove(entry)
        self._is_busy = True
        self._previous_priority = entry.priority
        self._send(now, entry, wall_ms)
        self._agenda.add(now + self._habits.handover.draw(self._random), self._go_on)

    def _go_on(self, now: float) -> None:
        self._is_busy = False
        pace = self.pace
        if pace.interval_max_s:
            self._free_at = now + self._random.uniform(pace.interval_min_s, pace.interval_max_s)
        self.consider(now)

    def _may_skip(self, entry: Entry) -> bool:
        return entry.priority >= SKIPS_LIMITS and self._previous_priority < entry.priority

    def _allowed_at(self, now: float) -> float:
        """When the limit allows the next message: the whole period after the last one once it is reached."""
        period_s = LIMIT_PERIODS[self.pace.limit_period] * self._habits.periods.window
        if not period_s or not self.pace.limit_value:
            return now
        recent = sum(1 for at in self._processed if at > now - period_s)
        return now if recent < self.pace.limit_value else self._processed[-1] + period_s

    # -- one message ---------------------------------------------------------------------------------------

    def _send(self, now: float, entry: Entry, wall_ms: int) -> None:
        if entry.valid_until_ms and entry.valid_until_ms < wall_ms:
            self._fail_all(now, entry, "TTL expired")
            return
        if entry.sim > self._habits.sims:
            self._fail_all(now, entry, f"Can't send message: SIM {entry.sim} not found")
            return
        self._processed.append(now)
        self._handed(now, entry)
        for recipient in entry.recipients:
            self._set(now, entry, recipient, State.PROCESSED)
            self._agenda.add(now + self._habits.sent_after.draw(self._random), self._answer, entry, recipient)

    def _fail_all(self, now: float, entry: Entry, error: str) -> None:
        for recipient in entry.recipients:
            self._set(now, entry, recipient, State.FAILED, error)

    def _answer(self, now: float, entry: Entry, recipient: Recipient) -> None:
        """Android says what became of a message it was handed."""
        habits, random = self._habits, self._random
        error = self._refusal(now, entry)
        if error:
            self._set(now, entry, recipient, State.FAILED, error)
            return
        if not entry.wants_delivery or random.random() >= habits.unsent:
            self._set(now, entry, recipient, State.SENT)
        if entry.wants_delivery and random.random() >= habits.unheard:
            self._agenda.add(now + habits.delivered_after.draw(random), self._deliver, entry, recipient)

    def _refusal(self, now: float, entry: Entry) -> str:
        """Why Android does not send it; empty when it does."""
        if not self.has_network:
            return _NO_SERVICE
        if not self._has_room(now, entry.parts):
            self._statistics.violations["more parts a minute than Android lets through"] += 1
            return _TOO_MANY
        if self._random.random() < self._habits.failing:
            return f"Send result: {self._random.choice(_FAILURES)}"
        return ""

    def _has_room(self, now: float, parts: int) -> bool:
        """Android's own limit of an app, in parts of a minute."""
        recent, limit = self._parts, self._habits.parts_limit
        while recent and recent[0][0] <= now - self._habits.periods.window:
            recent.popleft()
        if limit and sum(count for _, count in recent) + parts > limit:
            return False
        recent.append((now, parts))
        return True

    def _deliver(self, now: float, entry: Entry, recipient: Recipient) -> None:
        if self._random.random() < self._habits.undelivered:
            self._set(now, entry, recipient, State.FAILED, _UNDELIVERED)
        else:
            self._set(now, entry, recipient, State.DELIVERED)

    def _set(self, now: float, entry: Entry, recipient: Recipient, state: State, error: str = "") -> None:
        recipient.state = state
        recipient.error = error
        entry.note(self._wall_ms(now))
        self._statistics.states[state.value] += 1
        self._changed(now, entry)

    def settings(self, section: dict[str, Any]) -> None:
        """The section ``messages``; a null resets a key. Raises ValueError for a value the app does not know."""
        period = section.get("limit_period", self.pace.limit_period) or "Disabled"
        order = section.get("processing_order", "FIFO" if self.pace.is_fifo else "LIFO") or "LIFO"
        if period not in LIMIT_PERIODS or order not in ("LIFO", "FIFO"):
            raise ValueError(f"{period!r} or {order!r} is no value the app knows")
        self.pace = Pace(
            float(section.get("send_interval_min", self.pace.interval_min_s) or 0),
            float(section.get("send_interval_max", self.pace.interval_max_s) or 0),
            period,
            int(section.get("limit_value", self.pace.limit_value) or 0),
            order == "FIFO",
        )
