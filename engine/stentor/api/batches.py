"""Batches: messages that were submitted under one label of their account. Counted, paused, resumed, cancelled."""

from collections.abc import Awaitable, Callable
from typing import Literal, cast

import msgspec

from stentor.aio.server.exchange import Answer, Exchange
from stentor.api.answers import ok
from stentor.api.call import Call, Tasks
from stentor.api.engine import Engine
from stentor.api.render import Time, time_text
from stentor.dispatch.snapshot import BatchSnapshot
from stentor.errors import Refusal

StateWord = Literal["active", "paused", "resuming", "cancelling", "finished"]


class BatchBody(msgspec.Struct, frozen=True):
    """One batch. ``counts`` are messages by status, zeros left out; ``held`` of them are held back. ``progress`` is the
    part that has left or ended, from 0 to 1; ``rate`` messages a second left lately; ``expected_end`` is when the rest
    will have left at that rate, null while nothing leaves or nothing is to. It is ``finished`` while nothing of it is
    left to send; what is submitted later makes it active again."""

    batch: str
    state: StateWord
    total: int
    counts: dict[str, int]
    held: int
    left: int
    progress: float
    rate: float
    expected_end: Time | None


def batch_body(snapshot: BatchSnapshot, now_ms: int) -> BatchBody:
    """A batch as clients see it."""
    total, left, rate = sum(snapshot.counts.values()), snapshot.left, snapshot.rate
    state = "finished" if snapshot.state == "active" and not left else snapshot.state
    is_moving = left and rate > 0 and state in ("active", "resuming")
    return BatchBody(
        batch=snapshot.batch,
        state=cast(StateWord, state),
        total=total,
        counts=snapshot.counts,
        held=snapshot.held,
        left=left,
        progress=round((total - left) / total, 4) if total else 0.0,
        rate=round(rate, 3),
        expected_end=time_text(now_ms + int(left / rate * 1000)) if is_moving else None,
    )


class BatchResource:
    """What is asked about and done to batches."""

    __slots__ = ("_engine", "_tasks")

    def __init__(self, engine: Engine, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks

    def show(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("show batch", exchange, self._show(call))

    def pause(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("pause batch", exchange, self._change(call, self._engine.pause_batch))

    def resume(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("resume batch", exchange, self._change(call, self._engine.resume_batch))

    def cancel(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("cancel batch", exchange, self._change(call, self._engine.cancel_batch))

    async def _show(self, call: Call) -> Answer:
        return self._answer(await self._find(call))

    async def _find(self, call: Call) -> BatchSnapshot:
        """The batch the path names. Raises Refusal (404) for one without messages, or of another account."""
        found = await self._engine.batch(call.account, call.parameters["label"])
        if not found.counts:
            raise Refusal("not_found", "there is no message of this batch", "$", 404)
        return found

    async def _change(self, call: Call, change: Callable[[str, str], Awaitable[BatchSnapshot]]) -> Answer:
        await self._find(call)
        return self._answer(await change(call.account, call.parameters["label"]))

    def _answer(self, snapshot: BatchSnapshot) -> Answer:
        return ok(batch_body(snapshot, self._engine.clock.wall_ms()))
