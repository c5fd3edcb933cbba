"""Group 5, doubt and idempotency: drivers that claim there is no doubt, or that they can ask about it."""

import asyncio
from typing import Final

import msgspec

from stentor.testing.checks.registry import scene
from stentor.testing.peer import Answer, Can
from stentor.testing.world import World

_GROUP: Final = "doubt"


@scene(_GROUP, Can.LINK, Can.SUBMITS, Can.HOLD)
async def what_is_in_doubt_may_be_handed_over_again(world: World) -> None:
    """A second attempt of the same token gets its own outcome; an idempotent driver's peer delivers it once."""
    world.peer.answer = Answer.HOLD
    await world.ready()
    first = world.submit(1)
    await world.until(lambda: world.peer.seen, "it on the wire")
    world.network.reset_all()
    await world.resolved(first)
    assert world.outcomes(first) == ["Unknown"]
    world.peer.answer = Answer.SENT
    await world.ready()
    host, again = world.host, msgspec.structs.replace(first[0], attempt=2)
    del host.handed[again.token], host.outcomes[again.token]
    host.submit(world.driver, world.roomiest(), [again])
    await world.resolved([again])
    assert world.outcomes([again]) == ["Sent"]
    await asyncio.sleep(1.0)
    times = world.peer.delivered(again.to)
    if world.capabilities.is_idempotent:
        assert times == 1, f"it claims to be idempotent, and the destination got it {times} times"


@scene(_GROUP, Can.LINK, Can.SUBMITS)
async def what_may_have_left_before_is_asked_about_and_not_sent(world: World) -> None:
    """A submission that was in doubt when the daemon was killed gets an outcome, and its peer never gets it."""
    if not world.capabilities.can_look_up:
        return
    await world.ready()
    since_ms = world.host.clock.wall_ms() - 60_000
    submission = msgspec.structs.replace(world.submission(), doubtful_since_ms=since_ms)
    world.host.submit(world.driver, world.roomiest(), [submission])
    await world.resolved([submission])
    times = world.peer.delivered(submission.to)
    assert times == 0, f"it claims to look up, and sent what it was to ask about {times} times"
