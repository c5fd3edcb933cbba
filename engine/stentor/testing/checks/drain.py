"""Group 9, drain: everything resolved by the deadline, nothing after, and a goodbye."""

import asyncio
from typing import Final

from stentor.testing.checks.registry import check, scene
from stentor.testing.peer import Answer, Can
from stentor.testing.world import Subject, World, play

_GROUP: Final = "drain"


@scene(_GROUP, Can.SUBMITS, Can.HOLD)
async def answers_on_their_way_are_waited_for(world: World) -> None:
    """What is answered before the deadline is Sent; ``drain`` returns then, not at the deadline."""
    world.peer.answer = Answer.HOLD
    await world.ready()
    batch = world.submit()
    await world.until(lambda: len(world.peer.seen) == len(batch), "everything on the wire")
    began = world.loop.time()

    def reply() -> None:
        for seen in list(world.peer.held):
            world.peer.reply(seen, Answer.SENT)

    world.loop.call_later(3.0, reply)
    await world.finish(20.0)
    assert set(world.outcomes(batch)) == {"Sent"}, f"they became {set(world.outcomes(batch))}"
    took_s = world.loop.time() - began
    assert took_s < 10.0, f"everything was answered after 3 s, and drain took {took_s:.1f} s"


@scene(_GROUP, Can.SUBMITS)
async def nothing_in_flight_is_nothing_to_wait_for(world: World) -> None:
    """With everything resolved, and with a batch of nothing handed over last, ``drain`` takes no time."""
    await world.ready()
    await world.resolved(world.submit())
    world.host.submit(world.driver, world.roomiest(), [])
    began = world.loop.time()
    await world.finish(20.0)
    took_s = world.loop.time() - began
    assert took_s < 1.0, f"drain took {took_s:.1f} s with nothing in flight"


@scene(_GROUP, Can.SUBMITS, Can.HOLD)
async def the_deadline_ends_all_waiting(world: World) -> None:
    """What is not answered by the deadline is in doubt, and an answer after it changes nothing."""
    world.peer.answer = Answer.HOLD
    await world.ready()
    batch = world.submit()
    await world.until(lambda: len(world.peer.seen) == len(batch), "everything on the wire")
    await world.finish(2.0)
    assert set(world.outcomes(batch)) == {"Unknown"}, f"they became {set(world.outcomes(batch))}"
    for seen in list(world.peer.held):
        world.peer.reply(seen, Answer.SENT)


@check(_GROUP, Can.SUBMITS, Can.HOLD)
def a_deadline_in_the_past_is_now(subject: Subject) -> None:
    """With no time left, with and without submissions in flight, ``drain`` returns at once."""
    for count in (0, 1):

        async def late(world: World, count: int = count) -> None:
            world.peer.answer = Answer.HOLD
            await world.ready()
            world.submit(count)
            await asyncio.sleep(0.1)
            await world.finish(-1.0)

        play(subject, late)


@scene(_GROUP, Can.SUBMITS, Can.HOLD)
async def nothing_new_is_taken_while_draining(world: World) -> None:
    """From ``drain`` on no lane has room, and a batch that was under way to the driver is Returned."""
    world.peer.answer = Answer.HOLD
    await world.ready()
    key = world.roomiest()
    first = world.submit(1, lane=key)
    await world.until(lambda: world.peer.seen, "it on the wire")
    late = [world.submission()]
    async with asyncio.TaskGroup() as group:
        finishing = group.create_task(world.finish(10.0))
        await asyncio.sleep(0.1)
        assert not finishing.done(), "it did not wait for what is in flight"
        open_lanes = [lane.key for lane in world.host.lanes.values() if lane.window]
        assert not open_lanes, f"lanes still open: {open_lanes}"
        if key in world.host.lanes:
            world.host.submit(world.driver, key, late, is_leased=True)
        await asyncio.sleep(0.1)
        for seen in list(world.peer.seen):
            world.peer.reply(seen, Answer.SENT)
    assert world.outcomes(first) == ["Sent"]
    if late[0].token in world.host.handed:
        assert world.outcomes(late) == ["Returned"], f"it became {world.outcomes(late)}"
    assert len(world.peer.seen) == 1, "something new was sent"


@scene(_GROUP, Can.LINK, Can.GOODBYE)
async def the_peer_hears_a_goodbye(world: World) -> None:
    """Every lane takes its leave as the protocol asks."""
    await world.ready()
    await asyncio.sleep(1.0)
    links = len(world.network.open_links)
    await world.finish()
    assert world.peer.goodbyes == links, f"{world.peer.goodbyes} goodbyes on {links} links"


@scene(_GROUP, Can.LINK, Can.GOODBYE, Can.SUBMITS, Can.HOLD)
async def a_goodbye_is_said_even_when_time_is_up(world: World) -> None:
    """The deadline passes with an answer missing: the goodbye still leaves."""
    world.peer.answer = Answer.HOLD
    await world.ready()
    world.submit(1)
    await world.finish(2.0)
    await asyncio.sleep(1.0)
    assert world.peer.goodbyes, "it left without a word"
