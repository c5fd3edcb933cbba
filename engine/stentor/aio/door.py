"""The door that drivers open in the HTTP server: which paths are whose, and what becomes of requests to them.

A prefix belongs to a channel for as long as that is configured; while no incarnation of its driver lives, requests are
answered 503. Invariants: one prefix, one channel; a request that an incarnation has in hand is answered or broken off
when the incarnation ends, so no client waits for a driver that is no more; whatever a handler raises ends there.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from stentor.aio import inside
from stentor.aio.server.exchange import Answer, Exchange, Peer, Route
from stentor.api.answers import Busy, problem_answer
from stentor.api.app import App
from stentor.api.call import give
from stentor.api.operations import BODY_LIMIT
from stentor.driver import HTTPExchange, Log
from stentor.errors import ConfigError
from stentor.wire.head import RequestHead
from stentor.wire.problem import problem

Handler = Callable[[HTTPExchange], None]

RETRY_AFTER_S: Final = 10
PENDING: Final = 1_000
"""Requests to the API that one incarnation may have without an answer."""

# Segments of the characters of RFC 3986 §3.3; an empty one would only match doubled slashes.
_prefix: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+").fullmatch


class _Place:
    """One prefix, mounted in the App as long as it is somebody's."""

    __slots__ = ("body_limit", "channel", "desk", "handler", "is_held", "prefix")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.channel = ""
        self.desk: Desk | None = None
        """Of the incarnation that serves it now."""
        self.handler: Handler | None = None
        self.body_limit = 0
        self.is_held = True
        """Whether the channel still has it while its driver rests; if not, another may take it."""

    def route(self, head: RequestHead, peer: Peer) -> Route | Answer:
        return Route(body_limit=self.body_limit) if self.desk is not None else _resting()

    def handle(self, exchange: Exchange) -> None:
        desk, handler = self.desk, self.handler
        if desk is None or handler is None:
            # The incarnation ended while the body came.
            give(exchange, _resting())
        else:
            desk.take(handler, exchange, self.prefix)


class Door:
    """All prefixes of all channels. ``app`` is what serves everything else."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._reserved = {operation.path.split("/")[1] for operation in app.operations}
        self._places: dict[str, _Place] = {}

    def open(self, channel: str, log: Log) -> "Desk":
        """For a new incarnation of a channel's driver."""
        return Desk(self, channel, log)

    def claim(self, prefix: str, channel: str) -> _Place:
        """The channel's place at the prefix. Raises ConfigError if it cannot have it."""
        place = self._places.get(prefix)
        if place is None:
            self._check(prefix, channel)
            place = self._places[prefix] = _Place(prefix)
            self.app.mount(prefix, place)
        elif place.channel != channel and (place.is_held or place.desk is not None):
            detail = f"HTTP requests to {prefix} are for the channel {place.channel} already, {channel} wants them too"
            raise ConfigError(f"channels.{channel}", detail, "a path of its own for each")
        place.channel, place.is_held = channel, True
        return place

    def _check(self, prefix: str, channel: str) -> None:
        if not _prefix(prefix):
            detail = f"{prefix!r} is no path that requests can be served at"
            raise ConfigError(f"channels.{channel}", detail, "/in/name")
        if prefix.split("/")[1] in self._reserved:
            detail = f"the path {prefix} is in stentor's own API"
            raise ConfigError(f"channels.{channel}", detail, "a path that begins otherwise")

    def places(self, channel: str) -> Iterator[_Place]:
        yield from [place for place in self._places.values() if place.channel == channel]

    def loosen(self, channel: str) -> None:
        """The channel ends or begins anew by another configuration: what it does not claim again, others may."""
        for place in self.places(channel):
            place.is_held = False

    def forget(self, channel: str) -> None:
        """The channel is no more: there is nothing at its paths."""
        for place in self.places(channel):
            self.leave(place)

    def leave(self, place: _Place) -> None:
        place.desk = place.handler = None
        del self._places[place.prefix]
        self.app.unmount(place.prefix)


class Desk:
    """What one incarnation of a driver has to do with HTTP: paths it serves, requests in hand, requests it makes."""

    __slots__ = ("_channel", "_door", "_is_over", "_log", "_look_at", "_open", "_pending")

    def __init__(self, door: Door, channel: str, log: Log) -> None:
        self._door = door
        self._channel = channel
        self._log = log
        self._open: list[Exchange] = []
        self._look_at = 64
        self._pending = 0
        self._is_over = False

    def serve(self, prefix: str, handler: Handler, body_limit: int) -> None:
        """Raises ConfigError if the channel cannot have the prefix."""
        assert not self._is_over
        assert 0 <= body_limit <= BODY_LIMIT, f"a body has at most {BODY_LIMIT} octets"
        place = self._door.claim(prefix, self._channel)
        place.desk, place.handler, place.body_limit = self, handler, body_limit

    def take(self, handler: Handler, exchange: Exchange, prefix: str) -> None:
        try:
            handler(exchange)
        except Exception as error:
            self._log.error(
                "driver failed to serve a request", prefix=prefix, error=repr(error), exc_info=True
            )
            fault = problem(500, "the request met a fault of the driver", "internal_error")
            _break_off(exchange, problem_answer(fault))
            return
        if not exchange.is_closed:
            self._remember(exchange)

    def _remember(self, exchange: Exchange) -> None:
        """Keep hold of it. Those that are over by now are let go of when the list has doubled."""
        if len(self._open) >= self._look_at:
            self._open = [each for each in self._open if not each.is_closed]
            self._look_at = max(64, 2 * len(self._open))
        self._open.append(exchange)

    def request(
        self,
        method: str,
        target: str,
        body: bytes,
        answered: inside.Answered,
        fields: Iterable[tuple[str, str]],
        account: str,
    ) -> None:
        """Ask the API. Nobody is told any more once the incarnation is over."""
        self._pending += 1

        def told(status: int, octets: bytes) -> None:
            self._pending -= 1
            if self._is_over:
                return
            try:
                answered(status, octets)
            except Exception as error:
                # It may come from where a commit is told of, which must go on.
                self._log.error("driver failed to take an answer", error=repr(error), exc_info=True)

        if self._pending > PENDING:
            fault = problem(503, f"{PENDING} requests wait for their answers", "too_many_requests")
            answer = problem_answer(
                Busy(fault.type, fault.title, 503, fault.detail, fault.code, retry_after=1)
            )
            told(answer.status, answer.body)
        else:
            inside.ask(self._door.app, method, target, body, told, fields, account)

    def drain(self) -> None:
        """The channel begins to stop: responses without an end should end."""
        for exchange in self._open:
            on_drain, exchange.on_drain = exchange.on_drain, None
            if on_drain is None or exchange.is_closed:
                continue
            try:
                on_drain()
            except Exception as error:
                self._log.error("driver failed to end a response", error=repr(error), exc_info=True)

    def close(self) -> None:
        """The incarnation is over. What it did not serve itself, the channel serves no more."""
        self._is_over = True
        for place in self._door.places(self._channel):
            if place.desk is self:
                place.desk = place.handler = None
            else:
                self._door.leave(place)
        for exchange in self._open:
            _break_off(exchange, _resting())
        self._open.clear()


def _break_off(exchange: Exchange, answer: Answer) -> None:
    """Respond for a driver that does not, without another word to it."""
    exchange.on_close = exchange.on_drain = None
    if exchange.has_begun:
        exchange.drop()
    else:
        give(exchange, answer)


def _resting() -> Answer:
    fault = problem(503, "what serves this path is not running", "not_running")
    return problem_answer(
        Busy(fault.type, fault.title, 503, fault.detail, fault.code, retry_after=RETRY_AFTER_S)
    )
