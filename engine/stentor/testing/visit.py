"""HTTP as a driver sees it, in memory: requests that a test brings to it, and requests that it makes to the API.

A :class:`Visit` is the request and shows the response as it is given. What a driver does wrong with it is an
AssertionError in the driver, as it is in the engine.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from stentor.driver import HTTPExchange


class Served(msgspec.Struct, frozen=True):
    """What a driver registered for a prefix."""

    handler: Callable[[HTTPExchange], None]
    body_limit: int


class VisitHead(msgspec.Struct, frozen=True):
    """The head of a request; ``headers`` has names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


class Visit:
    """Implements ``stentor.driver.HTTPExchange``.

    ``status`` is 0 until the response begins; ``sent`` is its body so far, ``pieces`` as it was sent; ``fields`` are
    its other header fields, names in lower case. ``is_complete``: it was given to the end; ``is_dropped``: broken off.
    """

    def __init__(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str], address: str = ""
    ) -> None:
        path, _, query = target.partition("?")
        self.head = VisitHead(method, path, query, {name.lower(): value for name, value in headers.items()})
        self.address = address
        self.body = body
        self.on_close: Callable[[], None] | None = None
        self.on_drain: Callable[[], None] | None = None
        self.status = 0
        self.content_type = ""
        self.fields: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.is_complete = False
        self.is_dropped = False
        self._is_gone = False

    # -- what a driver calls ---------------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        return self.is_complete or self._is_gone

    def respond(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        fields: Iterable[tuple[str, str]] = (),
    ) -> None:
        if not self.is_closed:
            self.start(status, content_type, fields)
            self.pieces.append(body)
            self.end()

    def start(self, status: int, content_type: str, fields: Iterable[tuple[str, str]] = ()) -> None:
        if self.is_closed:
            return
        assert not self.status, "a request has one response"
        self.status, self.content_type = status, content_type
        self.fields = {name.lower(): value for name, value in fields}

    def send(self, data: bytes) -> None:
        if not self.is_closed:
            assert self.status, "a response is started before it is sent"
            self.pieces.append(data)

    def end(self) -> None:
        if not self.is_closed:
            assert self.status, "a response is started before it ends"
            self.is_complete = True
            self.on_close = self.on_drain = None

    def drop(self) -> None:
        if not self.is_closed:
            self.is_dropped = True
            self.leave()

    # -- the test's hand -------------------------------------------------------------------------------------

    @property
    def sent(self) -> bytes:
        return b"".join(self.pieces)

    def leave(self) -> None:
        """The client is gone."""
        if self.is_closed:
            return
        self._is_gone = True
        on_close, self.on_close = self.on_close, None
        self.on_drain = None
        if on_close is not None:
            on_close()

    def drain(self) -> None:
        """The server begins to stop."""
        if self.on_drain is not None:
            self.on_drain()


class APIRequest:
    """What a driver asked of the API. ``account`` is empty for the default one."""

    def __init__(
        self,
        method: str,
        target: str,
        body: bytes,
        answered: Callable[[int, bytes], None],
        fields: tuple[tuple[str, str], ...] = (),
        account: str = "",
    ) -> None:
        self.method, self.target, self.body = method, target, body
        self.fields, self.account = fields, account
        self.is_answered = False
        self._answered = answered

    def answer(self, status: int, body: bytes = b"") -> None:
        """Give the API's answer; once."""
        assert not self.is_answered, "the API answers once"
        self.is_answered = True
        self._answered(status, body)


def find_served(served: Mapping[str, Served], path: str) -> Served | None:
    """What serves the path: the longest prefix of whole segments."""
    while path:
        if path in served:
            return served[path]
        path = path.rpartition("/")[0]
    return None
