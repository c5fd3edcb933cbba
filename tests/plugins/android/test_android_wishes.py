"""Messages that ask for one phone or SIM, and wait for it."""

import asyncio
import json

from tests.plugins.android.phone_world import add, kinds, played, submission


def test_metadata_may_ask_for_a_phone_and_a_sim():
    async def scene(world):
        anna, _ = add(world, "anna")
        bert, _ = add(world, "bert")
        anna.stream(), bert.stream()
        for token in range(1, 4):
            world.submit(submission(token, f"+1555010000{token}", metadata=b'{"device":"bert","sim":1}'))
        assert anna.pull() == []
        assert len(bert.pull()) == 2
        world.submit(submission(9, metadata=b'{"device":"carl"}'))
        assert kinds(world) == ["Deferred"], "nobody is called that"
        assert world.host.order[0].detail.startswith('there is no phone "')
        world.submit(submission(10, metadata=b'{"device":{"x":1}}'))
        assert len(anna.pull()) == 1

    played(scene)


def test_a_wish_for_a_phone_without_room_waits_for_it_and_costs_no_attempt():
    async def scene(world):
        anna, _ = add(world, "anna")
        bert, _ = add(world, "bert")
        anna.stream(), bert.stream()
        wanted = [
            submission(token, f"+1555010000{token}", metadata=b'{"device":"bert"}') for token in range(1, 6)
        ]
        free = world.host.free
        for each in wanted:
            world.submit(each)
        assert not world.host.order
        assert world.host.free == free - 3, "what waits for bert takes nothing of anna's room"
        for listed in bert.pull():
            bert.report(listed["id"], listed["phoneNumbers"][0], "Sent")
        await asyncio.sleep(7)
        assert len(bert.pull()) == 2, "as many as its pace allows"
        assert anna.pull() == []
        await asyncio.sleep(30)
        for listed in bert.pull():
            bert.report(listed["id"], listed["phoneNumbers"][0], "Sent")
        for listed in bert.pull():
            bert.report(listed["id"], listed["phoneNumbers"][0], "Sent")
        assert set(kinds(world)) == {"Sent"}

    played(scene)


def test_a_wish_is_given_back_when_it_waited_long_enough_or_the_phone_goes():
    async def scene(world):
        anna, _ = add(world, "anna")
        add(world, "bert")
        anna.stream()
        world.people("POST", "/bert/pause")
        world.submit(submission(1, metadata=b'{"device":"bert"}'))
        world.submit(submission(2, valid_for_s=5, metadata=b'{"device":"bert"}'))
        await asyncio.sleep(6)
        assert [each.submission.token for each in world.host.order] == [2]
        await asyncio.sleep(55)
        assert kinds(world) == ["Returned", "Returned"]
        world.submit(submission(3, metadata=b'{"device":"bert"}'))
        world.people("DELETE", "/bert")
        world.submit(submission(4, metadata=b'{"sim":2}'))
        assert kinds(world) == ["Returned"] * 3
        sims = [{"slotIndex": 0, "simNumber": 1}, {"slotIndex": 1, "simNumber": 2}]
        assert anna.ask("PATCH", "/device", {"id": anna.id, "simCards": sims}).status == 204
        await asyncio.sleep(0.5)
        assert [each["simNumber"] for each in anna.pull()] == [2]
        world.submit(submission(5, metadata=b'{"device":"anna","sim":2}'))

    played(scene)


def test_a_wish_follows_the_phone_that_registers_anew():
    async def scene(world):
        anna, token = add(world, "anna")
        world.register().stream()
        again = world.register(f"Bearer {token}")
        again.stream()
        world.submit(submission(1, metadata=json.dumps({"device": anna.id}).encode()))
        assert len(again.pull()) == 1

    played(scene)
