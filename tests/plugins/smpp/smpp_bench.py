"""The SMPP driver and an SMSC on this machine, over real sockets, with or without TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
import uvloop

from stentor.clock import SystemClock
from stentor.message import Priority
from stentor.outcome import Submission
from stentor.testing.host import MemoryHost
from stentor.text.segments import Encoding
from stentor_smpp.config import SMPPConfig
from stentor_smpp.driver import SMPPDriver
from stentor_smpp.spec import SPEC
from tests.plugins.smpp.smsc_peer import SMSCLink, SMSCPeer
from tests.support.waiting import eventually_async

LOOPS = pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


class Bench:
    """A driver and an SMSC on this machine."""

    def __init__(self, peer: SMSCPeer, host: MemoryHost, driver: SMPPDriver) -> None:
        self.peer, self.host, self.driver = peer, host, driver
        self.token = 0

    def submit(self, count: int, lane: str = "trx-1") -> list[Submission]:
        made = []
        for _ in range(count):
            self.token += 1
            to = f"+4670{self.token:07d}"
            made.append(
                Submission(
                    self.token, 1, to, "12345", Encoding.GSM7, b"hi", b"", 1, 1, True, 60, Priority.NORMAL
                )
            )
        self.host.submit(self.driver, lane, made)
        return made


@asynccontextmanager
async def running(
    context: ssl.SSLContext | None = None, *, is_wanted: bool = True, **table
) -> AsyncIterator[Bench]:
    """``context`` is the SMSC's. With ``is_wanted`` the scene begins once there is a lane."""
    peer = SMSCPeer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMSCLink(peer), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    table = {"host": "127.0.0.1", "port": port, "system_id": "stentor", "reconnect_first": 0.02, **table}
    config = msgspec.convert(table, SMPPConfig)
    host = MemoryHost(SystemClock())
    driver = SPEC.make(config, host)
    assert isinstance(driver, SMPPDriver)
    bench = Bench(peer, host, driver)
    async with asyncio.TaskGroup() as group:
        life = group.create_task(driver.run())
        try:
            if is_wanted:
                await eventually_async(
                    lambda: host.free, what=f"a lane; the last error is {driver.status().last_error}"
                )
            yield bench
        finally:
            await driver.drain(host.clock.now() + 5)
            await life
    host.end()
    host.verify()
    await eventually_async(lambda: all(link.transport is None for link in peer.links), what="closed links")
    server.close()
    await server.wait_closed()


def run(new_loop: Callable[[], asyncio.AbstractEventLoop], main) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
