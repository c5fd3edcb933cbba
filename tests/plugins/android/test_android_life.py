"""Phones that come, go and come back; restarts; and what people do with them from the command line."""

import asyncio
import json

import pytest

from stentor.message import Status
from stentor.outcome import reference_of
from tests.plugins.android.phone_world import add, kinds, played, submission

OLD_APP = "me.capcom.smsgateway/1.43.0"


def shown(world, name):
    return json.loads(world.people("GET", f"/{name}").sent)["phone"]


def test_what_was_never_listed_comes_back_when_the_phone_is_lost():
    async def scene(world):
        phone = world.register()
        stream = phone.stream()
        world.submit(submission(1))
        stream.leave()
        assert world.host.lanes["fleet"].free == 0
        await asyncio.sleep(16)
        assert kinds(world) == ["Returned"]

    played(scene)


def test_what_was_listed_stays_with_its_phone_until_its_validity_has_passed():
    async def scene(world):
        phone, other = world.register(), world.register()
        stream = phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        stream.leave()
        other.stream()
        await asyncio.sleep(715)
        assert other.pull() == []
        assert not world.host.order
        await asyncio.sleep(130)
        assert kinds(world) == ["Unknown"]
        # What is told afterwards can still settle the doubt.
        phone.report(listed["id"], "+15550100042", "Sent")
        (receipt,) = world.host.items
        assert (receipt.status, receipt.reference, receipt.to) == (
            Status.SENT,
            reference_of(1, 1),
            "+15550100042",
        )

    played(scene)


def test_processed_and_then_silence_counts_as_sent():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        phone.report(listed["id"], "+15550100042", "Processed")
        await asyncio.sleep(62)
        assert kinds(world) == ["Sent"]
        (told,) = json.loads(world.people("GET").sent)["phones"]
        assert (told["sent"], told["in_flight"]) == (1, 0)
        phone.report(listed["id"], "+15550100042", "Failed", "Send result: RESULT_MODEM_ERROR (x)")
        (receipt,) = world.host.items
        assert (receipt.status, receipt.reference) == (Status.UNDELIVERED, None)

    played(scene)


def test_a_phone_that_does_not_pull_loses_what_it_was_given_to_another():
    async def scene(world):
        deaf, other = world.register(), world.register()
        deaf.stream()
        world.submit(submission(1))
        other.stream()
        await asyncio.sleep(61)
        assert kinds(world) == ["Returned"]
        world.submit(submission(2))
        assert [each["phoneNumbers"] for each in other.pull()] == [["+15550100042"]]

    played(scene)


def test_a_failed_attempt_goes_by_another_phone():
    async def scene(world):
        phones = [world.register() for _ in range(3)]
        for phone in phones:
            phone.stream()
        used = []
        for attempt in (1, 2):
            world.host.handed.pop(5, None)
            world.host.outcomes.pop(5, None)
            world.submit(submission(5, attempt=attempt))
            ((phone, listed),) = [(phone, each) for phone in phones for each in phone.pull()]
            used.append(phone.id)
            error = "Send result: RESULT_ERROR_GENERIC_FAILURE (x)"
            phone.report(listed["id"], "+15550100042", "Failed", error)
        assert used[0] != used[1]

    played(scene)


def test_a_destination_keeps_its_phone():
    async def scene(world):
        phones = [world.register() for _ in range(4)]
        for phone in phones:
            phone.stream()
        owners = set()
        for token in range(1, 6):
            world.submit(submission(token))
            for phone in phones:
                for listed in phone.pull():
                    owners.add(phone.id)
                    phone.report(listed["id"], "+15550100042", "Sent")
            await asyncio.sleep(10)
        assert len(owners) == 1

    played(scene)


def test_a_phone_sends_no_faster_than_its_pace():
    async def scene(world):
        phone = world.register()
        phone.stream()
        listed = set()
        token = 0
        for _ in range(120):
            while world.host.free:
                token += 1
                world.submit(submission(token, f"+1555010{token:04d}"))
            for each in phone.pull():
                listed.add(each["id"])
                phone.report(each["id"], each["phoneNumbers"][0], "Sent")
            await asyncio.sleep(1)
        assert 39 <= len(listed) <= 42

    played(scene)


def test_the_lane_stays_open_while_a_phone_rests_between_two_messages():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1), submission(2), submission(3))
        for each in phone.pull():
            phone.report(each["id"], "+15550100042", "Sent")
        assert world.host.lanes["fleet"].window > 0

    played(scene)


def test_a_phone_that_hit_androids_limit_rests_a_minute():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        phone.report(listed["id"], "+15550100042", "Failed", "Send result: RESULT_ERROR_LIMIT_EXCEEDED (x)")
        assert world.host.free == 0
        await asyncio.sleep(58)
        assert world.host.free == 0
        await asyncio.sleep(4)
        assert world.host.free > 0

    played(scene)


def test_a_poller_is_given_time_and_a_stream_is_preferred():
    async def scene(world):
        poller = world.register(agent=OLD_APP)
        poller.pull()
        world.submit(submission(1))
        await asyncio.sleep(14 * 60)
        assert len(poller.pull()) == 1
        streaming = world.register()
        streaming.stream()
        world.submit(submission(2, "+15550100050"))
        assert len(streaming.pull()) == 1
        (shown,) = [
            each for each in json.loads(world.people("GET").sent)["phones"] if each["version"] == "1.43.0"
        ]
        assert shown["presence"] == "polling"
        assert "update the app" in shown["advice"][0]

    played(scene)


def test_a_restart_lists_again_to_the_same_phone_under_the_same_id():
    async def scene(world):
        phone, other = world.register(), world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        again = await world.again()
        assert kinds(world) == ["Unknown"]
        phone.world = other.world = again
        other.stream()
        again.submit(submission(1, attempt=2))
        assert other.pull() == []
        phone.stream()
        assert [each["id"] for each in phone.pull()] == [listed["id"]]
        phone.report(listed["id"], "+15550100042", "Sent")
        assert kinds(again) == ["Sent"]
        return again

    played(scene)


def test_a_report_after_a_restart_is_evidence_though_nothing_is_remembered():
    async def scene(world):
        phone = world.register()
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        again = await world.again()
        phone.world = again
        assert phone.report(listed["id"], "+15550100042", "Delivered").status == 204
        (receipt,) = again.host.items
        assert (receipt.status, receipt.reference) == (Status.DELIVERED, reference_of(1, 1))
        return again

    played(scene)


def test_a_restart_remembers_phones_tokens_and_what_was_used():
    async def scene(world):
        phone, _ = add(world, "anna")
        phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        phone.report(listed["id"], "+15550100042", "Sent")
        again = await world.again()
        phone.world = again
        assert phone.ask("GET", "/message").status == 200
        view = shown(again, "anna")
        assert (view["sent"], view["version"], view["model"]) == (1, "1.68.0", "samsung/beyond0ltexx")
        (sim,) = view["sims"]
        assert (sim["used"]["hour"], sim["left"]) == (1, 199)
        return again

    played(scene)


def test_an_allowance_ends_and_begins_with_the_hour():
    async def scene(world):
        phone = world.register()
        phone.stream()
        for token in (1, 2):
            world.submit(submission(token))
            for listed in phone.pull():
                phone.report(listed["id"], "+15550100042", "Sent")
            await asyncio.sleep(10)
        assert world.host.free == 0
        await asyncio.sleep(3600)
        assert world.host.free == 2

    played(scene, hourly=2)


def test_no_more_destinations_a_month_than_a_sim_may_write_to():
    async def scene(world):
        anna, _ = add(world, "anna")
        anna.stream()
        world.submit(submission(1, "+15550100001"), submission(2, "+15550100002"))
        for listed in [*anna.pull(), *anna.pull()]:
            anna.report(listed["id"], listed["phoneNumbers"][0], "Sent")
        world.submit(submission(3, "+15550100003"))
        assert kinds(world) == ["Sent", "Sent", "Deferred"], "a third person is one too many"
        world.submit(submission(4, "+15550100001"))
        await asyncio.sleep(6)
        assert [each["phoneNumbers"] for each in anna.pull()] == [["+15550100001"]]
        (sim,) = shown(world, "anna")["sims"]
        assert sim["used"]["destinations"] == 2
        bert, _ = add(world, "bert")
        bert.stream()
        world.submit(submission(5, "+15550100003"))
        assert len(bert.pull()) == 1, "another SIM has its own"

    played(scene, destinations=2)


def test_a_drain_asks_phones_to_give_back_what_they_have_not_sent():
    async def scene(world):
        phone = world.register()
        stream = phone.stream()
        world.submit(submission(1))
        (listed,) = phone.pull()
        drain = asyncio.ensure_future(world.finish(10.0))
        await asyncio.sleep(0)
        assert f'event: MessageCancelled\ndata: {{"messageId":"{listed["id"]}"}}'.encode() in stream.sent
        (again,) = phone.pull()
        assert (again["id"], again["state"]) == (listed["id"], "Cancelling")
        phone.report(listed["id"], "+15550100042", "Cancelled")
        await drain
        assert kinds(world) == ["Returned"]
        assert stream.is_complete

    played(scene)


def test_an_old_app_is_never_listed_what_is_to_be_cancelled():
    async def scene(world):
        phone = world.register(agent="me.capcom.smsgateway/1.66.0")
        phone.stream()
        world.submit(submission(1))
        phone.pull()
        drain = asyncio.ensure_future(world.finish(1.0))
        await asyncio.sleep(0)
        assert all(each["state"] == "Pending" for each in phone.pull())
        await drain
        assert kinds(world) == ["Unknown"]

    played(scene)


def test_an_invited_phone_registers_again_under_its_name_with_a_new_id():
    async def scene(world):
        first, token = add(world, "anna")
        stream = first.stream()
        world.submit(submission(1), submission(2))
        listed = first.pull()
        second = world.register(f"Bearer {token}")
        assert second.visit.status == 201
        assert second.id != first.id
        assert stream.is_complete
        assert first.ask("PATCH", "/device", {"id": first.id}).status == 401
        # Nothing moves over, for it may still send what it has; its reports of that count.
        assert second.pull() == []
        second.report(listed[0]["id"], "+15550100042", "Delivered")
        assert kinds(world) == ["Sent"]
        (receipt,) = world.host.items
        assert receipt.match_id == f"{listed[0]['id']}@{first.id}"
        assert shown(world, "anna")["id"] == second.id
        await asyncio.sleep(600)
        assert kinds(world) == ["Sent"]
        await asyncio.sleep(300)
        assert kinds(world) == ["Sent", "Unknown"]
        assert second.pull() == []

    played(scene)


def test_pause_gives_back_and_resume_takes_again():
    async def scene(world):
        phone, _ = add(world, "anna")
        phone.stream()
        world.submit(submission(1))
        assert world.people("POST", "/anna/pause").status == 200
        assert kinds(world) == ["Returned"]
        assert world.host.free == 0
        assert shown(world, "anna")["paused"]
        assert world.people("POST", "/anna/resume").status == 200
        assert world.host.free == 3

    played(scene)


def test_a_removed_phone_is_known_nowhere():
    async def scene(world):
        phone, token = add(world, "anna")
        assert world.people("DELETE", "/anna").status == 200
        assert phone.ask("GET", "/message").status == 401
        assert world.register(f"Bearer {token}").visit.status == 401
        assert world.people("GET", "/anna").status == 404
        assert set(world.host.memory) == {"key", "3p/key"}

    played(scene)


def test_invitations_are_shown_asked_for_again_and_refused():
    async def scene(world):
        token = json.loads(world.people("POST", body={"name": "anna"}).sent)["token"]
        assert shown(world, "anna")["presence"] == "invited"
        assert token not in repr(world.host.memory)
        newer = json.loads(world.people("POST", body={"name": "anna"}).sent)["token"]
        assert world.register(f"Bearer {token}").visit.status == 401
        assert world.register(f"Bearer {newer}").visit.status == 201
        assert world.people("POST", "/nobody/pause").status == 404
        assert json.loads(world.people("POST", body={"name": "bert"}).sent)["replaced"] is False
        assert json.loads(world.people("POST", body={"name": "bert"}).sent)["replaced"] is True
        assert world.people("POST", "/bert/pause").status == 409, "it has not registered yet"
        for name in ("", "a b", "x" * 41, "ä"):
            assert world.people("POST", body={"name": name}).status == 409
        assert world.people("POST", body=[]).status == 400

    played(scene)


@pytest.mark.parametrize("address", ["192.0.2.1:5000", "127.0.0.1:5000"])
def test_only_the_unix_socket_leads_to_the_fleet(address):
    async def scene(world):
        for method, path in (("GET", "/phones"), ("POST", "/phones"), ("DELETE", "/phones/anna")):
            assert world.ask(method, path, {"name": "x"}, base="/in/phones", address=address).status == 404

    played(scene)


def test_people_are_told_which_phone_would_be_chosen_and_why():
    async def scene(world):
        for name in ("anna", "bert"):
            add(world, name)[0].stream()
        told = json.loads(world.people("GET", "/anna?to=%2B15550100042").sent)["choice"]
        assert {each["key"] for each in told} == {"anna/1", "bert/1"}
        assert set(told[0]["factors"]) == {
            "sticky",
            "streaming",
            "load",
            "allowance",
            "recency",
            "failures",
        }

    played(scene)


def test_a_storm_of_phones_that_come_back_is_taken_in():
    async def scene(world):
        phones = [world.register() for _ in range(200)]
        again = await world.again()
        streams = []
        for phone in phones:
            phone.world = again
            assert phone.ask("PATCH", "/device", {"id": phone.id, "simCards": []}).status == 204
            streams.append(phone.stream())
            assert phone.pull() == []
        assert all(stream.status == 200 for stream in streams)
        assert again.host.free == 600
        assert again.counters["streams"] == 200
        return again

    played(scene)


def test_clients_of_the_apps_own_servers_submit_over_the_same_door():
    def api(request):
        """The engine's own answer to what the adapter submits."""
        if request.method == "POST":
            told = [
                {"id": "01a202e2-dce4-7000-b9b6-4895215ad30e", "status": "queued"}
                for _ in json.loads(request.body)
            ]
            return 202, json.dumps({"accepted": 1, "rejected": 0, "results": told}).encode()
        return 200, b'{"messages":[],"next":null}'

    async def scene(world):
        world.host.api = api
        phone = world.register()
        phone.stream()
        third = "/api/3rdparty/v1"
        devices = world.ask("GET", "/devices", authorization=phone.basic, base=third)
        assert [each["id"] for each in json.loads(devices.sent)] == [phone.id]
        body = {"textMessage": {"text": "Hi"}, "phoneNumbers": ["+15550100050"], "deviceId": phone.id}
        answer = world.ask("POST", "/messages", body, phone.basic, base=third)
        assert answer.status == 202
        (submit,) = [each for each in world.host.requests if each.method == "POST"]
        metadata = json.dumps(json.loads(submit.body)[0]["metadata"]).encode()
        world.submit(submission(1, "+15550100050", metadata=metadata))
        assert len(phone.pull()) == 1
        hook = {"url": "https://shop.example.test/x", "event": "sms:received"}
        assert world.ask("POST", "/webhooks", hook, phone.basic, base=third).status == 201
        urls = {each["url"] for each in json.loads(phone.ask("GET", "/webhooks").sent)}
        assert "https://shop.example.test/x" in urls
        statuses = [
            world.ask("GET", "/devices", authorization=f"Bearer x{n}", base=third).status for n in range(31)
        ]
        assert statuses == [401] * 30 + [429]

    played(scene)


def test_texts_and_numbers_are_encrypted_for_whom_that_is_asked():
    from stentor_android.encryption import Encryption

    async def scene(world):
        anna, _ = add(world, "anna")
        anna.stream()
        world.submit(submission(1))
        (listed,) = anna.pull()
        encryption = Encryption("open sesame 42", lambda count: bytes(count))
        assert listed["isEncrypted"]
        assert encryption.decrypt(listed["textMessage"]["text"]) == "Your code is 4821"
        (number,) = listed["phoneNumbers"]
        assert encryption.decrypt(number) == "+15550100042"
        anna.report(listed["id"], "+15550100042", "Sent")
        assert kinds(world) == []
        anna.report(listed["id"], number, "Sent")
        assert kinds(world) == ["Sent"]

    played(scene, passphrase="open sesame 42", encrypt=["anna"], iterations=10)
