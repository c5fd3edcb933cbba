"""SMPP under TLS, over real sockets: who is let in, who is not, and what is said about it."""

import asyncio
import shutil
import ssl
import subprocess

import pytest

from stentor.clock import SystemClock
from stentor.message import Status
from stentor.testing.host import MemoryHost
from stentor_smpp.config import SMPPConfig
from stentor_smpp.driver import SMPPDriver
from stentor_smpp.tables import TLSTable
from stentor_smpp.tls import make_context, pin_fault, sentence
from tests.plugins.smpp.smpp_bench import LOOPS, Bench, run, running
from tests.plugins.smpp.smpp_certificates import NAME, certificates
from tests.support.waiting import WITHIN_S, eventually_async


def server(name: str = "server", *, wants_client: bool = False, **versions) -> ssl.SSLContext:
    """The SMSC's context."""
    made = certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.pem(name), made.key(name))
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(made.pem("ca"))
    for version, value in versions.items():
        setattr(context, version, value)
    return context


def trusting(**more) -> dict[str, object]:
    return {"ca_file": certificates().pem("ca"), **more}


def detail(bench: Bench) -> str:
    return bench.driver.status().lanes[0].detail


@LOOPS
@pytest.mark.parametrize("server_name", ["", NAME])
def test_a_verified_session_carries_messages_and_receipts(new_loop, server_name):
    async def main():
        async with running(server(), window=50, tls=trusting(server_name=server_name)) as bench:
            for _ in range(4):
                batch = bench.submit(50)
                await eventually_async(lambda: bench.host.free == 50, what="outcomes")
                assert {type(bench.host.outcomes[each.token]).__name__ for each in batch} == {"Sent"}
            for seen in bench.peer.seen:
                bench.peer.send_receipt(seen, Status.DELIVERED)
            await eventually_async(lambda: len(bench.peer.acknowledgements) == 200, what="acknowledgements")
            assert detail(bench) == "to SMSC, TLSv1.3"
            assert not any("not verified" in line.event for line in bench.host.memory_log.lines)
        assert bench.peer.goodbyes == 1

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize(
    ("make_server", "make_tls", "words"),
    [
        (server, lambda: True, "the certificate is not trusted"),
        (server, lambda: {"ca_file": certificates().pem("stranger")}, "the certificate is not trusted"),
        (server, lambda: trusting(server_name="other.test"), 'the certificate is not for "other.test"'),
        (lambda: server("expired"), trusting, "the certificate has expired"),
        (lambda: server("early"), trusting, "the certificate is not valid yet"),
        (lambda: server("stranger"), trusting, "the certificate is not trusted"),
        (server, lambda: {"fingerprint": certificates().fingerprint("client")}, "fingerprint is"),
        (
            lambda: server(maximum_version=ssl.TLSVersion.TLSv1_2),
            lambda: trusting(minimum_version="1.3"),
            "during the TLS handshake",
        ),
        (server, lambda: {"ca_file": "/nowhere/ca.pem"}, "No such file"),
        (server, lambda: {"ca_file": certificates().key("ca")}, "tls.ca_file holds no certificate"),
        (
            server,
            lambda: trusting(
                certificate_file=certificates().pem("client"), key_file=certificates().key("server")
            ),
            "tls.key_file does not belong to tls.certificate_file",
        ),
        (lambda: None, trusting, "does it speak TLS?"),
    ],
)
def test_a_peer_that_cannot_be_trusted_is_not_bound_to_and_the_error_says_why(
    new_loop, make_server, make_tls, words
):
    async def main():
        async with running(make_server(), is_wanted=False, tls=make_tls()) as bench:
            await eventually_async(lambda: bench.driver.status().last_error, what="an error")
            assert words in bench.driver.status().last_error
            assert not bench.host.lanes or not bench.host.free
            assert bench.peer.logins == 0
            # It goes on trying.
            await eventually_async(lambda: bench.driver.status().lanes[0].state == "waiting", what="a pause")
            assert words in detail(bench)

    run(new_loop, main)


@LOOPS
def test_without_verification_it_says_so_once_and_shows_it(new_loop):
    async def main():
        async with running(server("stranger"), tls={"verify": False}) as bench:
            for _ in range(2):
                assert detail(bench) == "to SMSC, TLSv1.3, certificate not verified"
                bench.peer.links[-1].transport.abort()
                await eventually_async(lambda: not bench.host.free, what="the end")
                await eventually_async(lambda: bench.host.free, what="a new bind")
            warned = [line for line in bench.host.memory_log.lines if "not verified" in line.event]
            assert [line.level for line in warned] == ["warning"]

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_shown_to_a_peer_that_asks(new_loop, version):
    async def main():
        made = certificates()
        tls = trusting(certificate_file=made.pem("client"), key_file=made.key("client"))
        async with running(server(wants_client=True, maximum_version=version), tls=tls) as bench:
            shown = bench.peer.links[0].transport.get_extra_info("ssl_object").getpeercert()
            assert shown["subject"] == ((("commonName", "client"),),)
            assert detail(bench).endswith(version.name.replace("_", "."))

    run(new_loop, main)


@LOOPS
def test_a_pinned_certificate_needs_no_authority(new_loop):
    async def main():
        pin = certificates().fingerprint("expired")
        async with running(server("expired"), tls={"fingerprint": pin}) as bench:
            batch = bench.submit(3)
            await eventually_async(lambda: len(bench.host.outcomes) == 3, what="outcomes")
            assert {type(bench.host.outcomes[each.token]).__name__ for each in batch} == {"Sent"}
            assert detail(bench) == "to SMSC, TLSv1.3"

    run(new_loop, main)


@LOOPS
def test_a_file_that_was_mended_is_used_by_the_next_attempt(new_loop, tmp_path):
    async def main():
        ca_file = tmp_path / "ca.pem"
        shutil.copy(certificates().pem("stranger"), ca_file)
        async with running(server(), is_wanted=False, tls={"ca_file": str(ca_file)}) as bench:
            await eventually_async(lambda: bench.driver.status().last_error, what="an error")
            shutil.copy(certificates().pem("ca"), ca_file)
            await eventually_async(lambda: bench.host.free, what="a lane")

    run(new_loop, main)


@LOOPS
def test_a_peer_that_never_shakes_hands_is_given_up_in_the_time_to_connect(new_loop):
    async def main():
        async with running(is_wanted=False, tls=trusting(), connect=0.2) as bench:
            for link in bench.peer.links:
                link.transport.pause_reading()
            bench.peer.is_deaf = True
            await eventually_async(lambda: bench.driver.status().last_error, what="an error")
            assert "in 0.2 s" in bench.driver.status().last_error

    run(new_loop, main)


@LOOPS
def test_a_goodbye_leaves_over_tls_even_with_no_time_left(new_loop):
    async def main():
        async with running(server(), tls=trusting()) as bench:
            bench.submit(1)
            await bench.driver.drain(bench.host.clock.now() - 1)
            await asyncio.sleep(0)
        assert bench.peer.goodbyes == 1

    run(new_loop, main)


@LOOPS
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_handshake_under_way_holds_up_neither_a_drain_nor_a_cancellation(new_loop, is_cancelled):
    async def main():
        loop = asyncio.get_running_loop()
        silent = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        config = SMPPConfig(host="127.0.0.1", port=port, system_id="x", tls=True, connect_s=60.0)
        host = MemoryHost(SystemClock())
        driver = SMPPDriver(config, host)
        life = asyncio.ensure_future(driver.run())
        await asyncio.sleep(0.05)
        if is_cancelled:
            life.cancel()
        async with asyncio.timeout(WITHIN_S):
            if not is_cancelled:
                await driver.drain(host.clock.now() + 10 * WITHIN_S)
            await asyncio.wait([life])
        assert life.cancelled() is is_cancelled
        silent.close()
        await silent.wait_closed()

    run(new_loop, main)


# -- without a network ----------------------------------------------------------------------------------------------


def shake_hands(ours: ssl.SSLContext, theirs: ssl.SSLContext) -> ssl.SSLError:
    """What our side is told when the octets of both, alerts too, reach each other."""
    to_us, to_them = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        ours.wrap_bio(to_us, to_them, server_hostname=NAME),
        theirs.wrap_bio(to_them, to_us, server_side=True),
    ]
    for turn in range(12):
        try:
            sides[turn % 2].do_handshake()
            sides[turn % 2].read(1)
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError as error:
            if turn % 2 == 0:
                return error
    raise AssertionError("nothing went wrong")


@pytest.mark.parametrize(
    ("make_server", "make_tls", "words"),
    [
        (
            lambda: server(maximum_version=ssl.TLSVersion.TLSv1_2),
            lambda: trusting(minimum_version="1.3"),
            "no common version of TLS",
        ),
        (lambda: server(wants_client=True), trusting, "the peer asks for a client certificate"),
        (
            lambda: server(wants_client=True, maximum_version=ssl.TLSVersion.TLSv1_2),
            trusting,
            "it may ask for a client certificate",
        ),
        (
            lambda: server(wants_client=True),
            lambda: trusting(
                certificate_file=certificates().pem("stranger"), key_file=certificates().key("stranger")
            ),
            "does not trust our client certificate",
        ),
        (
            lambda: server(wants_client=True),
            lambda: trusting(
                certificate_file=certificates().pem("expired"), key_file=certificates().key("expired")
            ),
            "our client certificate has expired",
        ),
    ],
)
def test_what_the_peer_says_against_us_is_told_in_words(make_server, make_tls, words):
    table = TLSTable(**make_tls())
    error = shake_hands(make_context(table), make_server())
    assert words in sentence(error, NAME)


def test_by_default_the_peer_is_verified_and_nothing_old_is_spoken():
    context = make_context(TLSTable())
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_key_with_a_pass_phrase_is_an_error_and_not_a_question(tmp_path):
    made = certificates()
    locked = str(tmp_path / "locked.key")
    command = ["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", made.key("client"), "-out", locked]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with pytest.raises(ssl.SSLError, match="pass phrase") as refused:
        make_context(TLSTable(certificate_file=made.pem("client"), key_file=locked))
    assert "pass phrase" in sentence(refused.value, "x")


def test_no_pin_is_no_fault_and_errors_of_others_are_not_of_tls():
    assert pin_fault("", None) == ""
    assert sentence(OSError(111, "Connection refused"), "x") is None
