"""The channels: what they do, and the operator's hand on them. No setting is shown, so no secret is."""

import msgspec

from stentor.aio.server.exchange import Answer, Exchange
from stentor.api.answers import ok
from stentor.api.call import Call, Tasks, give, refusal_answer
from stentor.api.engine import Engine
from stentor.api.render import Time, time_or_none
from stentor.dispatch.snapshot import ChannelSnapshot, EngineSnapshot, LaneSnapshot
from stentor.errors import Refusal


class ChannelError(msgspec.Struct, frozen=True):
    """What went wrong last, and when."""

    at: Time | None
    detail: str


class ChannelBody(msgspec.Struct, frozen=True):
    """One channel. ``rate_limit`` and ``rate_now`` are segments a second, 0 for unlimited; ``pace`` is how many left
    lately. One that cannot send is up while it receives. ``breaker``: closed, or open while all lanes are dead and
    messages go elsewhere, or probing. ``waits_for``: why what waits there does not leave now."""

    name: str
    driver: str
    state: str
    paused: bool
    rate_limit: float
    rate_now: float
    queued: int
    in_flight: int
    lanes: list[LaneSnapshot]
    counters: dict[str, int]
    last_error: ChannelError | None
    can_send: bool = True
    breaker: str = "closed"
    breaker_reason: str = ""
    pace: float = 0.0
    waits_for: list[str] = []


class ChannelList(msgspec.Struct, frozen=True):
    """All channels, in the order of the configuration."""

    channels: list[ChannelBody]


def channel_body(snapshot: ChannelSnapshot) -> ChannelBody:
    """A channel as clients see it. The counters of the engine and those of the driver stand side by side."""
    error = snapshot.last_error
    return ChannelBody(
        name=snapshot.name,
        driver=snapshot.driver,
        state=snapshot.state,
        paused=snapshot.paused,
        rate_limit=snapshot.rate_limit,
        rate_now=snapshot.rate_now,
        queued=snapshot.queued,
        in_flight=snapshot.in_flight,
        lanes=list(snapshot.lanes),
        counters={**snapshot.driver_status.counters, **snapshot.counters},
        last_error=ChannelError(time_or_none(snapshot.last_error_at_ms), error) if error else None,
        can_send=snapshot.can_send,
        breaker=snapshot.breaker,
        breaker_reason=snapshot.breaker_reason,
        pace=round(snapshot.pace, 3),
        waits_for=list(snapshot.waits_for),
    )


class ChannelResource:
    """Shows, pauses and resumes channels, and shows the engine as a whole."""

    __slots__ = ("_engine", "_tasks")

    def __init__(self, engine: Engine, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks

    def list(self, exchange: Exchange, call: Call) -> None:
        give(exchange, ok(ChannelList([channel_body(one) for one in self._engine.channels()])))

    def show(self, exchange: Exchange, call: Call) -> None:
        try:
            give(exchange, ok(channel_body(self._find(call))))
        except Refusal as error:
            give(exchange, refusal_answer(error))

    def pause(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("pause channel", exchange, self._set_paused(call, is_paused=True))

    def resume(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("resume channel", exchange, self._set_paused(call, is_paused=False))

    def status(self, exchange: Exchange, call: Call) -> None:
        """The engine's picture of itself."""
        snapshot: EngineSnapshot = self._engine.snapshot()
        give(exchange, ok(snapshot))

    def queue(self, exchange: Exchange, call: Call) -> None:
        """Everybody's messages, so for operators only."""
        self._tasks.answer("show queue", exchange, self._queue(call))

    async def _queue(self, call: Call) -> Answer:
        if not call.is_operator:
            raise Refusal("not_operator", "the queue is shown to operators", "$", 403)
        return ok(await self._engine.library.queue_shape(self._engine.clock.wall_ms()))

    def _find(self, call: Call) -> ChannelSnapshot:
        name = call.parameters["name"]
        for snapshot in self._engine.channels():
            if snapshot.name == name:
                return snapshot
        raise Refusal("not_found", "there is no channel of this name", "$", 404)

    async def _set_paused(self, call: Call, *, is_paused: bool) -> Answer:
        if not call.is_operator:
            raise Refusal("not_operator", "channels are paused and resumed by operators", "$", 403)
        name = self._find(call).name
        engine = self._engine
        snapshot = await (engine.pause(name) if is_paused else engine.resume(name))
        return ok(channel_body(snapshot))
