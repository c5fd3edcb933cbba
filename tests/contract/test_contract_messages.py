"""Messages read, listed and cancelled, and submits repeated under an ``Idempotency-Key``."""

import json
import tempfile
import threading
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from tests.contract.contract_world import (
    LATER,
    NDJSON,
    Answer,
    Client,
    Daemon,
    Smsc,
    channel,
    number,
    running,
    smsc,
    text,
)
from tests.contract.test_contract_stream import OpenStream, line

FIELDS = {
    "id", "direction", "to", "from", "text", "status", "priority", "channel", "encoding", "segments", "ref",
    "metadata", "submitted_at", "send_at", "expires_at", "sent_at", "final_at", "attempts", "error", "segment_list",
}  # fmt: skip
SEGMENT_FIELDS = {"index", "status", "carrier_id", "sent_at", "final_at", "error"}
UNKNOWN_ID = "01a00000-0000-7000-8000-000000000000"


def test_a_message_has_every_field_of_the_contract(daemon: Daemon):
    id = daemon.client.submit(from_="Shop", ref="r", metadata={"a": 1}, priority="high")["id"]
    message = daemon.client.wait(id, "delivered")
    assert set(message) >= FIELDS
    assert set(message["segment_list"][0]) == SEGMENT_FIELDS
    assert (message["direction"], message["priority"], message["channel"]) == ("mt", "high", "alpha")
    assert (message["attempts"], message["error"], message["send_at"]) == (1, None, None)
    times = [
        datetime.fromisoformat(message[name])
        for name in ("submitted_at", "sent_at", "final_at", "expires_at")
    ]
    assert times == sorted(times)
    assert all(moment.utcoffset() is not None for moment in times)


def test_a_timeline_tells_everything_oldest_first(daemon: Daemon):
    id = daemon.client.submit(text=text("x" * 200))["id"]
    daemon.client.wait(id, "delivered")
    answer = daemon.client.fetch(f"/v1/messages/{id}/timeline")
    entries = answer["timeline"]
    assert answer["id"] == id
    assert entries[0]["status"] == "queued"
    assert entries[-1]["status"] == "delivered"
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
    assert sorted((entry["segment"], entry["status"]) for entry in entries if "segment" in entry) == [
        (1, "delivered"), (1, "sent"), (2, "delivered"), (2, "sent"),
    ]  # fmt: skip


@pytest.mark.parametrize("id", [UNKNOWN_ID, "x", "%00", "..%2F..", "%C3%A9", "0" * 3000])
def test_an_unknown_id_is_404(daemon: Daemon, id: str):
    path = f"/v1/messages/{id}"
    daemon.client.get(path).problem(404, "not_found")
    daemon.client.get(f"{path}/timeline").problem(404, "not_found")
    daemon.client.request("DELETE", path).problem(404, "not_found")


# -- listing


@pytest.fixture(scope="module")
def listed(daemon: Daemon) -> dict[str, dict]:
    """Messages that differ in everything a listing filters by, by their ref."""
    client = daemon.client
    found = {}
    for ref, fields in {
        "a": {"from_": "Shop", "to": "+49300000001"},
        "b": {"from_": "+40700000001", "to": "+49300000002"},
        "c": {"channel": "idle", "to": "+49300000001"},
        "d": {"send_at": LATER, "to": "+49300000002", "from_": "Shop"},
        "e": {"channel": "idle", "to": "+49300000003", "priority": "bulk"},
    }.items():
        found[ref] = client.submit(ref=f"list-{ref}", **fields)
    for ref in "ab":
        client.wait(found[ref]["id"], "delivered")
    assert client.request("DELETE", f"/v1/messages/{found['e']['id']}").status == 200
    return found


@pytest.mark.parametrize(
    ("query", "refs"),
    [
        ("to=%2B49300000001", "ca"),
        ("to=+49300000001", "ca"),
        ("from=Shop&to=%2B49300000001", "a"),
        ("from=%2B40700000001", "b"),
        ("ref=list-d", "d"),
        ("channel=idle", "ec"),
        ("channel=idle&status=queued", "c"),
        ("status=scheduled", "d"),
        ("status=cancelled", "e"),
        ("status=delivered&to=%2B49300000002", "b"),
        ("status=undelivered", ""),
        ("direction=mt&from=Shop&to=%2B49300000002", "d"),
        ("direction=mo", ""),
        ("ref=nothing", ""),
        ("channel=nothing", ""),
    ],
)
def test_filters_select_and_the_newest_come_first(daemon: Daemon, listed: dict, query: str, refs: str):
    found = daemon.client.fetch(f"/v1/messages?{query}")
    assert set(found) == {"messages", "next"}
    assert [message["ref"] for message in found["messages"]] == [f"list-{ref}" for ref in refs]
    assert found["next"] is None


def test_since_is_inclusive_and_until_is_exclusive(daemon: Daemon, listed: dict):
    at = daemon.client.message(listed["c"]["id"])["submitted_at"]
    since = daemon.client.fetch(f"/v1/messages?since={at}&channel=idle")["messages"]
    until = daemon.client.fetch(f"/v1/messages?until={at}&channel=idle")["messages"]
    assert listed["c"]["id"] in [message["id"] for message in since]
    assert listed["c"]["id"] not in [message["id"] for message in until]


def test_what_a_driver_holds_is_listed_as_sending_and_not_as_queued():
    """Nobody answers, so one message is with the driver and one waits behind the window."""
    with tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp") as folder, ExitStack() as stack:
        peer = stack.enter_context(smsc(Path(folder), "--lose", "1"))
        channels = {"alpha": channel(peer.port, window=1)}
        found = stack.enter_context(
            running(Daemon(Path(folder), channels, daemon={"drain_timeout": "100ms"}))
        )
        client = found.start_up().client
        first, second = (client.submit(ref=ref)["id"] for ref in ("first", "second"))
        assert client.wait(first, "sending")["channel"] == "alpha"
        for status, id in (("sending", first), ("queued", second)):
            for query in ("", "&channel=alpha", "&limit=1", f"&ref={'first' if id == first else 'second'}"):
                listing = client.fetch(f"/v1/messages?status={status}{query}")
                assert [message["id"] for message in listing["messages"]] == [id]
                assert listing["next"] is None
        assert client.fetch("/v1/messages?status=sending&ref=second")["messages"] == []
        client.request("DELETE", f"/v1/messages/{first}").problem(409)


@pytest.mark.parametrize("year", ["0001", "1969", "3039", "9999"])
def test_any_year_can_be_asked_for(daemon: Daemon, listed: dict, year: str):
    for name, is_all in (("since", year < "2000"), ("until", year > "2000")):
        found = daemon.client.fetch(f"/v1/messages?{name}={year}-07-11T23:53:01-02:33&ref=list-c")["messages"]
        assert bool(found) == is_all


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("status=nice", "status"), ("direction=up", "direction"), ("limit=0", "limit"), ("limit=1001", "limit"),
        ("limit=ten", "limit"), ("limit=%D9%A1", "limit"), ("since=yesterday", "since"), ("until=2026-01-01", "until"),
        ("cursor=%27", "cursor"), ("cursor=", "cursor"), ("colour=red", "colour"), ("limit=1&limit=2", "limit"),
        ("to=", "to"), ("since=9999999-01-01T00:00:00Z", "since"),
    ],
)  # fmt: skip
def test_a_bad_filter_is_refused_by_its_name(daemon: Daemon, query: str, name: str):
    problem = daemon.client.get(f"/v1/messages?{query}").problem(422, "bad_query")
    assert [fault["path"] for fault in problem["errors"]] == [f"$.query.{name}"]


def test_pages_are_stable_while_new_messages_come(daemon: Daemon):
    client = daemon.client
    to = number()
    ids = [client.submit(to, receipt=False)["id"] for _ in range(12)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.fetch(f"/v1/messages?to=%2B{to[1:]}&limit=5{cursor}")
        seen += [message["id"] for message in page["messages"]]
        client.submit(to, receipt=False)
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ids[::-1]


# -- cancelling


def cancel(client: Client, id: str) -> Answer:
    return client.request("DELETE", f"/v1/messages/{id}")


@pytest.mark.parametrize("fields", [{"channel": "idle"}, {"send_at": LATER}])
def test_what_has_not_left_is_cancelled(daemon: Daemon, fields: dict):
    client = daemon.client
    id = client.submit(**fields)["id"]
    answer = cancel(client, id)
    assert answer.status == 200
    message = answer.json()
    assert (message["id"], message["status"]) == (id, "cancelled")
    assert set(message) >= FIELDS
    assert message["final_at"] is not None
    assert client.message(id) == message
    assert client.timeline(id)[-1]["status"] == "cancelled"
    cancel(client, id).problem(409)


def test_what_has_left_is_not_cancelled(daemon: Daemon):
    client = daemon.client
    id = client.submit()["id"]
    client.wait(id, "delivered")
    problem = cancel(client, id).problem(409)
    assert "delivered" in problem["detail"]
    assert client.message(id)["status"] == "delivered"


def test_a_cancelled_message_is_never_sent(daemon: Daemon, carrier: Smsc):
    client = daemon.client
    client.pause("alpha")
    to = [number() for _ in range(20)]
    answers = client.post("/v1/messages", {"to": to, "text": text()}).json()["results"]
    for answer in answers[::2]:
        assert cancel(client, answer["id"]).status == 200
    client.resume("alpha")
    for answer in answers[1::2]:
        client.wait(answer["id"], "delivered")
    assert [len(carrier.submits(each)) for each in to] == [0, 1] * 10


# -- once and once only


def test_a_repeated_object_is_answered_as_the_first_and_stored_once(daemon: Daemon):
    client = daemon.client
    body = json.dumps({"to": number(), "text": text()}).encode()
    first = client.post("/v1/messages", body, Idempotency_Key="object-1")
    again = client.post("/v1/messages", body, Idempotency_Key="object-1")
    assert (first.status, first.body) == (again.status, again.body)
    other = client.post("/v1/messages", body.replace(b"Zan", b"zan"), Idempotency_Key="object-1")
    other.problem(409)
    client.wait(first.json()["id"], "delivered")
    to = json.loads(body)["to"]
    assert len(client.fetch(f"/v1/messages?to=%2B{to[1:]}")["messages"]) == 1


def test_a_repeated_array_is_answered_as_the_first_with_its_refusals(daemon: Daemon):
    client = daemon.client
    body = [{"to": number(), "text": text()}, {"to": "bad", "text": text()}, {"to": number(), "text": text()}]
    first = client.post("/v1/messages", body, Idempotency_Key="array-1")
    again = client.post("/v1/messages", body, Idempotency_Key="array-1")
    assert first.json()["accepted"] == 2
    assert (first.status, first.body) == (again.status, again.body)
    client.post("/v1/messages", body[:2], Idempotency_Key="array-1").problem(409)


def test_a_repeated_stream_is_answered_as_the_first(daemon: Daemon):
    client = daemon.client
    lines = [line(), b"{}\n", line(), line()]
    first = client.post("/v1/messages", b"".join(lines), Content_Type=NDJSON, Idempotency_Key="stream-1")
    again = client.post("/v1/messages", b"".join(lines), Content_Type=NDJSON, Idempotency_Key="stream-1")
    assert (first.status, first.body) == (again.status, again.body) == (202, first.body)
    assert len(first.body.splitlines()) == 4


def test_a_stream_that_broke_off_goes_on_where_it_was(daemon: Daemon):
    client = daemon.client
    lines = [line() for _ in range(6)]
    with OpenStream(daemon, Idempotency_Key="stream-2") as stream:
        stream.send(b"".join(lines[:3]))
        stream.begin()
        kept = [stream.result()["id"] for _ in range(3)]
    whole = client.post("/v1/messages", b"".join(lines), Content_Type=NDJSON, Idempotency_Key="stream-2")
    ids = [json.loads(each)["id"] for each in whole.body.splitlines()]
    assert ids[:3] == kept
    assert len(set(ids)) == 6
    for each in lines:
        to = json.loads(each)["to"]
        assert len(client.fetch(f"/v1/messages?to=%2B{to[1:]}")["messages"]) == 1


def test_another_body_in_a_stream_under_a_used_key_is_refused(daemon: Daemon):
    client = daemon.client
    first, other = line(), line()
    client.post("/v1/messages", first, Content_Type=NDJSON, Idempotency_Key="stream-3")
    answer = client.post("/v1/messages", other, Content_Type=NDJSON, Idempotency_Key="stream-3")
    assert answer.status == 409 or json.loads(answer.body)["error"]["status"] == 409
    client.post("/v1/messages", {"to": number(), "text": text()}, Idempotency_Key="stream-3").problem(409)
    to = json.loads(other)["to"]
    assert client.fetch(f"/v1/messages?to=%2B{to[1:]}")["messages"] == []


def test_a_refused_submit_does_not_use_up_its_key(daemon: Daemon):
    client = daemon.client
    client.post("/v1/messages", {"to": "bad", "text": text()}, Idempotency_Key="later-1").problem(422)
    assert (
        client.post("/v1/messages", {"to": number(), "text": text()}, Idempotency_Key="later-1").status == 202
    )


@pytest.mark.parametrize("key", ["", "k" * 256, "caf\u00e9"])
def test_a_bad_key_is_refused(daemon: Daemon, key: str):
    daemon.client.post("/v1/messages", {"to": number(), "text": text()}, Idempotency_Key=key).problem(400)


def test_ten_at_once_with_one_key_store_one_message(daemon: Daemon):
    to = number()
    body = {"to": to, "text": text()}
    answers: list[Answer] = []
    gate = threading.Barrier(10)

    def submit() -> None:
        client = Client(daemon.socket)
        client.get("/healthz")
        gate.wait()
        answers.append(client.post("/v1/messages", body, Idempotency_Key="race-1"))
        client.close()

    threads = [threading.Thread(target=submit) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {202}
    assert len({answer.body for answer in answers}) == 1
    assert len(daemon.client.fetch(f"/v1/messages?to=%2B{to[1:]}")["messages"]) == 1


def test_keys_and_pauses_and_messages_survive_a_restart(daemon: Daemon):
    client = daemon.client
    body = [{"to": number(), "text": text()}, {"to": "bad"}]
    array = client.post("/v1/messages", body, Idempotency_Key="restart-1")
    lines = line() + line()
    stream = client.post("/v1/messages", lines, Content_Type=NDJSON, Idempotency_Key="restart-2")
    client.pause("alpha")
    waiting = client.submit(ref="waits")["id"]
    before = [client.message(json.loads(each)["id"]) for each in stream.body.splitlines()]
    daemon.restart()
    client = daemon.client
    assert client.post("/v1/messages", body, Idempotency_Key="restart-1").body == array.body
    assert (
        client.post("/v1/messages", lines, Content_Type=NDJSON, Idempotency_Key="restart-2").body
        == stream.body
    )
    client.post("/v1/messages", body[:1], Idempotency_Key="restart-1").problem(409)
    for message in before:
        found = client.message(message["id"])
        assert {name: found[name] for name in ("to", "text", "submitted_at")} == {
            name: message[name] for name in ("to", "text", "submitted_at")
        }
    assert (client.channel("alpha")["state"], client.channel("alpha")["paused"]) == ("paused", True)
    assert client.message(waiting)["status"] == "queued"
    client.resume("alpha")
    client.wait(waiting, "delivered")
    daemon.restart()
    daemon.client.wait_channel("alpha", "up")
