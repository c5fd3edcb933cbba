"""What phones are told of is durable first; what many phones tell is gathered."""

import asyncio
import json

import msgspec

from tests.plugins.android.phone_world import PhoneWorld, add, played, submission


def test_a_pull_is_answered_when_it_is_durable_what_it_lists():
    async def scene(world):
        phone, other = world.register(), world.register()
        phone.stream(), other.stream()
        world.submit(submission(1))
        world.host.settle()
        world.host.settling = "held"
        asked = [each.ask("GET", "/message") for each in (phone, other)]
        repeated = phone.ask("GET", "/message")
        waits = [each.status for each in (*asked, repeated)]
        listing = other if waits[0] else phone
        assert waits in ([0, 200, 0], [200, 0, 200])
        assert not any(name.startswith("lease/") for name in world.host.durable_memory)
        world.host.settle()
        assert f"lease/{listing.id}" in world.host.durable_memory
        assert [each.status for each in asked] == [200, 200]
        assert len(listing.pull()) == 1, "durable now, so nobody waits"

    played(scene)


def test_after_a_kill_what_was_listed_goes_to_the_same_phone_alone():
    async def scene(world):
        phones = [world.register() for _ in range(5)]
        for phone in phones:
            phone.stream()
        batch = [submission(token, f"+1555010000{token}") for token in range(1, 6)]
        world.submit(*batch)
        had = {each["id"]: phone.id for phone in phones for each in phone.pull()}
        assert len(had) == 5
        left = dict(world.host.durable_memory)
        await world.finish()
        again = await PhoneWorld(world.loop, left, **world.table).begin()
        for phone in reversed(phones):
            phone.world = again
            phone.stream()
        again.submit(*(msgspec.structs.replace(each, attempt=2) for each in batch))
        assert {each["id"]: phone.id for phone in phones for each in phone.pull()} == had
        return again

    played(scene)


def test_what_many_phones_tell_is_gathered_and_what_one_tells_is_not():
    async def scene(world):
        world.driver.gather_s = 0.015
        phones = [world.register() for _ in range(20)]
        streams = [phone.stream() for phone in phones]
        await asyncio.sleep(1.1)
        world.submit(*(submission(token, f"+155501000{token:02}") for token in range(20)))
        assert sum(b"MessageEnqueued" in each.sent for each in streams) > 0, "the first waits for nothing"
        await asyncio.sleep(0.02)
        asked = [phone.ask("GET", "/message") for phone in phones]
        assert [visit.status for visit in asked].count(200) == 1, "one is answered, and the others together"
        await asyncio.sleep(0.02)
        told = [
            (phone, each)
            for phone, visit in zip(phones, asked, strict=True)
            for each in json.loads(visit.sent)
        ]
        assert len(told) == 20
        await asyncio.sleep(0.02)
        reports = [phone.report(each["id"], each["phoneNumbers"][0], "Delivered") for phone, each in told]
        assert len(world.host.items) == 1
        assert [visit.status for visit in reports].count(204) == 1
        await asyncio.sleep(0.02)
        assert [visit.status for visit in reports] == [204] * 20
        assert len(world.host.items) == len(world.host.order) == 20

    played(scene)


def test_what_a_phone_told_before_it_came_again_is_not_sent_anew_however_late_that_is():
    async def scene(world):
        phone, other = world.register(), world.register()
        phone.stream()
        told = ("Sent", "Delivered", "Failed", "Processed")
        batch = [submission(token, f"+1555010000{token}") for token in range(1, len(told) + 1)]
        world.submit(*batch)
        listed = []
        for _ in range(4):
            listed += [each for each in phone.pull() if each not in listed]
            await asyncio.sleep(4)
        left = dict(world.host.durable_memory)
        await world.finish()
        again = await PhoneWorld(world.loop, left, **world.table).begin()
        phone.world = other.world = again
        for each, state in zip(listed, told, strict=True):
            error = "Send result: RESULT_RIL_MODEM_ERR (x)" if state == "Failed" else None
            phone.report(each["id"], each["phoneNumbers"][0], state, error)
        await asyncio.sleep(6)
        # Durable meanwhile, also over one more death.
        left = dict(again.host.durable_memory)
        await again.finish()
        last = await PhoneWorld(world.loop, left, **world.table).begin()
        phone.world = other.world = last
        await asyncio.sleep(3600)
        other.stream()
        last.submit(*batch)
        assert [(each.submission.token, type(each).__name__) for each in last.host.order] == [
            (1, "Sent"),
            (2, "Sent"),
        ]
        assert [each["phoneNumbers"] for each in other.pull()] == [["+15550100003"]], (
            "what failed may go elsewhere"
        )
        await asyncio.sleep(62)
        assert [each.submission.token for each in last.host.order] == [1, 2, 4]
        return last

    played(scene, window=4)


def test_what_a_phone_has_that_is_gone_waits_over_a_kill_until_its_validity_has_passed():
    async def scene(world):
        (phone, token), other = add(world, "anna"), world.register()
        phone.stream()
        batch = [submission(number, f"+1555010000{number}") for number in (1, 2)]
        world.submit(*batch)
        second = phone.pull()[1]
        anew = world.register(f"Bearer {token}")
        for _ in range(2):
            left = dict(world.host.durable_memory)
            await world.finish()
            world = await PhoneWorld(world.loop, left, **world.table).begin()
            anew.world = other.world = world
            anew.stream(), other.stream()
            world.submit(*(msgspec.structs.replace(each, attempt=2) for each in batch))
            assert anew.pull() == other.pull() == []
            assert not world.host.order
            await asyncio.sleep(60)
        anew.report(second["id"], "+15550100002", "Sent")
        assert [(each.submission.token, type(each).__name__) for each in world.host.order] == [(2, "Sent")]
        await asyncio.sleep(800)
        assert [type(each).__name__ for each in world.host.order] == ["Sent", "Unknown"]
        return world

    played(scene)
