"""Many sessions, several addresses, peers in a bad mood: how the driver comes back. Virtual time throughout."""

import asyncio
import bisect
import random

import pytest

from stentor.testing.host import LoopClock, MemoryHost
from stentor.testing.network import Reach
from stentor.testing.peer import Answer, Login
from stentor.testing.vloop import run_virtual
from stentor.testing.world import World, play
from stentor_smpp import status as codes
from stentor_smpp.spec import SPEC
from stentor_smpp.states import State
from tests.plugins.smpp.smpp_scenes import gaps, lane, scene, subject
from tests.plugins.smpp.smsc_peer import HOST, PORT, SMSCLink, SMSCPeer

# -- no storms ------------------------------------------------------------------------------------------------------


def most_in_a_second(attempts: list[float]) -> int:
    """Attempts in the busiest second."""
    return max(bisect.bisect_left(attempts, at + 1) - first for first, at in enumerate(attempts))


async def channels(loop, count: int, sessions: int, scene_) -> None:
    """``count`` channels at one carrier, each with its own chance, around a scene."""
    peer = SMSCPeer()
    await peer.start(loop)
    config = subject(sessions=sessions).config()
    hosts = [MemoryHost(LoopClock(loop), f"c{number}") for number in range(count)]
    for number, host in enumerate(hosts):
        host.random = random.Random(number).random
    drivers = [SPEC.make(config, host) for host in hosts]
    async with asyncio.TaskGroup() as group:
        for driver in drivers:
            group.create_task(driver.run())
        await scene_(peer, hosts)
        await asyncio.gather(
            *(driver.drain(host.clock.now() + 5) for driver, host in zip(drivers, hosts, strict=True))
        )
    for host in hosts:
        host.end()
        host.verify()


@pytest.mark.parametrize("count", [1, 4])
def test_many_sessions_never_come_as_a_storm(count):
    """At the start, and after the carrier was away for a moment or for long."""

    async def main(loop):
        async def restarts(peer, hosts):
            network = loop.network
            everything = 64 * 10 * count
            for away_s in (0.0, 0.0, 90.0):
                network.attempts.clear()
                if away_s:
                    network.reach = Reach.REFUSED
                network.reset_all()
                await asyncio.sleep(away_s)
                network.reach = Reach.OPEN
                for _ in range(1_000):
                    if sum(host.free for host in hosts) == everything:
                        break
                    await asyncio.sleep(0.25)
                attempts = sorted(network.attempts)
                assert len(attempts) >= 64 * count
                assert most_in_a_second(attempts) <= 18 * count
                # All of them came back within a time that a user would bear.
                assert attempts[-1] - attempts[0] < 20 + 2 * away_s
                apart = len({round(at, 3) for at in attempts})
                assert apart > 0.6 * len(attempts)

        await channels(loop, count, 64, restarts)

    run_virtual(main)


@scene(sessions=64)
async def test_a_wrong_password_is_tried_once_in_a_while_not_once_a_session(world: World) -> None:
    world.peer.login, world.peer.bind_status = Login.REFUSE, codes.RINVPASWD
    await asyncio.sleep(3600)
    # Those that were under way when the first was refused, then 60, 120, 240, 480, 600 s and so on.
    assert world.peer.logins <= 4 + 9
    world.peer.login = Login.ACCEPT
    await world.until(lambda: world.host.free == 640, "all lanes", within_s=700)


@scene(sessions=3)
async def test_one_session_too_many_is_not_held_against_the_others(world: World) -> None:
    """A carrier that allows two sessions refuses the third; the two come back at once when they are lost."""
    let_in = world.peer.let_in = lambda: sum(link.session.is_bound for link in world.peer.links) < 2
    world.peer.bind_status = codes.RBINDFAIL
    await world.until(lambda: world.host.free == 20, "two lanes")
    await asyncio.sleep(1000)
    assert not let_in()
    refused = next(each for each in world.driver.status().lanes if each.state == "waiting")
    assert "ESME_RBINDFAIL" in refused.detail
    bound = next(link for link in world.network.open_links)
    bound.reset()
    await asyncio.sleep(3)
    assert world.host.free == 20


# -- several addresses ----------------------------------------------------------------------------------------------


@scene(fallback_hosts=["b.test", "c.test:99"])
async def test_the_next_address_is_tried_after_each_end(world: World) -> None:
    world.network.listeners.clear()
    tried = []
    connect = world.network.connect

    async def noted(factory, address):
        tried.append(address)
        return await connect(factory, address)

    world.network.connect = noted
    await asyncio.sleep(20)
    assert tried[:5] == [(HOST, PORT), ("b.test", PORT), ("c.test", 99), (HOST, PORT), ("b.test", PORT)]
    assert lane(world, "trx-1").detail.partition(": ")[2].startswith("cannot connect to ")
    peer = world.peer
    await world.loop.create_server(lambda: SMSCLink(peer), "c.test", 99)
    await world.ready()
    assert lane(world, "trx-1").peer == "c.test:99"
    world.network.reset_all()
    await world.loop.create_server(lambda: SMSCLink(peer), HOST, PORT)
    await asyncio.sleep(0.01)
    await world.ready()
    assert lane(world, "trx-1").peer == f"{HOST}:{PORT}"


# -- peers in a bad mood --------------------------------------------------------------------------------------------


class Sullen(asyncio.Protocol):
    """Accepts, says something or nothing, and never reads."""

    def __init__(self, words: bytes, is_reading: bool = True) -> None:
        self.words, self.is_reading = words, is_reading

    def connection_made(self, transport) -> None:
        transport.write(self.words)
        if not self.is_reading:
            transport.pause_reading()
            transport.clog()


MOODS = {
    "it refuses": None,
    "it accepts and says nothing": lambda: Sullen(b""),
    "it never reads": lambda: Sullen(b"", is_reading=False),
    "it speaks HTTP": lambda: Sullen(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    "it speaks TLS": lambda: Sullen(b"\x15\x03\x01\x00\x02\x02\x46"),
    "it speaks noise": lambda: Sullen(random.Random(1).randbytes(5000)),
    "it sends zeros": lambda: Sullen(bytes(5000)),
    "it sends an endless PDU": lambda: Sullen((60_000).to_bytes(4, "big") + bytes(50_000)),
    "it answers what was not asked": lambda: Sullen(b"\0\0\0\x10\x80\0\0\x04\0\0\0\0\0\0\0\x01" * 400),
}


@pytest.mark.parametrize("mood", MOODS)
def test_a_peer_that_is_no_smsc_is_tried_with_growing_pauses_and_holds_nobody_up(mood):
    """Beside it a second session of the same channel, with an address of its own, is at work."""
    binds = [{"kind": "transceiver", "host": "odd.test"}, {"kind": "transceiver"}]

    async def alive(world: World) -> None:
        if MOODS[mood] is not None:
            await world.loop.create_server(MOODS[mood], "odd.test", PORT)
        await world.ready()
        for _ in range(10):
            batch = world.submit(10, lane="trx-2")
            began = world.loop.time()
            await world.resolved(batch)
            assert world.loop.time() - began < 0.5
            assert set(world.outcomes(batch)) == {"Sent"}
            await asyncio.sleep(20)
        assert lane(world, "trx-1").state != "bound"
        assert lane(world, "trx-2").state == "bound"
        assert "trx-1" in world.driver.status().last_error
        odd = world.network.attempts[2:]
        assert 4 <= len(odd) <= 9
        assert odd[-1] - odd[-2] > 1.5 * (odd[1] - odd[0])
        assert sum(link.session.state is State.BOUND_TRX for link in world.peer.links) == 1

    play(subject(binds=binds, connect=5.0), alive)


@scene()
async def test_a_session_that_is_answered_it_is_not_bound_is_bound_anew(world: World) -> None:
    world.peer.code = codes.RINVBNDSTS
    await world.ready()
    began = world.loop.time()
    while len(world.network.attempts) == 1:
        if world.host.free:
            await world.send([world.submission()])
        await asyncio.sleep(0.5)
    assert 5.0 <= world.loop.time() - began <= 8.0
    assert world.peer.links[0].received[-1] == "unbind"
    assert "keeps answering ESME_RINVBNDSTS" in world.driver.status().last_error
    assert {type(outcome).__name__ for outcome in world.host.order} == {"Deferred"}
    world.peer.code = None
    await world.ready()
    batch = world.submit(3)
    await world.resolved(batch)
    assert set(world.outcomes(batch)) == {"Sent"}


@scene()
async def test_a_session_that_comes_round_is_kept(world: World) -> None:
    await world.ready()
    for second in range(30):
        world.peer.code = codes.RINVBNDSTS if second % 4 else None
        await world.send([world.submission()])
        await asyncio.sleep(1)
    assert len(world.network.attempts) == 1


@scene(window=10)
async def test_what_is_in_flight_when_a_session_retires_is_waited_for(world: World) -> None:
    world.peer.code = codes.RALYBND
    await world.ready()
    await world.send([world.submission()])
    await asyncio.sleep(6)
    world.peer.answer = Answer.HOLD
    batch = world.submit(2)
    await world.until(lambda: len(world.peer.held) == 2, "both on the wire")
    first, second = world.peer.held
    world.peer.reply(first, Answer.SENT)
    await world.until(lambda: not world.host.lanes["trx-1"].window, "the lane's end")
    assert world.peer.links[0].session.is_bound
    world.peer.code = None
    world.peer.reply(second, Answer.SENT)
    await world.resolved(batch)
    assert world.outcomes(batch) == ["Deferred", "Sent"]
    world.peer.answer = Answer.SENT
    await world.ready()
    assert gaps(world)
