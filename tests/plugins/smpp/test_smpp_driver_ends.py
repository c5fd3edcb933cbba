"""How the SMPP driver's sessions end: alone, without holding others, and in good order. Virtual time throughout."""

import asyncio

import pytest

from stentor.outcome import Returned, Sent, Unknown
from stentor.testing.network import Reach
from stentor.testing.peer import Answer, Login
from stentor.testing.world import World, play
from tests.plugins.smpp.smpp_scenes import scene, subject

# -- sessions that fail alone ---------------------------------------------------------------------------------------


@scene(sessions=3, enquire_link=600.0)
async def test_a_stalled_session_does_not_hold_the_others(world: World) -> None:
    await world.until(lambda: world.host.free == 30, "three lanes")
    stalled = world.network.links[0]
    stalled.server.pause_reading()
    stalled.server.clog()
    keys = list(world.host.lanes)
    stuck = world.submit(lane=keys[0])
    began = world.loop.time()
    for key in keys[1:]:
        for _ in range(20):
            batch = world.submit(lane=key)
            await world.resolved(batch)
            assert set(world.outcomes(batch)) == {"Sent"}
    assert world.loop.time() - began < 1.0
    assert set(world.outcomes(stuck)) == {"none"}
    await world.resolved()
    assert set(world.outcomes(stuck)) == {"Unknown"}


@scene(sessions=2)
async def test_one_session_lost_leaves_the_other_at_work(world: World) -> None:
    await world.until(lambda: world.host.free == 20, "two lanes")
    world.network.reach = Reach.REFUSED
    world.network.links[0].reset()
    await asyncio.sleep(10)
    assert [each.window for each in world.host.lanes.values()] == [0, 10]
    assert [each.state for each in world.driver.status().lanes] == ["waiting", "bound"]
    batch = world.submit()
    await world.resolved(batch)
    assert set(world.outcomes(batch)) == {"Sent"}
    world.network.reach = Reach.OPEN


@scene(window=1000, sessions=1)
async def test_a_peer_that_closes_its_side_ends_the_session_though_octets_are_unsent(world: World) -> None:
    await world.ready()
    link = world.network.links[0]
    link.server.pause_reading()
    link.server.clog()
    batch = world.submit(1000)
    link.server.write_eof()
    await asyncio.sleep(0.1)
    assert set(world.outcomes(batch)) == {"Unknown"}
    assert world.host.lanes["trx-1"].window == 0
    await asyncio.sleep(2)
    assert link.client.is_lost


# -- draining -------------------------------------------------------------------------------------------------------


async def never_connected(world: World) -> None:
    await asyncio.sleep(0)


async def connecting(world: World) -> None:
    world.network.reach = Reach.SILENT
    await world.until(lambda: world.network.attempts, "an attempt")


async def waiting(world: World) -> None:
    world.network.reach = Reach.REFUSED
    await asyncio.sleep(20)


async def binding(world: World) -> None:
    world.peer.login = Login.IGNORE
    await world.until(lambda: world.peer.logins, "a bind")


async def bound(world: World) -> None:
    await world.ready()


async def deaf(world: World) -> None:
    await world.ready()
    world.peer.is_deaf = True
    world.submit()


@pytest.mark.parametrize("state", [never_connected, connecting, waiting, binding, bound, deaf])
@pytest.mark.parametrize("drain_s", [3.0, 0.0])
def test_drain_returns_by_its_deadline_in_every_state(state, drain_s):
    async def drained(world: World) -> None:
        await state(world)
        began = world.loop.time()
        await world.finish(drain_s)
        limit_s = drain_s if state is deaf else 0.01
        assert world.loop.time() - began <= limit_s + 0.01
        assert {each.state for each in world.driver.status().lanes} <= {"closed"}

    play(subject(), drained)


@scene()
async def test_the_goodbye_comes_after_the_last_answer(world: World) -> None:
    world.peer.answer = Answer.HOLD
    await world.ready()
    world.submit(2)
    await asyncio.sleep(0.1)
    world.loop.call_later(2.0, lambda: [world.peer.reply(seen, Answer.SENT) for seen in world.peer.held])
    await world.finish(10.0)
    assert world.peer.links[0].received == ["bind_transceiver", "submit_sm", "submit_sm", "unbind"]
    assert [type(outcome) for outcome in world.host.order] == [Sent, Sent]


@scene()
async def test_a_batch_wholly_refused_does_not_keep_the_drain_waiting(world: World) -> None:
    await world.ready()
    world.host.submit(world.driver, "trx-1", [world.submission(data=bytes(300))])
    began = world.loop.time()
    await world.finish(20.0)
    assert world.loop.time() - began < 0.1


@scene()
async def test_a_batch_for_a_lane_that_has_just_gone_is_returned(world: World) -> None:
    await world.ready()
    world.network.reset_all()
    await asyncio.sleep(0.01)
    late = [world.submission()]
    world.host.submit(world.driver, "trx-1", late, is_leased=True)
    assert [type(world.host.outcomes[each.token]) for each in late] == [Returned]


@scene(sessions=2)
async def test_a_cancelled_run_closes_its_sockets_and_leaves_its_submissions_in_doubt(world: World) -> None:
    world.peer.answer = Answer.HOLD
    await world.until(lambda: world.host.free == 20, "two lanes")
    batch = world.submit()
    await asyncio.sleep(0.1)
    await world.cancel()
    assert [type(world.host.outcomes[each.token]) for each in batch] == [Unknown] * 10
    assert world.network.open_links == []


@scene(connect=600.0)
async def test_a_run_cancelled_while_it_connects_leaves_nothing(world: World) -> None:
    world.network.reach = Reach.SILENT
    await asyncio.sleep(1)
    await world.cancel()
