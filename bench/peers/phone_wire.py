"""Carries the requests and streams of one simulated phone over TCP or TLS, with trio: a thin shell around ``phone``.

Connections for requests are kept and used again, as the app's HTTP library does; a pull that is aborted closes its
connection, and each webhook takes a new one. One task for each request in flight and for each stream.
"""

import time
from typing import Final

import trio

from bench.peers.answers import BadAnswer, ChunkedAnswer, split_answer
from bench.peers.phone import Phone
from bench.peers.phone_events import EventParser
from bench.peers.phone_fleet import Fleet
from bench.peers.phone_line import Address, Line, connect, trusting
from bench.peers.phone_requests import Kind, Request

REQUEST_LIMIT_S: Final = 10.0
ABANDONED_S: Final = 600.0
"""How long a stream that nobody reads stays open."""
STREAM_AGENT: Final = "okhttp/4.10.0"


class _Lost(Exception):
    """The other side closed a connection; ``is_early``: before it answered anything."""

    def __init__(self, is_early: bool) -> None:
        super().__init__("closed by the server")
        self.is_early = is_early


class Site:
    """The server, and what all phones share of the way to it. ``most_idle`` is how many connections a phone keeps for
    its next requests, ``ca`` a file with the authority that phones trust."""

    def __init__(self, url: str, nursery: trio.Nursery, fleet: Fleet, most_idle: int, ca: str = "") -> None:
        self.address = Address(url)
        self.prefix = self.address.path.rstrip("/")
        self.nursery = nursery
        self.fleet = fleet
        self.most_idle = most_idle
        self.trust = trusting(ca) if self.address.is_secure else None

    async def connect(self) -> Line:
        return await connect(self.address, self.trust)


class Carrier:
    """The port of one phone."""

    def __init__(self, site: Site) -> None:
        self.phone: Phone
        self._site = site
        self._idle: list[Line] = []
        self._requests: dict[Request, trio.CancelScope] = {}
        self._streams: dict[int, trio.CancelScope] = {}

    # -- what the phone asks -------------------------------------------------------------------------------

    def request(self, request: Request) -> None:
        scope = self._requests[request] = trio.CancelScope()
        self._site.nursery.start_soon(self._carry, request, scope)

    def abort(self, request: Request) -> None:
        scope = self._requests.pop(request, None)
        if scope is not None:
            scope.cancel()

    def open_stream(self, number: int, token: str) -> None:
        scope = self._streams[number] = trio.CancelScope()
        self._site.nursery.start_soon(self._follow, number, token, scope)

    def close_stream(self, number: int) -> None:
        scope = self._streams.pop(number, None)
        if scope is not None:
            scope.cancel()

    def abandon_stream(self, number: int) -> None:
        scope = self._streams.pop(number, None)
        if scope is not None:
            scope.deadline = trio.current_time() + ABANDONED_S

    def drop(self) -> None:
        """Cut every stream, as the end of a network does; the phone sees each of them end."""
        for scope in tuple(self._streams.values()):
            scope.cancel()

    def close(self) -> None:
        """Close what is kept for another request."""
        while self._idle:
            self._idle.pop().close()

    # -- requests ------------------------------------------------------------------------------------------

    async def _carry(self, request: Request, scope: trio.CancelScope) -> None:
        with scope:
            reason = ""
            try:
                with trio.fail_after(REQUEST_LIMIT_S):
                    status, body = await self._exchange(request)
            except (OSError, trio.TooSlowError, _Lost, BadAnswer, ValueError) as error:
                reason = type(error).__name__
        if scope.cancelled_caught or self._requests.pop(request, None) is None:
            return
        if reason:
            self.phone.failed(time.monotonic(), request, reason)
        else:
            self.phone.answered(time.monotonic(), request, status, body)

    async def _exchange(self, request: Request) -> tuple[int, bytes]:
        if request.kind is Kind.HOOK:
            return await self._post(request)
        octets = self._octets(request)
        while self._idle:
            try:
                return await self._ask(self._idle.pop(), octets)
            except (_Lost, OSError) as error:
                if isinstance(error, _Lost) and not error.is_early:
                    raise
                # The server had closed it meanwhile: the app's library tries another.
        return await self._ask(await self._site.connect(), octets)

    async def _ask(self, line: Line, octets: bytes, *, is_kept: bool = True) -> tuple[int, bytes]:
        received = b""
        is_good = False
        try:
            await line.send(octets)
            while (found := split_answer(received)) is None:
                data = await line.receive()
                if not data:
                    raise _Lost(is_early=not received)
                received += data
            is_good = is_kept and b"\r\nconnection: close" not in received[: found[2]].lower()
        finally:
            if is_good and len(self._idle) < self._site.most_idle:
                self._idle.append(line)
            else:
                line.close()
        return found[0], found[1]

    async def _post(self, request: Request) -> tuple[int, bytes]:
        """A webhook: to any URL, on a connection of its own."""
        address = Address(request.path)
        if address.is_secure and self._site.trust is None:
            raise ValueError("a webhook with TLS, from a server without")
        head = self._head("POST", address.authority, address.path or "/", request)
        return await self._ask(await connect(address, self._site.trust), head + request.body, is_kept=False)

    def _octets(self, request: Request) -> bytes:
        site = self._site
        return (
            self._head(request.method, site.address.authority, site.prefix + request.path, request)
            + request.body
        )

    def _head(self, method: str, host: str, target: str, request: Request) -> bytes:
        lines = [
            f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nAccept-Charset: UTF-8\r\n"
            f"User-Agent: me.capcom.smsgateway/{self.phone.version}\r\nAccept-Encoding: gzip\r\n"
        ]
        if request.authorization:
            lines.append(f"Authorization: {request.authorization}\r\n")
        lines += [f"{name}: {value}\r\n" for name, value in request.fields]
        if request.body:
            lines.append(f"Content-Type: application/json\r\nContent-Length: {len(request.body)}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode()

    # -- streams -------------------------------------------------------------------------------------------

    async def _follow(self, number: int, token: str, scope: trio.CancelScope) -> None:
        """One stream from its request to its end. An abandoned one stays open, unread, for a while."""
        with scope:
            try:
                await self._stream(number, token)
            except (OSError, BadAnswer, ValueError):
                pass  # its end is all that the phone sees of it
        if self._streams.pop(number, None) is not None:
            self.phone.stream_ended(time.monotonic(), number)

    async def _stream(self, number: int, token: str) -> None:
        site, count = self._site, self._site.fleet.statistics
        answer, parser = ChunkedAnswer(), EventParser()
        is_open = False
        line: Line | None = None
        try:
            line = await site.connect()
            await line.send(self._stream_head(token))
            while not answer.is_over and answer.status in (0, 200):
                data = await line.receive()
                if not data:
                    break
                if number not in self._streams:
                    await trio.sleep_forever()  # abandoned: until its scope's deadline
                body = answer.feed(data)
                if answer.status == 200 and not is_open:
                    is_open = True
                    count.streams += 1
                    count.streams_opened += 1
                    self.phone.stream_opened(time.monotonic(), number)
                self._take_events(number, parser, body)
        finally:
            if line is not None:
                line.close()
            count.streams -= is_open
            count.streams_ended += is_open
            count.stream_failures += not is_open

    def _take_events(self, number: int, parser: EventParser, body: bytes) -> None:
        comments = parser.comments
        for event in parser.feed(body):
            if number in self._streams:
                self.phone.stream_event(time.monotonic(), event.name, event.data)
        self._site.fleet.statistics.comments += parser.comments - comments

    def _stream_head(self, token: str) -> bytes:
        site = self._site
        return (
            f"GET {site.prefix}/events HTTP/1.1\r\nHost: {site.address.authority}\r\nConnection: Keep-Alive\r\n"
            f"Authorization: Bearer {token}\r\nUser-Agent: {STREAM_AGENT}\r\nAccept-Encoding: gzip\r\n\r\n"
        ).encode()
