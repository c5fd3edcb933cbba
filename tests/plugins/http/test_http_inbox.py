"""What carriers bring to a channel: answered once it is durable, bounded, and one of each."""

import asyncio
import json
from collections.abc import Callable, Sequence

import pytest

from stentor.driver import Inbound, Receipt
from stentor.message import Status
from stentor.outcome import Outcome, Sent, Unknown
from stentor.testing.world import Subject, World, play
from stentor_http.driver import HTTPDriver
from stentor_http.spec import SPEC
from tests.plugins.http.parcel_peer import DESCRIPTION, HOOKS, ManyLinks, ParcelPeer


def parcel(**table) -> Subject:
    return Subject(spec=SPEC, peer=ManyLinks, table={"description": DESCRIPTION, **table})


def test_a_receipt_is_answered_once_it_is_durable():
    async def scene(world: World) -> None:
        assert isinstance(world.peer, ParcelPeer)
        await world.ready()
        batch = world.submit(1)
        await world.resolved(batch)
        assert world.peer.bodies[0]["url"] == "https://sms.example/in/channel/receipt?token=t0ken"
        world.host.settling = "held"
        body = json.dumps({"id": world.peer.seen[0].carrier_id, "status": "delivered"}).encode()
        first = world.host.ask("POST", "/in/channel/receipt?token=t0ken", body)
        second = world.host.ask("POST", "/in/channel/receipt?token=t0ken", body)
        await asyncio.sleep(0.01)
        assert (first.status, second.status) == (0, 0)
        world.host.settle(True)
        assert (first.status, first.sent, second.status) == (200, b"taken", 200)
        item = world.host.items[0]
        assert isinstance(item, Receipt)
        outcome = world.host.outcomes[batch[0].token]
        assert isinstance(outcome, Sent)
        assert (item.match_id, item.status) == (outcome.match_id, Status.DELIVERED)

    play(parcel(**HOOKS), scene)


def test_a_message_that_is_repeated_is_one_and_its_answer_waits_until_the_first_is_durable():
    async def scene(world: World) -> None:
        await world.ready()
        body = json.dumps({"id": "m1", "from": "447700900123", "to": "60006", "text": "Yes"}).encode()
        world.host.settling = "held"
        first = world.host.ask("POST", "/in/channel/mo?token=t0ken", body)
        await asyncio.sleep(0.01)
        again = world.host.ask("POST", "/in/channel/mo?token=t0ken", body)
        await asyncio.sleep(0.01)
        assert (first.status, again.status) == (0, 0)
        world.host.settle(True)
        assert (first.status, again.status) == (200, 200)
        assert [item.text for item in world.host.items if isinstance(item, Inbound)] == ["Yes"]
        assert world.driver.status().counters["hook_repeated"] == 1
        assert world.host.durable_memory.keys() == world.host.memory.keys()
        await world.finish()
        world.make()
        world.begin()
        await world.ready()
        world.host.settling = "at once"
        third = world.host.ask("POST", "/in/channel/mo?token=t0ken", body)
        await world.until(lambda: third.status == 200, "known after a restart")
        assert not [item for item in world.host.items if isinstance(item, Inbound)]

    play(parcel(**HOOKS), scene)


def test_a_receipt_in_the_turn_of_its_answer_comes_behind_it_and_those_of_a_turn_go_together():
    async def scene(world: World) -> None:
        assert isinstance(world.peer, ParcelPeer)
        await world.ready()
        batch = world.submit(1)
        await world.resolved(batch)
        told: list[str] = []
        receive = world.host.receive

        def note(outcomes: Sequence[Outcome]) -> None:
            told.append(f"{len(outcomes)} outcomes")

        def take(items: Sequence[Receipt | Inbound], settled: Callable[[bool], None]) -> None:
            told.append(f"{len(items)} items")
            receive(items, settled)

        world.host.resolve, world.host.receive = note, take  # type: ignore[method-assign]  # to listen
        driver = world.driver
        assert isinstance(driver, HTTPDriver)
        carrier_id = world.peer.seen[0].carrier_id
        body = json.dumps({"id": carrier_id, "status": "delivered"}).encode()
        visits = [world.host.ask("POST", "/in/channel/receipt?token=t0ken", body) for _ in range(3)]
        driver._settle([Unknown(batch[0], "late")])
        await asyncio.sleep(0.01)
        assert told == ["1 outcomes", "3 items"]
        assert [visit.status for visit in visits] == [200] * 3

    play(parcel(**HOOKS), scene)


def test_what_was_not_stored_is_to_be_sent_again():
    async def scene(world: World) -> None:
        await world.ready()
        world.host.settling = "refused"
        body = json.dumps({"id": "m1", "from": "+46701111111", "to": "12345", "text": "hi"}).encode()
        visit = world.host.ask("POST", "/in/channel/mo?token=t0ken", body)
        await asyncio.sleep(0.01)
        assert (visit.status, visit.fields["retry-after"]) == (503, "5")
        world.host.settling = "at once"
        visit = world.host.ask("POST", "/in/channel/mo?token=t0ken", body)
        await asyncio.sleep(0.01)
        assert visit.status == 200
        item = world.host.items[-1]
        assert isinstance(item, Inbound)
        assert (item.originator, item.text) == ("+46701111111", "hi")

    play(parcel(**HOOKS), scene)


@pytest.mark.parametrize(
    ("target", "body", "status", "counter"),
    [
        ("/in/channel/receipt?token=wrong", b"{}", 403, "hook_rejected_token"),
        ("/in/channel/receipt", b"{}", 403, "hook_rejected_token"),
        ("/in/channel/mo?token=t0ken", b"{", 400, "hook_rejected_unreadable"),
        ("/in/channel/other?token=t0ken", b"{}", 404, ""),
        ("/in/channel", b"{}", 404, ""),
    ],
)
def test_what_is_not_the_carriers_is_rejected_and_counted(target, body, status, counter):
    async def scene(world: World) -> None:
        await world.ready()
        for _ in range(3):
            assert world.host.ask("POST", target, body).status == status
        assert not world.host.items
        if counter:
            assert world.driver.status().counters[counter] == 3
            lines = [line for line in world.host.memory_log.lines if "rejected" in line.event]
            assert len(lines) == 1, "the log must not be flooded"
            assert "was rejected: it" in str(world.driver.status().last_error)

    play(parcel(**HOOKS), scene)


def test_what_is_not_durable_yet_is_bounded():
    async def scene(world: World) -> None:
        await world.ready()
        world.host.settling = "held"
        body = json.dumps({"id": "m1", "from": "+4670", "to": "1", "text": "x" * 200_000}).encode()
        visits = [world.host.ask("POST", "/in/channel/mo?token=t0ken", body) for _ in range(60)]
        refused = [visit for visit in visits if visit.status == 503]
        assert 15 <= len(refused) <= 25
        await asyncio.sleep(0.01)
        world.host.settle(True)
        assert world.host.ask("POST", "/in/channel/mo?token=t0ken", body).status == 0
        world.host.settle(True)

    play(parcel(**HOOKS), scene)
