"""Requests that are begun over a connection that stands, and call back: no task, no future, no timer each."""

import asyncio

import pytest

from stentor.aio.http.client import Done
from stentor.wire.asking import read_url
from stentor.wire.calls import FailureKind, HTTPReply, InvalidRequest
from tests.engine.aio.http.http_peer import LOOPS, Scene, is_failure, playing, run
from tests.support.waiting import WITHIN_S

FIELDS = (("content-type", "text/plain"), ("x-key", "value"))


def whole(scene: Scene, body: bytes = b"hi") -> bytes:
    beginning = scene.client.beginning("POST", FIELDS, read_url(scene.peer.url))
    return beginning + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def begin(scene: Scene, octets: bytes, done: Done) -> bool:
    """Send it over an idle connection, if there is one."""
    write = scene.client.seize(read_url(scene.peer.url), done)
    if write is not None:
        write(octets)
    return write is not None


async def begun(scene: Scene, body: bytes = b"hi") -> object:
    """What comes of it; it must be called back later, never at once."""
    outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    assert begin(scene, whole(scene, body), outcome.set_result)
    assert not outcome.done()
    return await asyncio.wait_for(outcome, WITHIN_S)


@LOOPS
def test_nothing_is_begun_without_a_connection_that_stands(new_loop):
    async def main():
        async with playing() as scene:
            assert not begin(scene, whole(scene), lambda _: None)
            assert scene.peer.heard == []

    run(new_loop, main)


@LOOPS
def test_a_request_that_is_begun_is_the_same_as_one_that_is_sent(new_loop):
    async def main():
        async with playing() as scene:
            await scene.send(fields=FIELDS)
            for _ in range(3):
                reply = await begun(scene)
                assert isinstance(reply, HTTPReply)
                assert (reply.status, reply.body, reply.remote) == (
                    200,
                    b"ok",
                    f"127.0.0.1:{scene.peer.port}",
                )
            assert len(set(scene.peer.heard)) == 1
            statistics = scene.client.statistics()
            assert (statistics.made, statistics.reused, statistics.idle) == (1, 3, 1)

    run(new_loop, main)


@LOOPS
def test_the_next_may_be_begun_from_where_the_last_calls_back(new_loop):
    async def main():
        async with playing() as scene:
            await scene.send()
            done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            left = [5]

            def answered(outcome: object) -> None:
                assert isinstance(outcome, HTTPReply)
                left[0] -= 1
                if left[0]:
                    assert begin(scene, whole(scene), answered)
                else:
                    done.set_result(0)

            assert begin(scene, whole(scene), answered)
            await asyncio.wait_for(done, WITHIN_S)
            assert len(scene.peer.heard) == 6
            assert scene.client.statistics().made == 1

    run(new_loop, main)


@LOOPS
def test_no_more_are_begun_than_may_be_in_use(new_loop):
    async def main():
        async with playing(connections_per_origin=2) as scene:
            await asyncio.gather(scene.send(), scene.send())
            held: list[object] = []
            scene.peer.answer = lambda link, _: held.append(link)
            assert begin(scene, whole(scene), lambda _: None)
            assert begin(scene, whole(scene), lambda _: None)
            assert not begin(scene, whole(scene), lambda _: None)

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize(
    ("octets", "then", "words"),
    [
        (b"H", "close", "within the answer"),
        (b"H", "abort", "within the answer"),
        (b"nonsense\r\n\r\n", "", "HTTP"),
    ],
)
def test_an_answer_that_is_none_is_a_failure_and_the_connection_is_gone(new_loop, octets, then, words):
    async def main():
        async with playing() as scene:
            await scene.send()
            scene.peer.says(octets, then)
            kind = FailureKind.MAY_HAVE_LEFT if then else FailureKind.BAD_ANSWER
            assert is_failure(await begun(scene), kind, words if then != "abort" else "")
            assert scene.client.statistics().idle == 0

    run(new_loop, main)


@LOOPS
def test_a_connection_that_had_been_closed_is_told_of_as_such(new_loop):
    async def main():
        async with playing() as scene:
            await scene.send()
            scene.peer.says(b"", "close")
            assert await begun(scene) is None
            assert scene.client.statistics().failures["may_have_left"] == 0

    run(new_loop, main)


@LOOPS
def test_no_answer_in_time_is_a_failure(new_loop):
    async def main():
        async with playing(answer_s=0.1) as scene:
            await scene.send()
            scene.peer.answer = lambda link, _: None
            assert is_failure(await begun(scene), FailureKind.MAY_HAVE_LEFT, "no answer")

    run(new_loop, main)


@LOOPS
def test_what_is_under_way_when_the_client_closes_ends_in_doubt(new_loop):
    async def main():
        async with playing() as scene:
            await scene.send()
            scene.peer.answer = lambda link, _: None
            outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            assert begin(scene, whole(scene), outcome.set_result)
            await scene.client.close()
            assert is_failure(await outcome, FailureKind.MAY_HAVE_LEFT, "closed on our side")
            assert not begin(scene, whole(scene), lambda _: None)

    run(new_loop, main)


@LOOPS
def test_a_beginning_that_would_not_be_http_is_refused(new_loop):
    async def main():
        async with playing() as scene:
            with pytest.raises(InvalidRequest):
                scene.client.beginning("POST", (("x", "a\r\nb: c"),), read_url(scene.peer.url))

    run(new_loop, main)
