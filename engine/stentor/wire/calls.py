"""Calls to HTTP servers of others: what is asked, and what can become of it. Values alone; ``stentor.aio.http`` sends.

    HTTPRequest -> HTTPReply | HTTPFailure

Whatever the other side does is one of the two. Failures are told apart by what they mean for doing it again.
"""

import enum
from collections.abc import Mapping

import msgspec


class HTTPRequest(msgspec.Struct, frozen=True, gc=False):
    """One request. ``url`` is absolute, ``http`` or ``https``, percent-encoded, without user information.

    ``fields`` are sent as given, in order; Host, Content-Length, Connection and Transfer-Encoding are the client's.
    ``is_repeatable``: the server may see it twice without harm, so it may be sent again when a connection that was
    kept turns out to have been closed.
    """

    method: str
    url: str
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    is_repeatable: bool = False


class HTTPReply(msgspec.Struct, frozen=True, gc=False):
    """A whole answer of any status, redirects too. ``fields``: names in lower case, repeated ones joined by ", ".

    ``took_s`` counts from the call, waiting for a connection included. ``remote`` is ``address:port``. ``is_cut``: the
    body went on beyond the limit, and the settings wanted it cut there.
    """

    status: int
    fields: Mapping[str, str]
    body: bytes
    took_s: float
    remote: str
    is_cut: bool = False


class FailureKind(enum.Enum):
    """Why there is no answer, by what may have happened at the other side."""

    NOTHING_LEFT = "nothing_left"
    """Not an octet of the request left us: no address, no connection, no TLS, or the client was closed."""

    MAY_HAVE_LEFT = "may_have_left"
    """It was written, if only in part, and no complete answer came."""

    FORBIDDEN = "forbidden"
    """The address guard does not let us go there. Nothing left."""

    BAD_ANSWER = "bad_answer"
    """What came is not HTTP, or longer than allowed. The request may have been acted on."""


class HTTPFailure(msgspec.Struct, frozen=True, gc=False):
    """No answer. ``detail`` is for people: it names the host and the cause, never a path, a field or a secret."""

    kind: FailureKind
    detail: str
    took_s: float


class InvalidRequest(ValueError):
    """The request cannot be written as HTTP. ``str()`` says which part is wrong and never quotes it."""
