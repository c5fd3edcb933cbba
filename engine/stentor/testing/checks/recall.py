"""Group 6, giving back: a driver that claims that it can."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final, cast

from stentor.driver import Recaller
from stentor.outcome import Submission
from stentor.testing.checks.registry import scene
from stentor.testing.peer import Answer, Can
from stentor.testing.world import World

_GROUP: Final = "recall"


def _recall(world: World, batch: Sequence[Submission]) -> Collection[int]:
    return cast(Recaller, world.driver).recall(batch)


def _check_asked(world: World, batch: Sequence[Submission], asked: Collection[int]) -> None:
    """Nothing has another outcome than Returned by that, and what has one is not asked for."""
    stray = set(asked) - {each.token for each in batch}
    assert not stray, f"recall told of {sorted(stray)}, which it was not given"
    for submission, outcome in zip(batch, world.outcomes(batch), strict=True):
        assert outcome in ("none", "Returned"), f"recall made an outcome {outcome}"
        assert outcome == "none" or submission.token not in asked, "it is given back, and asked for as well"


@scene(_GROUP, Can.SUBMITS, Can.HOLD)
async def what_is_recalled_comes_home_once(world: World) -> None:
    """What comes back at once never reaches the peer; what the peer has is answered for as ever, once."""
    if not world.capabilities.can_recall:
        return
    world.peer.answer = Answer.HOLD
    await world.ready()
    batch = world.submit()
    _check_asked(world, batch, _recall(world, batch))
    returned = [each for each, kind in zip(batch, world.outcomes(batch), strict=True) if kind == "Returned"]
    left = [each for each in batch if each not in returned]
    await world.until(lambda: len(world.peer.seen) >= len(left), "the rest on the wire")
    await asyncio.sleep(1.0)
    seen = {each.to for each in world.peer.seen}
    assert not seen & {each.to for each in returned}, "what was given back had left"
    for held in list(world.peer.held):
        world.peer.reply(held, Answer.SENT)
    await world.resolved(batch)
    assert not _recall(world, batch), "it asks for what has its outcome"


@scene(_GROUP, Can.SUBMITS, Can.HOLD)
async def what_the_peer_has_is_not_given_back(world: World) -> None:
    """A submission that the peer has seen is not Returned by our side alone, however often it is recalled."""
    if not world.capabilities.can_recall:
        return
    world.peer.answer = Answer.HOLD
    await world.ready()
    batch = world.submit()
    await world.until(lambda: len(world.peer.seen) == len(batch), "everything on the wire")
    for _ in range(3):
        _check_asked(world, batch, _recall(world, batch))
        assert "Returned" not in world.outcomes(batch), "it gave back what the peer has"
    for held in list(world.peer.held):
        world.peer.reply(held, Answer.SENT)
    await world.resolved(batch)
    assert set(world.outcomes(batch)) <= {"Sent", "Returned"}, "the peer's answer was not taken"
