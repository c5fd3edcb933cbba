"""A hostile peer costs its own session and a bounded amount of memory; the others go on. Virtual time throughout."""

import asyncio
import random
import tracemalloc

import pytest

from stentor.testing.network import RECEIVE_OCTETS
from stentor.testing.world import World, play
from stentor_smpp import pdu as codec
from stentor_smpp.connection import UNANSWERED_OCTETS, UNANSWERED_PAUSE
from stentor_smpp.fields import ALERT_NOTIFICATION, DELIVER_SM, ENQUIRE_LINK, SUBMIT_SM_RESP
from stentor_smpp.pdu import CLIENT_PDU_OCTETS, PDU
from tests.plugins.smpp.smpp_scenes import lane, scene, subject

HEADER = codec.HEADER.pack
DELIVER = {"source_addr": "46701234567", "destination_addr": "12345", "short_message": b"x"}


def bound_link(world: World, key: str):
    """The link under the session of this key, and the peer's transport of it."""
    address = world.driver.binds[key].connection._transport.get_extra_info("sockname")
    return next(link for link in world.network.links if link.client.get_extra_info("sockname") == address)


def deliver(sequence: int, **fields) -> bytes:
    return codec.encode(PDU(DELIVER_SM, 0, sequence, {**DELIVER, **fields}))


def tlv(tag: int, length: int, octets: bytes) -> bytes:
    return tag.to_bytes(2, "big") + length.to_bytes(2, "big") + octets


ENDLESS = b"\x05" * 3_000
EMPTY_DELIVER = codec.encode_body(DELIVER_SM, {})
ATTACKS = {
    "random octets": lambda chance: chance.randbytes(4_000),
    "a length of nothing": lambda chance: HEADER(0, DELIVER_SM, 0, 1),
    "a length below the header": lambda chance: HEADER(15, DELIVER_SM, 0, 1),
    "a length of four gigabytes": lambda chance: HEADER(0xFFFFFFFF, DELIVER_SM, 0, 1) + bytes(9_000),
    "the longest PDU, never finished": lambda chance: HEADER(CLIENT_PDU_OCTETS, DELIVER_SM, 0, 1) + ENDLESS,
    "endless strings": lambda chance: HEADER(16 + len(ENDLESS), DELIVER_SM, 0, 1) + ENDLESS,
    "sm_length beyond the end": lambda chance: (
        HEADER(16 + len(EMPTY_DELIVER), DELIVER_SM, 0, 1) + EMPTY_DELIVER[:-1] + b"\xff"
    ),
    "a TLV beyond the end": lambda chance: (
        HEADER(20 + len(EMPTY_DELIVER), DELIVER_SM, 0, 1) + EMPTY_DELIVER + tlv(0x0424, 0xFFFF, b"")
    ),
    "a thousand TLVs": lambda chance: (
        HEADER(16 + len(EMPTY_DELIVER) + 5_000, DELIVER_SM, 0, 1)
        + EMPTY_DELIVER
        + tlv(0x1400, 1, b"x") * 1_000
    ),
    "an endless id": lambda chance: HEADER(3_016, SUBMIT_SM_RESP, 0, 1) + ENDLESS,
    "noise in frames": lambda chance: b"".join(
        HEADER(16 + size, chance.randrange(0x110) | chance.choice([0, 1 << 31]), 0, chance.randrange(20))
        + chance.randbytes(size)
        for size in (chance.randrange(80) for _ in range(100))
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_octets_that_make_no_sense_cost_only_their_own_session(attack):
    async def attacked(world: World) -> None:
        await world.until(lambda: world.host.free == 20, "two lanes")
        chance = random.Random(3)
        for _ in range(6):
            if lane(world, "trx-1").state == "bound":
                bound_link(world, "trx-1").server.write(ATTACKS[attack](chance))
            await asyncio.sleep(0.05)
            held = world.driver.binds["trx-1"].connection
            assert held is None or len(held.session._partial) <= CLIENT_PDU_OCTETS + RECEIVE_OCTETS
            batch = world.submit(10, lane="trx-2")
            await asyncio.sleep(0.05)
            assert set(world.outcomes(batch)) == {"Sent"}
            await asyncio.sleep(11)
        status = world.driver.status()
        assert any(status.counters.values()) or "trx-1" in (status.last_error or "")
        assert len([link for link in world.peer.links if link.number == 1 and link.transport]) == 1
        await world.until(lambda: world.host.free == 20, "both lanes again")
        batch = world.submit(10, lane="trx-1")
        await world.resolved(batch)

    play(subject(sessions=2), attacked)


@scene(sessions=2)
async def test_one_octet_a_second_does_not_hold_a_session(world: World) -> None:
    await world.until(lambda: world.host.free == 20, "two lanes")
    link = bound_link(world, "trx-1")
    for octet in deliver(1):
        if link.client.is_lost:
            break
        link.server.write(bytes((octet,)))
        await asyncio.sleep(1)
    assert link.client.is_lost
    assert "begun and not finished" in world.driver.status().last_error
    assert not bound_link(world, "trx-2").client.is_lost


@scene(sessions=2)
async def test_a_flood_of_answers_nobody_asked_for_ends_the_session(world: World) -> None:
    await world.until(lambda: world.host.free == 20, "two lanes")
    link = bound_link(world, "trx-1")
    link.server.write(b"".join(HEADER(16, SUBMIT_SM_RESP, 0, number) for number in range(100_000, 103_000)))
    await asyncio.sleep(0.2)
    assert link.client.is_lost
    assert "responses nobody asked for" in world.driver.status().last_error
    assert world.driver.status().counters["unexpected_responses"] <= 1_001
    batch = world.submit(10, lane="trx-2")
    await world.resolved(batch)
    assert set(world.outcomes(batch)) == {"Sent"}


def unread(world: World, link) -> int:
    """Octets the peer has sent that the driver has not read."""
    return len(link.server._unsent) + len(link.client._inbox)


@pytest.mark.parametrize("octets", [1, 60_000], ids=["small", "large"])
def test_a_flood_of_deliver_sm_is_read_only_as_far_as_the_journal_follows(octets):
    async def flooded(world: World) -> None:
        await world.until(lambda: world.host.free == 20, "two lanes")
        world.host.settling = "held"
        link = bound_link(world, "trx-1")
        tlvs = ((0x0424, bytes(octets)),)
        count = 20_000 if octets == 1 else 600
        for number in range(1, count):
            link.server.write(codec.encode(PDU(DELIVER_SM, 0, number, {"source_addr": "1"}, tlvs)))
        tracemalloc.start()
        await asyncio.sleep(5)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert not link.client.is_reading()
        assert unread(world, link) > 500_000
        assert len(world.host.items) <= UNANSWERED_PAUSE + RECEIVE_OCTETS // 40
        assert len(world.host.items) * octets <= UNANSWERED_OCTETS + 2 * RECEIVE_OCTETS
        assert held < 24 * 1024 * 1024
        # The other session is read and answered all the while.
        batch = world.submit(10, lane="trx-2")
        await world.resolved(batch)
        assert set(world.outcomes(batch)) == {"Sent"}
        world.host.settling = "at once"
        world.host.settle(True)
        await world.until(lambda: len(world.host.items) == count - 1, "the rest")
        assert world.driver.binds["trx-1"].connection._unsettled == 0

    play(subject(sessions=2), flooded)


@pytest.mark.parametrize("command_id", [ENQUIRE_LINK, DELIVER_SM])
def test_a_peer_that_asks_and_never_reads_is_bounded_and_given_up(command_id):
    async def asked(world: World) -> None:
        await world.until(lambda: world.host.free == 20, "two lanes")
        link = bound_link(world, "trx-1")
        link.server.pause_reading()
        link.server.clog()
        body = EMPTY_DELIVER if command_id == DELIVER_SM else b""
        chunk = b"".join(HEADER(16 + len(body), command_id, 0, number) + body for number in range(1_000))
        for _ in range(200):
            if not link.client.is_lost:
                link.server.write(chunk)
            await asyncio.sleep(0.01)
            assert link.client.get_write_buffer_size() <= 256 * 1024 + RECEIVE_OCTETS * 2
        assert not link.client.is_reading()
        batch = world.submit(10, lane="trx-2")
        await world.resolved(batch)
        assert set(world.outcomes(batch)) == {"Sent"}
        await asyncio.sleep(60)
        assert link.client.is_lost
        await world.until(lambda: world.host.free == 20, "both lanes again")

    play(subject(sessions=2), asked)


@scene(sessions=2)
async def test_a_flood_of_alerts_is_counted_and_fills_no_log(world: World) -> None:
    await world.until(lambda: world.host.free == 20, "two lanes")
    body = codec.encode_body(ALERT_NOTIFICATION, {"source_addr": "46701234567"})
    link = bound_link(world, "trx-1")
    link.server.write(
        b"".join(HEADER(16 + len(body), ALERT_NOTIFICATION, 0, n) + body for n in range(20_000))
    )
    await asyncio.sleep(1)
    assert world.driver.status().counters["alert_notifications"] == 20_000
    assert len(world.host.memory_log.lines) < 10
