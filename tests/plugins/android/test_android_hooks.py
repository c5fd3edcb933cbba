"""What phones call the server for: messages that came in, signs of life; signed, repeated, forged."""

import asyncio
import json

import pytest

from stentor.driver import Inbound
from stentor.text.segments import Encoding
from stentor_android.inbound import is_signed, webhooks
from stentor_android.registry import Phone
from tests.plugins.android.phone_peer import PhonePeer
from tests.plugins.android.phone_world import played

BODY = (
    rb'{"id":"Ev9fKq2LmXw4TtZc81RsU","webhookId":"wh-in-01","event":"sms:received",'
    rb'"deviceId":"dvKq3nT8wZ1xYbV6mR2pL","payload":{"message":"YES \u0026 thanks",'
    rb'"receivedAt":"2026-07-01T09:15:02.000+02:00","messageId":"5d3f9a1c","sender":"+15550100077",'
    rb'"recipient":"+15550100001","simNumber":1,"phoneNumber":"+15550100077"}}'
)
SIGNATURE = "66c810c771db74b0c15d94275b669ac280cdafa1c0d54cfc599cd11c064dab51"
RECEIVED = json.loads(BODY)["payload"]


def caller(world):
    """A phone that has read its settings and webhooks."""
    phone = world.register()
    peer = PhonePeer()
    peer.host, peer.token, peer.device_id = world.host, phone.token, phone.id
    peer.key = json.loads(phone.ask("GET", "/settings").sent)["webhooks"]["signing_key"]
    peer.hook = json.loads(phone.ask("GET", "/webhooks").sent)[0]["url"]
    return peer


def test_the_signature_is_over_the_raw_octets_and_the_timestamp():
    assert len(BODY) == 315
    assert is_signed("wh-key-01", "1782890103", SIGNATURE, BODY)
    assert not is_signed("wh-key-01", "1782890104", SIGNATURE, BODY)
    assert not is_signed("wh-key-02", "1782890103", SIGNATURE, BODY)
    assert not is_signed("wh-key-01", "1782890103", SIGNATURE.upper(), BODY)
    assert not is_signed("wh-key-01", "", "", BODY)
    for place in range(len(BODY)):
        changed = BODY[:place] + bytes((BODY[place] ^ 1,)) + BODY[place + 1 :]
        assert not is_signed("wh-key-01", "1782890103", SIGNATURE, changed)


@pytest.mark.parametrize(
    ("version", "events"),
    [
        ((0, 0, 0), []),
        ((1, 15, 0), ["sms:received"]),
        ((1, 53, 1), ["sms:received", "sms:data-received", "system:ping"]),
        (
            (1, 68, 0),
            ["sms:received", "sms:data-received", "mms:downloaded", "system:ping", "app:started"],
        ),
    ],
)
def test_no_phone_is_told_of_an_event_newer_than_itself(version, events):
    phone = Phone("dv", "north", b"", "L", "m", 0, version=version)
    names = ["sms:received", "sms:data-received", "mms:downloaded", "system:ping", "app:started"]
    found = webhooks(phone, "https://gw.example.test/x", names)
    assert [each.event for each in found] == events
    assert [each.id for each in found] == [each.id for each in webhooks(phone, "https://other", names)]


def test_the_list_of_webhooks_names_a_secret_address_of_this_phone():
    async def scene(world):
        first, second = world.register(), world.register()
        entries = json.loads(first.ask("GET", "/webhooks").sent)
        assert all(set(each) == {"id", "url", "event", "deviceId"} for each in entries)
        assert all(len(each["id"]) <= 36 for each in entries)
        (url,) = {each["url"] for each in entries}
        assert url.startswith("https://gw.example.test/in/phones/hook/")
        assert json.loads(second.ask("GET", "/webhooks").sent)[0]["url"] != url
        assert json.loads(first.ask("GET", "/webhooks").sent) == entries

    played(scene)


def test_a_message_arrives_once_however_often_it_is_told():
    async def scene(world):
        peer = caller(world)
        assert peer.call("sms:received", RECEIVED, "Ev1").status == 200
        assert world.host.items == [
            Inbound("+15550100077", "+15550100001", "YES & thanks", carrier_id="5d3f9a1c")
        ]
        assert peer.call("sms:received", RECEIVED, "Ev1", timestamp="1782890200").status == 200
        assert peer.call("sms:received", RECEIVED, "Ev2").status == 200
        assert len(world.host.items) == 1
        assert world.counters["inbound_repeated"] == 2
        assert peer.call("sms:received", {**RECEIVED, "message": "no"}, "Ev3").status == 200
        assert len(world.host.items) == 2

    played(scene)


def test_old_apps_name_the_sender_by_another_field():
    async def scene(world):
        old = {name: RECEIVED[name] for name in ("message", "receivedAt", "messageId", "phoneNumber")}
        assert caller(world).call("sms:received", {**old, "receivedAt": "whenever"}, "Ev1").status == 200
        (got,) = world.host.items
        assert (got.originator, got.text) == ("+15550100077", "YES & thanks")
        assert got.to.startswith("beyond0ltexx-")

    played(scene)


def test_a_repetition_waits_for_what_it_repeats():
    async def scene(world):
        peer = caller(world)
        world.host.settling = "held"
        first, second = (peer.call("sms:received", RECEIVED, name) for name in ("Ev1", "Ev2"))
        assert (first.status, second.status) == (0, 0)
        world.host.settle(False)
        assert (first.status, second.status) == (503, 503)
        third = peer.call("sms:received", RECEIVED, "Ev1")
        world.host.settle(True)
        assert third.status == 200
        assert len(world.host.items) == 2

    played(scene)


def test_forged_deliveries_are_refused_and_counted():
    async def scene(world):
        peer, other = caller(world), caller(world)
        assert peer.call("sms:received", RECEIVED, "Ev1", key="guess").status == 401
        good = peer.hook
        peer.hook = good[:-1] + ("0" if good[-1] != "0" else "1")
        assert peer.call("sms:received", RECEIVED, "Ev1").status == 401
        peer.hook = good
        assert peer.call("sms:received", RECEIVED, "Ev1", deviceId=other.device_id).status == 200
        assert not world.host.items
        assert (world.counters["forged"], world.counters["foreign_devices"]) == (1, 1)
        unsigned = world.ask("POST", good.partition("test")[2], BODY, base="")
        assert unsigned.status == 401

    played(scene)


def test_a_stale_signature_is_refused_where_clocks_are_trusted():
    async def scene(world):
        peer = caller(world)
        assert peer.call("sms:received", RECEIVED, "Ev1").status == 401
        now = str(world.host.clock.wall_ms() // 1000)
        assert peer.call("sms:received", RECEIVED, "Ev1", timestamp=now).status == 200
        assert world.counters["stale"] == 1

    played(scene, trust_clocks=True)


@pytest.mark.parametrize(
    ("payload", "counter"),
    [
        ({}, "inbound_unreadable"),
        ({"sender": 7, "message": "x"}, "inbound_unreadable"),
        ({"sender": "+15550100077", "message": None}, "inbound_unreadable"),
        ({"sender": "+1" * 40, "message": "x"}, "inbound_oversized"),
        ({"sender": "+15550100077", "message": "x" * 70_000}, "inbound_oversized"),
    ],
)
def test_a_delivery_without_sense_or_measure_is_taken_and_counted(payload, counter):
    async def scene(world):
        assert caller(world).call("sms:received", payload, "Ev1").status == 200
        assert not world.host.items
        assert world.counters[counter] == 1
        assert json.loads(world.people("GET").sent)["refused"] == {counter: 1}

    played(scene)


def test_data_and_mms_come_in_too():
    async def scene(world):
        peer = caller(world)
        data = {"sender": "+15550100077", "data": "AQIDBA==", "messageId": "a"}
        assert peer.call("sms:data-received", data, "Ev1").status == 200
        mms = {"sender": "+15550100077", "subject": "Hello", "body": "world 👋", "messageId": "b"}
        assert peer.call("mms:downloaded", mms, "Ev2").status == 200
        assert peer.call("sms:data-received", {**data, "data": "!"}, "Ev3").status == 200
        first, second = world.host.items
        assert (first.text, first.data, first.encoding) == (None, b"\1\2\3\4", Encoding.BINARY)
        assert (second.text, second.encoding) == ("Hello\nworld 👋", Encoding.UCS2)

    played(scene)


def test_pings_and_starts_tell_battery_and_sims():
    async def scene(world):
        peer = caller(world)
        checks = {"battery:level": {"status": "warn", "observedValue": 21}}
        health = {"version": "1.68.0", "status": "pass", "checks": checks}
        assert peer.call("system:ping", {"health": health}, "Ev1").status == 200
        started = {"simCards": [{"slotIndex": 1, "phoneNumber": "+15550100001", "carrierName": "Tel"}]}
        assert peer.call("app:started", started, "Ev2").status == 200
        assert peer.call("system:ping", {"health": "no"}, "Ev3").status == 200
        assert peer.call("sms:later-invention", {}, "Ev4").status == 200
        (shown,) = json.loads(world.people("GET").sent)["phones"]
        assert shown["battery"] == 21
        (sim,) = shown["sims"]
        assert (sim["slot"], sim["number"], sim["carrier"]) == (2, "********0001", "****")

    played(scene)


def test_too_many_that_wait_are_asked_for_again():
    async def scene(world):
        peer = caller(world)
        world.host.settling = "held"
        for number in range(1_000):
            assert not peer.call("sms:received", {**RECEIVED, "message": str(number)}, f"Ev{number}").status
        assert peer.call("sms:received", RECEIVED, "Ev").status == 503
        world.host.settle(True)
        await asyncio.sleep(0)
        world.host.settling = "at once"
        assert peer.call("sms:received", RECEIVED, "Ev").status == 200

    played(scene)
