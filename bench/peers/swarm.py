"""Many keep-alive connections, one request in flight on each, at the price of a few system calls a request.

One task serves them all: an epoll object of its own is what trio waits for, so that a wake-up is paid once
for all connections that are ready and not once for each.
"""

import errno
import select
import socket
import time
from collections.abc import Callable
from typing import Final

import trio

from bench.peers.answers import BadAnswer, split_answer
from bench.peers.report import LoadReport

READ_OCTETS: Final = 256 * 1024
CONNECT_PAUSE_S: Final = 0.002
CONNECT_LIMIT_S: Final = 30.0

Request = tuple[bytes, float]
"""Octets of a whole request, and the moment it was due."""


class _Caller:
    """One connection."""

    __slots__ = ("due", "is_busy", "received", "sock", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.is_busy = False
        self.due = 0.0
        self.received = b""
        self.unsent = b""


class Swarm:
    """``next_request`` gives the next request, None while none is due; StopIteration is the end of it."""

    def __init__(
        self,
        path: str,
        connections: int,
        next_request: Callable[[float], Request | None],
        on_answer: Callable[[int, bytes], None],
        report: LoadReport,
    ) -> None:
        self._path = path
        self._connections = connections
        self._next_request = next_request
        self._on_answer = on_answer
        self._report = report
        self._epoll = select.epoll()
        self._callers: dict[int, _Caller] = {}
        self._idle: list[_Caller] = []
        self._is_exhausted = False

    async def run(self, pace_s: float) -> None:
        """Until there are no requests any more and all are answered. ``pace_s``: how often to look for due
        ones.
        """
        try:
            await self._connect()
            self._feed()
            while self._callers and not (self._is_exhausted and len(self._idle) == len(self._callers)):
                with trio.move_on_after(pace_s):
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                for descriptor, events in self._epoll.poll(0):
                    self._serve(self._callers[descriptor], events)
                self._feed()
        finally:
            for caller in self._callers.values():
                caller.sock.close()
            self._epoll.close()

    async def _connect(self) -> None:
        """Open all connections as fast as the daemon takes them."""
        started = time.monotonic()
        for _ in range(self._connections):
            sock = socket.socket(
                socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )
            while (code := sock.connect_ex(self._path)) == errno.EAGAIN:
                # The listener's queue is full.
                if time.monotonic() - started > CONNECT_LIMIT_S:
                    break
                await trio.sleep(CONNECT_PAUSE_S)
            if code:
                sock.close()
                self._report.failed(f"cannot connect: {errno.errorcode.get(code, code)}")
                continue
            self._report.connecting.add(time.monotonic() - started)
            caller = _Caller(sock)
            self._callers[sock.fileno()] = caller
            self._idle.append(caller)
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _feed(self) -> None:
        """Give idle connections what is due."""
        idle = self._idle
        while idle and not self._is_exhausted:
            now = time.monotonic()
            try:
                request = self._next_request(now)
            except StopIteration:
                self._is_exhausted = True
                return
            if request is None:
                return
            self._report.began(now)
            caller = idle.pop()
            caller.is_busy = True
            caller.unsent, caller.due = request
            self._send(caller)

    def _send(self, caller: _Caller) -> None:
        was_waiting = len(caller.unsent) == 0
        try:
            sent = caller.sock.send(caller.unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(caller, str(error))
            return
        caller.unsent = caller.unsent[sent:]
        if caller.unsent or was_waiting:
            wanted = select.EPOLLIN | (select.EPOLLOUT if caller.unsent else 0)
            self._epoll.modify(caller.sock.fileno(), wanted)

    def _serve(self, caller: _Caller, events: int) -> None:
        if events & select.EPOLLOUT and caller.unsent:
            self._send(caller)
            if not caller.unsent and caller.sock.fileno() >= 0:
                self._epoll.modify(caller.sock.fileno(), select.EPOLLIN)
        if not events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) or caller.sock.fileno() < 0:
            return
        try:
            data = caller.sock.recv(READ_OCTETS)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(caller, str(error))
            return
        if not data:
            self._lose(caller, "the daemon closed the connection")
            return
        octets = caller.received + data if caller.received else data
        try:
            found = split_answer(octets)
        except BadAnswer as error:
            self._lose(caller, str(error))
            return
        if found is None:
            caller.received = octets
            return
        status, body, end = found
        caller.received = octets[end:]
        self._answered(caller, status, body)

    def _answered(self, caller: _Caller, status: int, body: bytes) -> None:
        now = time.monotonic()
        report = self._report
        report.requests += 1
        report.statuses[status] += 1
        report.latency.add(now - caller.due)
        report.last_result_at = now
        self._on_answer(status, body)
        caller.is_busy = False
        self._idle.append(caller)

    def _lose(self, caller: _Caller, reason: str) -> None:
        if caller.is_busy:
            self._report.failed(reason)
        if caller in self._idle:
            self._idle.remove(caller)
        self._callers.pop(caller.sock.fileno(), None)
        caller.sock.close()
