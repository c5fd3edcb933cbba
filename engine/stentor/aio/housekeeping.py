"""What happens once a second whatever else does: signs of life, the status line, the journal's upkeep, loop lag, a look
at the disk, at the wall clock and at channels on which nothing gets through."""

import asyncio
from typing import Final

from stentor.aio.engine import RunningEngine
from stentor.aio.journal.room import Room
from stentor.aio.journal.writer import Journal
from stentor.aio.logs import Logs
from stentor.aio.sdnotify import Notifier
from stentor.clock import SteadyClock, StepKind
from stentor.driver import Log
from stentor.errors import JournalError

PERIOD_S: Final = 1.0
STATUS_S: Final = 5.0
STUCK_COMMIT_S: Final = 20.0
"""A commit under way for longer is a dead writer: the watchdog is left to bite."""
EXTEND_EVERY_S: Final = 10.0
EXTENSION_S: Final = 30.0
"""How much more time a start asks for, again and again; an unclean journal of gigabytes is looked at page by page."""
LAG_LIMIT_S: Final = 1.0
LAG_ALARM_S: Final = 0.05


async def ask_for_time(notifier: Notifier) -> None:
    """Until cancelled, while the daemon starts: the manager's patience must not end where the disk is merely slow."""
    while True:
        await asyncio.sleep(EXTEND_EVERY_S)
        notifier.extend_timeout(int(EXTENSION_S * 1e6))


class Housekeeping:
    """Runs as one task."""

    def __init__(
        self,
        engine: RunningEngine,
        journal: Journal,
        notifier: Notifier,
        logs: Logs,
        log: Log,
        room: Room,
        clock: SteadyClock,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._notifier = notifier
        self._logs = logs
        self._log = log
        self._room = room
        self._clock = clock
        self._said_alive = self._said_status = 0.0
        self._open: set[str] = set()

    async def run(self) -> None:
        clock = self._clock
        while True:
            due = clock.now() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            now = clock.now()
            lag_s = max(0.0, now - due)
            self._engine.loop_lag_ms = lag_s * 1000
            if lag_s > LAG_ALARM_S:
                self._log.warning("loop lag", lag_ms=round(lag_s * 1000))
            self._say_alive(now, lag_s)
            self._say_status(now, self._engine.count_up())
            self._logs.flush()
            self._tell_clock()
            self._tell_circuits()
            await self._room.look(now)
            await self._keep_journal(now)

    def _say_alive(self, now: float, lag_s: float) -> None:
        interval_s = self._notifier.watchdog_interval_s
        if interval_s is None or now - self._said_alive < min(interval_s, STUCK_COMMIT_S) - PERIOD_S:
            return
        since = self._engine.pump.commit_since
        if (
            lag_s < LAG_LIMIT_S
            and (since is None or now - since < STUCK_COMMIT_S)
            and self._notifier.watchdog()
        ):
            self._said_alive = now

    def _say_status(self, now: float, up: int) -> None:
        if now - self._said_status < STATUS_S:
            return
        self._said_status = now
        dispatcher = self._engine.pump.dispatcher
        trouble = self._engine.pump.trouble
        self._notifier.status(
            f"{self._engine.state}; {len(dispatcher.backlog)} queued, {dispatcher.scheduled} scheduled, "
            f"{len(dispatcher.settler.flights)} in flight; {up} of {len(dispatcher.channels)} channels up"
            + (f"; {trouble}" if trouble is not None else "")
        )

    def _tell_clock(self) -> None:
        # Also a daemon that has nothing to do notices a step.
        self._clock.wall_ms()
        self._engine.clock_held_ms = self._clock.held_ms
        for step in self._clock.take_steps():
            step_s = round(step.step_ms / 1000, 1)
            match step.kind:
                case StepKind.FOLLOWED:
                    self._log.warning("wall clock stepped", step_s=step_s, each_time=True)
                case StepKind.HELD:
                    detail = "nothing expires or falls due by it; reload when it is right"
                    self._log.error("wall clock stepped far", step_s=step_s, detail=detail, each_time=True)
                case StepKind.RETURNED:
                    self._log.warning("wall clock came back", step_s=step_s, each_time=True)
                case StepKind.BELIEVED:
                    self._log.warning("wall clock is followed again", step_s=step_s, each_time=True)

    def _tell_circuits(self) -> None:
        """Of circuits that have opened or closed since the last look; not of probes in between."""
        channels = self._engine.pump.dispatcher.channels
        is_open = {name for name, channel in channels.items() if not channel.breaker.is_closed}
        for name in sorted(is_open - self._open):
            reason = channels[name].breaker.reason
            self._log.warning("circuit opened", channel=name, reason=reason)
        for name in sorted(self._open - is_open):
            self._log.info("circuit closed", channel=name)
        self._open = is_open

    async def _keep_journal(self, now: float) -> None:
        try:
            await self._journal.maintain(now)
        except JournalError as error:
            # Upkeep can wait for room on the disk; a commit that cannot be written says so itself.
            self._log.warning("journal upkeep failed", reason=str(error))
