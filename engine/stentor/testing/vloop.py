"""An asyncio event loop whose time is virtual: when nothing is ready, it jumps to the next timer.

A test that waits an hour takes no time, and the same test takes the same course each time. Connections go through
``network`` in memory; nothing here opens a socket or starts a thread. A loop in which nothing can ever happen again,
or that spins without time passing, ends with an exception that says so instead of hanging.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from stentor.testing.network import MemoryServer, MemoryTransport, Network

T = TypeVar("T")

SPIN_ROUNDS: Final = 200_000
LONGEST_S: Final = 1e7


class Stuck(Exception):
    """Nothing is ready and no timer runs, time does not pass, or far too much of it has."""


class _Selector:
    """Stands where a loop waits for sockets: there are none, so waiting is moving the clock."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop
        self._rounds = 0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is ready and no timer runs: everybody waits for somebody else")
        if timeout > 0:
            self._rounds = 0
            self._loop.pass_time(timeout)
        else:
            self._rounds += 1
            if self._rounds > SPIN_ROUNDS:
                raise Stuck(f"{SPIN_ROUNDS} rounds and no time has passed: something spins")
        return []

    def close(self) -> None:
        return


class VirtualLoop(asyncio.BaseEventLoop):
    """``errors`` are the contexts that reached the exception handler; a sound test leaves none."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(self)
        self.errors: list[dict[str, Any]] = []
        self._now = 0.0
        self._selector = _Selector(self)
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def time(self) -> float:
        return self._now

    def pass_time(self, seconds: float) -> None:
        self._now += seconds
        if self._now > LONGEST_S:
            raise Stuck(f"{LONGEST_S:g} s have passed: timers follow each other for ever")

    def pending_timers(self) -> list[asyncio.TimerHandle]:
        """Timers that are armed and not cancelled."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # not in the stub
        return [timer for timer in scheduled if not timer.cancelled()]

    # The base class calls these two for the benefit of sockets and threads, of which there are none.
    def _process_events(self, event_list: list[Any]) -> None:
        return

    def _write_to_self(self) -> None:
        return

    async def create_connection(  # type: ignore[override]  # of its many options only these make sense in memory
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
        **options: Any,
    ) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        _no_tls(ssl)
        return await self.network.connect(protocol_factory, (host or "", port or 0))

    async def create_server(  # type: ignore[override]  # as above
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
        **options: Any,
    ) -> MemoryServer:
        _no_tls(ssl)
        address = (host or "", port or 0)
        if address in self.network.listeners:
            raise OSError(98, f"error while attempting to bind on address {address}: address already in use")
        self.network.listeners[address] = protocol_factory
        return MemoryServer(self.network, address)

    async def getaddrinfo(  # type: ignore[override]  # as above
        self, host: str | None, port: int | None, **options: Any
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        """A name is its own address here; ``create_connection`` says which there are."""
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host or "", port or 0))]

    def run_in_executor(self, *arguments: Any) -> Any:  # type: ignore[override]  # it takes anything and refuses
        raise RuntimeError("there are no threads in virtual time")


def _no_tls(ssl: object) -> None:
    if ssl is not None:
        raise RuntimeError("the network in memory carries plain octets: configure the driver without TLS")


def run_virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run ``main(loop)`` on a fresh virtual loop and return what it returns."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(loop))
