"""One configured channel: runs its driver, incarnation after incarnation, and is the host the driver talks to."""

import asyncio
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stentor.aio import failpoints
from stentor.aio.door import Desk, Door
from stentor.aio.pump import Pump
from stentor.clock import Clock
from stentor.dispatch.memory import Memory
from stentor.driver import Driver, DriverSpec, DriverStatus, HTTPExchange, Inbound, Log, Receipt
from stentor.errors import ConfigError
from stentor.outcome import Outcome

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
STEADY_S: Final = 60.0
"""An incarnation that lived this long starts the pauses anew."""


class Facilities(msgspec.Struct, frozen=True):
    """What the engine has for all channels alike. ``random`` gives numbers in [0, 1)."""

    pump: Pump
    door: Door
    memory: Memory
    random: Callable[[], float]


class ChannelHost:
    """The engine as one incarnation of a driver sees it. Once the incarnation has ended, calls change nothing."""

    def __init__(self, name: str, facilities: Facilities, desk: Desk, log: Log) -> None:
        self.channel = name
        self.clock: Clock = facilities.pump.clock
        self.log = log
        self.random = facilities.random
        self.is_over = False
        self._pump = facilities.pump
        self._memory = facilities.memory
        self._desk = desk

    def lane(self, key: str, window: int, rate: float | None = None) -> None:
        if not self.is_over:
            now, wall_ms = self.clock.now(), self.clock.wall_ms()
            self._pump.dispatcher.offer_lane(self.channel, key, window, rate, now, wall_ms)
            self._pump.kick()

    def remove_lane(self, key: str) -> None:
        if not self.is_over:
            self._pump.dispatcher.remove_lane(self.channel, key, self.clock.now(), self.clock.wall_ms())
            self._pump.kick()

    def resolve(self, outcomes: Sequence[Outcome]) -> None:
        if not self.is_over:
            self._pump.resolve(outcomes)
            failpoints.hit("outcomes-reported")

    def receive(self, items: Sequence[Receipt | Inbound], settled: Callable[[bool], None]) -> None:
        if self.is_over:
            settled(False)
            return
        self._pump.dispatcher.receive(self.channel, items, settled, self.clock.wall_ms())
        failpoints.hit("receipts-reported")
        self._pump.kick()

    def serve(self, prefix: str, handler: Callable[[HTTPExchange], None], body_limit: int = 65_536) -> None:
        if not self.is_over:
            self._desk.serve(prefix, handler, body_limit)

    def request(
        self,
        method: str,
        target: str,
        body: bytes,
        answered: Callable[[int, bytes], None],
        fields: Iterable[tuple[str, str]] = (),
        account: str = "",
    ) -> None:
        if not self.is_over:
            self._desk.request(method, target, body, answered, fields, account)

    def keep(self, name: str, value: bytes | None, durable: Callable[[], None] | None = None) -> None:
        if self.is_over:
            return
        self._memory.keep(self.channel, name, value)
        if durable is not None:
            self._pump.when_durable(functools.partial(self._kept, durable))
        else:
            self._pump.kick()

    def _kept(self, durable: Callable[[], None]) -> None:
        if self.is_over:
            return
        try:
            durable()
        except Exception as error:
            # Others wait for the same commit and must be told of it.
            self.log.error("driver failed to hear what is durable", error=repr(error), exc_info=True)

    def kept(self) -> Mapping[str, bytes]:
        return self._memory.kept(self.channel)

    def asked_back(self, tokens: Collection[int]) -> None:
        if not self.is_over:
            self._pump.dispatcher.cancelling.asked(tokens)


class RunningChannel:
    """Supervises one channel for as long as it is configured and enabled."""

    def __init__(
        self,
        name: str,
        spec: DriverSpec,
        config: Any,
        rate: float,
        facilities: Facilities,
        log: Log,
    ) -> None:
        self.name = name
        self.spec = spec
        self.config = config
        pump = facilities.pump
        self.channel = pump.dispatcher.add_channel(
            name, spec.name, spec.capabilities(config), rate, pump.clock.now()
        )
        self._facilities = facilities
        self._pump = facilities.pump
        self._door = facilities.door
        self._log = log
        self._driver: Driver | None = None
        self._desk: Desk | None = None
        self._is_draining = False

    def status(self) -> DriverStatus:
        return self._driver.status() if self._driver is not None else DriverStatus()

    async def run(self) -> None:
        """Incarnations with growing pauses between them, until drained."""
        pause_s = FIRST_PAUSE_S
        while not self._is_draining:
            began = self._pump.clock.now()
            await self._live()
            if self._is_draining:
                return
            if self._pump.clock.now() - began > STEADY_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s * (0.5 + self._facilities.random()))
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _live(self) -> None:
        """One incarnation. A driver's bug ends the incarnation, never the daemon."""
        desk = self._desk = self._door.open(self.name, self._log)
        host = ChannelHost(self.name, self._facilities, desk, self._log)
        try:
            self._driver = self._pump.drivers[self.name] = self.spec.make(self.config, host)
            await self._driver.run()
        except ConfigError as error:
            self._note(str(error))
            self._log.error("channel cannot run", channel=self.name, detail=str(error))
        except Exception as error:
            self._note(f"driver failed: {type(error).__name__}: {error}")
            self._log.error("driver failed", channel=self.name, error=repr(error), exc_info=True)
        finally:
            self._end(host, desk)

    def _note(self, error: str) -> None:
        self.channel.last_error = error
        self.channel.last_error_at_ms = self._pump.clock.wall_ms()

    def _end(self, host: ChannelHost, desk: Desk) -> None:
        """Nothing of an incarnation outlives it: what it still holds is in doubt."""
        for key in list(self.channel.lanes):
            host.remove_lane(key)
        host.is_over = True
        desk.close()
        self._driver = self._desk = None
        self._pump.drivers.pop(self.name, None)
        self._pump.kick()

    async def drain(self, deadline: float) -> None:
        """Close in good order; :meth:`run` returns."""
        self._is_draining = True
        self._door.loosen(self.name)
        if self._desk is not None:
            self._desk.drain()
        if self._driver is not None:
            await self._driver.drain(deadline)
