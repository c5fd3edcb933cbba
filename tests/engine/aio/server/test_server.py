"""The HTTP server on real sockets, under both loops: exchanges, streams, back-pressure, faults."""

import asyncio
import os
import time
from email.utils import parsedate_to_datetime

import msgspec
import pytest

from stentor.aio.server.connection import ServerLimits
from stentor.aio.server.exchange import PeerKind
from stentor.aio.server.listeners import listen_tcp
from stentor.aio.server.server import LOOKED_AT
from stentor.wire.lines import OverlongLine
from stentor.wire.states import HTTPLimits
from tests.engine.aio.http_helpers import LOOPS, RawClient, run, serving

GET = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
LINES = b"POST /lines HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

pytestmark = pytest.mark.parametrize("loop_factory", LOOPS)


def post(path: bytes, body: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_the_date_of_a_response_is_the_second_it_is_given_in(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (_, _, path):
            client = await RawClient.connect(path)
            # Past the next full second, whichever part of one the server was started in.
            await asyncio.sleep(1.1 - time.time() % 1.0)
            asked_at = int(time.time())
            await client.say(GET)
            _, fields, _ = await client.response()
            assert asked_at <= parsedate_to_datetime(fields[b"date"].decode()).timestamp() <= time.time()
            client.close()

    run(loop_factory, main())


def test_requests_on_one_connection_are_answered_and_the_peer_is_who_the_kernel_says(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, server, path):
            client = await RawClient.connect(path)
            for body in (b"", b"x", b"y" * 500_000):
                await client.say(post(b"/echo", body))
                status, fields, answer = await client.response()
                assert (status, answer) == (200, body)
                assert fields[b"date"].endswith(b"gmt")
            peer = application.peers[0]
            assert (peer.kind, peer.uid, peer.gid) == (PeerKind.UNIX, os.getuid(), os.getgid())
            assert peer.pid == os.getpid()
            assert server.statistics().requests == 3
            client.close()

    run(loop_factory, main())


def test_TCP_is_served_alike_and_without_delay(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, server, _):
            listener = listen_tcp("127.0.0.1", 0)
            server.start(listener)
            host, port = listener.sock.getsockname()
            assert listener.name == f"tcp:127.0.0.1:{port}"
            reader, writer = await asyncio.open_connection(host, port)
            client = RawClient(reader, writer)
            await client.say(post(b"/echo", b"x"))
            assert (await client.response())[0] == 200
            own_host, own_port = writer.get_extra_info("sockname")
            assert application.peers[0].kind is PeerKind.TCP
            assert application.peers[0].address == f"{own_host}:{own_port}"
            client.close()

    run(loop_factory, main())


def test_a_pipeline_in_one_write_is_answered_in_order(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (_, _, path):
            client = await RawClient.connect(path)
            await client.say(b"".join(post(b"/echo", b"%d" % i) for i in range(2000)))
            for i in range(2000):
                assert (await client.response())[2] == b"%d" % i
            client.close()

    run(loop_factory, main())


def test_an_answer_may_come_later_and_out_of_the_order_of_connections(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path):
            clients = [await RawClient.connect(path) for _ in range(3)]
            for i, client in enumerate(clients):
                await client.say(post(b"/later", b"%d" % i) + GET)
                await application.until(lambda count=i + 1: len(application.waiting) == count)
            for exchange in reversed(application.waiting):
                exchange.respond(200, b"later " + exchange.body)
                assert exchange.is_closed
            for i, client in enumerate(clients):
                assert (await client.response())[2] == b"later %d" % i
                assert (await client.response())[2] == b"", "the request behind it is answered too"
                client.close()

    run(loop_factory, main())


def test_both_marks_of_the_write_buffer_are_set(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, server, path):
            client = await RawClient.connect(path)
            await client.say(post(b"/later", b""))
            await application.until(lambda: application.waiting)
            (connection,) = server._site.connections
            limits = ServerLimits()
            marks = (limits.output_low_octets, limits.output_high_octets)
            assert connection._transport.get_write_buffer_limits() == marks
            client.close()

    run(loop_factory, main())


def test_lines_are_answered_while_the_body_is_still_arriving(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path):
            client = await RawClient.connect(path)
            await client.say(LINES)
            head = await client.head()
            assert head.startswith(b"HTTP/1.1 202 ")
            assert b"application/x-ndjson" in head
            await client.say(chunk(b'{"a":1}\n{"b"'))
            assert await client.chunk() == b'{"a":1}\n'
            await client.say(chunk(b":2}\n" + b"x" * 70_000 + b"\n\nlast") + b"0\r\n\r\n" + GET)
            assert await client.chunks() == b'{"b":2}\noverlong\nlast\nend\n'
            assert (await client.response())[0] == 200, "the connection goes on"
            lines = [line for batch in application.batches for line in batch]
            assert lines == [b'{"a":1}', b'{"b":2}', OverlongLine(3, 65536), b"last"]
            assert application.ends == [None]
            assert application.lost == []
            client.close()

    run(loop_factory, main())


def test_the_lines_of_one_read_come_in_one_batch(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path):
            client = await RawClient.connect(path)
            await client.say(LINES + b"".join(chunk(b"line\n") for _ in range(1000)) + b"0\r\n\r\n")
            await client.head()
            assert await client.chunks() == b"line\n" * 1000 + b"end\n"
            assert len(application.batches) <= 3
            client.close()

    run(loop_factory, main())


def test_a_handler_that_pauses_reading_is_given_no_more_lines(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path):
            application.holds_reading = True
            client = await RawClient.connect(path)
            flood = chunk(b"x" * 99 + b"\n") * 40_000
            writing = asyncio.ensure_future(client.say(LINES + flood + b"0\r\n\r\n"))
            await application.until(lambda: application.batches)
            await asyncio.sleep(0.05)  # nothing is to happen: there is no event to wait for
            assert len(application.batches) == 1
            assert not writing.done(), "the client is held up"
            application.holds_reading = False
            application.streams[0].resume_reading()
            await client.head()
            assert len(await client.chunks()) == 40_000 * 100 + 4
            await writing
            assert application.line_count == 40_000
            client.close()

    run(loop_factory, main())


def test_reading_of_lines_stops_while_the_results_are_not_taken(loop_factory, tmp_path):
    async def main():
        limits = ServerLimits(patient_streams=1, patient_high_octets=1 << 20)
        async with serving(tmp_path, limits) as (application, server, path):
            application.result_octets = 100
            flood = chunk(b"x" * 99 + b"\n") * 200_000  # answered with 40 MB
            clients = [await RawClient.connect(path) for _ in range(2)]
            for client in clients:
                client.writer.transport.pause_reading()
            writing = [asyncio.ensure_future(client.say(LINES + flood + b"0\r\n\r\n")) for client in clients]
            await application.until(lambda: len(application.streams) == 2)
            streams = application.streams
            await application.until(lambda: not any(stream.is_writable for stream in streams))
            untaken = sorted(stream.unsent_octets for stream in streams)
            # One read of 256 KiB is answered with twice as much.
            assert untaken[0] < 64 * 1024 + 1024 * 1024, "an impatient stream stops at the high mark"
            assert untaken[1] < 1024 * 1024 + 1024 * 1024, "a patient one holds a bounded deal more"
            count = application.line_count
            await asyncio.sleep(0.05)  # nothing is to happen
            assert application.line_count == count
            for client in clients:
                client.writer.transport.resume_reading()
                await client.head()
            results = await asyncio.gather(*[client.chunks() for client in clients])
            assert [len(result) for result in results] == [200_000 * 200 + 4] * 2
            await asyncio.gather(*writing)
            assert server._site._patient == 0
            for client in clients:
                client.close()

    run(loop_factory, main())


def test_a_subscriber_that_does_not_read_is_dropped_beyond_the_limit(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path):
            client = await RawClient.connect(path)
            client.writer.transport.pause_reading()
            await client.say(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
            await application.until(lambda: application.streams)
            (stream,) = application.streams
            sent = 0
            while not stream.is_closed:
                assert stream.unsent_octets < 1024 * 1024 + 20_000
                stream.send(b"x" * 10_000)
                sent += 1
                if sent % 10 == 0:
                    await asyncio.sleep(0)
            assert application.lost == [stream]
            assert 100 < sent < 200
            stream.send(b"into the void")
            stream.end()
            client.close()

    run(loop_factory, main())


def test_a_stream_is_told_when_it_may_go_on(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path):
            client = await RawClient.connect(path)
            client.writer.transport.pause_reading()
            await client.say(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
            await application.until(lambda: application.streams)
            (stream,) = application.streams
            while stream.is_writable:
                stream.send(b"x" * 10_000)
                await asyncio.sleep(0)
            client.writer.transport.resume_reading()
            await application.until(lambda: application.writable)
            assert stream.is_writable
            client.close()
            await application.until(lambda: application.lost)

    run(loop_factory, main())


def test_a_client_that_ends_its_side_inside_the_lines_gets_the_results_of_what_it_sent(
    loop_factory, tmp_path
):
    async def main():
        async with serving(tmp_path) as (application, _, path):
            client = await RawClient.connect(path)
            await client.say(LINES + chunk(b"a\nb\nc"))
            client.writer.write_eof()
            await client.head()
            assert await client.chunks() == b"a\nb\nend\n", "c may be half a line"
            assert await client.rest() == b""
            (problem,) = application.ends
            assert problem.status == 400
            client.close()

    run(loop_factory, main())


def test_a_client_that_vanishes_is_told_of_once(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (application, _, path):
            for path_, waiting in ((b"/events", application.streams), (b"/later", application.waiting)):
                client = await RawClient.connect(path)
                await client.say(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path_)
                await application.until(lambda waiting=waiting: waiting)
                exchange = waiting[-1]
                client.close()
                while not exchange.is_closed:
                    # An answer meets the end of the connection; a stream finds out by what it sends.
                    exchange.send(b"x") if path_ == b"/events" else exchange.respond(200, b"x" * 100)
                    await asyncio.sleep(0)
            assert application.lost == application.streams

    run(loop_factory, main())


def test_a_fault_of_the_application_is_reported_and_answered_500(loop_factory, tmp_path):
    async def main():
        reported = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["exception"])
        )
        async with serving(tmp_path) as (_, _, path):
            client = await RawClient.connect(path)
            for raising in (b"/raise", b"/raise-in-route"):
                await client.say(post(raising, b"x"))
                status, fields, body = await client.response()
                assert status == 500
                assert fields[b"content-type"] == b"application/problem+json"
                assert msgspec.json.decode(body)["code"] == "internal_error"
                assert b"boom" not in body
            assert [str(error) for error in reported] == ["boom", "boom"]
            await client.say(GET)
            assert (await client.response())[0] == 200, "the connection goes on"
            client.close()

    run(loop_factory, main())


def test_a_refused_client_that_is_still_sending_gets_its_answer_and_no_reset(loop_factory, tmp_path):
    async def main():
        async with serving(tmp_path) as (_, _, path):
            client = await RawClient.connect(path)
            head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n"
            await client.say(head + b"x" * 9_000_000)
            status, fields, _ = await client.response()
            assert (status, fields[b"connection"]) == (413, b"close")
            assert await client.rest() == b""
            client.close()

    run(loop_factory, main())


def test_slow_clients_are_refused_in_time_and_harm_nobody(loop_factory, tmp_path):
    async def main():
        limits = ServerLimits(
            http=HTTPLimits(head_s=1.0, idle_s=1.0, body_window_s=1.0, linger_s=0.1), sweep_s=0.05
        )
        async with serving(tmp_path, limits) as (_, server, path):
            slow = []
            beginnings = [b"", GET[:-2], post(b"/echo", b"xy")[:-1]]
            for i in range(2 * LOOKED_AT):
                client = await RawClient.connect(path)
                await client.say(beginnings[i % 3])  # at once: its time runs
                slow.append(client)
            quick = await RawClient.connect(path)
            loop = asyncio.get_running_loop()
            worst = 0.0
            while sum(server.statistics().connections.values()) > 1:
                asked = loop.time()
                await quick.say(GET)
                assert (await quick.response())[0] == 200
                worst = max(worst, loop.time() - asked)
                await asyncio.sleep(0.01)
            assert worst < 0.9, "nobody waits for the second that a slow one is given"
            for i, client in enumerate(slow):
                answer = await client.rest()
                assert answer.startswith(b"HTTP/1.1 408 ") if i % 3 else answer == b""
                client.close()
            quick.close()

    run(loop_factory, main())


def test_a_client_that_never_takes_its_answer_is_dropped(loop_factory, tmp_path):
    async def main():
        limits = ServerLimits(http=HTTPLimits(stall_s=0.1), sweep_s=0.02)
        async with serving(tmp_path, limits) as (_, server, path):
            client = await RawClient.connect(path)
            client.writer.transport.pause_reading()
            await client.say(post(b"/echo", b"x" * 1_000_000) + GET)
            await server._wait_until_empty(30)
            assert not any(server.statistics().connections.values())
            client.close()

    run(loop_factory, main())
