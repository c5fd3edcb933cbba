"""Messages that are cancelled while a phone has them: what comes back at once, what a phone is asked for, what left."""

import asyncio
import json

import msgspec
import pytest

from tests.plugins.android.phone_world import PhoneWorld, add, kinds, played, submission

OLD_APP = "me.capcom.smsgateway/1.66.0"
TO = "+15550100042"


def test_what_no_phone_was_told_of_comes_back_before_recall_returns():
    async def scene(world):
        phone = world.register()
        phone.stream()
        first, second = submission(1), submission(2)
        world.submit(first, second)
        assert not world.driver.recall([first])
        assert (kinds(world), world.host.order[0].submission) == (["Returned"], first)
        assert [each["message"] for each in phone.pull()] == [second.text]
        assert world.host.lanes["fleet"].free > 0

    played(scene)


def test_what_waits_for_one_phone_comes_back():
    async def scene(world):
        phone, _ = add(world, "anna")
        phone.stream()
        world.register().stream()
        batch = [submission(token, metadata=b'{"device":"anna"}') for token in (1, 2, 3, 4)]
        world.submit(*batch)
        waiting = batch[3]
        assert world.driver.core.fleet.wishes.count == 1
        assert not world.driver.recall([waiting])
        assert world.driver.core.fleet.wishes.count == 0
        assert [each.submission.token for each in world.host.order] == [4]

    played(scene)


def test_a_phone_is_asked_for_what_it_was_listed_by_event_and_by_its_next_pull():
    async def scene(world):
        phone = world.register()
        stream = phone.stream()
        mine = submission(1)
        world.submit(mine)
        (listed,) = phone.pull()
        assert list(world.driver.recall([mine])) == [1]
        assert f'event: MessageCancelled\ndata: {{"messageId":"{listed["id"]}"}}'.encode() in stream.sent
        assert not world.host.order
        (again,) = phone.pull()
        assert (again["id"], again["state"]) == (listed["id"], "Cancelling")
        phone.report(listed["id"], TO, "Cancelled")
        assert kinds(world) == ["Returned"]
        assert phone.pull() == []

    played(scene)


def test_a_phone_is_told_once_however_often_it_is_asked_for():
    async def scene(world):
        phone = world.register()
        stream = phone.stream()
        mine = submission(1)
        world.submit(mine)
        phone.pull()
        assert [list(world.driver.recall([mine])) for _ in range(3)] == [[1]] * 3
        assert stream.sent.count(b"MessageCancelled") == 1

    played(scene)


@pytest.mark.parametrize(
    ("agent", "word"), [(OLD_APP, None), (OLD_APP, "Pending"), ("me.capcom.smsgateway/1.68.0", "Processed")]
)
def test_what_an_old_app_was_listed_or_any_began_to_send_stays(agent, word):
    async def scene(world):
        phone = world.register(agent=agent)
        stream = phone.stream()
        mine = submission(1)
        world.submit(mine)
        (listed,) = phone.pull()
        if word:
            phone.report(listed["id"], TO, word)
        assert not world.driver.recall([mine])
        assert b"MessageCancelled" not in stream.sent
        assert all(each["state"] == "Pending" for each in phone.pull())
        phone.report(listed["id"], TO, "Sent")
        assert kinds(world) == ["Sent"]

    played(scene)


def test_a_phone_that_began_to_send_meanwhile_says_so():
    async def scene(world):
        phone = world.register()
        phone.stream()
        mine = submission(1)
        world.submit(mine)
        (listed,) = phone.pull()
        assert world.driver.recall([mine])
        phone.report(listed["id"], TO, "Processed")
        assert phone.pull() == []
        phone.report(listed["id"], TO, "Sent")
        assert kinds(world) == ["Sent"]

    played(scene)


def test_what_a_phone_took_back_has_another_id_when_it_comes_to_it_again():
    """By the old one it would send nothing, and say that it is cancelled, for ever."""

    async def scene(world):
        phone, _ = add(world, "anna")
        phone.stream()
        mine = submission(1)
        ids = []
        for _ in range(3):
            world.submit(mine)
            (listed,) = phone.pull()
            ids.append(listed["id"])
            assert world.people("POST", "/anna/pause").status == 200
            phone.report(listed["id"], TO, "Cancelled")
            assert world.people("POST", "/anna/resume").status == 200
            del world.host.handed[1], world.host.outcomes[1]
            await asyncio.sleep(5)  # its pace
        assert len(set(ids)) == 3
        assert all(len(each) <= 36 and "|" not in each for each in ids)
        assert kinds(world) == ["Returned"] * 3
        world.submit(mine)
        (listed,) = phone.pull()
        phone.report(listed["id"], TO, "Sent")
        assert kinds(world)[-1] == "Sent"

    played(scene)


def test_what_has_its_outcome_is_passed_over():
    async def scene(world):
        phone = world.register()
        phone.stream()
        mine = submission(1)
        world.submit(mine)
        (listed,) = phone.pull()
        phone.report(listed["id"], TO, "Sent")
        assert not world.driver.recall([mine, submission(2)])
        await asyncio.sleep(1)
        assert kinds(world) == ["Sent"]
        assert json.loads(phone.ask("GET", "/message").sent) == []

    played(scene)


async def killed(world, *phones):
    """A life that was killed, and the next."""
    left = dict(world.host.durable_memory)
    await world.finish()
    again = await PhoneWorld(world.loop, left, **world.table).begin()
    for phone in phones:
        phone.world = again
        phone.stream()
    return again


def test_what_was_asked_for_before_a_kill_is_asked_for_again_when_it_is_handed_over():
    async def scene(world):
        phone, other = world.register(), world.register()
        phone.stream()
        mine, kept = submission(1), submission(2, to="+15550100043")
        world.submit(mine, kept)
        ids = {each["phoneNumbers"][0]: each["id"] for each in phone.pull()}
        assert world.driver.recall([mine])
        again = await killed(world, other, phone)
        batch = [msgspec.structs.replace(each, attempt=2) for each in (mine, kept)]
        again.submit(*batch)
        assert again.host.asked == {1}
        assert other.pull() == []
        told = {each["id"]: each["state"] for each in phone.pull()}
        assert told == {ids[mine.to]: "Cancelling", ids[kept.to]: "Pending"}
        phone.report(ids[mine.to], TO, "Cancelled")
        assert [(each.submission.token, type(each).__name__) for each in again.host.order] == [
            (1, "Returned")
        ]
        return again

    played(scene)


@pytest.mark.parametrize(
    ("word", "kind"),
    [("Cancelled", "Returned"), ("Processed", None), ("Sent", "Sent"), ("Failed", "Returned")],
)
def test_what_a_phone_says_after_a_kill_of_what_it_was_asked_for_counts(word, kind):
    async def scene(world):
        phone, other = world.register(), world.register()
        phone.stream()
        mine = submission(1)
        world.submit(mine)
        (listed,) = phone.pull()
        assert world.driver.recall([mine])
        again = await killed(world, phone, other)
        phone.report(listed["id"], TO, word)
        again.submit(msgspec.structs.replace(mine, attempt=2))
        assert again.host.asked == {1}
        assert kinds(again) == ([kind] if kind else [])
        assert phone.pull() == other.pull() == []
        return again

    played(scene)


def test_what_was_asked_for_before_a_kill_goes_to_no_other_phone_if_its_own_is_gone():
    async def scene(world):
        (phone, _), other = add(world, "anna"), world.register()
        phone.stream()
        mine = submission(1)
        world.submit(mine)
        assert len(phone.pull()) == 1
        assert world.driver.recall([mine])
        again = await killed(world, phone, other)
        assert again.people("DELETE", "/anna").status == 200
        again.submit(msgspec.structs.replace(mine, attempt=2))
        assert (again.host.asked, kinds(again)) == ({1}, [])
        assert other.pull() == []
        await asyncio.sleep(900)
        assert kinds(again) == ["Unknown"]
        return again

    played(scene)


def test_what_a_pause_or_an_end_takes_back_counts_as_cancelled_by_nobody():
    async def scene(world):
        phone, _ = add(world, "anna")
        phone.stream()
        mine = submission(1)
        world.submit(mine)
        (listed,) = phone.pull()
        assert world.people("POST", "/anna/pause").status == 200
        again = await world.again()
        phone.world = again
        assert again.people("POST", "/anna/resume").status == 200
        phone.stream()
        again.submit(msgspec.structs.replace(mine, attempt=2))
        assert not again.host.asked
        assert [(each["id"], each["state"]) for each in phone.pull()] == [(listed["id"], "Pending")]
        return again

    played(scene)
