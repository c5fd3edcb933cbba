"""The HTTP server: accepts on any number of listeners, watches over deadlines, stops in good order.

Accepting is done here rather than by ``create_server``, because uvloop closes a listening socket for good at
the first EMFILE, and because a peer's credentials and the connection limit are best looked at before anything
is allocated. Invariants: ``_open`` counts every accepted socket until its connection is lost, and the limit holds for
each kind of listener by itself; one timer looks after all deadlines; crowds from the network wait for their turn
(``turns``), and a listener whose turn is to come is not watched.
"""

import asyncio
import functools
import socket
import struct
from collections.abc import Iterator
from email.utils import formatdate
from time import time
from typing import Final

import msgspec

from stentor.aio.server.connection import Connection, ServerLimits, Site
from stentor.aio.server.exchange import Application, Peer, PeerKind
from stentor.aio.server.listeners import Listener
from stentor.dispatch.snapshot import QueueSnapshot
from stentor.wire.problem import problem

_UCRED = struct.Struct("iII")  # pid, uid, gid: struct ucred of unix(7)

FIRST_OF_A_CROWD: Final = 8
NEXT_OF_A_CROWD: Final = 2
"""Connections taken at once, and with each slice of the time that crowds have. Each costs the loop some 30 µs soon
after, which are not in the slice; 2,000 a second are in long before a client gives up."""

LOOKED_AT: Final = 128
"""Connections whose deadlines are looked at in one turn of the loop: 0.1 to 0.2 ms."""

_FULL = problem(503, "the server has as many connections as it may have", "too_many_connections")


class ServerStatistics(msgspec.Struct, frozen=True, gc=False):
    """A moment of the server, and counters since its start. ``connection_limit`` is that of each kind."""

    connections: dict[PeerKind, int]
    connection_limit: int
    requests: int
    accepted: int
    refused: int
    accept_failures: int


class Server:
    """Serves one application on listeners of both kinds. To be made and used on a running loop."""

    def __init__(self, application: Application, limits: ServerLimits | None = None) -> None:
        self._limits = limits or ServerLimits()
        self._loop = asyncio.get_running_loop()
        self._site = Site(application, self._limits, self._loop, self._connection_lost)
        self._listeners: list[Listener] = []
        self._resting: set[Listener] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._open = dict.fromkeys(PeerKind, 0)
        self._accepted = 0
        self._refused = 0
        self._accept_failures = 0
        self._emptied = asyncio.Event()
        self._sweep_timer: asyncio.TimerHandle | None = None

    def start(self, *listeners: Listener) -> None:
        """Begin to accept on ``listeners``; the server closes them in the end. More may follow."""
        assert not self._site.is_closing
        for listener in listeners:
            self._listeners.append(listener)
            self._loop.add_reader(listener.sock, self._accept, listener)
        if self._sweep_timer is None:
            self._sweep()

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(
            connections=dict(self._open),
            connection_limit=self._limits.connections,
            requests=self._site.requests,
            accepted=self._accepted,
            refused=self._refused,
            accept_failures=self._accept_failures,
        )

    def queues(self) -> Iterator[QueueSnapshot]:
        """Connections as a picture of the daemon shows them, those of each kind, and who of them waits for a turn."""
        for kind, name in ((PeerKind.UNIX, "local connections"), (PeerKind.TCP, "network connections")):
            yield QueueSnapshot(name, self._open[kind], self._limits.connections, "more are told so with 503")
        waiting = len(self._site.turns)
        yield QueueSnapshot(
            "network requests", waiting, self._limits.connections, "their connections are not read"
        )

    def stop_accepting(self) -> None:
        """Close the listeners; what is connected goes on."""
        for listener in self._listeners:
            self._loop.remove_reader(listener.sock)
            listener.close()
        self._listeners.clear()
        self._resting.clear()
        self._site.turns.shut_out()

    async def close(self, drain_s: float) -> int:
        """Stop accepting, close idle connections now and busy ones after their response.

        Those still busy after ``drain_s`` seconds are cut off; returns how many that were.
        """
        self.stop_accepting()
        self._site.is_closing = True
        for connection in list(self._site.connections):
            connection.finish()
        await self._wait_until_empty(drain_s)
        cut_off = len(self._site.connections)
        for connection in list(self._site.connections):
            connection.drop()
        # connection_lost comes with the loop's next turns; nothing can hold it up but a broken loop.
        await self._wait_until_empty(1.0)
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        return cut_off

    async def _wait_until_empty(self, limit_s: float) -> None:
        if not any(self._open.values()):
            return
        self._emptied.clear()
        try:
            async with asyncio.timeout(limit_s):
                await self._emptied.wait()
        except TimeoutError:
            pass  # the caller looks at what is left

    # ---- accepting

    def _accept(self, listener: Listener) -> None:
        """Somebody wants to connect."""
        if listener.sock.family == socket.AF_UNIX:
            self._take(listener, PeerKind.UNIX, self._limits.accept_batch)
            return
        turns = self._site.turns
        if turns.is_spent or self._take(listener, PeerKind.TCP, FIRST_OF_A_CROWD):
            self._loop.remove_reader(listener.sock)
            turns.put_off_newcomers(functools.partial(self._accept_some, listener))

    def _accept_some(self, listener: Listener) -> bool:
        """It is the turn of those who want to connect; True if there may be more of them."""
        if self._take(listener, PeerKind.TCP, NEXT_OF_A_CROWD):
            return True
        if listener not in self._resting:
            self._loop.add_reader(listener.sock, self._accept, listener)
        return False

    def _take(self, listener: Listener, kind: PeerKind, count: int) -> bool:
        """Let some in; False when there are no more, or there is no room for more."""
        limits = self._limits
        for _ in range(count):
            if self._open[kind] >= limits.connections + limits.refused_connections:
                self._rest(listener)  # until a connection is lost
                return False
            try:
                sock, address = listener.sock.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except ConnectionAbortedError:
                continue  # gone while it waited
            except OSError:
                # Out of descriptors or of memory, or the network is down (accept(2)). The listener stays
                # readable, so it must not be watched for a while.
                self._accept_failures += 1
                self._rest(listener)
                self._loop.call_later(limits.accept_retry_s, self._wake)
                return False
            self._take_socket(sock, address, kind)
        return True

    def _rest(self, listener: Listener) -> None:
        self._loop.remove_reader(listener.sock)
        self._resting.add(listener)

    def _wake(self) -> None:
        for listener in self._resting:
            self._loop.add_reader(listener.sock, self._accept, listener)
        self._resting.clear()

    def _take_socket(self, sock: socket.socket, address: object, kind: PeerKind) -> None:
        self._accepted += 1
        self._open[kind] += 1
        if kind is PeerKind.TCP:
            self._site.turns.saw(self._open[kind])
        refusal = None
        if self._open[kind] > self._limits.connections:
            self._refused += 1
            refusal = _FULL
        sock.setblocking(False)
        connection = Connection(self._site, _identify(sock, address), refusal)
        task = self._loop.create_task(self._connect(connection, sock))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler(
                {"message": "a connection could not be opened", "exception": error}
            )

    async def _connect(self, connection: Connection, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:
            # The peer was gone before its transport was made: a connection that never began.
            sock.close()
            if connection not in self._site.connections:
                self._connection_lost(connection)

    def _connection_lost(self, connection: Connection) -> None:
        self._open[connection.kind] -= 1
        if not any(self._open.values()):
            self._emptied.set()
        if self._resting:
            self._wake()

    # ---- time

    def _sweep(self) -> None:
        """Do what is due on all connections."""
        # On the stroke of the clock, so that Date is not a second behind the second it names.
        wall = time()
        pause_s = self._limits.sweep_s - wall % self._limits.sweep_s
        self._sweep_timer = self._loop.call_later(pause_s, self._sweep)
        self._site.heads.set_date(formatdate(wall, usegmt=True))
        self._site.turns.saw(self._open[PeerKind.TCP])
        self._look_at(list(self._site.connections))

    def _look_at(self, connections: list[Connection]) -> None:
        """Some of these now and the rest in the loop's next turns: thousands would take milliseconds together."""
        now, all_now = self._loop.time(), self._site.connections
        some, rest = connections[:LOOKED_AT], connections[LOOKED_AT:]
        for connection in some:
            if connection.deadline <= now and connection in all_now:
                connection.expire(now)
        if rest:
            self._loop.call_soon(self._look_at, rest)


def _identify(sock: socket.socket, address: object) -> Peer:
    if sock.family == socket.AF_UNIX:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, gid = _UCRED.unpack(credentials)
        return Peer(PeerKind.UNIX, uid, gid, pid or None)
    # A response of two writes must not wait for the client's delayed acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert isinstance(address, tuple)
    host = f"[{address[0]}]" if sock.family == socket.AF_INET6 else address[0]
    return Peer(PeerKind.TCP, address=f"{host}:{address[1]}")
