"""The device API exchange by exchange, as phones speak it."""

import asyncio
import base64
import json

import pytest

from stentor.message import Priority, Status
from stentor.text.segments import Encoding
from tests.plugins.android.phone_world import BASE, PRIVATE, played, submission

SIM1 = {
    "slotIndex": 0,
    "simNumber": 1,
    "phoneNumber": "********0001",
    "carrierName": "*****Tel",
    "iccid": "***************4417",
}
OLD = "me.capcom.smsgateway/1.60.0"


def test_a_new_phone_registers_with_the_private_token():
    async def scene(world):
        phone = world.register(simCards=[SIM1, {"slotIndex": 1, "simNumber": 2, "carrierName": "****"}])
        assert phone.visit.status == 201
        assert phone.visit.content_type == "application/json"
        assert len(phone.id) == 21
        assert len(phone.token) == 21
        assert len(phone.login) == 6
        assert len(phone.password) == 14
        assert set(world.driver.core.fleet.devices[phone.id].sims) == {1, 2}

    played(scene)


def test_a_phone_that_waits_for_firebase_is_flagged_and_told_what_to_change():
    async def scene(world):
        body = {"name": "Google/oriole", "pushToken": "cXv3k-EXAMPLE"}
        assert world.ask("POST", "/device", body, f"Bearer {PRIVATE}", OLD).status == 201
        (shown,) = json.loads(world.people("GET").sent)["phones"]
        assert shown["version"] == "1.60.0"
        assert "SSE Only" in shown["advice"][0]
        assert "cXv3k" not in repr(world.host.memory)

    played(scene)


def test_the_next_start_updates_the_phone_and_clears_the_push_token():
    async def scene(world):
        phone = world.register(pushToken="x", simCards=[])
        assert world.driver.core.registry.by_id(phone.id).waits_for_push
        answer = phone.ask("PATCH", "/device", {"id": phone.id, "simCards": [SIM1]})
        assert (answer.status, answer.sent) == (204, b"")
        assert not world.driver.core.registry.by_id(phone.id).waits_for_push
        assert list(world.driver.core.fleet.devices[phone.id].sims) == [1]
        assert phone.ask("PATCH", "/device", {"id": "another", "simCards": []}).status == 403
        assert phone.ask("PATCH", "/device", b"{").status == 400

    played(scene)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/device"),
        ("PATCH", "/device"),
        ("GET", "/message"),
        ("PATCH", "/message"),
        ("GET", "/events"),
        ("GET", "/webhooks"),
        ("GET", "/settings"),
        ("PATCH", "/user/password"),
        ("GET", "/nothing"),
    ],
)
def test_a_foreign_token_is_401_everywhere(method, path):
    async def scene(world):
        for authorization in ("Bearer tkOldOldOldOldOldOldO", "Digest x", "Basic !!!", "Bearer "):
            answer = world.ask(method, path, {"id": "x"}, authorization)
            assert answer.status == 401
            assert json.loads(answer.sent) == {"message": "Unauthorized"}

    played(scene)


def test_a_wrong_private_token_is_401_and_a_body_that_is_none_400():
    async def scene(world):
        body = {"name": "samsung/beyond0ltexx", "simCards": []}
        assert world.ask("POST", "/device", body, "Bearer guess").status == 401
        assert world.ask("POST", "/device", body).status == 401
        assert world.ask("POST", "/device", b"[]", f"Bearer {PRIVATE}").status == 400
        assert world.ask("POST", "/device", {"name": ""}, f"Bearer {PRIVATE}").status == 400

    played(scene)


def test_without_a_shared_token_only_invited_phones_come_in():
    async def scene(world):
        body = {"name": "samsung/beyond0ltexx"}
        assert world.ask("POST", "/device", body, "Bearer ").status == 401
        assert world.ask("POST", "/device", body, f"Bearer {PRIVATE}").status == 401

    played(scene, private_token="")


def test_a_second_phone_joins_with_login_and_password():
    async def scene(world):
        first = world.register()
        second = world.register(first.basic)
        assert second.visit.status == 201
        assert (second.login, second.password) == (first.login, None)
        assert second.id != first.id
        wrong = "Basic " + base64.b64encode(f"{first.login}:nope".encode()).decode()
        assert world.register(wrong).visit.status == 401

    played(scene)


def test_a_code_lets_one_phone_in_whatever_its_case():
    async def scene(world):
        first = world.register()
        assert world.ask("GET", "/user/code").status == 401
        told = json.loads(world.ask("GET", "/user/code", authorization=first.basic).sent)
        assert len(told["code"]) >= 6
        assert told["validUntil"].endswith("Z")
        assert len(told["validUntil"]) == len("2026-07-01T07:16:03.000Z")
        third = world.register(f"Code {told['code'].upper()}")
        assert (third.visit.status, third.login) == (201, first.login)
        assert world.register(f"Code {told['code']}").visit.status == 401
        late = json.loads(world.ask("GET", "/user/code", authorization=first.basic).sent)
        await asyncio.sleep(61)
        assert world.register(f"Code {late['code']}").visit.status == 401

    played(scene)


def test_the_public_address_with_a_doubled_slash_before_registration():
    async def scene(world):
        answer = world.ask("GET", "//device", address="203.0.113.9:4711")
        assert (answer.status, json.loads(answer.sent)) == (200, {"externalIp": "203.0.113.9"})
        answer = world.ask("GET", "/device", address="[2001:db8::1]:4711")
        assert json.loads(answer.sent) == {"externalIp": "2001:db8::1"}

    played(scene)


def test_behind_a_proxy_the_last_address_it_tells_counts():
    async def scene(world):
        answer = world.ask("GET", "/device", headers={"X-Forwarded-For": "198.51.100.7, 203.0.113.9"})
        assert json.loads(answer.sent) == {"externalIp": "203.0.113.9"}

    played(scene, forwarded=True)


@pytest.mark.parametrize("base", [BASE, "/mobile/v1", BASE + "/", "/mobile/v1//"])
def test_both_prefixes_lead_in(base):
    async def scene(world):
        phone = world.register()
        for path in ("/message", "/messages", "//message", "/message/"):
            assert phone.ask("GET", path, base=base).status == 200

    played(scene)


def test_the_event_stream():
    async def scene(world):
        phone = world.register()
        stream = phone.stream()
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        assert stream.fields == {"cache-control": "no-cache", "x-accel-buffering": "no"}
        assert stream.sent == b":keepalive\n\n"
        await asyncio.sleep(2)
        world.submit(submission(1))
        assert stream.sent.endswith(b"event: MessageEnqueued\ndata: null\n\n")
        await asyncio.sleep(45)
        assert 3 <= stream.sent.count(b":keepalive\n\n") <= 4
        assert not stream.is_complete

    played(scene)


def test_hints_come_once_a_second_and_to_every_stream():
    async def scene(world):
        phone = world.register(simCards=[SIM1, {**SIM1, "slotIndex": 1, "simNumber": 2}])
        streams = [phone.stream() for _ in range(3)]
        await asyncio.sleep(2)
        for token in range(1, 7):
            world.submit(submission(token, f"+1555010{token:04d}"))
        assert [stream.sent.count(b"MessageEnqueued") for stream in streams] == [1, 1, 1]
        assert not any(stream.is_complete for stream in streams)
        phone.pull()
        await asyncio.sleep(30)
        # The rest is called for as the pace of one phone allows it.
        assert 2 <= streams[0].sent.count(b"MessageEnqueued") <= 8

    played(scene)


def test_duplicate_streams_stay_and_beyond_eight_the_oldest_makes_room():
    async def scene(world):
        phone = world.register()
        streams = [phone.stream() for _ in range(8)]
        assert not any(stream.is_complete for stream in streams)
        streams.append(phone.stream())
        assert [stream.status for stream in streams] == [200] * 9
        assert [stream.is_complete for stream in streams] == [True] + [False] * 8
        assert (world.counters["streams"], world.counters["streams_ended"]) == (8, 1)
        for stream in streams[1:]:
            stream.leave()
        assert world.counters["streams"] == 0
        assert world.host.free == 0, "it counts as streaming although all its streams are gone"

    played(scene)


def test_a_pull_with_nothing_waiting_is_an_empty_list():
    async def scene(world):
        answer = world.register().ask("GET", "/message?order=fifo")
        assert (answer.status, answer.sent, answer.content_type) == (200, b"[]", "application/json")

    played(scene)


def test_a_pull_lists_messages_and_changes_nothing():
    async def scene(world):
        phone = world.register()
        phone.stream()
        udh = bytes.fromhex("060504") + (53739).to_bytes(2) + bytes(2)
        data = submission(3, "+15550100044", None, encoding=Encoding.BINARY, data=b"\1\2\3\4", udh=udh)
        world.submit(
            submission(2, "+15550100043", "Order 88 shipped", wants_receipt=False),
            submission(1, priority=Priority.URGENT),
            data,
        )
        first, second = phone.pull()
        assert phone.pull() == [first, second]
        assert first == {
            "id": first["id"],
            "phoneNumbers": ["+15550100042"],
            "state": "Pending",
            "message": "Your code is 4821",
            "textMessage": {"text": "Your code is 4821"},
            "simNumber": 1,
            "priority": 100,
            "validUntil": "2027-01-15T08:10:00.000Z",
            "createdAt": "2027-01-15T08:00:00.000Z",
        }
        assert "|" not in first["id"]
        assert len(first["id"]) <= 36
        assert second["withDeliveryReport"] is False
        await asyncio.sleep(6)
        third = phone.pull()[2]
        assert third["dataMessage"] == {"data": "AQIDBA==", "port": 53739}
        assert "textMessage" not in third
        assert not world.host.outcomes

    played(scene, data_messages=True)


def test_a_phone_that_reports_pending_has_accepted_it():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        assert phone.report(listed["id"], "+15550100042", "Pending").status == 204
        assert phone.pull() == []
        assert not world.host.outcomes
        await asyncio.sleep(125)
        # Silent since: asked how it stands, by listing it once more.
        assert [each["id"] for each in phone.pull()] == [listed["id"]]

    played(scene)


def test_reports_out_of_order_end_delivered():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        for state in ("Processed", "Delivered", "Sent", "Delivered"):
            assert phone.report(listed["id"], "+15550100042", state).status == 204
        (sent,) = world.host.order
        assert (sent.carrier_id, sent.match_id) == (listed["id"], f"{listed['id']}@{phone.id}")
        (receipt,) = world.host.items
        assert (receipt.match_id, receipt.status) == (sent.match_id, Status.DELIVERED)
        assert receipt.done_at_ms == 1782890102310

    played(scene)


@pytest.mark.parametrize(
    ("error", "outcome", "code", "carrier_code"),
    [
        (
            "Send result: RESULT_ERROR_GENERIC_FAILURE (Generic failure cause)",
            "Deferred",
            "carrier_error",
            "RESULT_ERROR_GENERIC_FAILURE",
        ),
        ("TTL expired", "Deferred", "carrier_busy", None),
        ("Can't send message: SIM 2 not found", "Deferred", "carrier_error", None),
        (
            "Send result: RESULT_ERROR_LIMIT_EXCEEDED (x)",
            "Deferred",
            "throttled",
            "RESULT_ERROR_LIMIT_EXCEEDED",
        ),
        ("Send result: RESULT_INVALID_ARGUMENTS (x)", "Refused", "bad_content", "RESULT_INVALID_ARGUMENTS"),
        ("Send result: Unknown error code: 133.", "Deferred", "carrier_error", "133"),
        ("sendSMS: java.lang.Whatever", "Deferred", "carrier_error", None),
    ],
)
def test_failures_on_the_phone(error, outcome, code, carrier_code):
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        assert phone.report(listed["id"], "+15550100042", "Failed", error).status == 204
        (got,) = world.host.order
        assert (type(got).__name__, got.code, got.carrier_code) == (outcome, code, carrier_code)
        assert not world.host.items

    played(scene)


def test_a_negative_delivery_report_is_undelivered_not_failed():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        error = "Delivery result from SC +15550009999: 65"
        assert phone.report(listed["id"], "+15550100042", "Failed", error).status == 204
        assert [type(each).__name__ for each in world.host.order] == ["Sent"]
        (receipt,) = world.host.items
        assert (receipt.status, receipt.error.carrier_code) == (Status.UNDELIVERED, "65")

    played(scene)


def test_unknown_and_foreign_ids_are_answered_204_and_counted():
    async def scene(world):
        first, second = world.register(), world.register()
        first.stream()
        world.submit(submission(1))
        (listed,) = first.pull()
        assert second.report("no-such-message", "+15550100048", "Failed", states={}).status == 204
        assert second.report(listed["id"], "+15550100042", "Sent").status == 204
        assert first.report(listed["id"], "+15550100099", "Sent").status == 204
        assert not world.host.order
        assert not world.host.items
        assert world.counters["reports_foreign"] == 2
        assert world.counters["reports_unfitting"] == 1

    played(scene)


def test_one_bad_element_of_a_report_does_not_spoil_the_others():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        good = {
            "id": listed["id"],
            "state": "Sent",
            "recipients": [{"phoneNumber": "+15550100042", "state": "Sent"}],
            "states": {"Sent": "yesterday", "Pending": 7},
        }
        assert phone.ask("PATCH", "/message", [{"id": 1}, good, None]).status == 204
        assert [type(each).__name__ for each in world.host.order] == ["Sent"]
        assert world.counters["reports_unreadable"] == 2
        assert phone.ask("PATCH", "/message", b"nonsense").status == 400
        assert phone.ask("PATCH", "/message", b"[" * 100_000).status == 400

    played(scene)


def test_settings_are_what_the_version_knows():
    async def scene(world):
        phone = world.register()
        told = json.loads(phone.ask("GET", "/settings").sent)
        assert told.pop("webhooks")["signing_key"]
        assert told == {
            "gateway": {"notification_channel": "SSE_ONLY"},
            "messages": {"processing_order": "FIFO"},
            "ping": {"interval_seconds": 120},
        }
        old = world.register(agent="me.capcom.smsgateway/1.44.0")
        told = json.loads(old.ask("GET", "/settings").sent)
        assert set(told) == {"ping", "webhooks"}

    played(scene)


def test_the_password_is_changed_by_whoever_knows_it():
    async def scene(world):
        phone = world.register()
        new = "longer-than-14-chars"
        wrong = phone.ask("PATCH", "/user/password", {"currentPassword": "guess", "newPassword": new})
        assert (wrong.status, json.loads(wrong.sent)) == (401, {"message": "failed to change password"})
        body = {"currentPassword": phone.password, "newPassword": "short"}
        assert phone.ask("PATCH", "/user/password", body).status == 400
        body["newPassword"] = new
        assert phone.ask("PATCH", "/user/password", body).status == 204
        phone.password = new
        assert world.register(phone.basic).visit.status == 201

    played(scene)


def test_two_hints_and_an_aborted_pull_lose_nothing():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1), submission(2, "+15550100043"))
        aborted = phone.ask("GET", "/message")
        assert aborted.status == 200
        assert [each["phoneNumbers"] for each in phone.pull()] == [["+15550100042"], ["+15550100043"]]

    played(scene)


def test_reports_wait_for_their_receipts_to_be_durable():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        world.host.settling = "held"
        answer = phone.report(listed["id"], "+15550100042", "Delivered")
        assert answer.status == 0
        world.host.settle(True)
        assert answer.status == 204
        refused = phone.report(listed["id"], "+15550100042", "Failed", "Delivery result: 70")
        world.host.settle(False)
        assert refused.status == 503

    played(scene)


def test_no_log_line_and_no_status_tells_tokens_or_numbers():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        phone.report(listed["id"], "+15550100042", "Failed", "Send result: RESULT_RIL_X (+15550100042)")
        world.ask("GET", "/message", authorization="Bearer tkOldOldOldOldOldOldO")
        shown = repr(world.host.memory_log.lines) + repr(world.driver.status())
        shown += world.people("GET").sent.decode()
        for secret in (phone.token, phone.password, PRIVATE, "tkOld", "+15550100042"):
            assert secret not in shown

    played(scene)
