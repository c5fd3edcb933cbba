"""What becomes of messages: every final status, its error, its event and its timeline."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from tests.contract.contract_world import (
    FINAL,
    LATER,
    Daemon,
    Json,
    Smsc,
    Stream,
    channel,
    number,
    rfc3339,
    running,
    smsc,
    text,
)
from tests.support.ports import free_port
from tests.support.waiting import eventually

# Channel -> how its SMSC behaves. Each has its own, so that one daemon serves all tests here.
CARRIERS = {
    "failing": ("--receipt-states", "UNDELIV"),
    "expiring": ("--receipt-states", "EXPIRED"),
    "refused": ("--receipt-states", "REJECTD"),
    "unsure": ("--receipt-states", "UNKNOWN"),
    "mixed": ("--receipt-states", "DELIVRD=0.5,UNDELIV=0.5", "--seed", "4"),
    "rejecting": ("--errors", "0x0b=1"),
    "troubled": ("--errors", "0x08=1"),
    "flaky": ("--errors", "0x08=0.6", "--seed", "3"),
    "early": ("--receipt-first", "1", "--latency", "100ms"),
    "twice": ("--receipt-twice", "1"),
    "tlv": ("--receipts", "tlv"),
    "silent": ("--receipts", "none"),
    "cutting": ("--drop", "1"),
    "talking": ("--mo", "20", "--mo-to", "40700000001", "--mo-text", "Zanzibar calls {n}"),
    "late": ("--receipt-delay", "300ms"),
    "holding": ("--receipt-intermediate", "SCHEDLD", "--store", "100"),
}


@pytest.fixture(scope="module")
def carriers(module_dir: Path) -> Iterator[dict[str, Smsc]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(smsc(module_dir, *options)) for name, options in CARRIERS.items()}


@pytest.fixture(scope="module")
def daemon(module_dir: Path, carriers: dict[str, Smsc]) -> Iterator[Daemon]:
    channels = {name: channel(peer.port) for name, peer in carriers.items()}
    channels["holding"] |= {"schedule": "relative", "cancel": True, "intermediate_receipts": True}
    channels["down"] = channel(free_port())
    channels["deaf"] = channel(carriers["late"].port, response="300ms", system_id="deaf")
    retry = {"first": "100ms", "factor": 1.5, "longest": "150ms", "attempts": 3}
    with running(Daemon(module_dir, channels, retry=retry, daemon={"drain_timeout": "200ms"})) as found:
        yield found.start_up(*carriers)


def is_on_time(expired: Json) -> None:
    """Not before its end, and soon after it."""
    final, end = (datetime.fromisoformat(expired[name]) for name in ("final_at", "expires_at"))
    assert 0 <= (final - end).total_seconds() < 3


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("failing", "undelivered", None),
        ("expiring", "expired", None),
        ("refused", "rejected", None),
        ("unsure", "unknown", None),
        ("early", "delivered", None),
        ("twice", "delivered", None),
        ("tlv", "delivered", None),
        ("late", "delivered", None),
    ],
)
def test_a_receipt_decides(daemon: Daemon, name: str, status: str, code: str | None):
    with Stream(daemon.socket) as events:
        id = daemon.client.submit(channel=name)["id"]
        told = events.until(f"message.{status}", id)
    words = [event["type"] for event in told if event.get("message", {}).get("id") == id]
    assert words == ["message.queued", "message.sent", f"message.{status}"]
    message = daemon.client.message(id)
    assert (message["status"], message["attempts"]) == (status, 1)
    assert message["final_at"] is not None
    assert message["segment_list"][0]["status"] == status
    assert (message["error"] is None) == (status in ("delivered", "unknown")) or message["error"]["code"]
    assert daemon.client.timeline(id)[-1]["status"] == status


def test_what_the_carrier_refuses_for_good_is_rejected(daemon: Daemon, carriers: dict[str, Smsc]):
    to = number()
    id = daemon.client.submit(to, channel="rejecting")["id"]
    message = daemon.client.wait(id, "rejected")
    assert message["error"]["code"] == "bad_destination"
    assert message["error"]["carrier_code"] == "0x0000000B"
    assert set(message["error"]) == {"code", "carrier_code", "detail"}
    assert (message["attempts"], message["sent_at"]) == (1, None)
    (segment,) = message["segment_list"]
    assert (segment["status"], segment["error"]) == ("rejected", message["error"])
    assert len(carriers["rejecting"].submits(to)) == 1


def test_attempts_run_out(daemon: Daemon, carriers: dict[str, Smsc]):
    to = number()
    id = daemon.client.submit(to, channel="troubled")["id"]
    message = daemon.client.wait(id, "failed")
    assert message["error"]["code"] == "attempts_exhausted"
    assert message["error"]["carrier_code"] == "0x00000008"
    assert message["attempts"] == 3
    assert len(carriers["troubled"].submits(to)) == 3
    entries = daemon.client.timeline(id)
    assert [entry["attempt"] for entry in entries if entry.get("attempt")] == [1, 2, 3]
    assert entries[-1]["status"] == "failed"


def test_a_temporary_failure_is_tried_again(daemon: Daemon, carriers: dict[str, Smsc]):
    to = [number() for _ in range(20)]
    answers = daemon.client.post("/v1/messages", {"to": to, "text": text(), "channel": "flaky"}).json()[
        "results"
    ]
    messages = [wait_final(daemon, answer["id"]) for answer in answers]
    for each, message in zip(to, messages, strict=True):
        assert message["status"] in ("delivered", "failed")
        assert len(carriers["flaky"].submits(each)) == message["attempts"]
    assert any(message["attempts"] == 2 and message["status"] == "delivered" for message in messages)


def test_a_long_message_takes_the_worst_status_of_its_segments(daemon: Daemon):
    statuses: list[tuple[str, list[str]]] = []
    for _ in range(6):
        id = daemon.client.submit(text=text("x" * 300), channel="mixed")["id"]
        message = wait_final(daemon, id)
        statuses.append((message["status"], [segment["status"] for segment in message["segment_list"]]))
    for status, segments in statuses:
        assert status == ("delivered" if set(segments) == {"delivered"} else "undelivered")
    assert "undelivered" in {status for status, _ in statuses}


def test_a_message_expires_on_time_while_its_channel_is_down(daemon: Daemon):
    message = daemon.client.wait(daemon.client.submit(channel="down", valid_for=1)["id"], "expired")
    assert message["error"] is None or message["error"]["code"]
    assert message["attempts"] == 0
    assert daemon.client.timeline(message["id"])[-1]["status"] == "expired"
    is_on_time(message)


def test_a_message_expires_on_time_while_its_channel_is_paused(daemon: Daemon, carriers: dict[str, Smsc]):
    client = daemon.client
    client.pause("silent")
    to = number()
    id = client.submit(to, channel="silent", valid_for=1)["id"]
    is_on_time(client.wait(id, "expired"))
    client.resume("silent")
    id = client.submit(channel="silent", receipt=False)["id"]
    client.wait(id, "sent")
    assert carriers["silent"].submits(to) == []


def test_a_message_without_its_receipt_stays_sent(daemon: Daemon):
    message = daemon.client.wait(daemon.client.submit(channel="silent")["id"], "sent")
    assert message["final_at"] is None


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_a_link_that_dies_leaves_the_choice_to_the_message(
    daemon: Daemon, carriers: dict[str, Smsc], delivery: str
):
    """The SMSC takes the message and cuts the line without an answer, each time."""
    to = number()
    id = daemon.client.submit(to, channel="cutting", delivery=delivery)["id"]
    message = wait_final(daemon, id)
    sent = len(carriers["cutting"].submits(to))
    assert message["error"]
    if delivery == "at_most_once":
        assert (message["status"], sent, message["attempts"]) == ("unknown", 1, 1)
        assert message["error"]["code"] == "no_answer"
    else:
        assert (message["status"], sent, message["attempts"]) == ("failed", 3, 3)
        retries = [entry for entry in daemon.client.timeline(id) if entry.get("error")]
        assert [entry["attempt"] for entry in retries if entry.get("attempt")] == [1, 2, 3]


def test_an_at_most_once_message_goes_through_a_good_link_once(daemon: Daemon, carriers: dict[str, Smsc]):
    to = number()
    id = daemon.client.submit(to, channel="late", delivery="at_most_once")["id"]
    daemon.client.wait(id, "delivered")
    assert len(carriers["late"].submits(to)) == 1


def test_a_message_from_a_handset_is_stored_and_told_of(daemon: Daemon, carriers: dict[str, Smsc]):
    with Stream(daemon.socket) as events:
        (*_, event) = events.until("message.received")
    message = event["message"]
    assert (message["direction"], message["to"], message["channel"]) == ("mo", "+40700000001", "talking")
    assert message["text"].startswith("Zanzibar calls ")
    assert message["from"].startswith("+")
    assert daemon.client.message(message["id"]) == message
    listed = daemon.client.fetch("/v1/messages?direction=mo&limit=1000")["messages"]
    assert message["id"] in [each["id"] for each in listed]
    assert {each["direction"] for each in listed} == {"mo"}
    daemon.client.request("DELETE", f"/v1/messages/{message['id']}").problem(409)
    entries = daemon.client.timeline(message["id"])
    assert len(entries) == 1
    # Acknowledged to the carrier, so that it does not repeat them.
    eventually(lambda: carriers["talking"].statistics()["inbound_acknowledged"] > 3)


def test_every_message_of_the_module_is_accounted_for(daemon: Daemon):
    """Nothing is open but what waits for a receipt that never comes."""
    listed = daemon.client.fetch("/v1/messages?direction=mt&limit=1000")["messages"]
    assert {message["status"] for message in listed if message["status"] not in FINAL} == {"sent"}
    assert {message["channel"] for message in listed if not message["final_at"]} == {"silent"}


def wait_final(daemon: Daemon, id: str) -> Json:
    eventually(lambda: daemon.client.message(id)["status"] in FINAL, what="the message is final")
    return daemon.client.message(id)


def test_validity_ends_on_time_for_what_is_in_the_journal_only():
    """With two hundred messages in memory, most of a queue of a thousand waits on the disk."""
    with tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp") as folder:
        channels = {"down": channel(free_port())}
        with running(
            Daemon(Path(folder), channels, limits={"active": 200}, daemon={"drain_timeout": "200ms"})
        ) as daemon:
            client = daemon.start().client
            items = [{"to": number(), "text": text(), "valid_for": 1} for _ in range(600)]
            assert client.post("/v1/messages", items).json()["accepted"] == 600
            scheduled = client.submit(send_at=LATER, valid_for=1)["id"]

            def expired() -> int:
                return len(client.fetch("/v1/messages?status=expired&limit=1000")["messages"])

            eventually(lambda: expired() == 600, what="all have expired")
            assert client.message(scheduled)["status"] == "scheduled"
            assert client.fetch("/v1/status")["backlog"] == []


def test_what_a_carrier_holds_is_sent_before_its_time_and_delivered_after_it(daemon: Daemon) -> None:
    due_at = time.time() + 2.0
    client = daemon.client
    id = client.submit(channel="holding", send_at=rfc3339(due_at), valid_for=60)["id"]
    sent = client.wait(id, "sent")
    assert (sent["send_at"], sent["expires_at"]) == (rfc3339(due_at), rfc3339(due_at + 60))
    assert sent["sent_at"] < sent["send_at"]
    delivered = client.wait(id, "delivered")
    assert delivered["final_at"] >= delivered["send_at"]
    told = [(entry["status"], entry["at"] < sent["send_at"]) for entry in client.timeline(id)]
    words = [word for word, _ in told]
    assert (words[:2], words[-1]) == (["queued", "sent"], "delivered")
    assert words[2:-1] == ["sent"], "the receipt that it is scheduled"
    assert [is_before for _, is_before in told] == [True] * 3 + [False]


def test_what_a_carrier_holds_can_be_cancelled_there_and_what_it_does_not_hold_yet_here(
    daemon: Daemon,
) -> None:
    client = daemon.client
    held = client.submit(channel="holding", send_at=rfc3339(time.time() + 3600))["id"]
    client.wait(held, "sent")
    client.request("DELETE", f"/v1/messages/{held}").problem(409, "withdrawal_requested")
    client.wait(held, "cancelled")
    far_at = rfc3339(time.time() + 90_000)
    far = client.submit(channel="holding", send_at=far_at)["id"]
    assert (client.message(far)["status"], client.message(far)["send_at"]) == ("scheduled", far_at)
    assert client.request("DELETE", f"/v1/messages/{far}").json()["status"] == "cancelled"
