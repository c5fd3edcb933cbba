"""What the SMPP driver does in time: pauses, timers, throttling, sessions that fail alone. Virtual time throughout."""

import asyncio
import itertools

import msgspec
import pytest

from stentor.message import Status
from stentor.outcome import Deferred, Refused, Scope, Sent
from stentor.testing.network import Reach
from stentor.testing.peer import Answer, Login
from stentor.testing.world import World, play
from stentor_smpp import status as codes
from stentor_smpp.fields import BIND_RECEIVER, BIND_TRANSCEIVER, BIND_TRANSMITTER
from tests.plugins.smpp.smpp_scenes import gaps, lane, scene, subject
from tests.plugins.smpp.smsc_peer import response

# -- binding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "commands", "lanes"),
    [
        ({}, [BIND_TRANSCEIVER], ["trx-1"]),
        ({"sessions": 2}, [BIND_TRANSCEIVER] * 2, ["trx-1", "trx-2"]),
        (
            {"bind": "transmitter", "sessions": 2, "receivers": 1},
            [BIND_TRANSMITTER, BIND_TRANSMITTER, BIND_RECEIVER],
            ["tx-1", "tx-2"],
        ),
        ({"bind": "receiver"}, [BIND_RECEIVER], []),
    ],
)
def test_the_configured_sessions_are_bound_and_the_sending_ones_are_lanes(table, commands, lanes):
    async def bound(world: World) -> None:
        await world.until(lambda: len(world.peer.links) == len(commands), "the binds")
        await asyncio.sleep(0.1)
        assert [link.bind.command_id for link in world.peer.links] == commands
        assert [key for key, each in world.host.lanes.items() if each.window == 10] == lanes
        assert {each.state for each in world.driver.status().lanes} == {"bound"}

    play(subject(**table), bound)


@scene(system_type="VMA", address_range="^467", window=3)
async def test_the_bind_carries_what_is_configured(world: World) -> None:
    await world.ready()
    fields = world.peer.links[0].bind.fields
    assert fields["system_id"] == "stentor"
    assert (fields["system_type"], fields["address_range"]) == ("VMA", "^467")
    assert fields["interface_version"] == 0x34
    assert world.host.free == 3


@pytest.mark.parametrize(
    ("name", "value"), [("system_type", "Ñandú\u2603"), ("address_range", "a\0b"), ("service_type", "é")]
)
def test_what_a_bind_cannot_carry_is_refused_in_the_configuration(name, value):
    with pytest.raises(msgspec.ValidationError, match=name):
        subject(**{name: value}).config()


@scene(bind="transmitter", sessions=1, receivers=1)
async def test_receipts_come_over_the_receiver(world: World) -> None:
    await world.until(lambda: len(world.peer.links) == 2 and world.host.free, "both")
    await asyncio.sleep(0.1)
    batch = world.submit(1)
    await world.resolved(batch)
    world.peer.send_receipt(world.peer.seen[0], Status.DELIVERED)
    await world.until(lambda: world.host.items, "the receipt")
    assert world.peer.receiving.bind.command_id == BIND_RECEIVER


# -- coming back ----------------------------------------------------------------------------------------------------


@scene(reconnect_first=1.0, reconnect_longest=20.0)
async def test_pauses_double_to_the_longest(world: World) -> None:
    world.network.reach = Reach.REFUSED
    await asyncio.sleep(120)
    assert gaps(world) == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0, 20.0]
    status = lane(world, "trx-1")
    assert status.state == "waiting"
    assert status.detail.startswith("trying again in 20.0 s: cannot connect to smsc.test:2775")


@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 0.5), (0.25, 0.75), (0.999, 1.499)])
def test_each_pause_is_stretched_by_the_hosts_chance(jitter, factor):
    async def jittered(world: World) -> None:
        world.host.jitter = jitter
        world.network.reach = Reach.REFUSED
        await asyncio.sleep(20)
        assert gaps(world)[:3] == pytest.approx([1 * factor, 2 * factor, 4 * factor])

    play(subject(), jittered)


@scene(sessions=8)
async def test_sessions_that_fall_together_do_not_come_back_together(world: World) -> None:
    await world.until(lambda: world.host.free == 80, "eight lanes")
    chance = itertools.cycle([0.0, 0.13, 0.29, 0.41, 0.55, 0.68, 0.8, 0.97])
    world.host.random = lambda: next(chance)
    world.network.reset_all()
    await asyncio.sleep(0.01)
    await world.until(lambda: world.host.free == 80, "eight lanes again")
    back = world.network.attempts[8:]
    assert len(back) == 8
    assert all(after - before > 0.05 for before, after in itertools.pairwise(sorted(back)))


@scene()
async def test_a_bind_that_stood_starts_the_pauses_anew(world: World) -> None:
    for _ in range(4):
        await world.ready()
        world.network.reset_all()
        await asyncio.sleep(0.01)
    await world.ready()
    assert gaps(world)[-1] > 7
    await asyncio.sleep(31)
    world.network.reset_all()
    await asyncio.sleep(0.01)
    down = world.loop.time()
    await world.ready()
    assert world.network.attempts[-1] - down == pytest.approx(1.0, abs=0.05)


@scene(connect=4.0)
async def test_a_connect_without_an_answer_is_given_up_and_said_so(world: World) -> None:
    world.network.reach = Reach.SILENT
    await world.until(lambda: len(world.network.attempts) == 2, "a second attempt")
    assert gaps(world) == [5.0]
    assert world.driver.status().last_error == "trx-1: no connection to smsc.test:2775 in 4 s"


@scene(host="x" * 64)
async def test_a_host_that_cannot_be_a_name_is_an_error_like_any_other(world: World) -> None:
    connect = world.loop.create_connection

    async def encode_first(factory, host, port):
        host.encode("idna")
        return await connect(factory, host, port)

    world.loop.create_connection = encode_first
    await world.until(lambda: world.driver.status().last_error, "the error")
    assert "cannot connect" in world.driver.status().last_error
    await asyncio.sleep(3)


@pytest.mark.parametrize(
    ("status", "pauses"),
    [
        *((status, [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]) for status in (0x0D, 0x0E, 0x0F, 0x53)),
        (codes.RALYBND, [30.0] * 8),
        (codes.RSYSERR, [30.0] * 8),
    ],
)
def test_a_refused_bind_is_tried_again_slowly(status, pauses):
    async def refused(world: World) -> None:
        world.peer.login, world.peer.bind_status = Login.REFUSE, status
        await asyncio.sleep(sum(pauses) + 1)
        assert gaps(world) == pytest.approx(pauses)
        assert f"(0x{status:08X})" in world.driver.status().last_error
        assert not world.host.free

    play(subject(), refused)


@scene()
async def test_an_unbind_of_the_peer_is_answered_and_met_with_a_new_bind(world: World) -> None:
    await world.ready()
    world.peer.links[0].unbind()
    await world.until(lambda: len(world.peer.links) == 2, "a new connection")
    assert world.peer.links[0].received == ["bind_transceiver", "unbind_resp"]
    assert gaps(world) == pytest.approx([1.0], abs=0.01)
    await world.ready()


# -- timers ---------------------------------------------------------------------------------------------------------


@scene(response=7.0, window=5)
async def test_an_unanswered_submission_is_in_doubt_exactly_after_the_response_time(world: World) -> None:
    world.peer.answer = Answer.HOLD
    await world.ready()
    first, at = world.submit(2), world.loop.time()
    await asyncio.sleep(3)
    second = world.submit(1)
    await asyncio.sleep(3.99)
    assert world.outcomes([*first, *second]) == ["none"] * 3
    await asyncio.sleep(0.02)
    assert world.outcomes([*first, *second]) == ["Unknown", "Unknown", "none"]
    await world.resolved()
    assert world.loop.time() - at == pytest.approx(10.0, abs=0.3)
    world.peer.reply(world.peer.seen[0], Answer.SENT)
    await asyncio.sleep(0.1)
    assert world.driver.status().counters["late_responses"] == 1
    assert len(world.network.attempts) == 1


@scene(enquire_link=10.0, enquire_response=3.0)
async def test_a_silent_link_is_asked_for_a_sign_of_life(world: World) -> None:
    await world.ready()
    await asyncio.sleep(35)
    assert world.peer.links[0].received == ["bind_transceiver"] + ["enquire_link"] * 3
    assert len(world.network.attempts) == 1


@scene(enquire_link=10.0, enquire_response=3.0)
async def test_a_link_without_a_sign_of_life_is_given_up(world: World) -> None:
    await world.ready()
    world.peer.answer = Answer.HOLD
    batch = world.submit(2)
    await asyncio.sleep(0.1)
    world.peer.is_deaf = True
    await asyncio.sleep(12.8)
    assert world.host.lanes["trx-1"].window == 10
    await asyncio.sleep(0.5)
    assert world.host.lanes["trx-1"].window == 0
    assert world.outcomes(batch) == ["Unknown"] * 2
    assert "no sign of life" in world.driver.status().last_error
    world.peer.is_deaf = False
    await world.ready()


@scene(enquire_link=10.0, enquire_response=3.0, response=20.0)
async def test_while_it_is_us_who_do_not_read_the_timers_wait(world: World) -> None:
    """A journal that stalls for minutes costs neither the link nor the answers that wait in the socket."""
    await world.ready()
    world.host.settling = "held"
    world.peer.answer = Answer.HOLD
    batch = world.submit(3)
    await asyncio.sleep(0.1)
    for _ in range(4000):
        world.peer.deliver(source_addr="1", destination_addr="2", short_message=b"x")
    await asyncio.sleep(0.1)
    assert not world.network.links[0].client.is_reading()
    for seen in world.peer.held:
        world.peer.reply(seen, Answer.SENT)
    await asyncio.sleep(300)
    assert world.outcomes(batch) == ["none"] * 3
    world.host.settling = "at once"
    # At the very moment the timers would be looked at: what waits in the socket must be read first.
    (tick,) = (timer for timer in world.loop.pending_timers() if "_tick" in repr(timer))
    world.loop.call_at(tick.when() - 1e-12, world.host.settle, True)
    await world.resolved(batch)
    assert world.outcomes(batch) == ["Sent"] * 3
    await asyncio.sleep(60)
    assert len(world.network.attempts) == 1
    assert len(world.peer.acknowledgements) == 4000


# -- outcomes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            codes.RTHROTTLED,
            Deferred(None, "throttled", "0x00000058", "ESME_RTHROTTLED", Scope.LANE, 0.0, True),
        ),
        (
            codes.RMSGQFUL,
            Deferred(None, "carrier_busy", "0x00000014", "ESME_RMSGQFUL", Scope.LANE, 0.0, True),
        ),
        (codes.RSYSERR, Deferred(None, "carrier_error", "0x00000008", "ESME_RSYSERR")),
        (codes.RINVBNDSTS, Deferred(None, "carrier_busy", "0x00000004", "ESME_RINVBNDSTS", Scope.LANE, 1.0)),
        (codes.RINVDSTADR, Refused(None, "bad_destination", "0x0000000B", "ESME_RINVDSTADR")),
        (codes.RINVSRCADR, Refused(None, "bad_originator", "0x0000000A", "ESME_RINVSRCADR")),
        (0x0000_0400, Deferred(None, "carrier_error", "0x00000400", "vendor 0x00000400")),
        (0xDEAD_BEEF, Deferred(None, "carrier_error", "0xDEADBEEF", "reserved 0xdeadbeef")),
    ],
)
def test_each_status_becomes_its_outcome(code, expected):
    async def answered(world: World) -> None:
        world.peer.answer = Answer.HOLD
        await world.ready()
        (submission,) = world.submit(1)
        await world.until(lambda: world.peer.seen, "it on the wire")
        link, pdu = world.peer.seen[0].ticket
        link.transport.write(response(pdu.sequence, code, ""))
        await world.resolved()
        outcome = world.host.outcomes[submission.token]
        assert msgspec.structs.replace(outcome, submission=None) == expected

    play(subject(), answered)


@scene(window=40)
async def test_statuses_without_a_name_share_one_counter(world: World) -> None:
    world.peer.answer = Answer.HOLD
    await world.ready()
    world.submit(40)
    await world.until(lambda: len(world.peer.seen) == 40, "all on the wire")
    for number, seen in enumerate(world.peer.seen):
        link, pdu = seen.ticket
        link.transport.write(response(pdu.sequence, 0x500 + number, ""))
    await world.resolved()
    counters = world.driver.status().counters
    assert counters["status_unlisted"] == 40
    assert [name for name in counters if name.startswith("status_")] == ["status_unlisted"]


@scene()
async def test_what_cannot_be_packed_is_refused_alone(world: World) -> None:
    await world.ready()
    batch = [
        world.submission(),
        world.submission(data=bytes(300)),
        world.submission(originator="+12"),
        world.submission(originator="Ω Omega"),
        world.submission(valid_for_s=200 * 86_400),
    ]
    world.host.submit(world.driver, "trx-1", batch)
    await world.resolved()
    assert world.outcomes(batch) == ["Sent", "Refused", "Refused", "Refused", "Sent"]
    reasons = [world.host.outcomes[each.token].code for each in batch[1:4]]
    assert reasons == ["bad_request", "bad_originator", "bad_request"]
    validity = world.peer.seen[-1].ticket[1].fields["validity_period"]
    assert validity == "000099000000000R"


@pytest.mark.parametrize(
    ("message_ids", "carrier_id", "in_receipt"),
    [("fold", "00Ab", "0AB"), ("exact", "7F", "7F"), ("hex_dec", "1F", "31"), ("dec_hex", "31", "1f")],
)
def test_receipts_meet_their_submission_in_each_dress(message_ids, carrier_id, in_receipt):
    async def matched(world: World) -> None:
        world.peer.answer = Answer.HOLD
        await world.ready()
        (submission,) = world.submit(1)
        await world.until(lambda: world.peer.seen, "it on the wire")
        (seen,) = world.peer.seen
        seen.carrier_id = carrier_id
        world.peer.reply(seen, Answer.SENT)
        seen.carrier_id = in_receipt
        world.peer.send_receipt(seen, Status.DELIVERED)
        await world.until(lambda: world.host.items, "the receipt")
        sent = world.host.outcomes[submission.token]
        assert isinstance(sent, Sent)
        assert sent.carrier_id == carrier_id
        assert world.host.items[0].match_id == sent.match_id

    play(subject(message_ids=message_ids), matched)


@scene()
async def test_a_receipt_that_names_nothing_is_counted_and_acknowledged(world: World) -> None:
    await world.ready()
    await asyncio.sleep(0.1)
    handle = world.peer.deliver(esm_class=4, short_message=b"id: stat:DELIVRD")
    await world.until(lambda: world.peer.acknowledgements.get(handle), "the answer")
    assert world.peer.acknowledgements[handle] == [True]
    assert world.driver.status().counters["unreadable_receipts"] == 1


@scene()
async def test_what_is_not_stored_is_asked_for_again(world: World) -> None:
    await world.ready()
    await asyncio.sleep(0.1)
    world.host.settling = "refused"
    handle = world.peer.deliver(source_addr="1", destination_addr="2", short_message=b"x")
    await world.until(lambda: world.peer.acknowledgements.get(handle), "the answer")
    assert world.peer.acknowledgements[handle] == [False]
