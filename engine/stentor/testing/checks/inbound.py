"""Group 7, inbound: receipts and messages, acknowledged when they are durable and not before."""

import asyncio
from typing import Final

from stentor.driver import Inbound, Receipt
from stentor.message import Status
from stentor.outcome import Sent
from stentor.testing.checks.registry import scene
from stentor.testing.peer import Can, Seen
from stentor.testing.world import World
from stentor.text.segments import Encoding

_GROUP: Final = "inbound"
_MESSAGES: Final = (
    Inbound("+46701111111", "12345", "STOP", Encoding.GSM7),
    Inbound("+46701111112", "12345", "Där är €5 {kvar}", Encoding.GSM7),
    Inbound("+46701111113", "+46700000000", "Привет 👋", Encoding.UCS2),
    Inbound("+46701111114", "12345", "", Encoding.GSM7),
)


async def _sent(world: World, count: int = 1) -> list[Seen]:
    await world.ready()
    await world.send([world.submission() for _ in range(count)])
    return world.peer.seen[-count:]


@scene(_GROUP, Can.SUBMITS, Can.RECEIPTS)
async def a_receipt_names_what_it_is_about(world: World) -> None:
    """A receipt's match_id is the one its Sent announced, and its status is the peer's."""
    for status in (Status.DELIVERED, Status.UNDELIVERED, Status.SENT):
        (seen,) = await _sent(world)
        count = len(world.host.items)
        world.peer.send_receipt(seen, status)
        await world.until(lambda count=count: len(world.host.items) > count, "the receipt")  # type: ignore[misc]  # bound now
        receipt = world.host.items[-1]
        (sent,) = (each for each in world.host.order if each.submission.to == seen.to)
        assert isinstance(receipt, Receipt), f"a receipt became {type(receipt).__name__}"
        assert isinstance(sent, Sent)
        assert receipt.match_id == sent.match_id, f"{receipt.match_id!r} does not match {sent.match_id!r}"
        assert receipt.status is status, f"{status.word} became {receipt.status.word}"


@scene(_GROUP, Can.INBOUND)
async def a_message_arrives_as_it_was(world: World) -> None:
    """Originator, destination and text of a message that came in."""
    await world.until(lambda: world.peer.logins, "a login")
    await asyncio.sleep(0.1)
    for inbound in _MESSAGES:
        count = len(world.host.items)
        world.peer.send_inbound(inbound)
        await world.until(lambda count=count: len(world.host.items) > count, "the message")  # type: ignore[misc]  # bound now
        got = world.host.items[-1]
        assert isinstance(got, Inbound), f"a message became {type(got).__name__}"
        assert (got.originator, got.to, got.text) == (inbound.originator, inbound.to, inbound.text)


@scene(_GROUP, Can.INBOUND, Can.ACKNOWLEDGED)
async def nothing_is_acknowledged_before_it_is_durable(world: World) -> None:
    """No acknowledgement while the host holds it; one, and a positive one, once it is durable."""
    await _logged_in(world)
    world.host.settling = "held"
    handles = [world.peer.send_inbound(_MESSAGES[0]) for _ in range(3)]
    await world.until(lambda: len(world.host.items) == 3, "three messages")
    await asyncio.sleep(5.0)
    early = [handle for handle in handles if world.peer.acknowledgements.get(handle)]
    assert not early, f"{len(early)} of 3 were acknowledged before they were durable"
    world.host.settle(True)
    await world.until(
        lambda: all(world.peer.acknowledgements.get(handle) for handle in handles), "acknowledgements", 5.0
    )
    assert all(world.peer.acknowledgements[handle] == [True] for handle in handles), (
        "not exactly one, positive"
    )


@scene(_GROUP, Can.INBOUND, Can.ACKNOWLEDGED)
async def what_was_not_stored_is_not_acknowledged(world: World) -> None:
    """``settled(False)``: the peer is asked to try again or hears nothing, and the driver lives on."""
    await _logged_in(world)
    world.host.settling = "refused"
    handle = world.peer.send_inbound(_MESSAGES[0])
    await world.until(lambda: world.host.items, "the message")
    await asyncio.sleep(5.0)
    assert True not in world.peer.acknowledgements.get(handle, []), "it was acknowledged and is lost"
    world.host.settling = "at once"
    await world.ready()
    handle = world.peer.send_inbound(_MESSAGES[1])
    await world.until(lambda: world.peer.acknowledgements.get(handle) == [True], "the acknowledgement")


@scene(_GROUP, Can.INBOUND)
async def duplicates_are_passed_on(world: World) -> None:
    """The same message twice is two items: who is right about duplicates is not the driver's affair."""
    await _logged_in(world)
    world.peer.send_inbound(_MESSAGES[0])
    world.peer.send_inbound(_MESSAGES[0])
    await world.until(lambda: len(world.host.items) == 2, "both")
    assert world.host.items[0] == world.host.items[1]


@scene(_GROUP, Can.LINK, Can.INBOUND)
async def a_link_may_end_before_it_is_durable(world: World) -> None:
    """Settling what came over a link that is gone acknowledges nothing and harms nothing."""
    for is_durable in (True, False):
        await _logged_in(world)
        world.host.settling = "held"
        handle = world.peer.send_inbound(_MESSAGES[0])
        count = len(world.host.items)
        await world.until(lambda count=count: len(world.host.items) > count, "the message")  # type: ignore[misc]  # bound now
        world.network.reset_all()
        await asyncio.sleep(0.1)
        assert world.host.settle(is_durable)
        await asyncio.sleep(0.1)
        assert not world.peer.acknowledgements.get(handle), "acknowledged over a link that is gone"
        await world.ready()


@scene(_GROUP, Can.LINK, Can.MALFORMED, Can.SUBMITS)
async def malformed_input_is_borne(world: World) -> None:
    """Each mistake is answered where the protocol says so, counted, and harms nothing that follows."""
    for malformed in world.peer.malformed():
        await world.ready()
        link = world.network.open_links[-1]
        before, heard = sum(world.driver.status().counters.values()), world.peers_side(link).received
        world.peers_side(link).write(malformed.octets)
        await asyncio.sleep(1.0)
        after = world.driver.status()
        is_told = sum(after.counters.values()) > before or after.last_error
        assert is_told, f"{malformed.name}: neither counted nor reported"
        if malformed.is_answered:
            assert not link.client.is_lost, f"{malformed.name}: the link was given up"
            assert world.peers_side(link).received > heard, f"{malformed.name}: not answered"
        await world.ready()
        batch = world.submit(1)
        await world.resolved(batch)
        assert world.outcomes(batch) == ["Sent"], (
            f"{malformed.name}: the next submission got {world.outcomes(batch)}"
        )


async def _logged_in(world: World) -> None:
    await world.ready()
    await asyncio.sleep(0.1)
