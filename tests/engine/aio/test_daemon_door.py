"""A whole daemon, its TCP listener, and a driver that serves paths: through reloads to the end."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stentor.aio import daemon as daemon_module
from stentor.aio import housekeeping
from stentor.aio.client import Client
from stentor.aio.daemon import Daemon
from stentor.aio.logs import Logs
from stentor.aio.plugins import Plugins
from stentor.aio.server.listeners import ListenError, listen_tcp
from stentor.aio.settings import load_config
from stentor.driver import CONTRACT_VERSION, Capabilities, DriverSpec, DriverStatus, Host, HTTPExchange


class DoorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the channel serves, and what it says there."""

    prefix: str
    word: str = "hello"


class DoorDriver:
    """Answers ``word`` and how often it was asked, which it remembers; below ``/events`` a stream without an end."""

    def __init__(self, config: DoorConfig, host: Host) -> None:
        self.config, self.host = config, host
        self.over = asyncio.Event()
        host.serve(config.prefix, self.take)

    def take(self, exchange: HTTPExchange) -> None:
        if exchange.head.path.endswith("/events"):
            exchange.start(200, "text/event-stream")
            exchange.send(b": open\n\n")
            exchange.on_drain = exchange.end
            return
        asked = int(self.host.kept().get("asked", b"0")) + 1
        self.host.keep("asked", b"%d" % asked)
        exchange.respond(200, f"{self.config.word} {asked}".encode(), "text/plain")

    async def run(self) -> None:
        await self.over.wait()

    def submit(self, lane: str, batch: object) -> None:
        return

    async def drain(self, deadline: float) -> None:
        self.over.set()

    def status(self) -> DriverStatus:
        return DriverStatus()


def make(config: Any, host: Host) -> Any:
    return DoorDriver(config, host)


SPEC = DriverSpec("door", CONTRACT_VERSION, DoorConfig, lambda config: Capabilities(), make)
PLUGINS = Plugins({"door": SPEC})
BOTH = (("alpha", "/in/alpha", ""), ("beta", "/in/beta", ""))


class House:
    """A daemon whose configuration a test rewrites."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "stentor.toml"
        self.folder = folder

    def configure(self, *channels: tuple[str, str, str]) -> None:
        text = (
            f'[daemon]\nstate_dir = "{self.folder}/state"\nruntime_dir = "{self.folder}/run"\n'
            '[api]\ntcp = "127.0.0.1:0"\n[[routes]]\nchannels = ["alpha"]\n'
        )
        for name, prefix, more in channels:
            text += f'[channels.{name}]\ndriver = "door"\nprefix = "{prefix}"\n{more}\n'
        self.path.write_text(text)

    async def begin(self) -> None:
        config = load_config(self.path, PLUGINS)
        self.daemon = Daemon(self.path, config, PLUGINS, Logs("error", "json"))
        await self.daemon.start()
        self.life = asyncio.ensure_future(self.daemon.run())
        (tcp,) = [listener for listener in self.daemon.listeners if listener.name.startswith("tcp:")]
        self.port = tcp.sock.getsockname()[1]
        self.tcp = Client(host="127.0.0.1", port=self.port)
        # Drivers are made in their channels' tasks, which are ready by now.
        await asyncio.sleep(0)

    async def reload(self, *channels: tuple[str, str, str]) -> None:
        self.configure(*channels)
        await self.daemon._reload()
        await asyncio.sleep(0)

    async def get(self, path: str) -> tuple[int, bytes]:
        response = await self.tcp.request("GET", path)
        return response.status, response.body

    async def end(self) -> None:
        self.tcp.close()
        if not self.life.done():
            self.daemon._asked_to_stop()
        assert await self.life == 0


def play(scene: Callable[[House], Awaitable[None]], folder: Path) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            house = House(folder)
            house.configure(*BOTH)
            await house.begin()
            try:
                await scene(house)
            finally:
                await house.end()

    asyncio.run(bounded())


@pytest.fixture(autouse=True)
def untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter of the tests stays as it is."""
    monkeypatch.setattr(daemon_module, "_tune_interpreter", lambda: None)


def test_a_start_that_takes_long_asks_the_manager_for_more_time_until_it_is_ready(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    def listen() -> None:
        while said[-1:] != ["STOPPING"]:
            said.append(manager.recv(4096).decode().partition("=")[0])

    async def scene(house: House) -> None:
        await asyncio.sleep(0.02)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(socket_dir / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(socket_dir / "notify"))
        monkeypatch.setattr(housekeeping, "EXTEND_EVERY_S", 0.001)
        manager.settimeout(20)
        listener = threading.Thread(target=listen)
        listener.start()
        play(scene, socket_dir)
        listener.join()
    assert said[0] == "STATUS"
    assert set(said[1:-2]) == {"EXTEND_TIMEOUT_USEC"}
    assert said[-2:] == ["READY", "STOPPING"]


def test_a_daemon_that_cannot_listen_leaves_carriers_alone(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    monkeypatch.setattr(daemon_module.RunningChannel, "run", lambda running: begun.append(running.name))
    monkeypatch.setattr(daemon_module, "listen_tcp", lambda host, port: listen_tcp(host, -1))

    async def scene() -> None:
        house = House(socket_dir)
        house.configure(*BOTH)
        with pytest.raises(ListenError):
            await house.begin()

    asyncio.run(scene())
    assert begun == []


def test_the_tcp_listener_serves_drivers_and_health_and_nothing_else(socket_dir) -> None:
    async def scene(house: House) -> None:
        assert await house.get("/in/alpha") == (200, b"hello 1")
        assert await house.get("/in/beta/x?y") == (200, b"hello 1")
        assert (await house.get("/healthz"))[0] == (await house.get("/readyz"))[0] == 200
        for path in (
            "/v1/messages",
            "/v1/status",
            "/v1/events",
            "/metrics",
            "/openapi.json",
        ):
            assert (await house.get(path))[0] == 401
        for path in ("/in", "/in/gamma", "/nothing", "/"):
            assert (await house.get(path))[0] == 404

    play(scene, socket_dir)


def test_paths_follow_the_configuration_and_memory_outlives_it(socket_dir) -> None:
    async def scene(house: House) -> None:
        assert await house.get("/in/alpha") == (200, b"hello 1")
        await house.reload(("alpha", "/in/alpha", 'word = "changed"'), BOTH[1])
        assert await house.get("/in/alpha") == (200, b"changed 2")
        await house.reload(BOTH[0], ("beta", "/in/beta", "enabled = false"))
        assert (await house.get("/in/beta"))[0] == 404
        await house.reload(BOTH[0])
        assert (await house.get("/in/beta"))[0] == 404
        # What was beta's path is free for another, and beta finds what it kept.
        await house.reload(BOTH[0], ("gamma", "/in/beta", ""), ("beta", "/in/new", ""))
        assert await house.get("/in/beta") == (200, b"hello 1")
        await house.reload(("alpha", "/in/other", ""), ("beta", "/in/alpha", ""))
        assert await house.get("/in/alpha") == (200, b"hello 1")
        assert await house.get("/in/other") == (200, b"hello 3")

    play(scene, socket_dir)


def test_memory_outlives_the_daemon_and_streams_end_with_it(socket_dir) -> None:
    async def scene(house: House) -> None:
        assert await house.get("/in/alpha") == (200, b"hello 1")
        await house.end()
        await house.begin()
        assert await house.get("/in/alpha") == (200, b"hello 2")
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"GET /in/alpha/events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b": open\n\n")).startswith(b"HTTP/1.1 200")
        house.daemon._asked_to_stop()
        assert (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()

    play(scene, socket_dir)
