"""Webhooks from outside: signed, in order, tried again over restarts and crashes, and never anybody else's."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.contract_world import Daemon, Json, Smsc, Stream, channel, running
from tests.contract.webhook_receiver import Receiver, receiving
from tests.support.source import ROOT
from tests.support.waiting import WITHIN_S, eventually

LIFE = ("message.queued", "message.sent", "message.delivered")
GIVEN = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiBzdGVudG9y"


@pytest.fixture(scope="module")
def open_daemon(module_dir: Path, carrier: Smsc) -> Iterator[Daemon]:
    """One that may reach this host."""
    folder = module_dir / "open"
    folder.mkdir()
    made = Daemon(folder, {"alpha": channel(carrier.port)}, webhooks={"allow_private": True})
    with running(made) as found:
        yield found.start_up("alpha")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def tidy(open_daemon: Daemon) -> Iterator[Daemon]:
    """Without webhooks, before and after."""
    yield open_daemon
    for webhook in open_daemon.client.fetch("/v1/webhooks")["webhooks"]:
        open_daemon.client.request("DELETE", f"/v1/webhooks/{webhook['id']}")


def stentor(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "stentor", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)


def test_a_webhook_tells_a_messages_life_in_order_and_signed(tidy: Daemon, receiver: Receiver):
    client = tidy.client
    headers = {"Authorization": "Bearer hookCanary"}
    answer = client.post("/v1/webhooks", {"url": receiver.url, "events": ["message.*"], "headers": headers})
    assert answer.status == 201
    secret = answer.json()["secret"]
    id = client.submit(ref="mine")["id"]
    receiver.until(id, *LIFE)
    receiver.verify(secret)
    hit = receiver.hits[-1]
    assert hit.fields["authorization"] == "Bearer hookCanary"
    assert hit.fields["content-type"] == "application/json"
    assert hit.fields["webhook-id"] == hit.event["id"]
    assert hit.event["message"]["ref"] == "mine"
    path = f"/v1/webhooks/{answer.json()['id']}"
    eventually(lambda: len(client.fetch(f"{path}/deliveries")["deliveries"]) == 3, what="the log")
    shown = client.get(path)
    listed = client.get("/v1/webhooks")
    log = client.get(f"{path}/deliveries")
    for body in (shown.body, listed.body, log.body):
        assert b"hookCanary" not in body
        assert secret.encode() not in body
    attempts = log.json()["deliveries"]
    assert [one["type"] for one in attempts][::-1] == [*LIFE]
    assert all(one["delivered"] and one["response"]["body"] == "ok" for one in attempts)


def test_it_is_kept_over_a_restart_and_a_crash(tidy: Daemon, receiver: Receiver):
    client = tidy.client
    client.post("/v1/webhooks", {"url": receiver.url, "secret": GIVEN, "events": ["message.delivered"]})
    tidy.restart()
    first = tidy.client.submit()["id"]
    receiver.until(first, "message.delivered")
    receiver.answer = lambda hit: None
    lost = [tidy.client.submit()["id"] for _ in range(20)]
    for id in lost:
        tidy.client.wait(id, "delivered")
    tidy.end(signal.SIGKILL)
    receiver.answer = lambda hit: (204, {}, b"")
    tidy.start()
    for id in lost:
        receiver.until(id, "message.delivered")
    receiver.verify(GIVEN)


def test_what_is_under_way_when_the_daemon_stops_is_not_posted_again(tidy: Daemon, receiver: Receiver):
    tidy.client.post("/v1/webhooks", {"url": receiver.url, "events": ["message.*"]})
    came, goes_on = threading.Event(), threading.Event()

    def answer(hit):
        came.set()
        goes_on.wait(0.3)  # a receiver that works for a while before it answers
        return 200, {}, b""

    receiver.answer = answer
    id = tidy.client.submit()["id"]
    assert came.wait(WITHIN_S)
    tidy.restart()
    goes_on.set()
    receiver.until(id, *LIFE)
    assert receiver.doubles() == []


def test_a_failed_delivery_holds_back_its_message_alone(tidy: Daemon, receiver: Receiver):
    client = tidy.client
    made = client.post("/v1/webhooks", {"url": receiver.url, "events": ["message.*"]}).json()
    refused: set[str] = set()

    def answer(hit):
        ref = hit.event["message"]["ref"]
        if ref == "bad" and not refused:
            refused.add(ref)
            return 500, {}, b"x" * 5000
        return 200, {}, b""

    receiver.answer = answer
    bad = client.submit(ref="bad")["id"]
    eventually(lambda: bool(refused), what="the failure")
    good = client.submit(ref="good")["id"]
    receiver.until(good, *LIFE)
    assert receiver.of(bad) == ["message.queued"]
    assert client.fetch(f"/v1/webhooks/{made['id']}")["waiting"] >= 1
    # It would come by itself, after some seconds; this is the hand of somebody who mended the receiver.
    event = receiver.hits[0].event["id"]
    assert client.post(f"/v1/webhooks/{made['id']}/replay", {"delivery": event}).status == 202
    receiver.until(bad, *LIFE)
    assert receiver.of(bad) == ["message.queued", *LIFE]
    log = client.fetch(f"/v1/webhooks/{made['id']}/deliveries?outcome=failed")["deliveries"]
    assert [(one["response"]["status"], len(one["response"]["body"])) for one in log] == [(500, 2048)]


def test_410_disables_and_is_told_of(tidy: Daemon, receiver: Receiver):
    client = tidy.client
    made = client.post("/v1/webhooks", {"url": receiver.url, "events": ["message.queued"]}).json()
    receiver.answer = lambda hit: (410, {}, b"")
    with Stream(tidy.socket) as events:
        client.submit()
        told = events.until("webhook.disabled")[-1]
    assert told["webhook"]["id"] == made["id"]
    assert "410" in told["webhook"]["detail"]
    shown = client.fetch(f"/v1/webhooks/{made['id']}")
    assert (shown["enabled"], shown["state"]) == (False, "disabled")
    receiver.answer = lambda hit: (200, {}, b"")
    count = len(receiver.hits)
    client.request("PATCH", f"/v1/webhooks/{made['id']}", {"enabled": True})
    eventually(lambda: len(receiver.hits) > count, what="what it missed")


def test_test_redirects_and_replays(tidy: Daemon, receiver: Receiver):
    client = tidy.client
    made = client.post("/v1/webhooks", {"url": receiver.url, "secret": GIVEN}).json()
    path = f"/v1/webhooks/{made['id']}"
    tested = client.post(f"{path}/test").json()
    assert tested["delivered"]
    assert receiver.hits[-1].event["type"] == "webhook.test"
    receiver.answer = lambda hit: (302, {"location": receiver.url}, b"")
    redirected = client.post(f"{path}/test").json()
    assert (redirected["delivered"], redirected["response"]["status"]) == (False, 302)
    receiver.answer = lambda hit: (200, {}, b"")
    id = client.submit()["id"]
    receiver.until(id, *LIFE)
    event = next(hit.event for hit in receiver.hits if hit.event["type"] == "message.sent")
    receiver.hits.clear()
    assert client.post(f"{path}/replay", {"delivery": event["id"]}).status == 202
    eventually(lambda: [hit.event["id"] for hit in receiver.hits] == [event["id"]], what="the one event")
    receiver.hits.clear()
    assert client.post(f"{path}/replay", {"since": event["message"]["submitted_at"]}).status == 202
    receiver.until(id, *LIFE)
    receiver.verify(GIVEN)


def test_two_secrets_sign_while_one_is_changed(tidy: Daemon, receiver: Receiver):
    client = tidy.client
    made = client.post("/v1/webhooks", {"url": receiver.url, "events": ["message.delivered"]}).json()
    changed = client.request("PATCH", f"/v1/webhooks/{made['id']}", {"rotate_secret": True}).json()
    assert changed["secret"] != made["secret"]
    id = client.submit()["id"]
    receiver.until(id, "message.delivered")
    receiver.verify(made["secret"], changed["secret"])


def test_a_message_names_where_it_is_told_of(tidy: Daemon, receiver: Receiver):
    client = tidy.client
    client.post("/v1/webhooks", {"url": "http://127.0.0.1:9/", "secret": GIVEN, "events": ["channel.up"]})
    url = receiver.url.replace("/hook", "/told?of=1")
    id = client.submit(callback_url=url)["id"]
    other = client.submit()["id"]
    receiver.until(id, *LIFE)
    assert receiver.of(other) == []
    assert {hit.path for hit in receiver.hits} == {"/told?of=1"}
    receiver.verify(GIVEN)
    client.refused("bad_url", "$.callback_url", callback_url="ftp://x")


def test_a_callback_is_told_besides_all_webhooks(tidy: Daemon, receiver: Receiver):
    client = tidy.client
    client.post("/v1/webhooks", {"url": receiver.url, "secret": GIVEN})
    id = client.submit(callback_url=receiver.url.replace("/hook", "/told"))["id"]
    eventually(lambda: len(receiver.of(id)) == 2 * len(LIFE))
    for path in ("/hook", "/told"):
        types = [hit.event["type"] for hit in receiver.hits if hit.path == path and hit.event.get("message")]
        assert types == [*LIFE]


def test_a_callback_that_is_gone_takes_no_other_along(tidy: Daemon, receiver: Receiver):
    client = tidy.client
    receiver.answer = lambda hit: (410 if hit.path == "/gone" else 200, {}, b"")
    gone = client.submit(callback_url=receiver.url.replace("/hook", "/gone"))["id"]
    client.wait(gone, "delivered")
    eventually(lambda: receiver.of(gone) == [*LIFE], what="each is tried once")
    id = client.submit(callback_url=receiver.url.replace("/hook", "/told"))["id"]
    receiver.until(id, *LIFE)
    # What is repeated to a callback is what names an address there.
    (callback,) = client.fetch("/v1/webhooks")["webhooks"]
    other = client.submit()["id"]
    client.wait(other, "delivered")
    with Stream(tidy.socket, last_id="0") as events:
        foreign = events.until("message.delivered", other)[-1]["id"]
    path = f"/v1/webhooks/{callback['id']}/replay"
    client.post(path, {"delivery": foreign}).problem(404, "not_found")
    own = next(hit.event["id"] for hit in receiver.hits if hit.path == "/told")
    assert client.post(path, {"delivery": own}).status == 202
    eventually(lambda: [hit.path for hit in receiver.hits if hit.event["id"] == own] == ["/told", "/told"])


def test_a_proxy_is_posted_through_as_soon_as_it_is_configured(tidy: Daemon, receiver: Receiver):
    made = tidy.client.post("/v1/webhooks", {"url": "http://customer.test/hook"}).json()
    tidy.config["webhooks"]["proxy"] = receiver.url.removesuffix("/hook")
    try:
        tidy.reload()
        assert tidy.client.post(f"/v1/webhooks/{made['id']}/test").json()["delivered"]
    finally:
        del tidy.config["webhooks"]["proxy"]
        tidy.reload()
    assert receiver.hits[-1].path == "http://customer.test/hook"
    receiver.verify(made["secret"])


def test_private_addresses_are_refused_unless_allowed(daemon: Daemon):
    client = daemon.client
    for url in (
        "http://127.0.0.1/x",
        "http://[::1]/",
        "http://10.1.2.3/",
        "https://localhost/",
        "http://169.254.169.254/",
    ):
        client.post("/v1/webhooks", {"url": url}).problem(422, "private_address")
    client.post("/v1/webhooks", {"url": "http://example.com/"}).problem(422, "insecure_address")
    client.post("/v1/webhooks", {"url": "https://0x7f000001/"}).problem(422, "bad_url")
    # A name that leads inside is found out when it is resolved: this host's own does.
    made = client.post("/v1/webhooks", {"url": f"https://{socket.gethostname()}/"}).json()
    tested = client.post(f"/v1/webhooks/{made['id']}/test").json()
    assert not tested["delivered"]
    assert "forbidden" in tested["error"]
    client.request("DELETE", f"/v1/webhooks/{made['id']}")
    client.get(f"/v1/webhooks/{made['id']}").problem(404, "not_found")


def test_the_command_line_does_it_all(tidy: Daemon, receiver: Receiver):
    def run(*arguments: str) -> tuple[int, Json]:
        done = stentor("webhooks", *arguments, "--json", "--socket", str(tidy.socket))
        return done.returncode, json.loads(done.stdout)

    code, made = run("add", receiver.url, "--event", "message.delivered", "--header", "X-Team: blue")
    assert (code, made["events"], list(made["headers"])) == (0, ["message.delivered"], ["X-Team"])
    assert run("list")[1]["webhooks"][0]["id"] == made["id"]
    assert run("test", made["id"])[1]["delivered"]
    id = tidy.client.submit()["id"]
    receiver.until(id, "message.delivered")
    assert receiver.hits[-1].fields["x-team"] == "blue"
    assert run("replay", made["id"], "--since", "1h")[0] == 0
    eventually(lambda: receiver.of(id) == ["message.delivered"] * 2, what="the replay")
    # What else was delivered in this hour comes again too, in any order.
    (event_id,) = {
        hit.event["id"] for hit in receiver.hits if (hit.event.get("message") or {}).get("id") == id
    }
    assert run("replay", made["id"], "--delivery", event_id)[0] == 0
    eventually(lambda: receiver.of(id) == ["message.delivered"] * 3, what="the event once more")
    assert len(run("show", made["id"])[1]["deliveries"]) >= 2
    assert "webhooks: 1 working" in stentor("status", "--socket", str(tidy.socket)).stdout
    assert b'stentor_webhook_deliveries_total{outcome="delivered"}' in tidy.client.get("/metrics").body
    receiver.answer = lambda hit: (500, {}, b"")
    assert run("test", made["id"])[0] == 1
    assert run("disable", made["id"])[1]["state"] == "disabled"
    assert run("enable", made["id"])[1]["state"] == "working"
    assert run("remove", made["id"])[0] == 0
    assert stentor("webhooks", "list", "--socket", str(tidy.socket)).stdout == "There is no webhook.\n"
