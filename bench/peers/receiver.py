"""A receiver of webhooks that verifies, counts, and fails in every way by option and by seed.

Useful for trying out whoever posts events, without an endpoint of one's own::

    python -m bench.peers.receiver --port 8000 --secret whsec_…
    python -m bench.peers.receiver --statuses 500=0.1,429=0.05 --retry-after 2 --reset-read 0.01 --latency 5-50ms

It prints ``ready PORT`` when it listens and, on SIGTERM, SIGINT or the end of its standard input, what it
counted as one JSON object. Lines on standard input are commands: ``statistics`` prints that object at once,
``drop`` cuts every connection, ``heal`` ends all faults, ``quit`` ends.

One task waits for all connections together, on an epoll of its own: about 20 µs of CPU a request.
"""

import os
import re
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus
from typing import Final

import msgspec
import trio

from bench.peers.console import is_stdin_watched, watch_signals, watch_stdin
from bench.peers.receiver_options import Fate, Fates, Fault, Options, parse_options
from bench.peers.receiver_record import Arrived, Record, Refused
from bench.peers.timer import Agenda
from bench.peers.usage import usage

BACKLOG: Final = 1024
HEAD_LIMIT: Final = 64 * 1024
BODY_LIMIT: Final = 8 * 1024 * 1024
PIECE: Final = bytes(64 * 1024)
ROUNDS: Final = 64
"""How often the connections are looked at before other tasks get their turn."""
_RESET: Final = struct.pack("ii", 1, 0)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"


class Connection:
    """One connection and the request that is under way in it. ``fate`` is None between two requests."""

    __slots__ = ("arrived", "data", "fate", "is_closed", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""
        self.fate: Fate | None = None
        self.arrived: Arrived | None = None
        self.is_closed = False

    def request(self) -> tuple[bytes, bytes] | None:
        """Head and body of the next request, None while it is not whole. Raises ValueError."""
        data = self.data
        end = data.find(_HEAD_END)
        if end < 0:
            if len(data) > HEAD_LIMIT:
                raise ValueError("the head is too long")
            return None
        found = _LENGTH.search(data, 0, end + 2)
        length = int(found[1]) if found else 0
        if length > BODY_LIMIT:
            raise ValueError("the body is too long")
        begin = end + len(_HEAD_END)
        if len(data) < begin + length:
            return None
        self.data = data[begin + length :]
        return data[: end + 2], data[begin : begin + length]


class Receiver:
    """Everything that is shared by the connections."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.record = Record(options.secrets)
        self.fates = Fates(options)
        self.nursery: trio.Nursery
        self._counts = self.record.counts
        self._connections: dict[int, Connection] = {}
        self._epoll = select.epoll()
        self._agenda = Agenda(lambda: None)
        self._later = self._agenda.later
        self._answers: dict[int, bytes] = {}

    async def run(self, listener: socket.socket) -> None:
        """Until cancelled."""
        try:
            async with trio.open_nursery() as self.nursery:
                self.nursery.start_soon(self._agenda.run)
                await self._serve(listener)
        finally:
            self._agenda.close()
            self._epoll.close()

    async def _serve(self, listener: socket.socket) -> None:
        epoll, connections, own = self._epoll, self._connections, listener.fileno()
        epoll.register(own, select.EPOLLIN)
        while True:
            await trio.lowlevel.wait_readable(epoll.fileno())
            for _ in range(ROUNDS):
                ready = epoll.poll(0)
                for number, _ in ready:
                    if number == own:
                        self._accept(listener)
                    elif (connection := connections.get(number)) is not None:
                        self._read(connection)
                if not ready:
                    break

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._counts.connections += 1
        self._connections[sock.fileno()] = Connection(sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    # -- a request -----------------------------------------------------------------------------------------

    def _read(self, connection: Connection) -> None:
        if connection.fate is None:
            connection.fate = self.fates.draw()
            if connection.fate.fault is Fault.RESET_UNREAD:
                self._count_fault(Fault.RESET_UNREAD)
                self._reset(connection)
                return
        try:
            data = connection.sock.recv(256 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._counts.abandoned += connection.arrived is not None
            self._close(connection)
            return
        connection.data = connection.data + data if connection.data else data
        self._work(connection)

    def _work(self, connection: Connection) -> None:
        """Take what is whole, one request after the other."""
        while connection.arrived is None and not connection.is_closed and connection.data:
            fate = connection.fate
            if fate is None:
                fate = connection.fate = self.fates.draw()
            try:
                request = connection.request()
            except ValueError:
                self._counts.broken += 1
                self._reset(connection)
                return
            if request is None:
                return
            try:
                connection.arrived = self.record.arrive(*request, time.monotonic(), time.time())
            except Refused as refused:
                self._send(connection, self._answer(refused.status))
                connection.fate = None
                continue
            if fate.delay_s > 0:
                self._later(fate.delay_s, self._resume, connection)
            else:
                self._finish(connection, fate)

    def _resume(self, connection: Connection) -> None:
        if connection.is_closed:
            return
        assert connection.fate is not None, "it was drawn when the request came"
        self._finish(connection, connection.fate)
        self._work(connection)

    def _finish(self, connection: Connection, fate: Fate) -> None:
        """Do to a request what is its fate."""
        fault = fate.fault
        if fault is not Fault.NONE:
            self._count_fault(fault)
        if fault is Fault.SILENT:
            return
        if fault is Fault.RESET_READ or fault is Fault.RESET_UNREAD:
            self._reset(connection)
            return
        arrived = connection.arrived
        assert arrived is not None, "a request is finished once"
        answer = self._answer(fate.status)
        if fault is Fault.HALF:
            self._send(connection, answer[: len(answer) // 2])
            self._close(connection)
            return
        # Before the answer leaves: whoever reads it may go on at once.
        if 200 <= fate.status < 300:
            self.record.accept(arrived)
        else:
            self.record.leave(arrived)
        connection.arrived = connection.fate = None
        self._counts.statuses[fate.status] = self._counts.statuses.get(fate.status, 0) + 1
        if fault is Fault.HUGE:
            self.nursery.start_soon(self._pour, connection, fate.status)
            return
        self._send(connection, answer)
        if self.options.is_closing:
            self._close(connection)

    def _answer(self, status: int) -> bytes:
        known = self._answers.get(status)
        if known is not None:
            return known
        lines = [f"HTTP/1.1 {status} {_phrase(status)}", "Content-Length: 0"]
        if self.options.is_closing:
            lines.append("Connection: close")
        if status in (429, 503) and self.options.retry_after:
            lines.append(f"Retry-After: {self.options.retry_after}")
        if 300 <= status < 400:
            lines.append(f"Location: {self.options.location}")
        answer = self._answers[status] = ("\r\n".join(lines) + "\r\n\r\n").encode()
        return answer

    def _send(self, connection: Connection, octets: bytes) -> None:
        try:
            sent = connection.sock.send(octets)
        except OSError:
            sent = -1
        if sent < len(octets):
            self._close(connection)

    async def _pour(self, connection: Connection, status: int) -> None:
        """A huge body, as fast as it is taken."""
        left, sock = self.options.huge_octets, connection.sock
        self._epoll.unregister(sock)  # nothing is read beside it
        head = f"HTTP/1.1 {status} {_phrase(status)}\r\nContent-Length: {left}\r\n\r\n".encode()
        try:
            await trio.lowlevel.wait_writable(sock)
            sock.send(head)
            while left:
                await trio.lowlevel.wait_writable(sock)
                left -= sock.send(PIECE[:left])
        except (OSError, trio.ClosedResourceError):
            self._close(connection, is_registered=False)
            return
        self._epoll.register(sock, select.EPOLLIN)

    # -- ends ----------------------------------------------------------------------------------------------

    def _count_fault(self, fault: Fault) -> None:
        self._counts.faults[fault.value] = self._counts.faults.get(fault.value, 0) + 1

    def _reset(self, connection: Connection) -> None:
        """Let the other side see a reset, not an end."""
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close(connection)

    def _close(self, connection: Connection, *, is_registered: bool = True) -> None:
        if connection.is_closed:
            return
        connection.is_closed = True
        if connection.arrived is not None:
            self.record.leave(connection.arrived)
        if is_registered:
            self._epoll.unregister(connection.sock)
        del self._connections[connection.sock.fileno()]
        connection.sock.close()

    def drop(self) -> None:
        """Cut every connection."""
        for connection in tuple(self._connections.values()):
            self._reset(connection)

    # -- what it tells -------------------------------------------------------------------------------------

    def summary(self) -> bytes:
        """What was counted, as one line of JSON."""
        counts = msgspec.to_builtins(self._counts)
        counts["statuses"] = {str(status): count for status, count in self._counts.statuses.items()}
        held = {"messages": self.record.messages, "open": len(self._connections)}
        return msgspec.json.encode({**counts, **held, **usage()})

    def show(self) -> None:
        """Print what was counted."""
        print(self.summary().decode(), flush=True)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Whatever"


# -- the process -------------------------------------------------------------------------------------------


async def _run(receiver: Receiver, listener: socket.socket) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_signals, nursery.cancel_scope)
        if is_stdin_watched():
            commands = {
                b"statistics": receiver.show,
                b"drop": receiver.drop,
                b"heal": receiver.fates.heal,
            }
            nursery.start_soon(watch_stdin, nursery.cancel_scope, "receiver", commands)
        nursery.start_soon(receiver.run, listener)
        print("ready", listener.getsockname()[1], flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; 0, or 1 if it cannot listen."""
    options = parse_options(argv)
    try:
        listener = socket.create_server((options.host, options.port), backlog=BACKLOG)
    except OSError as error:
        place, why = f"{options.host}:{options.port}", os.strerror(error.errno or 0)
        print(f"receiver: cannot listen on {place}: {why}", file=sys.stderr)
        return 1
    receiver = Receiver(options)
    with closing(listener):
        listener.setblocking(False)
        trio.run(_run, receiver, listener)
    print(receiver.summary().decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
