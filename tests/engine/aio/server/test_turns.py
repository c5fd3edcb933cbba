"""A crowd from the network: it is served in its order, a little at a time, and nobody else waits for the rest."""

import asyncio
import heapq
import itertools
import socket
import struct

import pytest

from stentor.aio.server import turns
from stentor.aio.server.exchange import PeerKind
from stentor.aio.server.listeners import listen_tcp
from stentor.aio.server.turns import TICK_S, Turns
from stentor.pacing import ration
from stentor.pacing.ration import BURST_S, SHARE
from tests.engine.aio.http_helpers import LOOPS, RawClient, run, serving
from tests.support.waiting import eventually_async

GET = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
CROWD = 40
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets
PIECE_S = 1 / 16384


class World:
    """A loop and the two clocks that go on only while somebody works or waits."""

    def __init__(self):
        self.now = 1.0
        self.idle_s = 0.0
        self.calls = []
        self._numbers = itertools.count()

    def perf_counter(self):
        return self.now

    def thread_time(self):
        return self.now - self.idle_s

    def call_later(self, delay_s, callback):
        heapq.heappush(self.calls, (self.now + delay_s, next(self._numbers), callback))

    def call_soon(self, callback):
        self.call_later(0.0, callback)

    def turn(self):
        at, _, callback = heapq.heappop(self.calls)
        self.idle_s += max(0.0, at - self.now)
        self.now = max(self.now, at)
        callback()


@pytest.fixture(autouse=True)
def few_are_a_crowd(monkeypatch):
    monkeypatch.setattr(ration, "CROWD", 2)


def crowded(world):
    """Shared by enough clients to be a crowd."""
    shared = Turns(world)
    shared.saw(2)
    return shared


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(turns, "time", world)
    return world


def test_those_that_come_one_by_one_never_wait_and_cost_no_turn_of_the_loop(world):
    shared = crowded(world)
    for _ in range(100):
        assert not shared.is_spent
        world.now += PIECE_S
        shared.done()
        world.now += PIECE_S / SHARE
    assert not world.calls


def test_a_crowd_is_served_in_its_order_within_its_share_of_the_time(world):
    shared, done = crowded(world), []

    def work(number):
        world.now += PIECE_S
        done.append(number)

    began_at = world.now
    for number in range(1000):
        if shared.is_spent:
            shared.put_off(lambda number=number: work(number))
        else:
            work(number)
            shared.done()
    assert len(done) * PIECE_S <= BURST_S / (1 - SHARE) + PIECE_S
    assert len(shared) == 1000 - len(done)
    while world.calls:
        before, was = len(done), world.now
        world.turn()
        assert (len(done) - before) * PIECE_S <= 2 * TICK_S * SHARE + PIECE_S, "a turn is not much longer"
        assert world.now - was < 3 * TICK_S
        assert len(done) * PIECE_S <= BURST_S + SHARE * (world.now - began_at) + PIECE_S
    assert done == list(range(1000))
    assert world.now - began_at < 1.2 * 1000 * PIECE_S / SHARE
    world.now += 1.0
    assert not shared.is_spent


def test_whatever_some_work_raises_the_rest_has_its_turn(world):
    shared, done = crowded(world), []
    for number in range(5):
        shared.put_off(lambda number=number: done.append(number) if number % 2 else 1 / 0)
    faults = 0
    while world.calls:
        try:
            world.turn()
        except ZeroDivisionError:
            faults += 1
    assert (done, faults, len(shared)) == ([1, 3], 3, 0)


def test_some_newcomers_are_let_in_with_each_slice_until_there_are_no_more(world):
    shared, seen = crowded(world), []
    left = {"a": 3, "b": 2}

    def some(name):
        left[name] -= 1
        seen.append(name)
        return left[name] > 0

    for name in left:
        shared.put_off_newcomers(lambda name=name: some(name))
    for number in range(9):
        shared.put_off(lambda number=number: seen.append(number))
    assert shared.is_spent
    world.turn()
    assert seen[:3] == ["a", "b", 0]
    while world.calls:
        world.turn()
    assert [each for each in seen if each in left] == ["a", "b", "a", "b", "a"]
    assert not shared.is_spent
    shared.put_off_newcomers(lambda: some("a"))
    shared.shut_out()
    world.turn()
    assert not world.calls
    assert left["a"] == 0


def test_a_load_that_stays_comes_to_have_all_the_time_there_is(world):
    shared = crowded(world)
    used_s = 0.0

    def work():
        nonlocal used_s
        world.now += PIECE_S
        used_s += PIECE_S
        shared.put_off(work)

    shared.put_off(work)
    while world.now < 10.0:
        world.turn()
    used_s, since = 0.0, world.now
    while world.now < 11.0:
        world.turn()
    assert used_s > 0.95 * (world.now - since)


def test_beside_a_busy_loop_a_crowd_has_its_share_of_every_turn(world):
    shared, done = crowded(world), 0

    def work():
        nonlocal done
        world.now += PIECE_S
        done += 1

    for _ in range(2000):
        shared.put_off(work)
    for _ in range(5):
        before = done
        world.now += 0.02
        world.turn()
        assert (done - before) * PIECE_S >= 0.02 * SHARE


def make_short(monkeypatch):
    """One request a slice, whatever else the loop did."""
    monkeypatch.setattr(ration, "BURST_S", 1e-5)
    monkeypatch.setattr(ration, "LONGEST_S", 0.0)


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_local_client_is_not_behind_the_crowd_and_everybody_is_answered(
    loop_factory, tmp_path, monkeypatch
):
    make_short(monkeypatch)

    async def main():
        async with serving(tmp_path) as (application, server, path):
            listener = listen_tcp("127.0.0.1", 0)
            server.start(listener)
            local = await RawClient.connect(path)
            crowd = [socket.create_connection(listener.sock.getsockname()) for _ in range(CROWD)]
            await eventually_async(lambda: sum(server.statistics().connections.values()) == CROWD + 1)
            for each in crowd:
                each.send(GET)
            await local.say(GET)
            await eventually_async(lambda: len(application.peers) == CROWD + 1)
            kinds = [peer.kind for peer in application.peers]
            assert kinds.index(PeerKind.UNIX) <= 3
            for each in crowd:
                assert each.recv(4096).startswith(b"HTTP/1.1 200 ")
                each.close()
            local.close()

    run(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_crowd_is_spread_over_turns_of_the_loop_in_the_order_it_came(loop_factory, tmp_path, monkeypatch):
    make_short(monkeypatch)

    async def main():
        async with serving(tmp_path) as (application, server, _):
            listener = listen_tcp("127.0.0.1", 0)
            server.start(listener)
            crowd = [socket.create_connection(listener.sock.getsockname()) for _ in range(CROWD)]
            await eventually_async(lambda: sum(server.statistics().connections.values()) == CROWD)
            for each in crowd:
                each.send(GET)
            lengths, counts = [], []
            while len(application.peers) < CROWD:
                counts.append(len(application.peers))
                lengths += [each.length for each in server.queues() if each.name == "network requests"]
                await asyncio.sleep(0)
            counts.append(CROWD)
            assert max(after - before for before, after in itertools.pairwise(counts)) <= CROWD / 4
            assert 0 < max(lengths) <= CROWD
            assert lengths[-1] <= 1
            came = ["{}:{}".format(*each.getsockname()) for each in crowd]
            assert [peer.address for peer in application.peers] == came
            for each in crowd:
                assert each.recv(4096).startswith(b"HTTP/1.1 200 ")
                each.close()

    run(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_who_is_gone_before_its_turn_holds_up_nobody(loop_factory, tmp_path, monkeypatch):
    make_short(monkeypatch)

    async def main():
        async with serving(tmp_path) as (_, server, _):
            listener = listen_tcp("127.0.0.1", 0)
            server.start(listener)
            crowd = [socket.create_connection(listener.sock.getsockname()) for _ in range(CROWD)]
            await eventually_async(lambda: sum(server.statistics().connections.values()) == CROWD)
            for number, each in enumerate(crowd):
                each.send(GET)
                if number % 2:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    each.close()
            await eventually_async(lambda: sum(server.statistics().connections.values()) == CROWD / 2)
            for each in crowd[::2]:
                await asyncio.get_running_loop().run_in_executor(None, each.recv, 4096)
                each.close()

    run(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_server_that_stops_while_a_crowd_wants_in_lets_nobody_in_any_more(
    loop_factory, tmp_path, monkeypatch
):
    make_short(monkeypatch)

    async def main():
        async with serving(tmp_path) as (_, server, _):
            listener = listen_tcp("127.0.0.1", 0)
            server.start(listener)
            crowd = [socket.create_connection(listener.sock.getsockname()) for _ in range(CROWD)]
            await eventually_async(lambda: server.statistics().accepted > 0)
            server.stop_accepting()
            accepted = server.statistics().accepted
            await asyncio.sleep(10 * TICK_S)
            assert accepted == server.statistics().accepted < CROWD
            for each in crowd:
                each.close()

    run(loop_factory, main())
