"""The third-party API: what clients of the app's servers send becomes our own submits, and our states theirs."""

import base64
from typing import Any

import msgspec
import pytest

from stentor_android.encryption import Encryption
from tests.plugins.android.thirdparty_world import BASIC, DEVICE, START, World

SUBMIT = {
    "id": "m-000009",
    "deviceId": DEVICE,
    "textMessage": {"text": "Hi"},
    "phoneNumbers": ["+15550100050"],
    "simNumber": 1,
    "ttl": 600,
    "priority": 0,
    "withDeliveryReport": True,
}
PLAIN = {"textMessage": {"text": "Hi"}, "phoneNumbers": ["+15550100050"]}


def test_a_submit_is_answered_with_its_place_and_state() -> None:
    world = World()
    answer = world.ask("POST", "/messages?skipPhoneValidation=true", SUBMIT)
    assert answer.status == 202
    assert answer.fields["Location"] == "/api/3rdparty/v1/messages/m-000009"
    assert answer.value == {
        "id": "m-000009",
        "deviceId": DEVICE,
        "state": "Pending",
        "isHashed": False,
        "isEncrypted": False,
        "recipients": [{"phoneNumber": "+15550100050", "state": "Pending"}],
        "states": {},
    }
    (submit,) = world.api.submitted
    assert submit == {
        "ref": "m-000009",
        "priority": "normal",
        "receipt": True,
        "max_segments": 255,
        "valid_for": 600,
        "text": "Hi",
        "channel": "phones",
        "to": "+15550100050",
        "metadata": {"device": DEVICE, "sim": 1},
    }
    assert world.api.requests[-1][3] == "north"


def test_the_same_id_again_is_a_conflict_also_while_the_first_is_under_way() -> None:
    world = World()
    world.api.held = []
    first = world.begin("POST", "/messages", SUBMIT)
    second = world.begin("POST", "/messages", SUBMIT)
    assert (first.status, second.status) == (0, 409)
    while world.api.held:
        world.api.held.pop(0)()
    assert first.status == 202
    world.api.held = None
    assert world.ask("POST", "/messages", SUBMIT).status == 409
    assert len(world.api.messages) == 1


@pytest.mark.parametrize(
    ("query", "device", "later_h", "status"),
    [
        ("?deviceActiveWithin=2&skipPhoneValidation=true", None, 2, 202),
        ("?deviceActiveWithin=2", None, 3, 400),
        ("?deviceActiveWithin=2", DEVICE, 1, 202),
        ("?deviceActiveWithin=2", DEVICE, 3, 400),
        ("?deviceActiveWithin=0", None, 1000, 202),
        ("?deviceActiveWithin=", None, 1000, 202),
        ("?deviceActiveWithin=99999", None, 1000, 202),
        ("?deviceActiveWithin=-1", None, 0, 400),
        ("?deviceActiveWithin=soon", None, 0, 400),
        ("?deviceActiveWithin=1000000", None, 0, 400),
    ],
)
def test_a_phone_must_have_been_seen_as_lately_as_is_asked_for(query, device, later_h, status) -> None:
    world = World()
    world.api.clock.at_ms += later_h * 3_600_000
    answer = world.ask("POST", f"/messages{query}", {**PLAIN, **({"deviceId": device} if device else {})})
    assert answer.status == status, answer.value
    assert len(world.api.submitted) == (status == 202)


def test_nobody_is_active_where_there_is_no_phone() -> None:
    world = World()
    world.removed.append(DEVICE)
    answer = world.ask("POST", "/messages?deviceActiveWithin=24", PLAIN)
    assert (answer.status, answer.value) == (400, {"message": "no device was active within 24 hours"})


def test_without_device_sim_or_encryption_any_channel_may_carry_it() -> None:
    world = World()
    answer = world.ask("POST", "/message", PLAIN)
    assert answer.status == 202
    assert len(answer.value["id"]) == 20
    (submit,) = world.api.submitted
    assert "channel" not in submit
    assert "metadata" not in submit


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"priority": 100}, {"priority": "urgent"}),
        ({"priority": 1}, {"priority": "high"}),
        ({"priority": -1}, {"priority": "bulk"}),
        ({"withDeliveryReport": False}, {"receipt": False}),
        ({"validUntil": "2026-07-01T09:14:20+02:00"}, {"valid_for": 60}),
        ({"ttl": 10_000_000}, {"valid_for": 2_592_000}),
        (
            {"scheduleAt": "2026-07-01T08:00:00Z", "validUntil": "2026-07-01T08:01:00Z"},
            {"send_at": "2026-07-01T08:00:00Z", "valid_for": 60},
        ),
        ({"textMessage": None, "message": "old"}, {"text": "old"}),
        (
            {"textMessage": None, "dataMessage": {"data": "AQIDBA==", "port": 53739}},
            {"data": "AQIDBA==", "udh": base64.b64encode(bytes.fromhex("060504d1eb0000")).decode()},
        ),
    ],
)
def test_fields_are_mapped(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    world = World()
    assert world.ask("POST", "/messages", {**PLAIN, **fields}).status == 202
    (submit,) = world.api.submitted
    assert {name: submit.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"phoneNumbers": []},
        {"phoneNumbers": ["+1555"] * 2},
        {"phoneNumbers": [f"+1555{n}" for n in range(101)]},
        {"phoneNumbers": "+1555"},
        {"textMessage": None},
        {"textMessage": {"text": ""}},
        {"message": "twice"},
        {"mmsMessage": {"text": "x"}},
        {"textMessage": None, "mmsMessage": {"text": "x"}},
        {"textMessage": None, "dataMessage": {"data": "!", "port": 1}},
        {"textMessage": None, "dataMessage": {"data": "AQ==", "port": 0}},
        {"simNumber": 4},
        {"priority": 128},
        {"ttl": 4},
        {"ttl": 600, "validUntil": "2026-07-02T00:00:00Z"},
        {"validUntil": "2026-07-01T00:00:00Z"},
        {"validUntil": "tomorrow"},
        {"scheduleAt": "2026-07-01T00:00:00Z"},
        {"scheduleAt": "2026-07-02T00:00:00Z", "validUntil": "2026-07-01T23:00:00Z"},
        {"id": "x" * 37},
        {"id": "a|b"},
        {"id": ""},
        {"deviceId": "nobody"},
        {"phoneNumbers": ["Alice"]},
        {"isEncrypted": True},
    ],
)
def test_what_is_wrong_is_a_bad_request_and_submits_nothing(wrong: dict[str, Any]) -> None:
    world = World()
    answer = world.ask("POST", "/messages", {**PLAIN, **wrong})
    assert (answer.status, set(answer.value)) == (400, {"message"})
    assert world.api.messages == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_a_bad_request(body: bytes) -> None:
    for method, target in (
        ("POST", "/messages"),
        ("POST", "/webhooks"),
        ("PUT", "/settings"),
        ("POST", "/auth/token"),
    ):
        assert World().ask(method, target, body).status == 400


def test_several_numbers_are_one_message_with_a_state_each() -> None:
    world = World()
    numbers = ["+15550100001", "Alice", "+15550100002"]
    answer = world.ask("POST", "/messages", {**PLAIN, "id": "m1", "phoneNumbers": numbers})
    assert [each["state"] for each in answer.value["recipients"]] == ["Pending", "Failed", "Pending"]
    first, second = world.api.messages.values()
    first |= {
        "status": "delivered",
        "sent_at": "2026-07-01T07:13:21.000Z",
        "final_at": "2026-07-01T07:13:25.000Z",
    }
    second |= {"status": "sent", "sent_at": "2026-07-01T07:13:22.000Z"}
    state = world.ask("GET", "/messages/m1").value
    assert state["state"] == "Sent"
    assert state["recipients"] == [
        {"phoneNumber": "+15550100001", "state": "Delivered"},
        {"phoneNumber": "+15550100002", "state": "Sent"},
    ]
    assert state["states"] == {
        "Pending": START,
        "Sent": "2026-07-01T07:13:21.000Z",
        "Delivered": "2026-07-01T07:13:25.000Z",
    }


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("scheduled", "Pending"),
        ("queued", "Pending"),
        ("sending", "Pending"),
        ("sent", "Sent"),
        ("delivered", "Delivered"),
        ("undelivered", "Failed"),
        ("rejected", "Failed"),
        ("failed", "Failed"),
        ("expired", "Failed"),
        ("cancelled", "Cancelled"),
        ("unknown", "Processed"),
    ],
)
def test_every_status_of_ours_is_a_state_of_theirs(status: str, state: str) -> None:
    world = World()
    world.ask("POST", "/messages", SUBMIT)
    world.api.set(status)
    assert world.ask("GET", "/messages/m-000009").value["state"] == state


def test_errors_are_told_in_words() -> None:
    world = World()
    world.ask("POST", "/messages", SUBMIT)
    world.api.set("failed", error={"code": "no_credit", "detail": "RESULT_ERROR_GENERIC_FAILURE"})
    shown = world.ask("GET", "/messages/m-000009").value
    assert shown["recipients"][0]["error"] == "RESULT_ERROR_GENERIC_FAILURE"
    world.api.set("expired", error=None)
    assert world.ask("GET", "/messages/m-000009").value["recipients"][0]["error"] == "TTL expired"


def test_a_message_of_ours_without_a_reference_is_found_by_its_own_id_and_a_strangers_is_not() -> None:
    world = World()
    world.ask("POST", "/messages", SUBMIT)
    (message,) = world.api.messages.values()
    message |= {"ref": None, "metadata": {"device": 7}}
    shown = world.ask("GET", f"/messages/{message['id']}").value
    assert (shown["id"], shown["deviceId"]) == (message["id"], "")
    message["direction"] = "mo"
    assert world.ask("GET", f"/messages/{message['id']}").status == 404
    message |= {"direction": "mt", "account": "south"}
    assert world.ask("GET", f"/messages/{message['id']}").status == 404
    assert world.ask("GET", "/messages/none").status == 404


def test_content_is_shown_when_it_is_asked_for() -> None:
    world = World()
    world.ask("POST", "/messages", SUBMIT)
    data = {"phoneNumbers": ["+1555"], "id": "d", "dataMessage": {"data": "AQIDBA==", "port": 53739}}
    world.ask("POST", "/messages", data)
    assert "textMessage" not in world.ask("GET", "/messages/m-000009").value
    assert world.ask("GET", "/messages/m-000009?includeContent=true").value["textMessage"] == {"text": "Hi"}
    listed = world.ask("GET", "/messages?includeContent=true").value
    assert listed[0]["dataMessage"] == data["dataMessage"]


def test_cancelling_takes_back_what_is_pending_and_what_a_carrier_was_asked_for() -> None:
    world = World()
    world.ask("POST", "/messages", {**PLAIN, "id": "m1", "phoneNumbers": ["+1555", "+1556"]})
    answer = world.ask("DELETE", "/messages/m1")
    assert (answer.status, answer.value["state"]) == (200, "Cancelling")
    assert world.ask("GET", "/messages/m1").value["state"] == "Cancelled"
    assert world.ask("DELETE", "/messages/m1").status == 409
    assert world.ask("DELETE", "/messages/none").status == 404
    world.ask("POST", "/messages", {**PLAIN, "id": "m2"})
    world.api.set("sent")
    assert world.ask("DELETE", "/messages/m2").value["recipients"][0]["state"] == "Cancelling"


def test_listing_goes_by_offset_with_a_total_over_pages_of_ours() -> None:
    world = World()
    for number in range(10):
        world.ask("POST", "/messages", {**PLAIN, "id": f"m{number}", "phoneNumbers": ["+1555", "+1556"]})
    first = world.ask("GET", "/messages?limit=4")
    assert [each["id"] for each in first.value] == ["m9", "m8", "m7", "m6"]
    assert first.fields["X-Total-Count"] == "10"
    assert all(len(each["recipients"]) == 2 for each in first.value)
    rest = world.ask("GET", "/messages?limit=4&offset=8")
    assert [each["id"] for each in rest.value] == ["m1", "m0"]
    oldest = world.ask("GET", "/messages?limit=2&sort=created_at")
    assert [each["id"] for each in oldest.value] == ["m0", "m1"]
    assert world.ask("GET", "/messages?state=Delivered").value == []
    assert world.ask("GET", f"/messages?deviceId={DEVICE}").value == []
    assert len(world.ask("GET", "/messages?state=Pending&from=2026-07-01T00:00:00%2B02:00").value) == 10
    assert "since=2026-07-01T00%3A00%3A00%2B02%3A00" in world.api.requests[-1][1]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "offset=-1", "state=Lost", "from=x", "sort=size"]
)
def test_a_wrong_filter_is_a_bad_request(query: str) -> None:
    assert World().ask("GET", f"/messages?{query}").status == 400


def test_an_encrypted_message_is_read_routed_and_shown_as_it_came() -> None:
    world = World("open sesame 42")
    encryption = Encryption("open sesame 42", lambda count: bytes(count), 10)
    number, text = encryption.encrypt("+15550100050"), encryption.encrypt("Hi")
    message = {
        **PLAIN,
        "id": "m1",
        "phoneNumbers": [number],
        "textMessage": {"text": text},
        "isEncrypted": True,
    }
    answer = world.ask("POST", "/messages", message)
    assert (answer.status, answer.value["recipients"][0]["phoneNumber"]) == (202, number)
    (submit,) = world.api.submitted
    assert (submit["to"], submit["text"], submit["channel"]) == ("+15550100050", "Hi", "phones")
    shown = world.ask("GET", "/messages/m1").value
    assert (shown["isEncrypted"], shown["recipients"][0]["phoneNumber"]) == (True, number)
    assert World("another").ask("POST", "/messages", message).status == 400


def test_overload_is_told_with_when_to_come_back() -> None:
    world = World()
    world.api.overload = True
    answer = world.ask("POST", "/messages", SUBMIT)
    assert (answer.status, answer.value) == (503, {"message": "the backlog is full"})
    assert answer.fields["Retry-After"] == "2"
    world.api.overload = False
    assert world.ask("POST", "/messages", SUBMIT).status == 202


def test_both_prefixes_doubled_slashes_and_aliases_lead_there() -> None:
    world = World()
    for target in ("//3rdparty/v1/device", "//api//3rdparty/v1//devices/"):
        assert world.ask("GET", target).status == 200
    assert world.ask("GET", "/nothing").status == 404
    assert world.ask("PUT", "/devices").status == 405
    assert world.ask("GET", "").status == 404


def test_answers_carry_no_credentials() -> None:
    world = World()
    assert BASIC not in msgspec.json.encode(world.ask("GET", "/nothing").value).decode()
