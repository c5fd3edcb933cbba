"""Subscribers of the event stream: many at once, each reading all it is given, and coming back after its last event.

    python -m bench.peers.subscribers --socket run/stentor.sock --connections 100

It prints ``ready N`` when all streams are open, and what it counted as one JSON object for the line ``statistics`` on
its standard input and at its end. Counting is all it does with events: about 0.1 µs each, and the copying.
"""

import argparse
import select
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import trio

from bench.peers.console import is_stdin_watched, watch_signals, watch_stdin
from bench.peers.usage import usage

TAIL: Final = 16 * 1024
"""Octets kept of each stream, for the id of its last event: no event is longer than half of it here."""
RETRY_S: Final = 0.2
_READ: Final = 256 * 1024


class Counts(msgspec.Struct):
    """What was counted, of all streams together. ``lost``: streams that the daemon ended."""

    opened: int = 0
    lost: int = 0
    refused: int = 0
    events: int = 0
    octets: int = 0


class Stream:
    """One subscriber. ``last_id`` is the last event it saw, empty before the first."""

    __slots__ = ("last_id", "sock", "tail")

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.tail = b""
        self.last_id = b""

    def note_last(self) -> None:
        """Remember where to go on."""
        whole = self.tail.rpartition(b"\n\n")[0]
        found = whole.rfind(b"id: ")
        if found >= 0:
            self.last_id = whole[found + 4 :].partition(b"\n")[0]


class Subscribers:
    """All of them, in one task."""

    def __init__(self, path: str, connections: int) -> None:
        self.counts = Counts()
        self._path = path
        self._streams = [Stream() for _ in range(connections)]
        self._by_number: dict[int, Stream] = {}
        self._epoll = select.epoll()
        self._buffer = bytearray(_READ)
        self._retry_at = 0.0

    def open(self) -> None:
        """Open all that are not."""
        for stream in self._streams:
            if stream.sock is None:
                self._open(stream)

    def _open(self, stream: Stream) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        after = b"Last-Event-ID: %b\r\n" % stream.last_id if stream.last_id else b""
        try:
            sock.connect(self._path)
            sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % after)
        except OSError:
            self.counts.refused += 1
            sock.close()
            return
        sock.setblocking(False)
        stream.sock, stream.tail = sock, b""
        self.counts.opened += 1
        self._by_number[sock.fileno()] = stream
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                with trio.move_on_after(RETRY_S):
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                for number, _ in self._epoll.poll(0):
                    self._read(self._by_number[number])
                if self._retry_at and time.monotonic() >= self._retry_at:
                    self._retry_at = 0.0
                    self.open()
        finally:
            self._epoll.close()

    def _read(self, stream: Stream) -> None:
        assert stream.sock is not None
        try:
            count = stream.sock.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self._lose(stream)
            return
        counts = self.counts
        counts.octets += count
        # Counted by what begins each, so that none is lost between two reads.
        counts.events += self._buffer.count(b"\ndata: ", 0, count)
        stream.tail = (stream.tail + self._buffer[max(0, count - TAIL) : count])[-TAIL:]

    def _lose(self, stream: Stream) -> None:
        assert stream.sock is not None
        self.counts.lost += 1
        stream.note_last()
        self._epoll.unregister(stream.sock.fileno())
        del self._by_number[stream.sock.fileno()]
        stream.sock.close()
        stream.sock = None
        self._retry_at = time.monotonic() + RETRY_S

    def show(self) -> None:
        """Print what was counted."""
        counted = {**msgspec.to_builtins(self.counts), "open": len(self._by_number), **usage()}
        print(msgspec.json.encode(counted).decode(), flush=True)


async def _run(subscribers: Subscribers) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_signals, nursery.cancel_scope)
        if is_stdin_watched():
            commands = {b"statistics": subscribers.show}
            nursery.start_soon(watch_stdin, nursery.cancel_scope, "subscribers", commands)
        subscribers.open()
        nursery.start_soon(subscribers.run)
        print("ready", subscribers.counts.opened, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; 0."""
    parser = argparse.ArgumentParser(
        "python -m bench.peers.subscribers", description="Read the event stream."
    )
    parser.add_argument("--socket", required=True, metavar="PATH", help="the daemon's Unix socket")
    parser.add_argument("--connections", type=int, default=1, metavar="N", help="streams (%(default)s)")
    options = parser.parse_args(argv)
    subscribers = Subscribers(options.socket, options.connections)
    trio.run(_run, subscribers)
    subscribers.show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
