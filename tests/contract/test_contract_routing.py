"""Which channel carries a message: prefixes, failover, separate binds, rates, throttling."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.contract_world import (
    Client,
    Daemon,
    Smsc,
    Stream,
    channel,
    number,
    running,
    smsc,
    text,
)
from tests.support.ports import free_port
from tests.support.waiting import eventually, throughout


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


@pytest.fixture
def folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp")))


def test_the_longest_prefix_wins_and_the_rest_goes_to_the_route_without_one(stack: ExitStack, folder: Path):
    peers = {name: stack.enter_context(smsc(folder)) for name in ("alpha", "beta", "gamma")}
    channels = {name: channel(peer.port) for name, peer in peers.items()}
    channels["beta"]["from"] = "FromBeta"
    channels["alpha"]["valid_for"] = "1h"
    routes = [
        {"prefix": ["+40", "+36"], "channels": ["beta"]},
        {"prefix": "+4074", "channels": ["gamma", "beta"], "from": "4040"},
        {"channels": ["alpha"]},
    ]
    daemon = stack.enter_context(running(Daemon(folder, channels, routes=routes)))
    client = daemon.start_up().client
    for prefix, name, originator in (
        ("+4074", "gamma", "4040"), ("+4072", "beta", "FromBeta"), ("+36", "beta", "FromBeta"), ("+49", "alpha", None),
    ):  # fmt: skip
        found = client.submit(number(prefix))
        assert found["from"] == originator
        assert client.wait(found["id"], "delivered")["channel"] == name
    assert client.submit(number("+4074"), from_="Mine")["from"] == "Mine"


def test_a_destination_without_a_route_is_refused(stack: ExitStack, folder: Path):
    channels = {"alpha": channel(free_port())}
    routes = [{"prefix": "+40", "channels": ["alpha"]}]
    daemon = stack.enter_context(running(Daemon(folder, channels, routes=routes)))
    client = daemon.start().client
    client.refused("no_route", "$.to", to=number("+49"))
    # A pinned channel needs no route.
    assert client.submit(number("+49"), channel="alpha")["status"] == "queued"


def test_without_any_channel_nothing_is_accepted(stack: ExitStack, folder: Path):
    daemon = stack.enter_context(running(Daemon(folder, {})))
    daemon.start().client.refused("no_route", "$.to")


def test_the_next_channel_takes_over_while_the_first_is_down_and_back(stack: ExitStack, folder: Path):
    port = free_port()
    second = stack.enter_context(smsc(folder))
    channels = {"first": channel(port), "second": channel(second.port)}
    routes = [{"channels": ["first", "second"]}]
    daemon = stack.enter_context(running(Daemon(folder, channels, routes=routes)))
    client = daemon.start_up("second").client
    assert client.wait(client.submit()["id"], "delivered")["channel"] == "second"
    events = stack.enter_context(Stream(daemon.socket))
    with smsc(folder, port=port):
        assert events.until("channel.up")[-1]["channel"]["name"] == "first"
        assert client.wait(client.submit()["id"], "delivered")["channel"] == "first"
    assert events.until("channel.down")[-1]["channel"]["name"] == "first"
    assert client.channel("first")["state"] == "down"
    assert client.channel("first")["last_error"]["detail"]
    assert client.wait(client.submit()["id"], "delivered")["channel"] == "second"


def test_what_waits_for_a_channel_goes_when_it_comes_up(stack: ExitStack, folder: Path):
    port = free_port()
    daemon = stack.enter_context(running(Daemon(folder, {"alpha": channel(port)})))
    client = daemon.start().client
    to = [number() for _ in range(50)]
    results = client.post("/v1/messages", {"to": to, "text": text()}).json()["results"]
    assert {client.message(result["id"])["status"] for result in results} == {"queued"}
    peer = stack.enter_context(smsc(folder, port=port))
    for result in results:
        client.wait(result["id"], "delivered")
    assert sorted(peer.order()) == sorted(to)


def test_receipts_over_a_receiver_meet_what_a_transmitter_sent(stack: ExitStack, folder: Path):
    """Two channels to one SMSC, and one channel that holds both kinds of bind."""
    peer = stack.enter_context(smsc(folder))
    channels = {
        "out": channel(peer.port, bind="transmitter", system_id="pair"),
        "in": channel(peer.port, bind="receiver", system_id="pair"),
        "both": channel(peer.port, bind="transmitter", receivers=1, system_id="both"),
    }
    routes = [{"channels": ["out"]}]
    daemon = stack.enter_context(running(Daemon(folder, channels, routes=routes)))
    client = daemon.start_up("out", "both").client
    eventually(lambda: peer.binds == 4, what="all are bound")
    for name in ("out", "both"):
        ids = [client.submit(channel=name, text=long)["id"] for long in (text(), text("x" * 300))]
        for id in ids:
            assert client.wait(id, "delivered")["channel"] == name


def test_several_sessions_share_the_load(stack: ExitStack, folder: Path):
    peer = stack.enter_context(smsc(folder, "--latency", "5ms"))
    daemon = stack.enter_context(running(Daemon(folder, {"alpha": channel(peer.port, sessions=3, window=5)})))
    client = daemon.start_up().client
    eventually(lambda: peer.binds == 3)
    client.post("/v1/messages", {"to": [number() for _ in range(300)], "text": text()})
    eventually(lambda: client.fetch("/v1/status")["sent"] == 300, what="all are sent")
    lanes = client.channel("alpha")["lanes"]
    assert len(lanes) == 3
    assert all(lane["sent"] > 30 for lane in lanes)


def test_a_rate_is_kept_over_all_segments(stack: ExitStack, folder: Path):
    peer = stack.enter_context(smsc(folder))
    daemon = stack.enter_context(running(Daemon(folder, {"alpha": channel(peer.port, rate=100)})))
    client = daemon.start_up().client
    items = [{"to": number(), "text": text("x" * 200)} for _ in range(75)]
    began = time.monotonic()
    results = client.post("/v1/messages", items).json()["results"]
    for result in results:
        client.wait(result["id"], "delivered")
    times_s = [int(words[1]) / 1e6 - began for words in peer.facts("s")]
    assert len(times_s) == 150
    # At no time have more come than the rate and what a bucket may hold (a tenth of a second, and the second segment of
    # a message that has begun); and it is used to the full. What a busy machine holds up comes late and close together.
    for count, at_s in enumerate(times_s, start=1):
        assert count <= 12 + 100 * at_s
    assert times_s[-1] - times_s[0] < 3.0


def test_a_throttling_carrier_is_met_with_its_own_rate_and_costs_no_attempt(stack: ExitStack, folder: Path):
    peer = stack.enter_context(smsc(folder, "--throttle", "200"))
    daemon = stack.enter_context(running(Daemon(folder, {"alpha": channel(peer.port)})))
    client = daemon.start_up().client
    to = [number() for _ in range(500)]
    began = time.monotonic()
    results = client.post("/v1/messages", {"to": to, "text": text()}).json()["results"]
    for result in results:
        message = client.wait(result["id"], "delivered", 20)
        assert (message["attempts"], message["error"]) == (1, None)
    took_s = time.monotonic() - began
    # 2.5 s at the carrier's own rate.
    assert took_s < 7
    assert client.channel("alpha")["counters"]["throttled"] > 0
    assert len(peer.facts("s")) < 2 * len(to)


def test_a_carrier_that_refuses_the_login_is_reported_and_not_hammered(stack: ExitStack, folder: Path):
    peer = stack.enter_context(smsc(folder, "--password", "else"))
    daemon = stack.enter_context(running(Daemon(folder, {"alpha": channel(peer.port)})))
    client = daemon.start().client
    eventually(lambda: client.channel("alpha")["last_error"])
    assert "ESME_RINVPASWD" in client.channel("alpha")["last_error"]["detail"]
    throughout(lambda: peer.statistics()["refused_binds"] == 1, 0.5)


def test_a_slow_channel_does_not_hold_up_another(stack: ExitStack, folder: Path):
    slow = stack.enter_context(smsc(folder, "--latency", "300ms"))
    quick = stack.enter_context(smsc(folder))
    channels = {"slow": channel(slow.port, window=2), "quick": channel(quick.port)}
    daemon = stack.enter_context(running(Daemon(folder, channels, limits={"active": 500})))
    client = daemon.start_up().client
    items = [{"to": number(), "text": text(), "channel": "slow"} for _ in range(2000)]
    assert client.post("/v1/messages", items).json()["accepted"] == 2000
    for priority in ("urgent", "bulk"):
        # The quickest of some: whoever had to wait for the slow channel would do so each time.
        assert min(delivered_in_s(client, priority) for _ in range(5)) < 0.5
    _pause_and_stop(daemon, client, slow)


def delivered_in_s(client: Client, priority: str) -> float:
    began = time.monotonic()
    client.wait(client.submit(channel="quick", priority=priority)["id"], "delivered")
    return time.monotonic() - began


def _pause_and_stop(daemon: Daemon, client: Client, peer: Smsc) -> None:
    """An operator's pause stops the sending at once, also of what is in the journal only."""
    client.pause("slow")
    eventually(lambda: client.channel("slow")["in_flight"] == 0)
    sent = len(peer.facts("s"))
    throughout(lambda: len(peer.facts("s")) == sent, 0.4)
    states = client.fetch("/v1/channels")["channels"]
    assert [(each["name"], each["state"], each["paused"]) for each in states] == [
        ("slow", "paused", True), ("quick", "up", False),
    ]  # fmt: skip
    client.post("/v1/channels/nowhere/pause").problem(404)
    client.get("/v1/channels/nowhere").problem(404)
