"""A scripted HTTP server on this machine, and a client beside it, on either event loop."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from stentor.aio.http import Client, ClientSettings
from stentor.wire.calls import FailureKind, HTTPFailure, HTTPReply, HTTPRequest
from tests.support.waiting import WITHIN_S

LOOPS = pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class PeerLink(asyncio.Protocol):
    """One connection as the server sees it; ``heard`` are its requests, head and body in one."""

    def __init__(self, peer: "Peer") -> None:
        self.peer = peer
        self.held = b""
        self.heard: list[bytes] = []
        self.is_gone = asyncio.Event()
        self.has_heard = asyncio.Event()
        self.forward: Callable[[bytes], object] | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.peer.links.append(self)
        self.peer.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.peer.stops_reading is not None:
            self.transport.pause_reading()
            self.transport.write(self.peer.stops_reading)
            return
        if self.forward is not None:
            self.forward(data)
            return
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            length = 0
            for line in self.held[:end].split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line[15:])
            if len(self.held) < end + 4 + length:
                return
            request, self.held = self.held[: end + 4 + length], self.held[end + 4 + length :]
            self.heard.append(request)
            self.has_heard.set()
            self.peer.answer(self, request)

    def connection_lost(self, error) -> None:
        self.is_gone.set()


class Peer:
    """The server: ``answer`` is called with the link and each request, ``opened`` with each new link. With
    ``stops_reading`` it says that to the first octets and takes no more."""

    def __init__(self) -> None:
        self.stops_reading: bytes | None = None
        self.links: list[PeerLink] = []
        self.port = 0
        self.answer: Callable[[PeerLink, bytes], object] = lambda link, _: link.transport.write(OK)
        self.opened: Callable[[PeerLink], object] = lambda link: None

    @property
    def heard(self) -> list[bytes]:
        return [request for link in self.links for request in link.heard]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/x"

    def says(self, octets: bytes, then: str = "") -> None:
        """Answer every request with ``octets``; ``then`` do ``close``, ``abort`` or ``write_eof``."""

        def answer(link: PeerLink, _: bytes) -> None:
            link.transport.write(octets)
            if then:
                getattr(link.transport, then)()

        self.answer = answer


class Scene:
    """A peer and a client."""

    def __init__(self, peer: Peer, client: Client) -> None:
        self.peer, self.client = peer, client

    async def send(self, body: bytes = b"hi", **more) -> HTTPReply | HTTPFailure:
        return await self.client.send(HTTPRequest("POST", self.peer.url, body=body, **more))


@asynccontextmanager
async def listening(context: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    peer = Peer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: PeerLink(peer), "127.0.0.1", 0, ssl=context)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for link in peer.links:
            link.transport.abort()
        await server.wait_closed()


@asynccontextmanager
async def playing(context: ssl.SSLContext | None = None, resolve=None, **settings) -> AsyncIterator[Scene]:
    """A peer, and a client that leaves nothing behind."""
    async with listening(context) as peer:
        client = Client(ClientSettings(**settings), random=lambda: 0.0, resolve=resolve)
        try:
            yield Scene(peer, client)
        finally:
            await client.close()
            left = client.statistics()
            assert (left.open, left.idle, left.in_use, left.waiting) == (0, 0, 0, 0)


def run(new_loop: Callable[[], asyncio.AbstractEventLoop], main) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(main(), 2 * WITHIN_S))


def is_failure(result: HTTPReply | HTTPFailure, kind: FailureKind, words: str) -> bool:
    return isinstance(result, HTTPFailure) and result.kind is kind and words in result.detail
