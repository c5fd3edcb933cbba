"""What the application sees of HTTP: who asks, one request, and its response to give now or later."""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Protocol

import msgspec

from stentor.wire import problem as problems
from stentor.wire.head import RequestHead
from stentor.wire.lines import Line
from stentor.wire.problem import Problem

Fields = Iterable[tuple[str, str]]


class PeerKind(Enum):
    """The kind of listener a peer came in by."""

    UNIX = "unix"
    TCP = "tcp"


class Peer(msgspec.Struct, frozen=True, gc=False):
    """Who connected. On a Unix socket the ids are the kernel's word (SO_PEERCRED), fixed at connect.

    A pid is for diagnosis only: it is re-used. ``address`` is ``host:port`` on TCP, empty on a Unix socket.
    """

    kind: PeerKind
    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    address: str = ""


class BodyMode(Enum):
    """How a request's body comes to the application."""

    WHOLE = "gathered; handle() is called once it is there"
    LINES = "in lines; handle() is called at the head"


class Route(msgspec.Struct, frozen=True):
    """How to go on with a request. ``context`` is the application's own, and comes back in the exchange.

    ``body_limit`` is in octets; None (for lines) is no limit. ``output_limit``: a client that has not taken
    this much of a streamed response is dropped; None is the server's default for the mode.
    """

    context: Any = None
    mode: BodyMode = BodyMode.WHOLE
    # A request whose resource takes no body may bring one all the same (RFC 9110 §9.3.1); it is ignored.
    body_limit: int | None = 64 * 1024
    output_limit: int | None = None


class Answer(msgspec.Struct, frozen=True):
    """A whole response, given instead of a route before any of the body is read."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    fields: tuple[tuple[str, str], ...] = ()


def answer_problem(problem: Problem, fields: Fields = ()) -> Answer:
    """The answer that says a problem."""
    return Answer(problem.status, problems.encode(problem), problems.CONTENT_TYPE, tuple(fields))


class Application(Protocol):
    """What a server serves. Both are called on the loop and must not block."""

    def route(self, head: RequestHead, peer: Peer) -> Route | Answer:
        """Decide from head and peer alone, before any of the body is read."""

    def handle(self, exchange: "Exchange") -> None:
        """Take a request: respond now or later, or start a streamed response."""


class LineHandler(Protocol):
    """Takes the lines of one body. Called on the loop, in order; never again after ``on_lines_end``."""

    def on_lines(self, exchange: "Exchange", lines: list[Line]) -> None:
        """All lines that one read completed, at least one."""

    def on_lines_end(self, exchange: "Exchange", problem: Problem | None) -> None:
        """The body has ended, or broke off by ``problem``. Lines handed over before stay valid.

        The response is to be ended now or later. Not called when the client is gone: that is ``on_close``.
        """


class Connection(Protocol):
    """What an exchange needs of the connection its response goes to."""

    @property
    def is_blocked(self) -> bool: ...

    @property
    def unsent_octets(self) -> int: ...

    def respond(self, status: int, body: bytes, content_type: str, fields: Fields) -> None: ...

    def start(self, status: int, content_type: str, fields: Fields) -> None: ...

    def send(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def drop(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Exchange:
    """One request and its response. All methods are to be called on the loop.

    Once the client is gone (``is_closed``) every method is without effect: work that was accepted stays
    accepted, there is only nobody to tell. ``on_close`` is called once if that happens before the response is
    complete. A response is given by ``respond``, or by ``start``, any number of ``send``, and ``end``.
    """

    __slots__ = (
        "_connection",
        "body",
        "has_begun",
        "head",
        "line_handler",
        "on_close",
        "on_drain",
        "on_writable",
        "peer",
        "route",
    )

    def __init__(self, connection: Connection, head: RequestHead, peer: Peer, route: Route) -> None:
        self._connection: Connection | None = connection
        self.head = head
        self.peer = peer
        self.route = route
        self.body = b""
        self.has_begun = False
        """A streamed response was begun: what is sent now is some of it."""
        self.line_handler: LineHandler | None = None
        """Set by ``handle`` in the mode LINES."""
        self.on_close: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        """Called when ``is_writable`` becomes true again."""
        self.on_drain: Callable[[], None] | None = None
        """Called when the server begins to stop: a response without a natural end should ``end``."""

    @property
    def address(self) -> str:
        """``host:port`` of the client; empty on a Unix socket."""
        return self.peer.address

    @property
    def is_closed(self) -> bool:
        """True once the response is complete or the client is gone."""
        return self._connection is None

    @property
    def is_writable(self) -> bool:
        """False while the client leaves what it was sent untaken."""
        connection = self._connection
        return connection is not None and not connection.is_blocked

    @property
    def unsent_octets(self) -> int:
        """What was sent and the kernel has not taken."""
        return 0 if self._connection is None else self._connection.unsent_octets

    def respond(
        self, status: int, body: bytes, content_type: str = "application/json", fields: Fields = ()
    ) -> None:
        """Give the whole response."""
        if self._connection is not None:
            self._connection.respond(status, body, content_type, fields)

    def refuse(self, problem: Problem, fields: Fields = ()) -> None:
        """Respond with a problem."""
        self.respond(problem.status, problems.encode(problem), problems.CONTENT_TYPE, fields)

    def start(self, status: int, content_type: str, fields: Fields = ()) -> None:
        """Begin a streamed response."""
        if self._connection is not None:
            self.has_begun = True
            self._connection.start(status, content_type, fields)

    def send(self, data: bytes) -> None:
        """Send some of a streamed response: join what belongs together, each call costs a chunk.

        A client that has left more than the route's ``output_limit`` untaken is dropped (``on_close``).
        """
        if self._connection is not None:
            self._connection.send(data)

    def end(self) -> None:
        """End a streamed response."""
        if self._connection is not None:
            self._connection.end()

    def drop(self) -> None:
        """Break off: the client sees that the response is incomplete."""
        if self._connection is not None:
            self._connection.drop()

    def pause_reading(self) -> None:
        """Take no more lines for now. What one read brought may still be handed over, and the end."""
        if self._connection is not None:
            self._connection.pause_reading()

    def resume_reading(self) -> None:
        """Take lines again."""
        if self._connection is not None:
            self._connection.resume_reading()

    def detach(self, *, is_lost: bool) -> None:
        """The connection lets go: the response is complete or the client lost. For the connection only."""
        self._connection = None
        self.line_handler = None
        on_close, self.on_close = self.on_close, None
        self.on_writable = self.on_drain = None
        if is_lost and on_close is not None:
            on_close()
