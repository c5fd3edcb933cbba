"""The HTTP client under TLS and through proxies: who is trusted, and what a proxy is told."""

import asyncio
import ssl

import pytest

from stentor.guard import AddressGuard
from stentor.wire.calls import FailureKind, HTTPFailure, HTTPReply, HTTPRequest
from tests.engine.aio.http.http_peer import LOOPS, OK, PeerLink, listening, playing, run
from tests.plugins.smpp.smpp_certificates import NAME, certificates
from tests.support.waiting import WITHIN_S, eventually_async


def server(name: str = "server", *, wants_client: bool = False) -> ssl.SSLContext:
    made = certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.pem(name), made.key(name))
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(made.pem("ca"))
    return context


def ca() -> str:
    return certificates().pem("ca")


async def here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@LOOPS
@pytest.mark.parametrize("host", [NAME, "127.0.0.1"])
def test_a_verified_connection_carries_requests_and_is_kept(new_loop, host):
    async def main():
        async with playing(server(), here, ca_file=ca()) as scene:
            for _ in range(3):
                reply = await scene.client.send(
                    HTTPRequest("POST", f"https://{host}:{scene.peer.port}/x", body=b"hi")
                )
                assert isinstance(reply, HTTPReply), reply
                assert reply.body == b"ok"
            assert scene.client.statistics().made == 1

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize(
    ("name", "host", "settings", "words"),
    [
        ("server", NAME, dict, "is not accepted"),
        ("server", NAME, lambda: {"ca_file": certificates().pem("stranger")}, "is not accepted"),
        ("server", "other.test", lambda: {"ca_file": ca()}, "is not accepted"),
        ("expired", NAME, lambda: {"ca_file": ca()}, "expired"),
        ("server", NAME, lambda: {"ca_file": "/nowhere.pem"}, "certificate files cannot be used"),
        ("server", NAME, lambda: {"ca_file": certificates().key("ca")}, "certificate files cannot be used"),
    ],
)
def test_nothing_leaves_for_a_server_that_is_not_trusted(new_loop, name, host, settings, words):
    async def main():
        async with playing(server(name), here, **settings()) as scene:
            result = await scene.client.send(HTTPRequest("POST", f"https://{host}:{scene.peer.port}/"))
            assert isinstance(result, HTTPFailure)
            assert result.kind is FailureKind.NOTHING_LEFT
            assert words in result.detail
            await eventually_async(lambda: not scene.client.statistics().open, what="closed")
            assert scene.peer.heard == []

    run(new_loop, main)


@LOOPS
def test_verification_is_left_out_only_where_that_is_said(new_loop):
    async def main():
        async with playing(server("stranger"), here, verify=False) as scene:
            reply = await scene.client.send(HTTPRequest("GET", f"https://x.test:{scene.peer.port}/"))
            assert isinstance(reply, HTTPReply)

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize("is_known", [True, False])
def test_a_client_certificate_is_shown(new_loop, is_known):
    async def main():
        made = certificates()
        own = {"certificate_file": made.pem("client"), "key_file": made.key("client")} if is_known else {}
        async with playing(server(wants_client=True), here, ca_file=ca(), **own) as scene:
            result = await scene.client.send(HTTPRequest("GET", f"https://{NAME}:{scene.peer.port}/"))
            assert isinstance(result, HTTPReply) is is_known
            assert len(scene.peer.heard) == is_known

    run(new_loop, main)


@LOOPS
def test_a_server_that_does_not_speak_tls_is_told(new_loop):
    async def main():
        async with playing(None, here) as scene:
            scene.peer.opened = lambda link: link.transport.write(OK)
            result = await scene.client.send(HTTPRequest("GET", f"https://x.test:{scene.peer.port}/"))
            assert isinstance(result, HTTPFailure)
            assert result.kind is FailureKind.NOTHING_LEFT
            assert "TLS with x.test failed" in result.detail

    run(new_loop, main)


@LOOPS
def test_a_handshake_that_hangs_is_given_up(new_loop):
    async def main():
        async with playing(None, here, tls_s=0.1) as scene:
            result = await scene.client.send(HTTPRequest("GET", f"https://x.test:{scene.peer.port}/"))
            assert isinstance(result, HTTPFailure)
            assert result.kind is FailureKind.NOTHING_LEFT
            assert "x.test" in result.detail
            await asyncio.wait_for(scene.peer.links[0].is_gone.wait(), WITHIN_S)

    run(new_loop, main)


# ---- proxies


@LOOPS
def test_plain_requests_go_to_the_proxy_whole(new_loop):
    async def main():
        async with listening() as proxy, playing(proxy=f"http://user:secret@127.0.0.1:{proxy.port}") as scene:
            reply = await scene.client.send(HTTPRequest("GET", "http://far.test/x?y"))
            assert isinstance(reply, HTTPReply)
            assert proxy.heard[0].startswith(b"GET http://far.test/x?y HTTP/1.1\r\nHost: far.test\r\n")
            assert b"Proxy-Authorization: Basic " in proxy.heard[0]

    run(new_loop, main)


@LOOPS
def test_tls_goes_through_the_proxys_tunnel_and_the_proxy_hears_nothing_of_it(new_loop):
    async def main():
        async with playing(server(), None, ca_file=ca()) as inner, listening() as proxy:
            loop = asyncio.get_running_loop()
            asked: list[bytes] = []

            class Far(asyncio.Protocol):
                def __init__(self, near: PeerLink) -> None:
                    self.near = near

                def data_received(self, data: bytes) -> None:
                    self.near.transport.write(data)

            async def tunnel(link: PeerLink) -> None:
                far, _ = await loop.create_connection(lambda: Far(link), "127.0.0.1", inner.peer.port)
                link.forward = far.write
                link.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                tunnels.append(far)

            tunnels: list[asyncio.BaseTransport] = []
            tasks: list[asyncio.Task[None]] = []

            def answer(link: PeerLink, request: bytes) -> None:
                asked.append(request)
                tasks.append(loop.create_task(tunnel(link)))

            proxy.answer = answer
            url = f"http://user:secret@127.0.0.1:{proxy.port}"
            async with playing(ca_file=ca(), proxy=url) as scene:
                for _ in range(2):
                    fields = (("Authorization", "token"),)
                    reply = await scene.client.send(HTTPRequest("GET", f"https://{NAME}:444/x", fields))
                    assert isinstance(reply, HTTPReply), reply
                assert [request.partition(b"\r\n")[0] for request in asked] == [
                    b"CONNECT smsc.test:444 HTTP/1.1"
                ]
                assert b"token" not in asked[0]
                assert inner.peer.heard[0].startswith(b"GET /x HTTP/1.1\r\nHost: smsc.test:444\r\n")
                assert b"Proxy-Authorization" not in inner.peer.heard[0]
            for far in tunnels:
                far.close()
            await asyncio.gather(*tasks)

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize(
    ("octets", "then", "words"),
    [
        (b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", "", "status 407"),
        (b"", "close", "before an answer"),
        (b"nonsense", "", "not HTTP"),
    ],
)
def test_without_a_tunnel_nothing_leaves(new_loop, octets, then, words):
    async def main():
        async with playing() as outer:
            outer.peer.says(octets, then)
            async with playing(proxy=f"http://127.0.0.1:{outer.peer.port}") as scene:
                result = await scene.client.send(HTTPRequest("GET", f"https://{NAME}/x"))
                assert isinstance(result, HTTPFailure)
                assert result.kind is FailureKind.NOTHING_LEFT
                assert words in result.detail
                assert "/x" not in result.detail

    run(new_loop, main)


@LOOPS
def test_behind_a_proxy_the_guard_judges_addresses_and_leaves_names_to_the_proxy(new_loop):
    async def main():
        async with listening() as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            async with playing(proxy=url, guard=AddressGuard()) as scene:
                result = await scene.client.send(HTTPRequest("GET", "http://10.0.0.1/"))
                assert isinstance(result, HTTPFailure)
                assert result.kind is FailureKind.FORBIDDEN
                assert isinstance(await scene.client.send(HTTPRequest("GET", "http://far.test/")), HTTPReply)

    run(new_loop, main)
