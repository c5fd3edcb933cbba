"""HTTP and sockets of the simulated carrier: cheap, so that the carrier is not what is measured.

One epoll object holds all sockets; the event loop waits for it alone. Heads are judged by h11 once and remembered, for
clients that keep a connection repeat them.
"""

import select
import socket
from collections.abc import Callable
from typing import Final, NamedTuple

import h11
import trio

# Shared by all connections: a buffer of its own for each read costs more than the read.
_BUFFER: Final = memoryview(bytearray(256 * 1024))
TURNS: Final = 20
"""Looks at the sockets before the event loop has its turn, which costs as much as a request."""
_HEADS: Final = 2048


class Head(NamedTuple):
    """What a request says before its body. Names of fields are in lower case."""

    method: str
    target: str
    fields: dict[str, str]
    length: int


class Heads:
    """Reads heads of requests, and remembers them."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def read(self, block: bytes) -> Head:
        """Raises h11.RemoteProtocolError for what is no request."""
        found = self._known.get(block)
        if found is None:
            if len(self._known) >= _HEADS:
                self._known.clear()
            found = self._known[block] = _read_head(block)
        return found


def _read_head(block: bytes) -> Head:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(block)
    event = connection.next_event()
    if not isinstance(event, h11.Request):
        raise h11.RemoteProtocolError("the head of a request is not complete")
    fields = {name.decode(): value.decode("latin-1") for name, value in event.headers}
    length = int(fields.get("content-length", "0"))
    return Head(event.method.decode(), event.target.decode(), fields, length)


class Hub:
    """All sockets of the process. ``turned`` is called after each turn in which something came."""

    def __init__(self, turned: Callable[[], None]) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._turned = turned

    def add(self, descriptor: int, handler: Callable[[int], None], events: int = select.EPOLLIN) -> None:
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self._epoll.unregister(descriptor)

    async def run(self) -> None:
        """Until cancelled."""
        descriptor = self._epoll.fileno()
        while True:
            await trio.lowlevel.wait_readable(descriptor)
            for _ in range(TURNS):
                found = self._epoll.poll(0)
                if not found:
                    break
                for ready, events in found:
                    handler = self._handlers.get(ready)
                    if handler is not None:
                        handler(events)
                self._turned()


class Line:
    """One connection. ``received`` gets octets as they come; ``lost`` is called once when it is gone."""

    __slots__ = ("_hub", "_sock", "_unsent", "is_open", "lost", "received")

    def __init__(self, hub: Hub, sock: socket.socket) -> None:
        self._hub, self._sock = hub, sock
        self._unsent = b""
        self.received: Callable[[bytes], None] = _ignore
        self.lost: Callable[[], None] = _nothing
        self.is_open = True
        hub.add(sock.fileno(), self._ready)

    def write(self, octets: bytes) -> None:
        """Send now what the socket takes, the rest when it takes more."""
        if not self.is_open:
            return
        if self._unsent:
            self._unsent += octets
            return
        try:
            sent = self._sock.send(octets)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(octets):
            self._unsent = octets[sent:]
            self._hub.change(self._sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def close(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._hub.remove(self._sock.fileno())
        self._sock.close()
        self.lost()

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            octets, self._unsent = self._unsent, b""
            self._hub.change(self._sock.fileno(), select.EPOLLIN)
            if octets:
                self.write(octets)
        if events & ~select.EPOLLOUT and self.is_open:
            try:
                count = self._sock.recv_into(_BUFFER)
            except BlockingIOError:
                return
            except OSError:
                count = 0
            if count:
                self.received(bytes(_BUFFER[:count]))
            else:
                self.close()


def _ignore(_: bytes) -> None:
    """Nobody listens yet."""


def _nothing() -> None:
    """Nobody needs to know."""
