"""What a resource is handed with an exchange, and how it answers."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Mapping
from types import coroutine
from typing import Any

import msgspec

from stentor.aio.server.exchange import Answer, Exchange
from stentor.api.answers import busy, problem_answer, refused
from stentor.api.credentials import Principal
from stentor.errors import JournalError, Overloaded, Refusal
from stentor.wire.problem import problem

Spawn = Callable[[str, Coroutine[None, None, None]], object]
"""Runs a coroutine as a task under a name, like the supervisor's ``start``."""


class Call(msgspec.Struct, frozen=True):
    """One request to a resource: the values of the path's parameters, and who asks.

    ``principal`` is None only where no credential is asked for.
    """

    handle: Callable[[Exchange, "Call"], None]
    parameters: Mapping[str, str]
    principal: Principal | None

    @property
    def account(self) -> str:
        assert self.principal is not None, "an open resource has no account"
        return self.principal.account

    @property
    def is_operator(self) -> bool:
        return self.principal is not None and self.principal.is_operator


def give(exchange: Exchange, answer: Answer) -> None:
    """Respond with an answer."""
    exchange.respond(answer.status, answer.body, answer.content_type, answer.fields)


def refusal_answer(error: Refusal | Overloaded | JournalError) -> Answer:
    """The answer that tells of a refusal, or that nothing can be done now."""
    return problem_answer(refused(error) if isinstance(error, Refusal) else busy(error))


class Tasks:
    """Runs the work of requests that have to wait for something.

    A fault of ours in one request is answered 500 and told to the loop's exception handler, exactly as the
    server does with one in a handler: it must not end the daemon, which has other work.
    """

    __slots__ = ("_spawn",)

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn

    def answer(self, name: str, exchange: Exchange, work: Coroutine[Any, Any, Answer]) -> None:
        """Respond with what ``work`` returns or refuses."""
        self._spawn(name, self._guard(exchange, _answer(exchange, work), is_streamed=False))

    def run(
        self, name: str, exchange: Exchange, work: Coroutine[Any, Any, None], *, is_streamed: bool = False
    ) -> None:
        """Run ``work``, which responds by itself."""
        self._spawn(name, self._guard(exchange, work, is_streamed=is_streamed))

    async def _guard(self, exchange: Exchange, work: Coroutine[Any, Any, None], *, is_streamed: bool) -> None:
        try:
            await work
        except Exception as error:
            message = "the application failed to serve a request"
            asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
            if is_streamed:
                exchange.drop()
            else:
                exchange.refuse(problem(500, "the request met a fault of the daemon", "internal_error"))


async def _answer(exchange: Exchange, work: Coroutine[Any, Any, Answer]) -> None:
    try:
        answer = await work
    except (Refusal, Overloaded, JournalError) as error:
        answer = refusal_answer(error)
    give(exchange, answer)


@coroutine
def next_turn() -> Generator[None, None, None]:
    """Let everything else that is ready run first."""
    yield


def query(exchange: Exchange) -> dict[str, str]:
    """The query's parameters. Raises Refusal for one given twice or for too many."""
    try:
        fields = exchange.head.query_fields()
    except ValueError:
        raise Refusal("bad_query", "the query has too many parameters", "$.query") from None
    found: dict[str, str] = {}
    for name, value in fields:
        if name in found:
            raise Refusal("bad_query", "the parameter is given twice", f"$.query.{name}")
        found[name] = value
    return found
