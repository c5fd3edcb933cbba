"""Sending a request and giving what became of it, over a pool of connections."""

from collections.abc import Awaitable, Callable, Sequence

from stentor.aio.http.settings import ClientSettings, ClientStatistics
from stentor.wire.calls import HTTPFailure, HTTPReply, HTTPRequest

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Client:
    """Sends requests over connections that it keeps. Belongs to one event loop."""

    def __init__(
        self, settings: ClientSettings, *, random: Callable[[], float], resolve: Resolve | None = None
    ) -> None:
        self._settings = settings

    async def send(self, request: HTTPRequest) -> HTTPReply | HTTPFailure:
        """One exchange, at most one attempt at it unless it is repeatable. What the other side does is a value.

        Raises InvalidRequest, before anything is done. Cancelling closes the connection in use.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Close every connection and wait until they are closed; further requests fail with NOTHING_LEFT."""

    def statistics(self) -> ClientStatistics:
        """A picture of now."""
        raise NotImplementedError
