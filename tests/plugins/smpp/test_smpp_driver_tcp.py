"""The SMPP driver over real TCP on the loopback interface, under asyncio's own loop and under uvloop."""

import asyncio
import socket

import pytest

from stentor.clock import SystemClock
from stentor.driver import Inbound
from stentor.message import Status
from stentor.testing.host import MemoryHost
from stentor.testing.peer import Answer
from stentor_smpp.config import SMPPConfig
from stentor_smpp.driver import SMPPDriver
from tests.plugins.smpp.smpp_bench import LOOPS, run, running
from tests.plugins.smpp.smsc_peer import SMSCLink, SMSCPeer
from tests.support.waiting import eventually_async


@LOOPS
def test_messages_receipts_and_a_goodbye(new_loop):
    async def main():
        async with running(window=50) as bench:
            for _ in range(20):
                batch = bench.submit(50)
                await eventually_async(lambda: bench.host.free == 50, what="outcomes")
                assert {type(bench.host.outcomes[each.token]).__name__ for each in batch} == {"Sent"}
            for seen in bench.peer.seen:
                bench.peer.send_receipt(seen, Status.DELIVERED)
            await eventually_async(lambda: len(bench.host.items) == 1000, what="receipts")
            await eventually_async(lambda: len(bench.peer.acknowledgements) == 1000, what="acknowledgements")
            sent = {outcome.match_id for outcome in bench.host.order}
            assert {item.match_id for item in bench.host.items} == sent
        assert bench.peer.goodbyes == 1

    run(new_loop, main)


@LOOPS
def test_small_writes_are_not_held_back(new_loop):
    """An SMSC some way off with delayed acknowledgements would otherwise cost 40 ms a PDU (Nagle)."""

    async def main():
        async with running() as bench:
            transport = bench.driver.binds["trx-1"].connection._transport
            connected = transport.get_extra_info("socket")
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(new_loop, main)


@LOOPS
def test_a_lost_link_is_bound_again_and_nothing_is_lost(new_loop):
    async def main():
        async with running() as bench:
            bench.peer.answer = Answer.HOLD
            batch = bench.submit(10)
            await eventually_async(lambda: len(bench.peer.seen) == 10, what="submissions")
            bench.peer.links[0].transport.abort()
            await eventually_async(lambda: len(bench.host.outcomes) == 10, what="outcomes")
            assert {type(bench.host.outcomes[each.token]).__name__ for each in batch} == {"Unknown"}
            bench.peer.answer = Answer.SENT
            await eventually_async(lambda: bench.host.free == 10, what="a new bind")
            again = bench.submit(10)
            await eventually_async(lambda: len(bench.host.outcomes) == 20, what="outcomes")
            assert {type(bench.host.outcomes[each.token]).__name__ for each in again} == {"Sent"}

    run(new_loop, main)


@LOOPS
def test_a_journal_that_does_not_follow_stops_the_reading(new_loop):
    async def main():
        async with running() as bench:
            await eventually_async(lambda: bench.peer.links[0].session.is_bound, what="the bind")
            bench.host.settling = "held"
            message = Inbound("+46701111111", "12345", "STOP")
            for _ in range(20_000):
                bench.peer.send_inbound(message)
            connection = bench.driver.binds["trx-1"].connection
            await eventually_async(lambda: not connection._transport.is_reading(), what="the pause")
            assert 4000 <= len(bench.host.items) <= 10_000
            bench.host.settling = "at once"
            bench.host.settle(True)
            await eventually_async(lambda: len(bench.host.items) == 20_000, what="the rest")
            await eventually_async(lambda: len(bench.peer.acknowledgements) == 20_000, what="answers")
            assert all(answers == [True] for answers in bench.peer.acknowledgements.values())

    run(new_loop, main)


@LOOPS
def test_a_goodbye_leaves_even_with_no_time_left(new_loop):
    async def main():
        async with running() as bench:
            bench.peer.answer = Answer.HOLD
            bench.submit(1)
            await eventually_async(lambda: bench.peer.seen, what="the submission")
            await bench.driver.drain(bench.host.clock.now() - 1)
        assert bench.peer.goodbyes == 1

    run(new_loop, main)


@LOOPS
def test_a_cancelled_run_closes_its_socket(new_loop):
    async def main():
        peer = SMSCPeer()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMSCLink(peer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        host = MemoryHost(SystemClock())
        config = SMPPConfig(host="127.0.0.1", port=port, system_id="x")
        life = asyncio.ensure_future(SMPPDriver(config, host).run())
        await eventually_async(lambda: host.free, what="a lane")
        life.cancel()
        with pytest.raises(asyncio.CancelledError):
            await life
        await eventually_async(lambda: peer.links[0].transport is None, what="the socket's end")
        server.close()
        await server.wait_closed()

    run(new_loop, main)


@LOOPS
def test_nobody_listens(new_loop):
    async def main():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            host = MemoryHost(SystemClock())
            config = SMPPConfig(host="127.0.0.1", port=taken.getsockname()[1], system_id="x")
            driver = SMPPDriver(config, host)
            life = asyncio.ensure_future(driver.run())
            await eventually_async(lambda: driver.status().last_error, what="the error")
            assert "cannot connect" in driver.status().last_error
            await driver.drain(host.clock.now() + 1)
            await life

    run(new_loop, main)
