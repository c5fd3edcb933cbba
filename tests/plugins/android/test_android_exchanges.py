"""Whole exchanges of phones with the server, octet by octet where the phone is particular, in the order of its life.

The phone, its tokens and its account are remembered from before, so that every octet is known beforehand.
"""

import asyncio
import hashlib
import hmac
import json
import re

import msgspec
import pytest

from stentor.message import Priority, Status
from stentor.testing.vloop import run_virtual
from stentor.text.segments import Encoding
from stentor_android.encryption import Encryption
from stentor_android.inbound import is_signed
from stentor_android.registry import Account, Phone, _salted, digest
from stentor_android.sealing import Sealer
from tests.plugins.android.phone_world import AGENT, PRIVATE, PhoneWorld, kinds, submission

DEVICE, TOKEN = "dvKq3nT8wZ1xYbV6mR2pL", "tkA7sD9fG1hJ3kL5zX8cV"
BASIC = "Basic UTdNWjJLOm40dmV4cTBsYWhzN3Rk"
PASSWORD = "n4vexq0lahs7td"
FOREIGN = "tkOldOldOldOldOldOldO"
UNAUTHORISED = b'{"message":"Unauthorized"}'
NUMBER = "+15550100042"
REGISTRATION = (
    b'{"name":"samsung/beyond0ltexx","simCards":[{"slotIndex":0,"simNumber":1,"phoneNumber":"********0001",'
    b'"carrierName":"*****Tel","iccid":"***************4417"},'
    b'{"slotIndex":1,"simNumber":2,"carrierName":"****"}]}'
)
RECEIVED = (
    rb'{"id":"Ev9fKq2LmXw4TtZc81RsU","webhookId":"wh-in-01","event":"sms:received",'
    rb'"deviceId":"dvKq3nT8wZ1xYbV6mR2pL","payload":{"message":"YES \u0026 thanks",'
    rb'"receivedAt":"2026-07-01T09:15:02.000+02:00","messageId":"5d3f9a1c","sender":"+15550100077",'
    rb'"recipient":"+15550100001","simNumber":1,"phoneNumber":"+15550100077"}}'
)
PING = (
    b'{"id":"EvPing0001AbCdEfGhIjK","webhookId":"wh-pg-01","event":"system:ping",'
    b'"deviceId":"dvKq3nT8wZ1xYbV6mR2pL","payload":{"health":{"version":"1.68.0","releaseId":1490,'
    b'"status":"pass","checks":{"messages:failed":{"status":"pass","observedValue":0,'
    b'"observedUnit":"messages","description":"example"},"connection:status":{"status":"pass",'
    b'"observedValue":1,"observedUnit":"boolean","description":"example"},"battery:level":{"status":"warn",'
    b'"observedValue":21,"observedUnit":"percent","description":"example"}}}}}'
)


class Known(PhoneWorld):
    """A world that remembers this one phone."""

    def raw(self, method, path, body=b"", authorization=f"Bearer {TOKEN}", **more):
        return self.ask(method, path, body, authorization, **more)

    def pull(self):
        visit = self.raw("GET", "/message?order=fifo")
        assert (visit.status, visit.content_type) == (200, "application/json")
        return json.loads(visit.sent)

    def listed(self, *batch):
        """Hand over, and have the phone pull until all is listed."""
        self.raw("GET", "/events", agent="okhttp/4.10.0")
        self.submit(*batch)
        return self.pull()

    def report(self, message_id, text):
        """A report in the phone's own octets: what it always escapes is escaped."""
        octets = text.replace("ID", message_id).encode()
        for each in b"&<>='":
            octets = octets.replace(bytes((each,)), b"\\u%04x" % each)
        return self.raw("PATCH", "/message", octets).status


def remembered():
    phone = Phone(DEVICE, "anna", digest(TOKEN), "Q7MZ2K", "samsung/beyond0ltexx", 1, version=(1, 68, 0))
    account = Account("Q7MZ2K", b"salt", _salted(PASSWORD, b"salt", 1), 1, 1)
    encode = msgspec.msgpack.encode
    return {"key": b"k" * 32, f"phone/{DEVICE}": encode(phone), "account/Q7MZ2K": encode(account)}


def exchanged(scene, **config):
    async def life(loop):
        world = await Known(loop, remembered(), **config).begin()
        await scene(world)
        await world.finish()
        assert not loop.errors, loop.errors

    run_virtual(life)


def test_01_a_new_phone_registers():
    async def scene(world):
        answer = world.raw("POST", "/device", REGISTRATION, f"Bearer {PRIVATE}")
        assert (answer.status, answer.content_type) == (201, "application/json")
        assert list(json.loads(answer.sent)) == ["id", "token", "login", "password"]

    exchanged(scene)


def test_02_a_phone_that_waits_for_another_push_service_is_told_what_to_change():
    async def scene(world):
        body = b'{"name":"Google/oriole","pushToken":"cXv3k-EXAMPLE:APA91bExampleExampleExample"}'
        answer = world.raw("POST", "/device", body, f"Bearer {PRIVATE}", agent="me.capcom.smsgateway/1.60.0")
        assert answer.status == 201
        (shown,) = [
            each for each in json.loads(world.people("GET").sent)["phones"] if each["version"] == "1.60.0"
        ]
        assert "Notification channel: SSE Only" in shown["advice"][0]

    exchanged(scene)


def test_03_the_next_start_updates():
    async def scene(world):
        body = (
            b'{"id":"dvKq3nT8wZ1xYbV6mR2pL","simCards":[{"slotIndex":0,"simNumber":1,'
            b'"phoneNumber":"********0001","carrierName":"*****Tel","iccid":"***************4417"}]}'
        )
        answer = world.raw("PATCH", "/device", body)
        assert (answer.status, answer.sent) == (204, b"")

    exchanged(scene)


def test_04_a_foreign_token_is_401_and_the_phone_registers_at_once():
    async def scene(world):
        body = b'{"id":"dvOldOldOldOldOldOldO","simCards":[]}'
        answer = world.raw("PATCH", "/device", body, f"Bearer {FOREIGN}")
        assert (answer.status, answer.content_type, answer.sent) == (401, "application/json", UNAUTHORISED)
        assert world.raw("POST", "/device", REGISTRATION, f"Bearer {PRIVATE}").status == 201

    exchanged(scene)


def test_05_a_wrong_private_token_is_401():
    async def scene(world):
        answer = world.raw(
            "POST", "/device", b'{"name":"samsung/beyond0ltexx","simCards":[]}', "Bearer guess"
        )
        assert (answer.status, answer.sent) == (401, UNAUTHORISED)

    exchanged(scene)


def test_06_a_second_phone_joins_with_login_and_password():
    async def scene(world):
        answer = world.raw("POST", "/device", b'{"name":"Xiaomi/olive","simCards":[]}', BASIC)
        assert answer.status == 201
        told = json.loads(answer.sent)
        assert list(told) == ["id", "token", "login"]
        assert told["login"] == "Q7MZ2K"

    exchanged(scene)


def test_07_a_code_is_issued_used_in_capitals_and_good_once():
    async def scene(world):
        told = json.loads(world.raw("GET", "/user/code", authorization=BASIC).sent)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["validUntil"])
        body = b'{"name":"motorola/lynkco","simCards":[]}'
        code = f"Code {told['code'].upper()}"
        assert world.raw("POST", "/device", body, code).status == 201
        again = world.raw("POST", "/device", body, code)
        assert (again.status, again.sent) == (401, UNAUTHORISED)

    exchanged(scene)


def test_08_the_public_address_before_registration_behind_a_doubled_slash():
    async def scene(world):
        answer = world.ask("GET", "//device", address="203.0.113.9:40000")
        assert (answer.status, answer.sent) == (200, b'{"externalIp":"203.0.113.9"}')

    exchanged(scene)


def test_09_the_event_stream_in_its_octets():
    async def scene(world):
        stream = world.raw("GET", "/events", agent="okhttp/4.10.0")
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        assert stream.fields == {"cache-control": "no-cache", "x-accel-buffering": "no"}
        await asyncio.sleep(2)
        world.submit(submission(1))
        await asyncio.sleep(14)
        export = {
            "since": "2026-07-01T00:00:00Z",
            "until": "2026-07-01T06:00:00Z",
            "messageTypes": ["SMS"],
            "triggerWebhooks": True,
        }
        inbox = world.ask("POST", "/inbox/refresh", export, BASIC, base="/api/3rdparty/v1")
        assert inbox.status == 202
        parts = stream.sent.split(b"\n\n")
        assert parts[:3] == [b":keepalive", b"event: MessageEnqueued\ndata: null", b":keepalive"]
        name, data = parts[3].split(b"\n")
        assert name == b"event: MessagesExportRequested"
        told = json.loads(data.removeprefix(b"data: "))
        assert (told["messageTypes"], told["triggerWebhooks"]) == ("SMS", "true")
        assert parts[4:] == [b""]

    exchanged(scene)


def test_10_an_event_stream_with_a_bad_token_is_401():
    async def scene(world):
        answer = world.raw("GET", "/events", authorization=f"Bearer {FOREIGN}", agent="okhttp/4.10.0")
        assert (answer.status, answer.content_type, answer.sent) == (401, "application/json", UNAUTHORISED)

    exchanged(scene)


def test_11_a_pull_with_nothing_waiting_is_an_empty_list():
    async def scene(world):
        assert world.raw("GET", "/message?order=fifo").sent == b"[]"

    exchanged(scene)


def test_12_a_pull_of_three_messages():
    udh = bytes.fromhex("060504") + (53739).to_bytes(2) + bytes(2)
    data = submission(
        3, "+15550100044", None, encoding=Encoding.BINARY, data=b"\1\2\3\4", udh=udh, wants_receipt=False
    )

    async def scene(world):
        world.listed(
            submission(1, priority=Priority.URGENT), submission(2, "+15550100043", "Order 88 shipped"), data
        )
        await asyncio.sleep(4)
        first, second, third = world.pull()
        for each in (first, second, third):
            assert re.fullmatch(r"[0-9a-f-]{5,36}", each.pop("id"))
            assert each.pop("createdAt").endswith("Z")
            assert each.pop("validUntil").endswith("Z")
            assert each.pop("state") == "Pending"
        text = "Your code is 4821"
        assert first == {
            "message": text,
            "textMessage": {"text": text},
            "phoneNumbers": [NUMBER],
            "priority": 100,
        }
        assert second["phoneNumbers"] == ["+15550100043"]
        assert third == {
            "dataMessage": {"data": "AQIDBA==", "port": 53739},
            "phoneNumbers": ["+15550100044"],
            "withDeliveryReport": False,
        }

    exchanged(scene, data_messages=True)


PENDING = (
    '[{"id":"ID","state":"Pending","recipients":[{"phoneNumber":"+15550100042","state":"Pending"}],'
    '"states":{"Pending":"2026-07-01T09:15:02.310+02:00"}}]'
)


def progress(*states):
    told = {"Pending": "02.301", "Processed": "02.655", "Sent": "05.020", "Delivered": "08.771"}
    dates = {state: f"2026-07-01T09:15:{told[state]}+02:00" for state in states}
    report = {
        "id": "ID",
        "state": states[-1],
        "recipients": [{"phoneNumber": NUMBER, "state": states[-1]}],
        "states": dates,
    }
    return json.dumps([report])


def test_13_a_message_listed_again_before_it_was_sent_is_reported_as_accepted():
    async def scene(world):
        (item,) = world.listed(submission(1))
        assert world.report(item["id"], PENDING) == 204
        assert world.pull() == []
        assert not world.host.order

    exchanged(scene)


def test_14_of_three_reports_the_last_two_are_swapped():
    async def scene(world):
        (item,) = world.listed(submission(1))
        assert world.report(item["id"], progress("Pending", "Processed")) == 204
        assert world.report(item["id"], progress("Pending", "Processed", "Sent", "Delivered")) == 204
        assert world.report(item["id"], progress("Pending", "Processed", "Sent")) == 204
        assert kinds(world) == ["Sent"]
        (receipt,) = world.host.items
        assert (receipt.status, receipt.done_at_ms) == (Status.DELIVERED, 1_782_890_108_771)

    exchanged(scene)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("Send result: RESULT_ERROR_GENERIC_FAILURE (Generic failure cause)", "Deferred"),
        ("TTL expired", "Deferred"),
        ("Can't send message: SIM 2 not found", "Deferred"),
        ("Delivery result from SC +15550009999: 65", "Sent"),
    ],
)
def test_15_failures_and_an_unknown_id_beside_one(error, kind):
    async def scene(world):
        (item,) = world.listed(submission(1))
        failed = {"phoneNumber": NUMBER, "state": "Failed", "error": error}
        report = {
            "id": "ID",
            "state": "Failed",
            "recipients": [failed],
            "states": {"Failed": "2026-07-01T09:16:01.902+02:00"},
        }
        stranger = {**report, "id": "no-such-message", "states": {}}
        assert world.report(item["id"], json.dumps([report, stranger])) == 204
        assert kinds(world) == [kind]
        assert world.counters["reports_foreign"] == 1

    exchanged(scene)


def test_16_a_message_is_taken_back_by_listing_it():
    async def scene(world):
        (item,) = world.listed(submission(1))
        assert world.people("POST", "/anna/pause").status == 200
        (again,) = world.pull()
        assert (again["id"], again["state"]) == (item["id"], "Cancelling")
        cancelled = (
            '[{"id":"ID","state":"Cancelled","recipients":[{"phoneNumber":"+15550100042","state":"Cancelled"}],'
            '"states":{"Cancelled":"2026-07-01T09:17:00.000+02:00"}}]'
        )
        assert world.report(item["id"], cancelled) == 204
        assert kinds(world) == ["Returned"]

    exchanged(scene)


def delivered(world, body, timestamp="1782890103", agent=AGENT, signed=None):
    """A delivery to the address that the phone was told, signed with the key it was told."""
    key = json.loads(world.raw("GET", "/settings").sent)["webhooks"]["signing_key"]
    entries = json.loads(world.raw("GET", "/webhooks").sent)
    assert {each["event"] for each in entries} >= {"sms:received", "system:ping"}
    made = hmac.new(key.encode(), (signed or body) + timestamp.encode(), hashlib.sha256).hexdigest()
    headers = {"X-Timestamp": timestamp, "X-Signature": made}
    path = entries[0]["url"].partition("gw.example.test")[2]
    return world.ask("POST", path, body, agent=agent, base="", headers=headers)


def test_17_an_inbound_message_and_its_variants():
    assert len(RECEIVED) == 315
    known = "66c810c771db74b0c15d94275b669ac280cdafa1c0d54cfc599cd11c064dab51"
    assert is_signed("wh-key-01", "1782890103", known, RECEIVED)

    async def scene(world):
        answer = delivered(world, RECEIVED)
        assert (answer.status, answer.sent) == (200, b"")
        (got,) = world.host.items
        assert (got.text, got.originator, got.to) == ("YES & thanks", "+15550100077", "+15550100001")
        # The same again, the same under another id, one octet changed, an old app without sender.
        assert delivered(world, RECEIVED, "1782890109").status == 200
        assert delivered(world, RECEIVED.replace(b"Ev9f", b"Ev9g")).status == 200
        assert delivered(world, RECEIVED.replace(b"YES", b"YET"), signed=RECEIVED).status == 401
        assert len(world.host.items) == 1
        old = RECEIVED.replace(b'"sender":"+15550100077","recipient":"+15550100001",', b"").replace(
            b"Ev9f", b"Old1"
        )
        assert delivered(world, old, agent="me.capcom.smsgateway/1.50.0").status == 200
        assert world.host.items[-1].originator == "+15550100077"

    exchanged(scene)


def test_18_a_ping():
    known = "a2547d9fdec847883ad60ec94d619e4ae62788d1b3ba059adaba9c2b91ed899c"
    assert is_signed("wh-key-01", "1782890160", known, PING)

    async def scene(world):
        assert delivered(world, PING, "1782890160").status == 200
        (shown,) = json.loads(world.people("GET").sent)["phones"]
        assert shown["battery"] == 21

    exchanged(scene)


def test_19_settings_of_the_channel_and_of_the_login_together():
    async def scene(world):
        limits = {"messages": {"limit_period": "PerMinute", "limit_value": 20}}
        assert world.ask("PATCH", "/settings", limits, BASIC, base="/api/3rdparty/v1").status == 200
        told = json.loads(world.raw("GET", "/settings").sent)
        assert told.pop("webhooks").keys() == {"signing_key"}
        assert told == {
            "gateway": {"notification_channel": "SSE_ONLY"},
            "messages": {"processing_order": "FIFO", "limit_period": "PerMinute", "limit_value": 20},
            "ping": {"interval_seconds": 120},
        }

    exchanged(scene)


def test_20_the_password_changes():
    async def scene(world):
        body = b'{"currentPassword":"n4vexq0lahs7td","newPassword":"longer-than-14-chars"}'
        assert world.raw("PATCH", "/user/password", body).status == 204
        again = world.raw("PATCH", "/user/password", body)
        assert (again.status, again.sent) == (401, b'{"message":"failed to change password"}')

    exchanged(scene)


def test_21_an_encrypted_message():
    head = "$aes-256-cbc/pbkdf2-sha1$i=1000$AAECAwQFBgcICQoLDA0ODw=="

    async def scene(world):
        encryption = Encryption("open sesame 42", lambda count: bytes(range(count)), 1000)
        world.driver.core.fleet.sealer = Sealer(encryption.encrypt, True)
        (item,) = world.listed(submission(1, text="Grüße, code 7741"))
        assert item["isEncrypted"]
        assert item["textMessage"]["text"] == f"{head}$520rm3w6y/0NcZqjqrPngbNFtTmIoH3FD+/qzeQoi3k="
        assert item["phoneNumbers"] == [f"{head}$SUB0yGi8OyxVFyWgecSL6w=="]
        assert world.report(item["id"], progress("Sent").replace(NUMBER, item["phoneNumbers"][0])) == 204
        assert kinds(world) == ["Sent"]

    exchanged(scene)


def test_23_two_hints_at_once_a_pull_that_is_aborted_and_a_server_that_is_killed():
    async def scene(world):
        stream = world.raw("GET", "/events", agent="okhttp/4.10.0")
        await asyncio.sleep(2)
        world.submit(submission(1))
        world.submit(submission(2, "+15550100043"))
        assert stream.sent.count(b"MessageEnqueued") == 1
        world.host.settling = "held"
        aborted = world.raw("GET", "/message?order=fifo")
        aborted.leave()
        world.host.settling = "at once"
        world.host.settle(True)
        assert [each["phoneNumbers"] for each in world.pull()] == [[NUMBER], ["+15550100043"]]
        assert not world.host.order, "nothing is lost, and nothing counts as taken"

    exchanged(scene)


def test_clients_of_the_login_are_shown_each_sim_with_its_slot():
    async def scene(world):
        update = b'{"id":"%b","simCards":[{"slotIndex":0,"simNumber":1},{"slotIndex":1,"simNumber":2}]}'
        assert world.raw("PATCH", "/device", update % DEVICE.encode()).status == 204
        (shown,) = json.loads(world.ask("GET", "/devices", None, BASIC, base="/api/3rdparty/v1").sent)
        assert shown["simCards"] == [{"slotIndex": 0, "simNumber": 1}, {"slotIndex": 1, "simNumber": 2}]

    exchanged(scene)
