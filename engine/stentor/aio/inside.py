"""Requests to the API from within the process: no socket, no HTTP, the same operations and answers.

For drivers that speak an API of others. Whole bodies and whole answers only. Invariant: whoever asks is answered
exactly once, also when the API fails.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from stentor.aio.server.exchange import Answer, BodyMode, Exchange, Fields, Peer, PeerKind, answer_problem
from stentor.api.app import App
from stentor.wire.body import too_large
from stentor.wire.head import RequestHead
from stentor.wire.problem import problem

Answered = Callable[[int, bytes], None]

ANSWER_LIMIT: Final = 16 * 1024 * 1024
"""Of an answer's body; the longest, a listing of 1,000 messages with all their segments, has a few MiB."""
_PEER: Final = Peer(PeerKind.UNIX)


class _Whole:
    """The connection of one exchange: hands on a whole response, and refuses to be streamed to."""

    __slots__ = ("_answered", "exchange")

    is_blocked = False
    unsent_octets = 0

    def __init__(self, answered: Answered) -> None:
        self._answered: Answered | None = answered
        self.exchange: Exchange | None = None

    def give(self, answer: Answer, *, is_lost: bool = False) -> None:
        answered, self._answered = self._answered, None
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.detach(is_lost=is_lost)
        if answered is not None:
            answered(answer.status, answer.body)

    def fail(self, error: Exception) -> None:
        """A fault of the API's own: told to the loop's exception handler, as the server does."""
        message = "the application failed to serve a request"
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
        fault = problem(500, "the request met a fault of the daemon", "internal_error")
        self.give(answer_problem(fault), is_lost=True)

    def respond(self, status: int, body: bytes, content_type: str, fields: Fields) -> None:
        if len(body) > ANSWER_LIMIT:
            fault = problem(500, f"the answer is longer than {ANSWER_LIMIT} octets", "answer_too_large")
            self.give(answer_problem(fault))
        else:
            self.give(Answer(status, body))

    def start(self, status: int, content_type: str, fields: Fields) -> None:
        # Whoever streams says only after this what is to be done when nobody listens any more.
        asyncio.get_running_loop().call_soon(self.drop)

    def send(self, data: bytes) -> None:
        return

    def end(self) -> None:
        self.drop()

    def drop(self) -> None:
        self.give(_no_streams(), is_lost=True)

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return


def ask(
    app: App,
    method: str,
    target: str,
    body: bytes,
    answered: Answered,
    fields: Iterable[tuple[str, str]] = (),
    account: str = "",
) -> None:
    """Ask the API as the account (empty: the default one); ``answered`` is given status and body, now or later."""
    whole = _Whole(answered)
    head = _head(method, target, len(body), fields)
    try:
        decision = app.route_for(head, account)
        if isinstance(decision, Answer):
            whole.give(decision)
        elif decision.mode is BodyMode.LINES:
            whole.give(_no_streams())
        elif decision.body_limit is not None and len(body) > decision.body_limit:
            whole.give(answer_problem(too_large(decision.body_limit)))
        else:
            exchange = whole.exchange = Exchange(whole, head, _PEER, decision)
            exchange.body = body
            app.handle(exchange)
    except Exception as error:
        whole.fail(error)


def _head(method: str, target: str, length: int, fields: Iterable[tuple[str, str]]) -> RequestHead:
    assert target.startswith("/"), "a target is a path, with or without a query"
    headers: dict[str, str] = {}
    for name, value in fields:
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path, _, query = target.partition("?")
    return RequestHead(method, path, query, headers, length, False, True, False)


def _no_streams() -> Answer:
    return answer_problem(problem(501, "streams are served over sockets only", "no_streams"))
