"""The server at its bounds: many connections, no descriptors, and the way it stops."""

import asyncio
import resource
import socket

import pytest

from stentor.aio.server.connection import ServerLimits
from stentor.aio.server.listeners import allow_descriptors, listen_tcp, listen_unix
from tests.engine.aio.http_helpers import LOOPS, RawClient, run, serving
from tests.support.waiting import eventually_async

GET = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
LATER = b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n"

pytestmark = pytest.mark.parametrize("loop_factory", LOOPS)


async def ask(path: str) -> int:
    client = await RawClient.connect(path)
    try:
        await client.say(GET)
        return (await client.response())[0]
    finally:
        client.close()


async def serve_500_at_once(path: str) -> float:
    """How long it takes, in seconds."""
    # Connected before the server's loop gets a turn, so that all wait in the kernel's queue.
    socks = []
    for _ in range(500):
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        sock.connect(path)
        socks.append(sock)
    loop = asyncio.get_running_loop()
    started = loop.time()
    streams = await asyncio.gather(*[asyncio.open_unix_connection(sock=sock) for sock in socks])
    clients = [RawClient(*pair) for pair in streams]
    for client in clients:
        client.writer.write(GET)
    answers = await asyncio.gather(*[client.response() for client in clients])
    took_s = loop.time() - started
    for client in clients:
        client.close()
    assert {status for status, _, _ in answers} == {200}
    return took_s


def test_500_clients_that_connect_at_once_are_served_in_well_under_a_second(loop_factory, tmp_path):
    async def main():
        # The quickest of three: clients and server share a process with all that the tests before left to collect.
        took_s = []
        for number in range(3):
            place = tmp_path / str(number)
            place.mkdir()
            async with serving(place) as (_, _, path):
                took_s.append(await serve_500_at_once(path))
        assert min(took_s) < 0.9

    run(loop_factory, main())


def test_connections_over_the_limit_are_told_to_come_again(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path, ServerLimits(connections=2)) as (_, server, path):
            inside = [await RawClient.connect(path) for _ in range(2)]
            for client in inside:
                await client.say(GET)
                assert (await client.response())[0] == 200
            outside = await RawClient.connect(path)
            status, fields, _ = await outside.response()
            assert (status, fields[b"retry-after"], fields[b"connection"]) == (503, b"1", b"close")
            assert await outside.rest() == b""
            outside.close()
            statistics = server.statistics()
            assert (statistics.refused, statistics.connection_limit) == (1, 2)
            for client in inside:
                await client.say(GET)
                assert (await client.response())[0] == 200, "who is inside stays so"
                client.close()
            await server._wait_until_empty(30)
            assert await ask(path) == 200

    run(loop_factory, main())


def test_beyond_the_refused_ones_connections_wait_in_the_kernel(loop_factory, tmp_path):
    async def main():
        limits = ServerLimits(connections=1, refused_connections=1)
        async with serving(tmp_path, limits) as (_, server, path):
            clients = [await RawClient.connect(path) for _ in range(3)]
            for client in clients[::2]:
                await client.say(GET)
            assert (await clients[0].response())[0] == 200
            assert (await clients[1].response())[0] == 503
            assert server.statistics().accepted == 2
            for client in clients[:2]:
                client.close()
            assert (await clients[2].response())[0] == 200
            clients[2].close()

    run(loop_factory, main())


def test_a_flood_by_tcp_leaves_local_clients_alone(loop_factory, tmp_path):
    async def main():
        limits = ServerLimits(connections=2, refused_connections=1)
        async with serving(tmp_path, limits) as (_, server, path):
            listener = listen_tcp("127.0.0.1", 0)
            server.start(listener)
            _, port = listener.sock.getsockname()
            flood = [RawClient(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(8)]
            for client in flood[:2]:
                await client.say(GET)
                assert (await client.response())[0] == 200
            assert (await flood[2].response())[0] == 503
            assert [await ask(path) for _ in range(3)] == [200] * 3
            lengths = {queue.name: (queue.length, queue.limit) for queue in server.queues()}
            assert lengths["network connections"] == (3, 2)
            assert lengths["local connections"][0] <= 1
            for client in flood:
                client.close()

    run(loop_factory, main())


def test_room_for_descriptors_is_made_as_far_as_it_may_be(loop_factory):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        assert allow_descriptors(100) == 256
        assert allow_descriptors(300) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
        assert allow_descriptors(hard + 1) == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_accepting_pauses_and_goes_on_when_there_are_some(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path, ServerLimits(accept_retry_s=0.05)) as (_, server, path):
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 1, hard))
            fillers = []
            try:
                while True:
                    fillers.append(socket.socket(socket.AF_UNIX))
            except OSError:
                pass  # every descriptor is taken
            try:
                sock.connect(path)
                began = asyncio.get_running_loop().time()
                await eventually_async(lambda: server.statistics().accept_failures >= 4)
                waited_s = asyncio.get_running_loop().time() - began
                # A spinning loop would try thousands of times meanwhile.
                assert server.statistics().accept_failures <= waited_s / 0.05 + 3
                assert server.statistics().accepted == 0
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for filler in fillers:
                    filler.close()
            client = RawClient(*await asyncio.open_unix_connection(sock=sock))
            await client.say(GET)
            assert (await client.response())[0] == 200
            client.close()

    run(loop_factory, main())


def test_a_server_that_stops_lets_busy_requests_finish_and_says_so(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, server, path):
            idle, busy, subscriber = [await RawClient.connect(path) for _ in range(3)]
            await idle.say(GET)
            await idle.response()
            await busy.say(LATER + GET)
            await subscriber.say(LATER.replace(b"later", b"events"))
            await application.until(lambda: application.waiting and application.streams)
            closing = asyncio.ensure_future(server.close(5))
            assert await idle.rest() == b""
            await subscriber.head()
            assert await subscriber.chunks() == b"", "on_drain has ended it"
            with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
                await RawClient.connect(path)
            assert not closing.done()
            application.waiting[0].respond(200, b"done")
            _, fields, body = await busy.response()
            assert (fields[b"connection"], body) == (b"close", b"done")
            assert await busy.rest() == b"", "what was pipelined behind it is not begun"
            for client in (idle, busy, subscriber):
                client.close()
            assert await closing == 0

    run(loop_factory, main())


def test_who_is_busy_beyond_the_deadline_is_cut_off(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, server, path):
            client = await RawClient.connect(path)
            await client.say(LATER)
            await application.until(lambda: application.waiting)
            assert await server.close(0.05) == 1
            assert application.lost == application.waiting
            assert await client.rest() == b""
            application.waiting[0].respond(200, b"too late")
            client.close()

    run(loop_factory, main())


def test_two_listeners_of_one_server_are_both_closed(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (_, server, path):
            server.start(listen_unix(tmp_path / "other"))
            assert [await ask(path), await ask(str(tmp_path / "other"))] == [200, 200]
        assert list(tmp_path.iterdir()) == [], "the paths are removed"

    run(loop_factory, main())
