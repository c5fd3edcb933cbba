"""The state reports of a simulated phone: one for each change, in good order or late, twice, or never. Pure."""

from collections.abc import Callable
from random import Random
from typing import Final

from bench.peers.phone_agenda import Agenda
from bench.peers.phone_habits import Habits
from bench.peers.phone_outbox import FINAL, Entry, snapshot
from bench.peers.phone_requests import Kind, Request
from bench.peers.phone_statistics import Statistics

MOST_REPEATS: Final = 10


class Reports:
    """``send`` begins a request; ``may_send`` tells whether jobs run now: what may not waits for :meth:`catch_up`."""

    def __init__(
        self,
        habits: Habits,
        agenda: Agenda,
        random: Random,
        statistics: Statistics,
        send: Callable[[float, Request], None],
        may_send: Callable[[float], bool],
        zone_minutes: int,
        has_old_dates: bool,
    ) -> None:
        self._habits = habits
        self._agenda = agenda
        self._random = random
        self._count = statistics
        self._begin = send
        self._may_send = may_send
        self._zone_minutes = zone_minutes
        self._has_old_dates = has_old_dates
        self._held: list[Callable[[float], None]] = []

    def make(self, now: float, entry: Entry) -> None:
        """A message changed, or its state was asked for."""
        habits, random = self._habits, self._random
        if random.random() < habits.report_missing:
            self._count.missed += 1
            return
        delay_s = habits.report_delay.draw(random)
        copies = 2 if random.random() < habits.report_twice else 1
        for copy in range(copies):
            if random.random() < habits.report_late:
                body, is_final = self._snapshot(entry), entry.state in FINAL
                late_s = habits.report_late_by.draw(random)
                self._agenda.add(now + late_s, self._send, entry, 0, body, is_final)
            elif delay_s or copy:
                self._agenda.add(now + delay_s + 0.02 * copy, self._send, entry)
            else:
                self._send(now, entry)

    def failed(self, now: float, request: Request) -> None:
        """It is repeated, with a fresh snapshot, until that is given up."""
        assert request.entry is not None
        if request.repeats >= MOST_REPEATS:
            self._count.given_up += 1
            return
        pause_s = self._habits.periods.retry * 2.0**request.repeats
        self._agenda.add(now + pause_s, self._send, request.entry, request.repeats + 1)

    def catch_up(self, now: float) -> None:
        """Jobs may run again."""
        held, self._held = self._held, []
        for send in held:
            send(now)

    def _snapshot(self, entry: Entry) -> bytes:
        return snapshot(entry, self._zone_minutes, is_old=self._has_old_dates)

    def _send(
        self, now: float, entry: Entry, repeats: int = 0, body: bytes = b"", is_final: bool = False
    ) -> None:
        if not self._may_send(now):
            self._held.append(lambda later: self._send(later, entry, repeats, body, is_final))
            return
        if not body:
            body, is_final = self._snapshot(entry), entry.state in FINAL
        self._count.reports += 1
        report = Request(Kind.REPORT, "PATCH", "/message", body=body, repeats=repeats, entry=entry)
        report.is_final = is_final
        self._begin(now, report)
