"""A crowd from the network: each turn of the loop does some of it, and local clients do not wait for the rest."""

import asyncio
import socket
import struct

import pytest

from stentor.aio.server import turns
from stentor.aio.server.exchange import PeerKind
from stentor.aio.server.listeners import listen_tcp
from stentor.aio.server.turns import Turns
from tests.engine.aio.http_helpers import LOOPS, RawClient, run, serving
from tests.support.waiting import eventually_async

GET = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
CROWD = 40
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_local_client_is_not_behind_the_crowd_and_everybody_is_answered(
    loop_factory, tmp_path, monkeypatch
):
    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    monkeypatch.setattr(turns, "LONGEST_S", 0.0)

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
def test_who_is_gone_before_its_turn_holds_up_nobody(loop_factory, tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    monkeypatch.setattr(turns, "LONGEST_S", 0.0)

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


def test_work_that_was_put_off_is_done_in_its_order_a_slice_a_turn_and_whatever_some_of_it_raises(
    monkeypatch,
):
    class Loop:
        def __init__(self):
            self.soon = []

        def call_soon(self, callback):
            self.soon.append(callback)

    def turn():
        soon, loop.soon = loop.soon, []
        for each in soon:
            each()

    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    monkeypatch.setattr(turns, "LONGEST_S", 0.0)
    loop, done = Loop(), []
    shared = Turns(loop)
    assert not shared.is_spent, "the first is always done"
    assert not loop.soon, "who comes alone costs no turn"
    shared.done()
    assert not shared.is_spent, "so is the second, with which the turn begins"
    for number in range(3):
        assert shared.is_spent
        shared.put_off(lambda number=number: done.append(number) if number != 1 else 1 / 0)
    turn()
    assert (done, shared.is_spent) == ([0], True)
    with pytest.raises(ZeroDivisionError):
        turn()
    turn()
    assert done == [0, 2]
    turn()
    assert not loop.soon, "an idle loop is not kept awake"
    assert not shared.is_spent


def test_those_that_come_one_by_one_cost_no_turn_of_the_loop(monkeypatch):
    class Clock:
        now = 1.0

        def perf_counter(self):
            return self.now

    class Loop:
        def call_soon(self, callback):
            soon.append(callback)

    clock, soon = Clock(), []
    monkeypatch.setattr(turns, "time", clock)
    shared = Turns(Loop())
    for _ in range(100):
        assert not shared.is_spent
        clock.now += turns.SLICE_S
        shared.done()
        clock.now += 2 * turns.CLOSE_S
    assert not soon
    clock.now -= 1.5 * turns.CLOSE_S
    assert not shared.is_spent
    assert len(soon) == 1


def test_while_some_wait_the_network_has_as_long_as_everything_else_had(monkeypatch):
    class Clock:
        now = 1.0

        def perf_counter(self):
            return self.now

        thread_time = perf_counter

    def work():
        clock.now += 1 / 2048
        done.append(clock.now)

    clock, soon, done = Clock(), [], []
    monkeypatch.setattr(turns, "time", clock)

    class Loop:
        def call_soon(self, callback):
            soon.append(callback)

    shared = Turns(Loop())
    shared.done()
    assert not shared.is_spent
    clock.now += turns.SLICE_S
    for _ in range(300):
        assert shared.is_spent
        shared.put_off(work)
    counts = []
    for elsewhere_s in (0.0, 0.0, 0.010, 1.0):
        clock.now += elsewhere_s
        before = len(done)
        soon.pop()()
        counts.append(len(done) - before)
    assert counts[:2] == [3, 3]
    assert counts[2] == 21
    assert counts[3] == 41
