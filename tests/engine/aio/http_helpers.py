"""A small application and raw clients for the tests of the HTTP server and client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from stentor.aio.server.connection import ServerLimits
from stentor.aio.server.exchange import Answer, BodyMode, Exchange, Peer, Route, answer_problem
from stentor.aio.server.listeners import listen_unix
from stentor.aio.server.server import Server
from stentor.wire.head import RequestHead
from stentor.wire.lines import Line, OverlongLine
from stentor.wire.problem import Problem, problem
from tests.support.waiting import WITHIN_S

LOOPS = [pytest.param(uvloop.new_event_loop, id="uvloop"), pytest.param(asyncio.new_event_loop, id="asyncio")]


def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, None]) -> None:
    """Run a test on a loop of its own, and not for ever."""

    async def bounded() -> None:
        async with asyncio.timeout(2 * WITHIN_S):
            await main

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(bounded())


class EchoApplication:
    """``/echo`` answers the body, ``/later`` when told, ``/lines`` line by line, ``/events`` streams."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.waiting: list[Exchange] = []
        self.streams: list[Exchange] = []
        self.batches: list[list[Line]] = []
        self.ends: list[Problem | None] = []
        self.lost: list[Exchange] = []
        self.writable = 0
        self.result_octets = 0
        self.holds_reading = False
        self.changed = asyncio.Event()

    def route(self, head: RequestHead, peer: Peer) -> Route | Answer:
        self.peers.append(peer)
        match head.path:
            case "/echo" | "/later" | "/events" | "/raise":
                return Route(context=head.path, body_limit=1 << 20)
            case "/lines":
                return Route(context=head.path, mode=BodyMode.LINES, body_limit=None)
            case "/raise-in-route":
                raise ValueError("boom")
            case _:
                return answer_problem(problem(404, "there is no such path"))

    def handle(self, exchange: Exchange) -> None:
        exchange.on_close = lambda: self.note(self.lost.append, exchange)
        match exchange.route.context:
            case "/echo":
                exchange.respond(200, exchange.body, "text/plain")
            case "/later":
                self.note(self.waiting.append, exchange)
            case "/events":
                exchange.on_writable = self.note_writable
                exchange.on_drain = exchange.end
                exchange.start(200, "text/event-stream")
                self.note(self.streams.append, exchange)
            case "/lines":
                exchange.line_handler = self
                exchange.start(202, "application/x-ndjson")
                self.note(self.streams.append, exchange)
            case _:
                raise ValueError("boom")

    def on_lines(self, exchange: Exchange, lines: list[Line]) -> None:
        self.note(self.batches.append, lines)
        if self.holds_reading:
            exchange.pause_reading()
        results = [b"overlong" if isinstance(line, OverlongLine) else line for line in lines]
        exchange.send(b"".join(b"%b%b\n" % (result, b"." * self.result_octets) for result in results))

    def on_lines_end(self, exchange: Exchange, problem: Problem | None) -> None:
        self.note(self.ends.append, problem)
        exchange.send(b"end\n")
        exchange.end()

    def note_writable(self) -> None:
        self.writable += 1
        self.changed.set()

    def note(self, append: Callable[[Any], None], value: Any) -> None:
        append(value)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something the application notes."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    @property
    def line_count(self) -> int:
        return sum(map(len, self.batches))


@contextlib.asynccontextmanager
async def serving(
    directory: Path, limits: ServerLimits | None = None
) -> AsyncIterator[tuple[EchoApplication, Server, str]]:
    """A server of an EchoApplication on a Unix socket: application, server, path."""
    path = str(directory / "s")
    application = EchoApplication()
    server = Server(application, limits)
    server.start(listen_unix(path))
    try:
        yield application, server, path
    finally:
        await server.close(0)


class RawClient:
    """Writes octets and reads until it has what it wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, path: str) -> "RawClient":
        return cls(*await asyncio.open_unix_connection(path, limit=1 << 24))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def response(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """One response with a length."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head[1:-2])
        body = await self.reader.readexactly(int(fields[b"content-length"]))
        return int(head[0].split(b" ")[1]), fields, body

    async def head(self) -> bytes:
        """The head of a streamed response."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def chunk(self) -> bytes:
        """One chunk of a streamed response; empty at its end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def chunks(self) -> bytes:
        """All chunks to the end of a streamed response."""
        pieces = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    async def rest(self) -> bytes:
        """Everything until the server closes, which is also how it may be cut off."""
        data = b""
        try:
            while piece := await self.reader.read(1 << 16):
                data += piece
        except ConnectionError:
            pass
        return data

    def close(self) -> None:
        self.writer.close()
