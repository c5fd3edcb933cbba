"""A channel's dialect between a driver and an SMSC, in virtual time: what only both together can show."""

import asyncio

import pytest

from stentor.message import Status
from stentor.outcome import Deferred, Refused, Sent
from stentor.testing.conformance import Subject, conformance_tests
from stentor.testing.peer import Answer
from stentor.testing.world import World, play
from stentor_smpp import status as codes
from stentor_smpp.pdu import PDU, decode, encode
from stentor_smpp.spec import SPEC
from tests.plugins.smpp.smpp_scenes import lane, scene
from tests.plugins.smpp.smsc_peer import HOST, PORT, SMSCLink, SMSCPeer, response

BIND_TRANSCEIVER_RESP = bytes.fromhex("80000009")
TLVS = [{"tag": "0x1400", "value": "entity"}, {"tag": "0x1401", "metadata": "template", "required": True}]


def dialect(**table) -> Subject:
    table = {"host": HOST, "system_id": "stentor", **table}
    return Subject(spec=SPEC, peer=SMSCPeer, table=table, entry="stentor_smpp.spec:SPEC")


@conformance_tests(dialect(long_messages="sar", destinations={"+99": {"ton": 2}}, message_ids="auto"))
def test_the_contract_with_sar_and_destinations_of_two_kinds(check):
    check()


@conformance_tests(dialect(long_messages="payload", validity="absolute", user_message_reference=True))
def test_the_contract_with_whole_messages(check):
    check()


# -- ids ------------------------------------------------------------------------------------------------------------


async def _one_by_one(world: World, number: int, in_receipt: str) -> Sent:
    """A submission that the SMSC names ``number`` in hexadecimal, and its receipt."""
    (submission,) = world.submit(1)
    await world.until(lambda: len(world.peer.held) == 1, "it on the wire")
    (seen,) = world.peer.held
    seen.carrier_id = f"{number:x}"
    world.peer.reply(seen, Answer.SENT)
    await world.resolved()
    seen.carrier_id = in_receipt.format(number)
    before = len(world.host.items)
    world.peer.send_receipt(seen, Status.DELIVERED)
    await world.until(lambda: len(world.host.items) > before, "the receipt")
    sent = world.host.outcomes[submission.token]
    assert isinstance(sent, Sent)
    return sent


@scene(message_ids="auto")
async def test_a_carrier_that_reports_in_decimal_is_found_out_and_said_so(world: World) -> None:
    world.peer.answer = Answer.HOLD
    await world.ready()
    stranger = 0xABCDEF0123
    world.peer.deliver(
        esm_class=4,
        short_message=b"id:%d sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000"
        % stranger,
    )
    await world.until(lambda: world.host.items, "a receipt of an earlier run")
    for number in range(0x5F3A09C1, 0x5F3A09C1 + 8):
        sent = await _one_by_one(world, number, "{}")
        assert world.host.items[-1].match_id == sent.match_id or world.host.items[-1].match_id == "ABCDEF0123"
    keys = [item.match_id for item in world.host.items]
    assert keys.count("ABCDEF0123") == 1
    assert f"{0x5F3A09C8:X}" in keys
    assert (
        "message ids: response hexadecimal, receipt decimal, found after 5 receipts"
        in lane(world, "trx-1").detail
    )
    assert world.driver.status().counters["receipts_read_again"] == 1
    assert any("message ids found" in str(line) for line in world.host.memory_log.lines)


# -- TLVs -----------------------------------------------------------------------------------------------------------


@scene(tlvs=TLVS)
async def test_a_message_without_what_the_carrier_wants_is_refused_alone(world: World) -> None:
    await world.ready()
    batch = [
        world.submission(metadata=b'{"template": "1107"}'),
        world.submission(metadata=b"{}"),
        world.submission(metadata=b'{"template": "1108"}'),
    ]
    world.host.submit(world.driver, "trx-1", batch)
    await world.resolved()
    assert world.outcomes(batch) == ["Sent", "Refused", "Sent"]
    refused = world.host.outcomes[batch[1].token]
    assert isinstance(refused, Refused)
    assert (refused.code, refused.carrier_code) == ("bad_request", None)
    assert '"template" is missing' in refused.detail
    sent = [seen.ticket[1].tlvs for seen in world.peer.seen]
    assert sent == [((0x1400, b"entity\0"), (0x1401, id_)) for id_ in (b"1107\0", b"1108\0")]


@pytest.mark.parametrize(
    ("announced", "table", "has_tlvs"),
    [
        (None, {}, True),
        (b"\x34", {}, True),
        (b"\x50", {}, True),
        (b"\x33", {}, False),
        (b"\x00\x33", {}, False),
        (b"\x33", {"tlvs_to_old_peers": True}, True),
    ],
)
def test_tlvs_go_to_every_smsc_that_does_not_say_it_is_too_old(announced, table, has_tlvs):
    class OldLink(SMSCLink):
        def flush(self):
            """Another version in the answer to the bind."""
            output = self.session.drain_output()
            if output[4:8] == BIND_TRANSCEIVER_RESP:
                tlvs = () if announced is None else ((0x0210, announced),)
                pdu = decode(output)
                output = encode(PDU(pdu.command_id, 0, pdu.sequence, pdu.fields, tlvs))
            self.transport.write(output)

    class OldPeer(SMSCPeer):
        async def start(self, loop):
            await loop.create_server(lambda: OldLink(self), HOST, PORT)

    async def bound(world: World) -> None:
        await world.ready()
        await world.resolved(world.submit(1))
        (seen,) = world.peer.seen
        assert bool(seen.ticket[1].tlvs) is has_tlvs
        assert any("takes no TLVs" in str(line) for line in world.host.memory_log.lines) is not has_tlvs

    tlvs = [{"tag": "0x1400", "value": "entity"}]
    table = {"host": HOST, "system_id": "stentor", "tlvs": tlvs, **table}
    play(Subject(spec=SPEC, peer=OldPeer, table=table), bound)


# -- a full queue ---------------------------------------------------------------------------------------------------


@scene(window=4)
async def test_a_full_queue_is_left_alone_for_longer_until_something_gets_through(world: World) -> None:
    world.peer.answer = Answer.HOLD
    await world.ready()

    async def answered(code: int, carrier_id: str = "") -> list[float]:
        batch = world.submit(4)
        await world.until(lambda: len(world.peer.held) == 4, "all on the wire")
        for seen in world.peer.held:
            link, pdu = seen.ticket
            seen.answers += 1
            link.transport.write(response(pdu.sequence, code, carrier_id))
        await world.resolved()
        found = [world.host.outcomes[each.token] for each in batch]
        assert all(isinstance(each, Sent) or each.is_throttle for each in found)
        return [each.retry_after_s for each in found if isinstance(each, Deferred)]

    pauses = []
    for _ in range(4):
        found = await answered(codes.RMSGQFUL)
        assert len(found) == 4
        pauses.append(found[0])
        await asyncio.sleep(max(1.0, found[0]))
    assert pauses == pytest.approx([0.0, 1.0, 2.0, 4.0], abs=0.1)
    assert await answered(0, "7") == []
    assert await answered(codes.RMSGQFUL) == [0.0] * 4
