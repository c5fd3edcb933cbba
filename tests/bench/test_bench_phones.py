"""Simulated phones over TCP: the shell around what ``phone`` decides."""

import io
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec
import pytest
import trio

from bench.peers.phone_options import parse_options
from bench.peers.phone_requests import Kind, Request
from tests.bench.phone_server import messages, running
from tests.plugins.smpp.smpp_certificates import certificates
from tests.support.source import ROOT
from tests.support.waiting import WITHIN_S

FAST = ("--handover", "1ms", "--sent-after", "5ms", "--delivered-after", "5ms", "--hurry", "100")


async def eventually(condition: Callable[[], object]) -> None:
    with trio.fail_after(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - a counter has no event to wait for
            await trio.sleep(0.005)


def test_phones_register_stream_pull_send_and_report() -> None:
    async def run() -> None:
        async with running("--phones", "20", *FAST) as (server, phones):
            await eventually(lambda: len(server.streams) == 20)
            messages(server, range(100))
            await server.hint()
            await eventually(lambda: phones.fleet.statistics.settled == 100)
            count = phones.fleet.statistics
            assert all("Delivered" in states for states in server.states.values())
            assert (count.handed, count.registrations, count.streams) == (100, 20, 20)
            assert not count.violations
            assert not count.failures
            assert {phone.handed for phone in phones.phones} == {5}

    trio.run(run)


def test_phones_believe_a_certificate_of_the_authority_they_are_told_of_and_no_other() -> None:
    made = certificates()
    secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secured.load_cert_chain(made.pem("server"), made.key("server"))

    async def run(authority: str) -> tuple[int, bool]:
        options = ("--phones", "3", "--ca", made.pem(authority), *FAST)
        async with running(*options, secured=secured) as (server, phones):
            count = phones.fleet.statistics
            await eventually(lambda: len(server.streams) == 3 or count.failures)
            if server.streams:
                messages(server, range(6))
                await server.hint()
                await eventually(lambda: count.settled == 6)
            return count.settled, bool(count.failures)

    assert trio.run(run, "ca") == (6, False)
    assert trio.run(run, "stranger") == (0, True)


def test_dropped_streams_come_back_and_every_phone_pulls() -> None:
    async def run() -> None:
        async with running("--phones", "10", *FAST) as (server, phones):
            await eventually(lambda: len(server.streams) == 10)
            before = phones.fleet.statistics.pulls
            phones.drop()
            await eventually(lambda: phones.fleet.statistics.streams_opened == 20)
            await eventually(lambda: phones.fleet.statistics.pulls >= before + 10)
            assert phones.fleet.statistics.streams == 10

    trio.run(run)


def test_connections_are_used_again_and_given_up_when_the_server_closed_them() -> None:
    async def run() -> None:
        async with running("--phones", "1", *FAST) as (server, phones):
            await eventually(lambda: server.streams)
            messages(server, range(3))
            await server.hint()
            await eventually(lambda: phones.fleet.statistics.settled == 3)
            (carrier,) = phones.carriers
            for line in carrier._idle:
                line._sock.shutdown(socket.SHUT_RDWR)
            messages(server, range(3, 6))
            await server.hint()
            await eventually(lambda: phones.fleet.statistics.settled == 6)
            assert not phones.fleet.statistics.failures

    trio.run(run)


def test_a_phone_without_radio_leaves_its_stream_half_open_and_opens_another_later() -> None:
    async def run() -> None:
        radio = ("--radio-lost-every", "800ms", "--radio-lost-for", "200ms")
        async with running("--phones", "1", *FAST, *radio) as (server, phones):
            await eventually(lambda: phones.fleet.statistics.radio_lost)
            assert len(server.streams) == 1
            await eventually(lambda: len(server.streams) >= 2)

    trio.run(run)


def test_what_is_given_up_before_it_began_is_never_sent() -> None:
    """By paths and tokens of its own: what the phone itself asks goes on meanwhile, and the server counts it when it
    comes to it."""

    async def run() -> None:
        async with running("--phones", "1", *FAST) as (server, phones):
            await eventually(lambda: phones.carriers)
            (carrier,) = phones.carriers
            given_up = Request(Kind.SETTINGS, "GET", "/given-up")
            carrier.request(given_up)
            carrier.abort(given_up)
            carrier.open_stream(99, "closed")
            carrier.close_stream(99)
            carrier.open_stream(100, "abandoned")
            carrier.abandon_stream(100)
            await eventually(lambda: server.tokens["abandoned"])
            carrier.request(Request(Kind.SETTINGS, "GET", "/afterwards"))
            await eventually(lambda: server.counts["GET /api/afterwards"])
            assert server.counts["GET /api/given-up"] == server.tokens["closed"] == 0

    trio.run(run)


def test_webhooks_are_posted_to_their_url() -> None:
    async def run() -> None:
        async with running("--phones", "1", "--inbound-every", "200ms", *FAST) as (server, phones):
            server.hooks.append({"id": "w", "url": f"{server.url}/hook", "event": "sms:received"})
            await eventually(lambda: server.inbound)
            assert server.inbound[0]["deviceId"] == "dv0"
            await eventually(lambda: phones.fleet.statistics.hooks_acknowledged)

    trio.run(run)


def test_a_server_that_is_not_there_is_tried_again() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.peers.phones", "--url", "http://127.0.0.1:1/x", "--hurry", "1000"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready 1\n"
    failures = 0
    deadline = time.monotonic() + WITHIN_S
    while failures < 2 and time.monotonic() < deadline:
        process.stdin.write("statistics\n")
        process.stdin.flush()
        counted = msgspec.json.decode(process.stdout.readline())
        failures = counted["failures"].get("register: ConnectionRefusedError", 0)
    output, _ = process.communicate("quit\n", timeout=WITHIN_S)
    assert failures >= 2
    assert msgspec.json.decode(output.splitlines()[-1])["sent"]["phones"] == 1
    assert process.returncode == 0


@pytest.mark.parametrize(
    "wrong",
    [["--phones", "-1"], ["--versions", "new"], ["--failing", "2"], ["--hurry", "0"], ["--skew", "x"]],
)
def test_wrong_options_are_refused(wrong: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with pytest.raises(SystemExit) as ended:
        parse_options(["--url", "http://h/", *wrong])
    assert ended.value.code == 2


def test_options_become_habits() -> None:
    options = parse_options(
        ["--url", "http://h/", "--versions", "1.60.0=0.5,1.68.0=0.5", "--hurry", "10", "--unsent", "0.5"]
    )
    assert options.habits.versions == (("1.60.0", 0.5), ("1.68.0", 0.5))
    assert options.habits.periods.reconnects == (0.5, 3.0, 6.0)
    assert options.habits.unsent == 0.5
