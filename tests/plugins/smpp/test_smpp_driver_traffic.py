"""What an SMSC sends besides answers: receipts and messages in either PDU, alerts, and how congested it is."""

import asyncio

import pytest

from stentor.driver import Inbound, Receipt
from stentor.message import Status
from stentor.testing.world import World, play
from stentor_smpp import pdu as codec
from stentor_smpp.fields import ALERT_NOTIFICATION, DATA_SM, DELIVER_SM
from stentor_smpp.pdu import PDU
from stentor_smpp.tlvs import MESSAGE_PAYLOAD
from tests.plugins.smpp.smpp_scenes import lane, scene, subject

RECEIPT = b"id:{} sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:x"


def send(world: World, command_id: int, sequence: int, text: bytes, **fields) -> None:
    """A deliver_sm or data_sm of the peer, outside its session's book."""
    fields = {"source_addr": "46701234567", "destination_addr": "12345", **fields}
    tlvs = ()
    if command_id == DATA_SM:
        tlvs = ((MESSAGE_PAYLOAD, text),)
    else:
        fields["short_message"] = text
    world.peer.receiving.transport.write(codec.encode(PDU(command_id, 0, sequence, fields, tlvs)))


@pytest.mark.parametrize("command_id", [DELIVER_SM, DATA_SM])
@pytest.mark.parametrize(("settling", "status"), [("at once", 0), ("refused", 0x64)])
def test_deliver_sm_and_data_sm_are_taken_and_answered_alike(command_id, settling, status):
    async def taken(world: World) -> None:
        await world.ready()
        await asyncio.sleep(0.1)
        world.host.settling = settling
        raw: list[bytes] = []
        transport = world.network.links[0].client
        transport.write = raw.append
        send(world, command_id, 500, RECEIPT.replace(b"{}", b"7F"), esm_class=4)
        send(world, command_id, 501, b"JOIN")
        await asyncio.sleep(0.1)
        message, receipt = sorted(world.host.items, key=lambda item: type(item).__name__)
        assert isinstance(receipt, Receipt)
        assert (receipt.match_id, receipt.status) == ("7F", Status.DELIVERED)
        assert isinstance(message, Inbound)
        assert (message.originator, message.to, message.text) == ("46701234567", "12345", "JOIN")
        body = b"\0" if status == 0 else b""
        answers = [
            codec.HEADER.pack(16 + len(body), command_id | 0x80000000, status, sequence) + body
            for sequence in (500, 501)
        ]
        assert b"".join(raw) in (b"".join(answers), b"".join(reversed(answers)))

    play(subject(), taken)


@scene()
async def test_alerts_are_counted_and_told_of_once_a_second_without_the_whole_number(world: World) -> None:
    await world.ready()
    await asyncio.sleep(0.1)
    body = codec.encode_body(ALERT_NOTIFICATION, {"source_addr": "46701234567", "esme_addr": "12345"})
    for _ in range(3):
        for _ in range(100):
            world.peer.receiving.session.notify(body)
        world.peer.receiving.flush()
        await asyncio.sleep(1.5)
    assert world.driver.status().counters["alert_notifications"] == 300
    told = [line for line in world.host.memory_log.lines if line.event == "handset reachable again"]
    assert len(told) == 3
    # The host masks what is given as a number.
    assert told[0].values == {"lane": "trx-1", "number": "46701234567"}
    assert world.peer.links[0].received == ["bind_transceiver"]


async def spend(world: World, congestion: int | None, seconds: int) -> list[int]:
    """Send what fits, each answer saying how congested the peer is; the offer after each second."""
    world.peer.congestion = congestion
    offers = []
    for _ in range(seconds):
        batch = world.submit()
        await world.resolved(batch)
        assert set(world.outcomes(batch)) == {"Sent"}
        offers.append(world.host.lanes["trx-1"].window)
        await asyncio.sleep(1.0)
    return offers


@scene(window=40)
async def test_the_offer_follows_the_peers_congestion(world: World) -> None:
    await world.ready()
    assert await spend(world, 10, 2) == [40, 40]
    assert await spend(world, 95, 4) == [30, 22, 16, 12]
    assert await spend(world, 85, 3) == [12, 12, 12]
    assert await spend(world, 100, 5) == [6, 3, 1, 1, 1]
    assert await spend(world, 40, 4) == [5, 9, 13, 17]
    # It stops saying anything: that was long ago at some point.
    assert (await spend(world, None, 30))[-1] == 40
    assert world.driver.status().counters["congestion_steps"] > 10


@scene(window=40)
async def test_a_new_session_is_offered_whole(world: World) -> None:
    await world.ready()
    await spend(world, 100, 3)
    world.network.reset_all()
    await asyncio.sleep(0.01)
    await world.ready()
    assert world.host.lanes["trx-1"].window == 40


def test_a_channel_of_receivers_offers_nothing_and_receives():
    async def received(world: World) -> None:
        await world.until(lambda: lane(world, "rx-1").state == "bound", "the bind")
        assert world.host.lanes == {}
        status = lane(world, "rx-1")
        assert status.is_receiving
        assert status.detail == "to SMSC, receives only"
        world.peer.send_inbound(Inbound("+46701234567", "12345", "STOP"))
        await world.until(lambda: world.host.items, "the message")
        world.network.reset_all()
        await asyncio.sleep(0.1)
        assert not lane(world, "rx-1").is_receiving

    play(subject(bind="receiver"), received)


@scene(binds=[{"kind": "transceiver", "window": 3}, {"kind": "transmitter", "sessions": 2, "window": 5}])
async def test_each_bind_is_a_lane_with_its_own_window(world: World) -> None:
    await world.until(lambda: world.host.free == 13, "three lanes")
    assert {key: each.window for key, each in world.host.lanes.items()} == {"trx-1": 3, "tx-1": 5, "tx-2": 5}
    batch = [world.submission() for _ in range(39)]
    await world.send(batch)
    used = {seen.link for seen in world.peer.seen}
    assert len(used) == 3


@scene(binds=[{"kind": "transmitter", "system_id": "send"}, {"kind": "receiver", "system_id": "take"}])
async def test_each_bind_may_have_a_login_of_its_own(world: World) -> None:
    await world.until(lambda: len(world.peer.links) == 2 and world.host.free, "both")
    await asyncio.sleep(0.1)
    logins = [link.bind.fields["system_id"] for link in world.peer.links]
    assert logins == ["send", "take"]
    assert [link.bind.fields["password"] for link in world.peer.links] == ["cAn4rY-7"] * 2
