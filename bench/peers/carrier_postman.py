"""Posts receipts and messages to a client's hooks over connections that are kept, and repeats what is not taken.

Invariants: a post is in ``_waiting``, under way on one connection, or due again later, until it is answered with 2xx or
given up; what is under way on a connection that is lost is posted again.
"""

import re
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from bench.peers.carrier_statistics import Statistics
from bench.peers.carrier_wire import Hub, Line

_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_AGAIN: Final = re.compile(rb"\r\nretry-after: *(\d+)\r\n", re.IGNORECASE)
AGAIN_S: Final = 1.0
TRIES: Final = 20


class Post(msgspec.Struct):
    """One request to a hook: its octets and how many receipts, or messages, it carries."""

    octets: bytes
    receipts: int
    inbound: int = 0
    tries: int = 0


class Postman:
    """``depth``: requests on a connection before the first is answered. ``later`` calls a function after so many
    seconds."""

    def __init__(
        self,
        hub: Hub,
        place: tuple[str, int],
        connections: int,
        depth: int,
        statistics: Statistics,
        later: Callable[..., None],
        clock: Callable[[], float],
    ) -> None:
        self._hub, self._place, self._most, self._depth = hub, place, connections, depth
        self._statistics, self._later, self._clock = statistics, later, clock
        self._waiting: deque[Post] = deque()
        self._ready: list[_Way] = []
        self._ways: set[_Way] = set()
        self._is_resting = False

    @property
    def waiting(self) -> int:
        """Posts without an answer."""
        return len(self._waiting) + sum(len(way.under_way) for way in self._ways)

    def post(self, post: Post) -> None:
        """Take a request; it leaves with the next :meth:`push`."""
        self._waiting.append(post)

    def push(self) -> None:
        """Send what waits, as far as there are connections for it."""
        waiting = self._waiting
        while waiting:
            if not self._ready and not self._connect():
                return
            way = self._ready[-1]
            under_way = way.under_way
            octets = []
            while waiting and len(under_way) < self._depth:
                post = waiting.popleft()
                under_way.append(post)
                octets.append(post.octets)
            self._ready.pop()
            way.line.write(octets[0] if len(octets) == 1 else b"".join(octets))

    def _connect(self) -> bool:
        if len(self._ways) >= self._most or self._is_resting:
            return False
        try:
            sock = socket.create_connection(self._place, timeout=1.0)
        except OSError:
            self._statistics.unreachable += 1
            self._is_resting = True
            self._later(AGAIN_S, self._rested)
            return False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        way = _Way(Line(self._hub, sock), self)
        self._ways.add(way)
        self._ready.append(way)
        return True

    def _rested(self) -> None:
        self._is_resting = False
        self.push()

    def answered(self, way: "_Way", post: Post, status: int, wait_s: float) -> None:
        """One post is answered."""
        statistics = self._statistics
        if 200 <= status < 300:
            statistics.acknowledged += post.receipts
            statistics.inbound_acknowledged += post.inbound
            statistics.last_acknowledged_at = self._clock()
        else:
            statistics.hook_statuses[str(status)] += 1
            self._again(post, wait_s)
        if not way.under_way:
            self._ready.append(way)

    def lost(self, way: "_Way") -> None:
        """A connection is gone."""
        self._ways.discard(way)
        if way in self._ready:
            self._ready.remove(way)
        for post in way.under_way:
            self._again(post, AGAIN_S)
        way.under_way.clear()

    def _again(self, post: Post, wait_s: float) -> None:
        post.tries += 1
        if post.tries >= TRIES:
            self._statistics.given_up += post.receipts + post.inbound
            return
        self._statistics.repeated_posts += 1
        self._later(wait_s, self._repost, post)

    def _repost(self, post: Post) -> None:
        self._waiting.append(post)


class _Way:
    """One connection to the client, and what is under way on it in order."""

    __slots__ = ("_data", "_postman", "line", "under_way")

    def __init__(self, line: Line, postman: Postman) -> None:
        self.line, self._postman = line, postman
        self.under_way: deque[Post] = deque()
        self._data = b""
        line.received = self._received
        line.lost = lambda: postman.lost(self)

    def _received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        while data:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                break
            length = _LENGTH.search(data, 0, end + 2)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(data) < whole:
                break
            status = _STATUS.match(data)
            if status is None or not self.under_way:
                self._data = b""
                self.line.close()
                return
            again = _AGAIN.search(data, 0, end + 2)
            post = self.under_way.popleft()
            self._postman.answered(self, post, int(status[1]), float(again[1]) if again else AGAIN_S)
            data = data[whole:]
        self._data = data
