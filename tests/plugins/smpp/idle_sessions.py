"""What idle sessions cost: ``python -m tests.plugins.smpp.idle_sessions [SESSIONS [SECONDS [ENQUIRE_LINK]]]``.

One process holds the sessions, another is their SMSC, both on uvloop over the loopback interface, with enquire_link
every 30 s by default. The first prints as JSON the resident memory a session costs, and the share of a core that all
of them take.
"""

import asyncio
import gc
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import uvloop

from stentor.clock import SystemClock
from stentor.testing.host import MemoryHost
from stentor_smpp.config import SMPPConfig
from stentor_smpp.driver import SMPPDriver
from stentor_smpp.events import BindRequested
from stentor_smpp.link import SessionSettings
from stentor_smpp.session import Session
from stentor_smpp.states import Role
from tests.support.waiting import eventually_async

A_CHANNEL = 10
SETTLE_S = 1.0


class SMSC(asyncio.Protocol):
    """Lets everybody in and answers enquire_link."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.session = Session(SessionSettings(Role.MC), 0.0)

    def data_received(self, data: bytes) -> None:
        self.session.receive(data, 0.0)
        for event in self.session.drain_events():
            if isinstance(event, BindRequested):
                self.session.accept_bind(event.pdu, "SMSC", 0.0)
        self.transport.write(self.session.drain_output())  # type: ignore[attr-defined]  # a TCP transport


async def serve() -> None:
    """Be the SMSC until standard input ends; says its port first."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(SMSC, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def resident_octets() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def measure(port: int, sessions: int, seconds: float, enquire_link_s: float) -> dict[str, float]:
    """Bind them all, let things settle, look at memory and time."""
    config = SMPPConfig(
        host="127.0.0.1", port=port, system_id="x", sessions=A_CHANNEL, enquire_link_s=enquire_link_s
    )
    hosts = [MemoryHost(SystemClock(), f"c{number}") for number in range(sessions // A_CHANNEL)]
    # What only the first driver costs is not the sessions'.
    SMPPDriver(config, hosts[0])
    gc.collect()
    before = resident_octets()
    drivers = [SMPPDriver(config, host) for host in hosts]
    async with asyncio.TaskGroup() as group:
        for driver in drivers:
            group.create_task(driver.run())
        await eventually_async(
            lambda: sum(len(host.lanes) for host in hosts) == sessions, within_s=60, what="all sessions"
        )
        await asyncio.sleep(SETTLE_S)
        gc.collect()
        after = resident_octets()
        began, used = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        share = (time.process_time() - used) / (time.monotonic() - began)
        await asyncio.gather(*(driver.drain(time.monotonic() + 5) for driver in drivers))
    return {
        "sessions": sessions,
        "octets_a_session": round((after - before) / sessions),
        "share_of_a_core": round(share, 4),
    }


def run(sessions: int, seconds: float, enquire_link_s: float) -> dict[str, float]:
    """The measurement, with an SMSC of its own."""
    command = [sys.executable, "-m", "tests.plugins.smpp.idle_sessions", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as smsc:
        assert smsc.stdin is not None
        assert smsc.stdout is not None
        try:
            port = int(smsc.stdout.readline())
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(measure(port, sessions, seconds, enquire_link_s))
        finally:
            smsc.stdin.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())
    else:
        sizes = [float(word) for word in sys.argv[1:]] + [1000.0, 60.0, 30.0][len(sys.argv) - 1 :]
        print(json.dumps(run(int(sizes[0]), sizes[1], sizes[2])))
