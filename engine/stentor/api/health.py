"""Health, metrics: for balancers, service managers and scrapers."""

from typing import Final

import msgspec

from stentor.aio.server.exchange import Exchange
from stentor.api.answers import Busy, ok, problem_answer
from stentor.api.call import Call, give
from stentor.api.engine import Engine
from stentor.wire.problem import problem

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_RETRY_AFTER_S: Final = 1


class Health(msgspec.Struct, frozen=True):
    """A word on the daemon: ``alive`` or ``ready``."""

    status: str


class HealthResource:
    """Whether the daemon lives, can take work, and how it fares."""

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def alive(self, exchange: Exchange, call: Call) -> None:
        """Being answered at all is the answer."""
        give(exchange, ok(Health("alive")))

    def ready(self, exchange: Exchange, call: Call) -> None:
        reason = self._engine.unready
        if reason is None:
            give(exchange, ok(Health("ready")))
            return
        fault = problem(503, reason, "not_ready")
        give(
            exchange,
            problem_answer(
                Busy(fault.type, fault.title, 503, reason, fault.code, retry_after=_RETRY_AFTER_S)
            ),
        )

    def metrics(self, exchange: Exchange, call: Call) -> None:
        exchange.respond(200, self._engine.metrics().encode(), METRICS_TYPE)
