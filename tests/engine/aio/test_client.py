"""The API's client against the server, and against servers that misbehave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from stentor.aio.client import Client, Interrupted, Unreachable, Unsuccessful
from stentor.aio.server.listeners import listen_tcp
from stentor.wire.sse import KEEP_ALIVE, ServerSentEvent, encode_event
from tests.engine.aio.http_helpers import LOOPS, run, serving

pytestmark = pytest.mark.parametrize("loop_factory", LOOPS)


@contextlib.asynccontextmanager
async def saying(path: str, octets: bytes) -> AsyncIterator[None]:
    """A server that says ``octets`` to whoever asks anything, and closes."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(octets)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(say, path)
    async with server:
        yield


async def each(*lines: bytes) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


def test_exchanges_share_a_connection_and_any_status_is_a_value(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (_, server, path), Client(path) as client:
            response = await client.request("POST", "/echo", b'{"a": 1}')
            assert (response.status, response.json(), response.is_success) == (200, {"a": 1}, True)
            response = await client.request("GET", "/nowhere")
            assert response.headers["content-type"] == "application/problem+json"
            assert (response.status, response.json()["status"], response.is_success) == (404, 404, False)
            big = b"x" * 1_000_000
            assert (await client.request("POST", "/echo", big)).body == big
            assert server.statistics().accepted == 1

    run(loop_factory, main())


def test_TCP_is_asked_alike(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (_, server, _):
            listener = listen_tcp("127.0.0.1", 0)
            server.start(listener)
            host, port = listener.sock.getsockname()
            async with Client(host=host, port=port) as client:
                assert (await client.request("POST", "/echo", b"x")).body == b"x"

    run(loop_factory, main())


def test_a_connection_the_daemon_has_closed_is_not_used_again(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (_, server, path), Client(path) as client:
            await client.request("GET", "/echo")
            (connection,) = server._site.connections
            connection.finish()
            await server._wait_until_empty(30)
            await asyncio.sleep(0.01)  # the end is on its way through the kernel
            assert (await client.request("GET", "/echo")).status == 200
            assert (await client.request("GET", "/echo", headers={"Connection": "close"})).status == 200
            assert (await client.request("GET", "/echo")).status == 200
            assert server.statistics().accepted == 3

    run(loop_factory, main())


def test_nobody_there_is_said_with_the_path(loop_factory, tmp_path):
    async def main():
        path = str(tmp_path / "nobody.sock")
        with pytest.raises(Unreachable, match=r"nobody\.sock: No such file or directory"):
            await Client(path).request("GET", "/")
        listener = listen_tcp("127.0.0.1", 0)
        port = listener.sock.getsockname()[1]
        listener.close()
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port}: "):
            await Client(host="127.0.0.1", port=port).request("GET", "/")

    run(loop_factory, main())


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
    ids=["nothing", "half a body", "half a chunk", "not HTTP"],
)
def test_an_answer_that_breaks_off_is_an_interruption(loop_factory, tmp_path, octets):
    async def main():
        path = str(tmp_path / "s")
        async with saying(path, octets):
            with pytest.raises(Interrupted, match=path):
                await Client(path).request("GET", "/")

    run(loop_factory, main())


def test_silence_is_an_interruption(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (_, _, path):
            with pytest.raises(Interrupted, match=r"silent for 0\.05 s"):
                await Client(path, silence_s=0.05).request("GET", "/later")

    run(loop_factory, main())


def test_results_come_while_lines_are_still_being_sent(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (_, _, path), Client(path) as client:
            came = asyncio.Event()

            async def lines() -> AsyncIterator[bytes]:
                yield b"1\n2\n"
                await came.wait()
                yield b"3\n"

            results = []
            async for result in client.submit_lines("/lines", lines()):
                results.append(result)
                if result == b"2":
                    came.set()
            assert results == [b"1", b"2", b"3", b"end"]

    run(loop_factory, main())


def test_many_lines_and_their_results_flow_both_ways_without_a_standstill(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path), Client(path) as client:
            block = b"x" * 99 + b"\n"
            count = 0
            async for _ in client.submit_lines("/lines", each(*[block * 1000] * 100)):
                count += 1
            assert (count, application.line_count) == (100_001, 100_000)

    run(loop_factory, main())


def test_a_refused_stream_carries_the_response(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (_, _, path), Client(path) as client:
            with pytest.raises(Unsuccessful) as caught:
                async for _ in client.submit_lines("/nowhere", each(*[b"x" * 10_000] * 100)):
                    pass
            assert caught.value.response.status == 404
            with pytest.raises(Unsuccessful):
                async for _ in client.events("/nowhere"):
                    pass

    run(loop_factory, main())


def test_lines_that_fail_do_not_look_complete(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path), Client(path) as client:

            async def lines() -> AsyncIterator[bytes]:
                yield b"1\n"
                raise ValueError("no more")

            with pytest.raises(ValueError, match="no more"):
                async for _ in client.submit_lines("/lines", lines()):
                    pass
            await application.until(lambda: application.ends or application.lost)
            assert application.ends != [None]

    run(loop_factory, main())


def test_leaving_a_stream_early_stops_its_sending(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path), Client(path) as client:
            stopped = asyncio.Event()

            async def lines() -> AsyncIterator[bytes]:
                try:
                    while True:
                        yield b"x\n"
                        await asyncio.sleep(0)
                finally:
                    stopped.set()

            source = lines()
            async with contextlib.aclosing(client.submit_lines("/lines", source)) as results:
                async for result in results:
                    assert result == b"x"
                    break
            await source.aclose()
            assert stopped.is_set()
            await application.until(lambda: application.ends or application.lost)

    run(loop_factory, main())


def test_events_are_read_until_the_stream_ends(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path), Client(path) as client:

            async def feed() -> None:
                await application.until(lambda: application.streams)
                (stream,) = application.streams
                assert stream.head.headers["last-event-id"] == "6"
                stream.send(KEEP_ALIVE + encode_event(b'{"n":7}', "message.sent", "7"))
                stream.send(encode_event(b'{"n":8}', "message.delivered", "8"))
                stream.end()

            async with asyncio.TaskGroup() as group:
                group.create_task(feed())
                events = [event async for event in client.events("/events", "6")]
            assert events == [
                ServerSentEvent('{"n":7}', "message.sent", "7"),
                ServerSentEvent('{"n":8}', "message.delivered", "8"),
            ]

    run(loop_factory, main())
