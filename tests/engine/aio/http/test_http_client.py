"""The HTTP client over real sockets: answers, kept connections, and what it says when there is no answer."""

import asyncio
import os
import socket

import pytest

from stentor.wire.calls import FailureKind, HTTPReply, HTTPRequest, InvalidRequest
from tests.engine.aio.http.http_peer import LOOPS, OK, is_failure, playing, run
from tests.support.waiting import WITHIN_S, eventually_async

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
UNENDED = b"HTTP/1.1 200 OK\r\n\r\nok"


@LOOPS
@pytest.mark.parametrize(
    ("octets", "then", "made"),
    [
        (OK, "", 1),
        (CHUNKED, "", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "", 1),
        (OK, "close", 2),
        (OK, "write_eof", 2),
        (UNENDED, "close", 2),
        (UNENDED, "write_eof", 2),
        (b"HTTP/1.0" + OK[8:], "", 2),
        (OK + b"x", "", 2),
    ],
)
def test_answers_of_every_framing_are_read_and_connections_kept_where_they_can_be(
    new_loop, octets, then, made
):
    async def main():
        async with playing() as scene:
            scene.peer.says(octets, then)
            for _ in range(2):
                reply = await scene.send()
                assert isinstance(reply, HTTPReply)
                assert (reply.status, reply.body) == (200, b"ok")
                assert reply.remote == f"127.0.0.1:{scene.peer.port}"
                if made == 2:
                    await eventually_async(lambda: not scene.client.statistics().open, what="closed")
            statistics = scene.client.statistics()
            assert (statistics.made, statistics.reused) == (made, 2 - made)

    run(new_loop, main)


@LOOPS
def test_an_answer_that_comes_octet_by_octet_is_read(new_loop):
    async def main():
        async with playing() as scene:

            def drip(link, _, position=0):
                link.transport.write(CHUNKED[position : position + 1])
                if position + 1 < len(CHUNKED):
                    asyncio.get_running_loop().call_soon(drip, link, b"", position + 1)

            scene.peer.answer = drip
            reply = await scene.send()
            assert isinstance(reply, HTTPReply)
            assert reply.body == b"ok"

    run(new_loop, main)


@LOOPS
def test_a_redirect_is_an_answer(new_loop):
    async def main():
        async with playing() as scene:
            scene.peer.says(
                b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
            )
            reply = await scene.send(fields=(("Authorization", "secret"),))
            assert isinstance(reply, HTTPReply)
            assert reply.status == 307
            assert len(scene.peer.heard) == 1

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize(
    ("octets", "then", "kind", "words"),
    [
        (b"", "close", FailureKind.MAY_HAVE_LEFT, "before an answer"),
        (b"", "abort", FailureKind.MAY_HAVE_LEFT, "before an answer"),
        (OK[:-1], "close", FailureKind.MAY_HAVE_LEFT, "within the answer, its status 200"),
        (OK[:5], "close", FailureKind.MAY_HAVE_LEFT, "within the answer"),
        (CHUNKED[:-1], "close", FailureKind.MAY_HAVE_LEFT, "within the answer, its status 200"),
        (b"220 mail.test ESMTP\r\n", "", FailureKind.BAD_ANSWER, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", "", FailureKind.BAD_ANSWER, "longer than 500"),
    ],
)
def test_what_is_no_complete_answer_is_told_apart_and_sent_once(new_loop, octets, then, kind, words):
    async def main():
        async with playing(body_limit=500) as scene:
            scene.peer.says(octets, then)
            result = await scene.send(is_repeatable=True)  # the connection is new: no reason to repeat
            assert is_failure(result, kind, words), result
            assert len(scene.peer.heard) == 1
            assert scene.client.statistics().failures[kind.value] == 1

    run(new_loop, main)


@LOOPS
def test_a_long_answer_is_cut_where_that_is_wanted(new_loop):
    async def main():
        async with playing(body_limit=500, cuts_body=True) as scene:
            scene.peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 800)
            reply = await scene.send()
            assert isinstance(reply, HTTPReply)
            assert (len(reply.body), reply.is_cut) == (500, True)
            await asyncio.wait_for(scene.peer.links[0].is_gone.wait(), WITHIN_S)

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:{closed}/", "Connection refused"),
        ("http://nowhere.invalid/", "no address for nowhere"),
    ],
)
def test_nothing_has_left_when_there_is_no_connection(new_loop, url, words):
    async def resolve(host, port):
        if host != "127.0.0.1":
            raise socket.gaierror(-2, "Name or service not known")
        return [host]

    async def main():
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            async with playing(resolve=resolve) as scene:
                result = await scene.client.send(HTTPRequest("GET", url.format(closed=port)))
                assert is_failure(result, FailureKind.NOTHING_LEFT, words), result

    run(new_loop, main)


@LOOPS
def test_the_addresses_of_a_name_are_tried_in_order(new_loop):
    async def main():
        async def resolve(host, port):
            return ["127.0.0.2", "127.0.0.1"]  # nobody listens on the first

        async with playing(resolve=resolve) as scene:
            result = await scene.client.send(HTTPRequest("GET", f"http://two.test:{scene.peer.port}/"))
            assert isinstance(result, HTTPReply)
            assert b"Host: two.test:" in scene.peer.heard[0]

    run(new_loop, main)


@LOOPS
def test_names_are_looked_up_by_the_system(new_loop):
    async def main():
        async with playing() as scene:
            for _ in range(2):
                result = await scene.client.send(HTTPRequest("GET", f"http://localhost:{scene.peer.port}/"))
                assert isinstance(result, HTTPReply)

    run(new_loop, main)


@LOOPS
def test_a_request_that_cannot_be_written_is_an_error_of_the_caller(new_loop):
    async def main():
        async with playing() as scene:
            with pytest.raises(InvalidRequest):
                await scene.send(fields=(("X", "a\r\nb"),))
            assert scene.client.statistics().in_use == 0

    run(new_loop, main)


# ---- kept connections


@LOOPS
def test_the_newest_idle_connection_is_used_first(new_loop):
    async def main():
        async with playing() as scene:
            held = []
            scene.peer.answer = lambda link, _: held.append(link)
            sends = [asyncio.ensure_future(scene.send()) for _ in range(3)]
            await eventually_async(lambda: len(held) == 3, what="three requests")
            for link in held:
                link.transport.write(OK)
                await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
                sends = [send for send in sends if not send.done()]
            scene.peer.says(OK)
            await scene.send()
            assert [len(link.heard) for link in held] == [1, 1, 2]
            statistics = scene.client.statistics()
            assert (statistics.open, statistics.idle, statistics.in_use) == (3, 3, 0)

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize("how", ["close", "half close", "stray"])
def test_a_kept_connection_the_server_has_ended_is_not_used(new_loop, how):
    """Also when the event loop has not heard of it yet: the process slept, and the octets are in the kernel."""

    async def main():
        async with playing() as scene:
            await scene.send()
            link = scene.peer.links[0]
            sock = link.transport.get_extra_info("socket")
            with socket.socket(fileno=os.dup(sock.fileno())) as plain:
                if how == "stray":
                    plain.send(b"HTTP/1.1 408 Too late\r\n\r\n")
                else:
                    plain.shutdown(socket.SHUT_WR if how == "half close" else socket.SHUT_RDWR)
            result = await scene.send()  # without a turn of the loop in between
            assert isinstance(result, HTTPReply)
            assert result.body == b"ok"
            assert scene.client.statistics().made == 2
            assert len(scene.peer.heard) == 2

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize("is_repeatable", [True, False])
def test_a_kept_connection_that_ends_at_the_request_is_doubt_unless_it_may_be_repeated(
    new_loop, is_repeatable
):
    async def main():
        async with playing() as scene:
            await scene.send()
            first = scene.peer.links[0]
            scene.peer.answer = lambda link, _: (
                link.transport.close() if link is first else link.transport.write(OK)
            )
            result = await scene.send(is_repeatable=is_repeatable)
            if is_repeatable:
                assert isinstance(result, HTTPReply)
                assert len(scene.peer.heard) == 3
            else:
                assert is_failure(result, FailureKind.MAY_HAVE_LEFT, "before an answer")
                assert len(scene.peer.heard) == 2

    run(new_loop, main)


@LOOPS
def test_a_request_is_repeated_once_and_not_after_an_octet_of_an_answer(new_loop):
    async def main():
        async with playing() as scene:
            await scene.send()
            scene.peer.says(b"", "close")
            result = await scene.send(is_repeatable=True)
            assert is_failure(result, FailureKind.MAY_HAVE_LEFT, "before an answer")
            assert len(scene.peer.heard) == 3
            scene.peer.says(OK)
            await scene.send()
            scene.peer.says(b"H", "close")
            result = await scene.send(is_repeatable=True)
            assert is_failure(result, FailureKind.MAY_HAVE_LEFT, "within the answer")
            assert len(scene.peer.heard) == 5

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize("keep_alive", [b"", b"Keep-Alive: timeout=1\r\n"])
def test_an_idle_connection_is_closed_in_time(new_loop, keep_alive):
    async def main():
        async with playing(idle_s=0.05 if not keep_alive else 1.2) as scene:
            scene.peer.says(OK.replace(b"\r\n\r\n", b"\r\n" + keep_alive + b"\r\n"))
            await scene.send()
            await asyncio.wait_for(scene.peer.links[0].is_gone.wait(), WITHIN_S)
            assert scene.client.statistics().open == 0

    run(new_loop, main)
