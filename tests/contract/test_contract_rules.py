"""Routing by more than the destination, through a running daemon: what is routed, refused, explained and reloaded."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.contract.contract_world import Client, Daemon, channel, number, running, smsc
from tests.contract.test_contract_commands import stentor
from tests.support.ports import free_port
from tests.support.waiting import throughout


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


@pytest.fixture
def folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp")))


def test_tags_accounts_and_lists_route_and_a_faulty_reload_changes_nothing(stack: ExitStack, folder: Path):
    peers = {name: stack.enter_context(smsc(folder)) for name in ("alpha", "beta")}
    channels = {name: channel(peer.port) for name, peer in peers.items()}
    channels["beta"]["tags"] = ["eea"]
    routes = [{"channels": ["alpha", "beta"]}, {"tag": "otp", "channels": ["beta", "alpha"], "from": "4040"}]
    daemon = Daemon(folder, channels, routes=routes, api={"front_office": [os.getuid()]})
    daemon.config["accounts"] = {"clinic": {"require": ["eea"], "allow": ["RO"]}}
    daemon.config["numbers"] = {"deny": ["+40900"]}
    client = stack.enter_context(running(daemon)).start_up().client
    clinic = stack.enter_context(closing(Client(daemon.socket, {"Stentor-Account": "clinic"})))

    assert client.wait(client.submit()["id"], "delivered")["channel"] == "alpha"
    tagged = client.submit(tags=["vip", "otp"])
    assert tagged["from"] == "4040"
    assert client.wait(tagged["id"], "delivered")["channel"] == "beta"
    assert clinic.wait(clinic.submit()["id"], "delivered")["channel"] == "beta"
    clinic.refused("destination_not_allowed", "$.to", to=number("+36"))
    clinic.refused("channel_not_allowed", "$.channel", channel="alpha")
    client.refused("destination_not_allowed", "$.to", to="+40900123456")

    routes[1]["channels"] = ["gamma"]
    (line,) = daemon.reload()
    assert "routes[1].channels[0]" in line["detail"]
    assert client.wait(client.submit(tags=["otp"])["id"], "delivered")["channel"] == "beta"
    routes[1]["channels"] = ["alpha"]
    assert daemon.reload()[0]["event"] == "reloaded"
    assert client.wait(client.submit(tags=["otp"])["id"], "delivered")["channel"] == "alpha"
    assert clinic.post("/v1/messages", {"to": number(), "text": "x", "tags": ["otp"]}).status == 422


def test_a_message_that_must_stay_waits_rather_than_leave_by_another_channel(stack: ExitStack, folder: Path):
    outside = stack.enter_context(smsc(folder))
    port = free_port()
    channels = {"inside": channel(port), "outside": channel(outside.port)}
    channels["inside"]["tags"] = ["eea"]
    daemon = Daemon(folder, channels, routes=[{"channels": ["outside", "inside"], "weights": [1, 1]}])
    daemon.config["accounts"] = {"default": {"require": ["eea"]}}
    client = stack.enter_context(running(daemon)).start_up("outside").client
    sent = [client.submit()["id"] for _ in range(20)]
    throughout(lambda: not outside.facts("s"), 0.3)
    stack.enter_context(smsc(folder, port=port))
    assert {client.wait(id, "delivered")["channel"] for id in sent} == {"inside"}
    assert not outside.facts("s")


def test_a_route_is_explained_before_anything_is_sent(stack: ExitStack, folder: Path):
    (folder / "prices.csv").write_text(
        "channel,prefix,price,currency\nalpha,,0.02,EUR\nbeta,,0.03,EUR\nbeta,+40,0.01,EUR\n"
    )
    channels = {"alpha": channel(free_port()), "beta": channel(free_port())}
    routes = [{"name": "all", "channels": ["alpha", "beta"], "least_cost": True}]
    daemon = Daemon(folder, channels, routes=routes, routing={"prices_file": "prices.csv"})
    daemon.config["numbers"] = {"deny": ["KP"]}
    client = stack.enter_context(running(daemon)).start().client
    found = json.loads(stentor(daemon, "route", "+40712345678", "--json"))
    assert [(one["name"], one["price"]) for one in found["channels"]] == [("beta", "0.01"), ("alpha", "0.02")]
    assert found["channel"] is None
    table = stentor(daemon, "route", "+12025550123", "--from", "Shop")
    assert "all" in table
    assert "+12025550123 US" in table
    refused = stentor(daemon, "route", "+8501921234567", code=1)
    assert "destination_not_allowed" in refused
    assert client.fetch("/v1/messages")["messages"] == []
    assert daemon.reload()[0]["prices"] == 3
