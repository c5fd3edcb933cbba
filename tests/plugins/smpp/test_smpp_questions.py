"""Asking the carrier about what it has taken: the book of questions, and query_sm and cancel_sm in virtual time."""

import asyncio

import pytest

from stentor.driver import Followed, Receipt
from stentor.message import Error, Status
from stentor.outcome import Sent, Unknown
from stentor.testing.peer import Answer
from stentor.testing.world import World, play
from stentor_smpp import status as codes
from stentor_smpp.addresses import Source
from stentor_smpp.config import SMPPConfig
from stentor_smpp.detect import Ids
from stentor_smpp.fields import CANCEL_SM, QUERY_SM, RESPONSE_BIT
from stentor_smpp.matching import Mode
from stentor_smpp.pdu import PDU, decode
from stentor_smpp.questions import WAITING, Questions
from stentor_smpp.reports import Reports
from stentor_smpp.shared import COUNTERS
from tests.plugins.smpp.smpp_scenes import scene, subject
from tests.plugins.smpp.smpp_strategies import header

CANCEL_SM_RESP, QUERY_SM_RESP = CANCEL_SM | RESPONSE_BIT, QUERY_SM | RESPONSE_BIT


def followed(token: int, originator: str = "12345") -> Followed:
    return Followed(token, f"ID{token}", f"match{token}", originator, f"+4670{token:07d}")


def book(limit: int = 3) -> tuple[Questions, dict[str, int]]:
    counters = dict.fromkeys(COUNTERS, 0)
    meaning = Reports(SMPPConfig(host="x", system_id="x"), Ids(Mode.FOLD)).meaning
    return Questions(limit, lambda name: Source("WAP", 5, 0, name), meaning, counters), counters


# -- the book -------------------------------------------------------------------------------------------------------


def test_no_more_are_under_way_than_allowed_and_none_twice():
    questions, _ = book(limit=3)
    questions.add(QUERY_SM, [followed(token) for token in (1, 2, 2, 3, 4)])
    first = [question for question, _ in questions.take()]
    assert [question.followed.token for question in first] == [1, 2, 3]
    questions.add(QUERY_SM, [followed(1), followed(4), followed(5)])
    assert questions.take() == []
    questions.unanswered(first[0])
    assert [question.followed.token for question, _ in questions.take()] == [4]


def test_a_cancellation_goes_before_the_queries():
    questions, _ = book(limit=1)
    questions.add(QUERY_SM, [followed(1), followed(2)])
    questions.add(CANCEL_SM, [followed(2)])
    ((question, _),) = questions.take()
    assert (question.command_id, question.followed.token) == (CANCEL_SM, 2)


def test_what_has_no_room_is_left_unasked_and_counted():
    questions, counters = book()
    questions.add(QUERY_SM, [followed(token) for token in range(WAITING + 7)])
    assert counters["unasked"] == 7
    questions.forget()
    assert counters["unasked"] == WAITING + 7
    assert questions.take() == []


def test_what_cannot_be_packed_is_left_unasked():
    questions, counters = book()
    questions.add(QUERY_SM, [followed(1, "x" * 30), followed(2)])
    assert [question.followed.token for question, _ in questions.take()] == [2]
    assert counters["unasked"] == 1


@pytest.mark.parametrize("command_id", [QUERY_SM, CANCEL_SM])
def test_the_question_names_id_and_originator_as_submitted(command_id):
    questions, _ = book()
    questions.add(command_id, [followed(1, "Shop")])
    ((_, body),) = questions.take()
    fields = decode(header(command_id, 0, 1, body)).fields
    assert fields["message_id"] == "ID1"
    assert (fields["source_addr_ton"], fields["source_addr_npi"], fields["source_addr"]) == (5, 0, "Shop")
    assert fields.get("service_type", "WAP") == "WAP"


def state(value: int, code: int = 0, final_date: str = "") -> PDU:
    return PDU(
        QUERY_SM_RESP,
        0,
        1,
        {"message_id": "ID1", "final_date": final_date, "message_state": value, "error_code": code},
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (state(0), Receipt("match1", Status.SENT)),
        (state(1), Receipt("match1", Status.SENT)),
        (state(2, 0, "260101000000000+"), Receipt("match1", Status.DELIVERED, None, 1_767_225_600_000)),
        (state(2, 0, "rubbish"), Receipt("match1", Status.DELIVERED)),
        (state(3), Receipt("match1", Status.EXPIRED, Error("expired", None, "EXPIRED"))),
        (state(5, 17), Receipt("match1", Status.UNDELIVERED, Error("not_delivered", "17", "UNDELIVERABLE"))),
        (state(8), Receipt("match1", Status.REJECTED, Error("rejected", None, "REJECTED"))),
        (state(99), None),
        (PDU(QUERY_SM_RESP, 0, 1), None),
        (PDU(QUERY_SM_RESP, 0x67, 1), None),
        (PDU(0x80000000, 0x03, 1), None),
    ],
)
def test_each_state_is_the_receipt_it_would_have_been(answer, expected):
    questions, counters = book(limit=1)
    questions.add(QUERY_SM, [followed(1), followed(2)])
    ((question, _),) = questions.take()
    assert questions.answered(question, answer) == expected
    assert counters["queries_refused"] == bool(answer.status)
    assert len(questions.take()) == 1


def test_what_was_taken_back_is_cancelled_and_what_was_not_is_counted():
    questions, counters = book()
    questions.add(CANCEL_SM, [followed(1), followed(2)])
    (first, _), (second, _) = questions.take()
    assert questions.answered(first, PDU(CANCEL_SM_RESP, 0, 1)) == Receipt("match1", Status.CANCELLED)
    assert questions.answered(second, PDU(CANCEL_SM_RESP, codes.RINVMSGID, 1)) is None
    assert counters["cancels_refused"] == 1


# -- the driver -----------------------------------------------------------------------------------------------------


def sent_segments(world: World, batch) -> list[Followed]:
    outcomes = [world.host.outcomes[each.token] for each in batch]
    return [
        Followed(
            each.submission.token,
            each.carrier_id,
            each.match_id,
            each.submission.originator,
            each.submission.to,
        )
        for each in outcomes
    ]


@scene(window=4, queries_in_flight=2)
async def test_queries_go_beside_the_window_few_at_a_time(world: World) -> None:
    await world.ready()
    batch = [world.submission(originator=name) for name in ("+46700000000", "12345", "Stentor", "Stentor")]
    await world.send(batch)
    segments = sent_segments(world, batch)
    world.peer.answer = Answer.HOLD
    world.submit(4)
    world.driver.query(segments)
    await world.until(lambda: len(world.peer.asked) == 2, "two queries")
    await asyncio.sleep(1)
    assert len(world.peer.asked) == 2
    while world.peer.asked:
        world.peer.reply_question(world.peer.asked[0], message_state=2)
        await asyncio.sleep(0.1)
    answered = [question.fields for question in world.peer.questions]
    assert [fields["message_id"] for fields in answered] == [segment.carrier_id for segment in segments]
    submitted = [seen.ticket[1].fields for seen in world.peer.seen[:4]]
    names = ("source_addr_ton", "source_addr_npi", "source_addr")
    assert [[fields[name] for name in names] for fields in answered] == [
        [fields[name] for name in names] for fields in submitted
    ]
    receipts = world.host.items
    assert [(each.match_id, each.status) for each in receipts] == [
        (segment.match_id, Status.DELIVERED) for segment in segments
    ]
    assert not any(each.token in world.host.outcomes for each in world.host.unresolved)


@scene()
async def test_a_refused_query_is_counted_and_dropped(world: World) -> None:
    await world.ready()
    batch = world.submit(2)
    await world.resolved(batch)
    world.driver.query(sent_segments(world, batch))
    await world.until(lambda: len(world.peer.asked) == 2, "the queries")
    for question, code in zip(list(world.peer.asked), (0x67, codes.RINVMSGID), strict=True):
        world.peer.reply_question(question, code)
    await asyncio.sleep(0.1)
    assert world.host.items == []
    assert world.driver.status().counters["queries_refused"] == 2


@scene(cancel=True)
async def test_a_cancellation_that_is_taken_is_a_receipt(world: World) -> None:
    await world.ready()
    batch = world.submit(1)
    await world.resolved(batch)
    (segment,) = sent_segments(world, batch)
    world.driver.cancel([segment])
    await world.until(lambda: world.peer.asked, "the cancel_sm")
    assert world.peer.questions[0].command == "cancel_sm"
    world.peer.reply_question(world.peer.asked[0])
    await world.until(lambda: world.host.items, "the receipt")
    assert world.host.items == [Receipt(segment.match_id, Status.CANCELLED)]


@scene(response=5.0, queries_in_flight=1)
async def test_a_question_without_an_answer_makes_room_for_the_next(world: World) -> None:
    await world.ready()
    batch = world.submit(2)
    await world.resolved(batch)
    world.driver.query(sent_segments(world, batch))
    await asyncio.sleep(6)
    assert len(world.peer.questions) == 1
    counters = world.driver.status().counters
    assert counters["unanswered_questions"] == 1
    world.driver.query(sent_segments(world, batch))
    await asyncio.sleep(1)
    assert len(world.peer.questions) == 2
    # The late answer is no outcome of anything.
    world.peer.reply_question(world.peer.questions[0], message_state=2)
    await asyncio.sleep(1)
    assert world.driver.status().counters["late_responses"] == 1
    assert world.host.items == []


@scene()
async def test_questions_of_a_link_that_ends_are_no_outcomes(world: World) -> None:
    await world.ready()
    batch = world.submit(3)
    await world.resolved(batch)
    world.driver.query(sent_segments(world, batch))
    await world.until(lambda: world.peer.asked, "the queries")
    world.network.reset_all()
    await asyncio.sleep(0.1)
    assert world.driver.status().counters["unanswered_questions"] == 3
    world.driver.query(sent_segments(world, batch))
    assert world.driver.status().counters["unasked"] == 3
    await world.ready()
    batch = world.submit(10)
    await world.resolved(batch)
    assert set(world.outcomes(batch)) == {"Sent"}


@scene()
async def test_a_drain_does_not_wait_for_the_carriers_answers(world: World) -> None:
    await world.ready()
    batch = world.submit(1)
    await world.resolved(batch)
    world.driver.query(sent_segments(world, batch))
    await world.until(lambda: world.peer.asked, "the query")
    began = world.loop.time()
    await world.finish(20.0)
    assert world.loop.time() - began < 0.1
    assert world.peer.goodbyes == 1


def test_only_a_session_that_sends_is_asked():
    async def asked(world: World) -> None:
        await world.until(lambda: world.host.free and len(world.peer.links) == 2, "both")
        await asyncio.sleep(0.1)
        world.driver.query([followed(1)])
        await world.until(lambda: world.peer.asked, "the query")
        assert world.peer.sending.received[-1] == "query_sm"

    play(subject(binds=[{"kind": "receiver"}, {"kind": "transmitter"}]), asked)


# -- answers that come too late -------------------------------------------------------------------------------------


@scene(response=5.0)
async def test_an_answer_after_the_doubt_settles_it_if_it_says_sent(world: World) -> None:
    world.peer.answer = Answer.HOLD
    await world.ready()
    batch = world.submit(3)
    await world.resolved(batch)
    assert {type(world.host.outcomes[each.token]) for each in batch} == {Unknown}
    answers = (Answer.SENT, Answer.REFUSED, Answer.DEFERRED)
    for seen, answer in zip(world.peer.seen, answers, strict=True):
        world.peer.reply(seen, answer)
    world.peer.reply(world.peer.seen[0], Answer.SENT)
    await asyncio.sleep(0.1)
    token = batch[0].token
    assert world.host.late == {
        token: Sent(batch[0], world.peer.seen[0].carrier_id, world.host.late[token].match_id)
    }
    counters = world.driver.status().counters
    assert (counters["late_responses"], counters["unexpected_responses"]) == (3, 1)
    world.peer.send_receipt(world.peer.seen[0], Status.DELIVERED)
    await world.until(lambda: world.host.items, "the receipt")
    assert world.host.items[0].match_id == world.host.late[token].match_id
