"""Group 8, pressure: a slow host, a slow peer, and a peer that asks for a slower pace."""

import asyncio
from typing import Final

from stentor.driver import Inbound
from stentor.outcome import Deferred
from stentor.testing.checks.registry import scene
from stentor.testing.peer import Answer, Can
from stentor.testing.world import World

_GROUP: Final = "pressure"
_PIECE: Final = 200


@scene(_GROUP, Can.LINK, Can.INBOUND)
async def a_slow_host_stops_the_reading(world: World) -> None:
    """While nothing becomes durable the driver stops reading, so that what it holds is bounded; then it goes on."""
    await world.ready()
    await asyncio.sleep(0.1)
    world.host.settling = "held"
    limit, sent = world.subject.unsettled_limit, 0
    message = Inbound("+46701111111", "12345", "STOP")
    while sent < 2 * limit:
        for _ in range(_PIECE):
            world.peer.send_inbound(message)
        sent += _PIECE
        await asyncio.sleep(0)
        if not any(world.drivers_side(link).is_reading() for link in world.network.open_links):
            break
    await asyncio.sleep(1.0)
    held = len(world.host.items)
    assert held <= limit, f"{held} items taken that are not durable, {limit} at most"
    stopped = [link for link in world.network.open_links if not world.drivers_side(link).is_reading()]
    assert stopped, f"{sent} items were sent, none is durable, and the driver still reads"
    await asyncio.sleep(world.subject.patience_s)
    world.host.settling = "at once"
    world.host.settle(True)
    await world.ready()
    count = len(world.host.items)
    world.peer.send_inbound(message)
    await world.until(lambda: len(world.host.items) > count, "the reading to go on")


@scene(_GROUP, Can.LINK, Can.SUBMITS)
async def a_peer_that_does_not_read_ends_in_doubt(world: World) -> None:
    """Everything handed to a peer that stopped reading is resolved in time, and drain does not wait for it."""
    await world.ready()
    for link in world.network.open_links:
        world.peers_side(link).pause_reading()
        world.network.piece = 1
    for key in list(world.host.lanes):
        world.submit(lane=key)
    await world.resolved()
    assert "Sent" not in world.outcomes(list(world.host.handed.values())), "Sent, and the peer read nothing"


@scene(_GROUP, Can.LINK, Can.SUBMITS)
async def a_full_pipe_does_not_hold_up_the_drain(world: World) -> None:
    """Octets that cannot leave do not keep the connection, nor ``drain``."""
    await world.ready()
    for link in world.network.open_links:
        world.peers_side(link).pause_reading()
        # The wire is full of other octets, as when the peer's machine has gone.
        world.peers_side(link).clog()
    world.submit()
    await world.finish(2.0)
    assert "Sent" not in world.outcomes(list(world.host.handed.values())), "Sent, and the peer read nothing"


@scene(_GROUP, Can.SUBMITS, Can.THROTTLE)
async def a_plea_for_a_slower_pace_is_passed_on(world: World) -> None:
    """The peer's "too fast" becomes Deferred with ``is_throttle``."""
    await world.ready()
    world.peer.answer = Answer.THROTTLED
    batch = world.submit(1)
    await world.resolved(batch)
    outcome = world.host.outcomes[batch[0].token]
    assert isinstance(outcome, Deferred), f"it became {type(outcome).__name__}"
    assert outcome.is_throttle, "Deferred, but not as a throttle: the lane would not slow down"


@scene(_GROUP, Can.LINK, Can.SUBMITS, Can.HOLD)
async def a_closed_lane_sends_nothing(world: World) -> None:
    """Window 0 and nothing in flight: whatever is then on the wire, no submission is."""
    world.peer.answer = Answer.HOLD
    await world.ready()
    batch = world.submit()
    await world.until(lambda: len(world.peer.seen) == len(batch), "everything on the wire")
    world.network.reset_all()
    await world.resolved(batch)
    seen = len(world.peer.seen)
    await world.ready()
    await asyncio.sleep(world.subject.patience_s)
    assert len(world.peer.seen) == seen, "the driver sent by itself what had its outcome already"
