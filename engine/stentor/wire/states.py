"""What can be said about one HTTP/1.1 connection: its limits, its events and the phases of a request.

Types only; the connection itself is in ``http``.
"""

from enum import Enum

import msgspec

from stentor.wire.head import HEAD_LIMIT, HEADER_COUNT_LIMIT, TARGET_LIMIT, RequestHead
from stentor.wire.problem import Problem


class HTTPLimits(msgspec.Struct, frozen=True, gc=False):
    """Bounds of one connection; each default with its reason."""

    head_octets: int = HEAD_LIMIT
    header_count: int = HEADER_COUNT_LIMIT
    request_line_octets: int = TARGET_LIMIT
    # A head is one packet. Ten seconds are three retransmissions of TCP; a client that needs longer dribbles.
    head_s: float = 10.0
    # Clients keep connections for reuse; a minute covers their pauses, and an idle one costs 2 KiB.
    idle_s: float = 60.0
    # 1 KiB/s, looked at over ten seconds, so that one lost packet is forgiven and saved-up credit is not.
    body_window_s: float = 10.0
    body_window_octets: int = 10 * 1024
    # A stream of lines may pause: messages come when they come. It holds a connection but no memory.
    stream_window_s: float = 60.0
    # A small body of a refused request is read to its end: cheaper than a new connection.
    discard_octets: int = 64 * 1024
    # Closing with octets unread resets the connection and may destroy the answer (RFC 9112 §9.6).
    linger_s: float = 2.0
    # A client that takes nothing for a minute is not going to; its answers hold memory.
    stall_s: float = 60.0
    # Later requests of a pipeline, read while one is served: enough to keep the next ones at hand.
    read_ahead_octets: int = 64 * 1024


class Body(msgspec.Struct, frozen=True, gc=False):
    """The whole body of a request whose head was answered by ``take_body``."""

    data: bytes


class BodyPiece(msgspec.Struct, frozen=True, gc=False):
    """Some of a streamed body; ``data`` may be empty in the last piece."""

    data: bytes
    is_last: bool


class BodyFailed(msgspec.Struct, frozen=True):
    """A streamed body broke off. The response is still to be given, and may be this problem."""

    problem: Problem


Event = RequestHead | Body | BodyPiece | BodyFailed


class Phase(Enum):
    """Where the request in hand stands."""

    IDLE = "no octet of the next request is there"
    HEAD = "some of its head is there"
    ROUTING = "the head was handed out and waits for a decision"
    WHOLE = "its body is gathered"
    STREAM = "its body is handed out piece by piece"
    DISCARD = "it is answered, and the rest of its body is dropped"
    SERVE = "it is read, and its response is awaited"
    LINGER = "our side has ended; what still comes is dropped"
    CLOSED = "nothing more will be said"

    # Each request asks tables for eight of them, and the hash that enum offers is a call of Python.
    __hash__ = object.__hash__


NEXT_PHASES: dict[Phase, frozenset[Phase]] = {
    Phase.IDLE: frozenset({Phase.HEAD, Phase.LINGER, Phase.CLOSED}),
    Phase.HEAD: frozenset({Phase.ROUTING, Phase.IDLE, Phase.LINGER, Phase.CLOSED}),
    Phase.ROUTING: frozenset(
        {Phase.WHOLE, Phase.STREAM, Phase.DISCARD, Phase.SERVE, Phase.IDLE, Phase.LINGER, Phase.CLOSED}
    ),
    Phase.WHOLE: frozenset({Phase.SERVE, Phase.LINGER, Phase.CLOSED}),
    Phase.STREAM: frozenset({Phase.SERVE, Phase.LINGER, Phase.CLOSED}),
    Phase.DISCARD: frozenset({Phase.IDLE, Phase.LINGER, Phase.CLOSED}),
    Phase.SERVE: frozenset({Phase.IDLE, Phase.LINGER, Phase.CLOSED}),
    Phase.LINGER: frozenset({Phase.CLOSED}),
    Phase.CLOSED: frozenset(),
}


class Response(Enum):
    """Where the response to it stands."""

    NONE = "not begun"
    OPEN = "its head is out, its body follows"
    COMPLETE = "said to the end"


class Shutdown(Enum):
    """What the shell is to do with the transport once the output is written."""

    STAY = "keep it"
    LINGER = "end our side and read on"
    CLOSE = "close it after what was written"
    ABORT = "drop it now"
