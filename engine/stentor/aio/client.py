"""A small client of the daemon's API, over its Unix socket or TCP; the command line uses it.

    ClientError
      Unreachable    no daemon answers at the address
      Interrupted    the connection ended, or what came was not HTTP, before the response was complete
      Unsuccessful   a stream was asked for and refused; carries the response

A response of any status is a value of ``request``. Times are limits of silence, not of whole exchanges.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, cast

import h11
import msgspec

from stentor.errors import StentorError
from stentor.wire.lines import LineSplitter, OverlongLine
from stentor.wire.sse import EventReader, ServerSentEvent, StreamTooLong

_READ_OCTETS = 256 * 1024
# A listing of 1000 messages with all their segments is a few MiB.
_BODY_LIMIT = 64 * 1024 * 1024
_RESULT_LIMIT = 1024 * 1024


class Response(msgspec.Struct, frozen=True):
    """A whole response. ``headers`` has names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body decoded. Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.body)


class ClientError(StentorError):
    """Root of what goes wrong between client and daemon."""


class Unreachable(ClientError):
    """Nobody answers at the address, which the text names."""


class Interrupted(ClientError):
    """The connection failed before the response was complete; what became of the request is unknown."""


class Unsuccessful(ClientError):
    """A stream was refused by ``response``."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"status {response.status}: {response.body[:1000].decode('utf-8', 'replace')}")
        self.response = response


class Client:
    """Talks to one daemon. Keeps one connection for ``request``; each stream has its own.

    ``silence_s`` bounds the wait for a connection and for each next octet, except between events.
    """

    def __init__(
        self, socket_path: str = "", *, host: str = "", port: int = 0, silence_s: float = 60.0
    ) -> None:
        assert bool(socket_path) is not bool(host), "either a Unix socket or host and port"
        self._socket_path = socket_path
        self._host = host
        self._port = port
        self._silence_s = silence_s
        self._idle: _Link | None = None
        self.address = socket_path or f"{host}:{port}"

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection kept."""
        link, self._idle = self._idle, None
        if link is not None:
            link.close()

    async def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """One exchange. A JSON body needs no Content-Type. Raises Unreachable or Interrupted."""
        fields = dict(headers or {})
        if body is not None:
            fields.setdefault("Content-Type", "application/json")
            fields["Content-Length"] = str(len(body))
        if self._idle is not None and self._idle.is_stale:
            self.close()
        link, self._idle = self._idle, None
        if link is None:
            link = await self._connect()
        try:
            await link.send(self._head(method, path, fields), h11.Data(data=body or b""), h11.EndOfMessage())
            response = await link.receive_whole()
        except BaseException:
            link.close()  # also when cancelled: a response left unread would be taken for the next one's
            raise
        if link.renew():
            self._idle = link
        return response

    async def submit_lines(
        self, path: str, lines: AsyncIterable[bytes], headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[bytes]:
        """Stream ``lines`` (octets of one or more lines with their newlines) and yield each result line.

        Results come while lines are still being sent; a result not taken slows the sending down. Raises
        Unreachable, Interrupted, Unsuccessful, and what ``lines`` raises. Wrap it in ``contextlib.aclosing``
        if it may be left early.
        """
        fields = {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked", **(headers or {})}
        link = await self._connect()
        await link.send(self._head("POST", path, fields))
        sending = asyncio.get_running_loop().create_task(_send_lines(link, lines))
        try:
            await link.expect_success()
            splitter = LineSplitter(_RESULT_LIMIT)
            while (data := await link.receive_data()) is not None:
                for line in splitter.feed(data):
                    yield _result(line)
            for line in splitter.finish():
                yield _result(line)
        except ClientError:
            if sending.done() and not sending.cancelled() and (error := sending.exception()) is not None:
                raise error from None  # the lines failed, and that ended the connection
            raise
        finally:
            sending.cancel()
            await asyncio.wait({sending})
            link.close()

    async def events(
        self, path: str, last_id: str = "", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[ServerSentEvent]:
        """Yield the events of a stream until it ends. Raises Unreachable, Interrupted, Unsuccessful."""
        fields = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        link = await self._connect()
        try:
            await link.send(self._head("GET", path, {**fields, **(headers or {})}), h11.EndOfMessage())
            await link.expect_success()
            link.silence_s = None
            reader = EventReader()
            while (data := await link.receive_data()) is not None:
                for event in reader.feed(data):
                    yield event
        except StreamTooLong as error:
            raise Interrupted(f"{self.address}: {error}") from error
        finally:
            link.close()

    def _head(self, method: str, path: str, fields: Mapping[str, str]) -> h11.Request:
        # The authority of a Unix socket is nobody's business; RFC 9112 §3.2 wants the field all the same.
        host = self.address if self._host else "localhost"
        return h11.Request(method=method, target=path, headers=[("Host", host), *fields.items()])

    async def _connect(self) -> "_Link":
        try:
            async with asyncio.timeout(self._silence_s):
                if self._socket_path:
                    streams = await asyncio.open_unix_connection(self._socket_path, limit=_READ_OCTETS)
                else:
                    streams = await asyncio.open_connection(self._host, self._port, limit=_READ_OCTETS)
        except TimeoutError as error:
            raise Unreachable(f"{self.address}: no connection within {self._silence_s:g} s") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise Unreachable(f"{self.address}: {reason}") from error
        return _Link(self.address, *streams, self._silence_s)


class _Link:
    """One connection: h11's client role between two streams."""

    def __init__(
        self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silence_s: float
    ) -> None:
        self._address = address
        self._reader = reader
        self._writer = writer
        self._connection = h11.Connection(h11.CLIENT)
        self.silence_s: float | None = silence_s
        writer.transport.set_write_buffer_limits(high=256 * 1024, low=64 * 1024)

    @property
    def is_stale(self) -> bool:
        """True once the daemon has closed it."""
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        self._writer.close()

    def renew(self) -> bool:
        """Make ready for the next exchange; False, and closed, if there can be none."""
        try:
            self._connection.start_next_cycle()
        except h11.LocalProtocolError:
            self.close()
            return False
        return True

    async def send(self, *events: h11.Event) -> None:
        octets = [self._connection.send(event) or b"" for event in events]
        try:
            self._writer.write(b"".join(octets))
            await self._writer.drain()
        except OSError:
            # The daemon may have answered before it closed; that answer is worth more than our failure to
            # send, and if there is none the reading side reports it.
            pass

    async def receive_whole(self) -> Response:
        """The response with all of its body."""
        return await self._receive_rest(await self._receive_head())

    async def _receive_rest(self, head: h11.Response) -> Response:
        pieces, size = [], 0
        while (data := await self.receive_data()) is not None:
            pieces.append(data)
            size += len(data)
            if size > _BODY_LIMIT:
                raise Interrupted(f"{self._address}: the response is longer than {_BODY_LIMIT} octets")
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        return Response(head.status_code, headers, b"".join(pieces))

    async def expect_success(self) -> None:
        """Take the head of a streamed response; raise Unsuccessful if it is not one."""
        head = await self._receive_head()
        if not 200 <= head.status_code < 300:
            raise Unsuccessful(await self._receive_rest(head))

    async def _receive_head(self) -> h11.Response:
        event = await self._next_event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._next_event()
        return cast(h11.Response, event)

    async def receive_data(self) -> bytes | None:
        """Some of the response's body; None at its end."""
        event = await self._next_event()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def _next_event(self) -> h11.Event:
        try:
            while (event := self._connection.next_event()) is h11.NEED_DATA:
                async with asyncio.timeout(self.silence_s):
                    self._connection.receive_data(await self._reader.read(_READ_OCTETS))
        except TimeoutError as error:
            raise Interrupted(f"{self._address}: silent for {self.silence_s:g} s") from error
        except h11.RemoteProtocolError as error:
            raise Interrupted(f"{self._address}: {error}") from error
        except OSError as error:
            raise Interrupted(f"{self._address}: {error.strerror or error}") from error
        if isinstance(event, h11.ConnectionClosed):
            raise Interrupted(f"{self._address}: the connection was closed before the response")
        assert isinstance(event, h11.Event)
        return event


async def _send_lines(link: _Link, lines: AsyncIterable[bytes]) -> None:
    try:
        async for data in lines:
            await link.send(h11.Data(data=data))
        await link.send(h11.EndOfMessage())
    except BaseException:
        link.close()  # a body that breaks off must not look complete
        raise


def _result(line: bytes | OverlongLine) -> bytes:
    if isinstance(line, OverlongLine):
        raise Interrupted(f"result {line.number} is longer than {line.limit} octets")
    return line
