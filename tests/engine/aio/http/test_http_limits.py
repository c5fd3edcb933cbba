"""The HTTP client's limits: connections, time-outs, an end, and the address guard."""

import asyncio

import pytest

from stentor.aio.http import Client, ClientSettings
from stentor.guard import AddressGuard
from stentor.wire.calls import FailureKind, HTTPReply, HTTPRequest
from tests.engine.aio.http.http_peer import LOOPS, OK, is_failure, playing, run
from tests.support.waiting import WITHIN_S, eventually_async

# ---- limits


@LOOPS
def test_requests_wait_for_a_connection_in_turn(new_loop):
    async def main():
        async with playing(connections_per_origin=1) as scene:
            sends = [asyncio.ensure_future(scene.send(b"%d" % number)) for number in range(4)]
            await asyncio.sleep(0)
            assert scene.client.statistics().waiting == 3
            sends[1].cancel()
            await asyncio.gather(*sends, return_exceptions=True)
            assert [request[-1:] for request in scene.peer.heard] == [b"0", b"2", b"3"]
            assert len(scene.peer.links) == 1

    run(new_loop, main)


@LOOPS
def test_the_limit_of_all_is_shared_by_origins_in_turn(new_loop):
    async def main():
        async def resolve(host, port):
            return ["127.0.0.1"]

        async with playing(connections=1, resolve=resolve) as scene:
            hosts = ["a", "a", "a", "b"]
            urls = [f"http://{host}.test:{scene.peer.port}/" for host in hosts]
            await asyncio.gather(*(scene.client.send(HTTPRequest("GET", url)) for url in urls))
            order = [request.partition(b"Host: ")[2][:1] for request in scene.peer.heard]
            assert sorted(order) == [b"a", b"a", b"a", b"b"]
            statistics = scene.client.statistics()
            assert statistics.open <= 2  # the one in use, and one whose goodbye is on its way
            assert statistics.idle == 1

    run(new_loop, main)


@LOOPS
def test_a_cancelled_request_closes_its_connection(new_loop):
    async def main():
        async with playing() as scene:
            scene.peer.answer = lambda link, _: None
            sending = asyncio.ensure_future(scene.send())
            await eventually_async(lambda: scene.peer.heard, what="a request")
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await asyncio.wait_for(scene.peer.links[0].is_gone.wait(), WITHIN_S)
            scene.peer.says(OK)
            assert isinstance(await scene.send(), HTTPReply)

    run(new_loop, main)


@LOOPS
def test_closing_ends_what_is_under_way_and_what_waits(new_loop):
    async def main():
        async with playing(connections_per_origin=1) as scene:
            scene.peer.answer = lambda link, _: None
            sends = [asyncio.ensure_future(scene.send()) for _ in range(2)]
            await eventually_async(lambda: scene.peer.heard, what="a request")
            await scene.client.close()
            first, second = await asyncio.gather(*sends)
            assert is_failure(first, FailureKind.MAY_HAVE_LEFT, "closed on our side")
            assert is_failure(second, FailureKind.NOTHING_LEFT, "the client is closed")
            assert is_failure(await scene.send(), FailureKind.NOTHING_LEFT, "the client is closed")
            assert len(scene.peer.heard) == 1

    run(new_loop, main)


# ---- time-outs


@LOOPS
def test_a_server_that_never_answers_is_given_up(new_loop):
    async def main():
        async with playing(answer_s=0.05) as scene:
            scene.peer.answer = lambda link, _: None
            result = await scene.send()
            assert is_failure(result, FailureKind.MAY_HAVE_LEFT, "no answer within 0.05 s")
            await asyncio.wait_for(scene.peer.links[0].is_gone.wait(), WITHIN_S)

    run(new_loop, main)


@LOOPS
def test_an_answer_that_does_not_end_is_given_up_however_much_it_drips(new_loop):
    async def main():
        async with playing(body_s=0.2) as scene:
            loop = asyncio.get_running_loop()

            def drip(link, _):
                if not link.transport.is_closing():
                    link.transport.write(b"x")
                    loop.call_later(0.02, drip, link, b"")

            def answer(link, _):
                link.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
                drip(link, b"")

            scene.peer.answer = answer
            result = await scene.send()
            assert is_failure(
                result, FailureKind.MAY_HAVE_LEFT, "was not complete within 0.2 s, its status 200"
            )

    run(new_loop, main)


@LOOPS
def test_a_request_the_server_does_not_take_is_given_up(new_loop):
    async def main():
        async with playing(write_s=0.05) as scene:
            scene.peer.stops_reading = b""
            result = await scene.send(b"x" * 20_000_000)
            assert is_failure(result, FailureKind.MAY_HAVE_LEFT, "was not taken within 0.05 s")

    run(new_loop, main)


@LOOPS
def test_an_early_answer_to_a_long_request_is_an_answer_and_its_connection_is_not_kept(new_loop):
    async def main():
        async with playing() as scene:
            scene.peer.stops_reading = b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n"
            result = await scene.send(b"x" * 20_000_000)
            assert isinstance(result, HTTPReply)
            assert result.status == 413
            await eventually_async(lambda: not scene.client.statistics().open, what="closed")

    run(new_loop, main)


@pytest.mark.parametrize("addresses", [1, 3])
def test_a_server_that_does_not_accept_is_given_up(addresses):
    async def main():
        async def resolve(host, port):
            return [f"192.0.2.{number}" for number in range(addresses)]  # nobody's (RFC 5737)

        loop = asyncio.get_running_loop()

        async def create_connection(factory, host, port):
            tried.append(host)
            await loop.create_future()

        tried: list[str] = []
        client = Client(ClientSettings(connect_s=0.06), random=lambda: 0.0, resolve=resolve)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "create_connection", create_connection)
            result = await client.send(HTTPRequest("GET", "http://silent.test/"))
        assert is_failure(result, FailureKind.NOTHING_LEFT, "no connection to silent.test:80 within 0.06 s")
        assert len(tried) == addresses
        await client.close()

    run(asyncio.new_event_loop, main)


@LOOPS
def test_a_lookup_that_hangs_is_given_up(new_loop):
    async def main():
        async def resolve(host, port):
            return await asyncio.get_running_loop().create_future()

        client = Client(ClientSettings(connect_s=0.05), random=lambda: 0.0, resolve=resolve)
        result = await client.send(HTTPRequest("GET", "http://silent.test/"))
        assert is_failure(result, FailureKind.NOTHING_LEFT, "within 0.05 s")
        await client.close()

    run(new_loop, main)


@LOOPS
def test_closing_ends_a_lookup_without_cancelling_who_waits_for_it(new_loop, monkeypatch):
    async def main():
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        async def getaddrinfo(*_, **__):
            begun.set()
            await asyncio.Event().wait()

        client = Client(ClientSettings(), random=lambda: 0.0)
        monkeypatch.setattr("asyncio.get_running_loop", lambda: _Standing(loop, getaddrinfo))
        sending = asyncio.ensure_future(client.send(HTTPRequest("GET", "http://silent.test/")))
        await begun.wait()
        await client.close()
        assert is_failure(await sending, FailureKind.NOTHING_LEFT, "the client was closed")

    run(new_loop, main)


class _Standing:
    """A loop with one method replaced: uvloop's own cannot be."""

    def __init__(self, loop, getaddrinfo) -> None:
        self._loop, self.getaddrinfo = loop, getaddrinfo

    def __getattr__(self, name):
        return getattr(self._loop, name)


# ---- guard


@LOOPS
@pytest.mark.parametrize(
    ("guard", "is_forbidden"),
    [(None, False), (AddressGuard(), True), (AddressGuard(("127.0.0.0/8",)), False)],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "rebound.test"])
def test_the_guard_judges_the_address_that_is_connected_to(new_loop, guard, is_forbidden, host):
    async def main():
        async def resolve(name, port):
            return ["127.0.0.1"]

        resolver = resolve if host == "rebound.test" else None
        async with playing(guard=guard, resolve=resolver) as scene:
            result = await scene.client.send(HTTPRequest("GET", f"http://{host}:{scene.peer.port}/"))
            if is_forbidden:
                assert is_failure(result, FailureKind.FORBIDDEN, host)
                assert not scene.peer.links
            else:
                assert isinstance(result, HTTPReply)

    run(new_loop, main)
