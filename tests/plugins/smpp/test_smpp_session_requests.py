"""Requests of a session: answers, numbers, the window, and expiry; each comes back exactly once."""

import pytest

from stentor_smpp import fields as f
from stentor_smpp import status as codes
from stentor_smpp.events import (
    Answers,
    EndReason,
    Expired,
    LateResponses,
    Responses,
    Unexpected,
)
from stentor_smpp.pdu import PDU, encode, encode_body
from stentor_smpp.timers import TimerSettings
from tests.plugins.smpp.smpp_strategies import (
    BODY,
    HEX,
    bound_esme,
    bound_mc,
    deliver,
    events,
    header,
    response,
    sent,
    submitted,
)


def test_responses_come_in_any_order_as_one_event():
    session = bound_esme()
    first, second, third = submitted(session, "a", "b", "c")
    data = response(third, "C") + response(first, "A") + response(second, status=codes.RTHROTTLED)
    (event,) = events(session, data)
    assert event == Responses([("c", 0, "C", ()), ("a", 0, "A", ()), ("b", codes.RTHROTTLED, None, ())])
    assert session.outstanding == 0
    assert session.room == 10


def test_tlvs_of_a_response_are_handed_on():
    session = bound_esme(first_sequence=101)
    submitted(session, "a")
    (event,) = events(session, HEX["E30"])
    assert event.responses == [("a", 0, "5f3a09c2", ((0x0428, b"\x4b"),))]


@pytest.mark.parametrize("body", [b"", b"no end", b"x" * 200 + b"\0", b"id\0\0\1\0\xff"])
def test_a_success_with_a_broken_body_is_a_success_without_an_id(body):
    session = bound_esme()
    (sequence,) = submitted(session, "a")
    found = events(session, header(f.SUBMIT_SM_RESP, 0, sequence, body))
    assert found[0] == Responses([("a", 0, None, ())])
    assert len(found) == (1 if body == b"" else 2)
    assert session.outstanding == 0


def test_an_error_with_a_body_is_an_error():
    session = bound_esme()
    submitted(session, "a", "b")
    data = header(f.SUBMIT_SM_RESP, 0x58, 2, b"\0") + header(f.SUBMIT_SM_RESP, 0x08, 3, b"junk")
    (event,) = events(session, data)
    assert [(token, status) for token, status, _, _ in event.responses] == [("a", 0x58), ("b", 0x08)]


@pytest.mark.parametrize(("status", "wanted"), [(0x03, 0x03), (0, codes.RUNKNOWNERR)])
def test_a_generic_nack_answers_its_request_and_is_never_a_success(status, wanted):
    session = bound_esme()
    (sequence,) = submitted(session, "a")
    (event,) = events(session, header(f.GENERIC_NACK, status, sequence))
    assert event == Responses([("a", wanted, None, ())])


def test_a_response_of_the_wrong_kind_leaves_the_request_waiting():
    session = bound_esme()
    (sequence,) = submitted(session, "a")
    found = events(
        session, response(sequence, command_id=f.DATA_SM_RESP) + header(f.UNBIND_RESP, 0, sequence)
    )
    assert found == [Unexpected([(f.DATA_SM_RESP, 0, sequence), (f.UNBIND_RESP, 0, sequence)])]
    assert session.outstanding == 1
    assert events(session, response(sequence)) == [Responses([("a", 0, "id", ())])]


def test_a_second_response_is_unexpected():
    session = bound_esme()
    (sequence,) = submitted(session, "a")
    found = events(session, response(sequence) * 2)
    assert found == [Responses([("a", 0, "id", ())]), Unexpected([(f.SUBMIT_SM_RESP, 0, sequence)])]


def test_a_nack_with_number_zero_frees_nothing():
    session = bound_esme()
    submitted(session, "a")
    assert events(session, header(f.GENERIC_NACK, 2, 0)) == [Unexpected([(f.GENERIC_NACK, 2, 0)])]
    assert session.outstanding == 1


def test_other_operations_are_answered_whole():
    session = bound_esme(first_sequence=399)
    body = encode_body(f.QUERY_SM, {"message_id": "5f3a09c1"})
    session.submit([("q", body)], 0.0, f.QUERY_SM)
    assert sent(session)[0].command_id == f.QUERY_SM
    (event,) = events(session, HEX["E41"])
    assert isinstance(event, Answers)
    assert event.answers[0][0] == "q"
    assert event.answers[0][1].fields["message_state"] == 2


def test_responses_nobody_asked_for_end_the_session_above_a_threshold():
    session = bound_esme(strays_per_minute=10)
    assert [type(event) for event in events(session, response(999) * 10)] == [Unexpected]
    assert events(session, response(999) * 10, now=61.0)
    (*_, event) = events(session, response(999), now=62.0)
    assert event.reason is EndReason.FLOOD


def test_numbers_wrap_and_skip_what_is_outstanding():
    session = bound_esme(first_sequence=0x7FFFFFFD, window=10)
    assert submitted(session, "a") == [0x7FFFFFFE]
    assert submitted(session, "b", "c") == [0x7FFFFFFF, 1]
    events(session, response(1))
    again = bound_esme(first_sequence=0x7FFFFFFE, window=10)
    assert submitted(again, "a", "b", "c") == [0x7FFFFFFF, 1, 2]
    again._ledger.sequence = 1
    assert submitted(again, "d") == [3]


def test_more_than_the_window_is_a_bug_of_the_shell():
    session = bound_esme(window=2)
    submitted(session, "a")
    assert session.room == 1
    with pytest.raises(AssertionError):
        session.submit([("b", BODY), ("c", BODY)], 0.0)
    assert session.outstanding == 1


def test_enquire_link_takes_no_slot():
    session = bound_esme(window=1)
    submitted(session, "a")
    session.tick(30.0)
    assert [pdu.command_id for pdu in sent(session)] == [f.ENQUIRE_LINK]


def test_a_server_throttles_a_peer_beyond_its_window():
    session = bound_mc(peer_window=2)
    (event,) = events(session, b"".join(header(f.SUBMIT_SM, 0, number, BODY) for number in (1, 2, 3)))
    assert [pdu.sequence for pdu in event.pdus] == [1, 2]
    assert sent(session) == [PDU(f.SUBMIT_SM_RESP, codes.RTHROTTLED, 3)]
    session.respond_ids([(event.pdus[0], "m1"), (event.pdus[1], "m2")])
    assert [pdu.fields["message_id"] for pdu in sent(session)] == ["m1", "m2"]
    assert session.unanswered == 0


def test_a_client_asks_a_peer_beyond_its_window_to_try_later():
    session = bound_esme(peer_window=1)
    events(session, deliver(1) + deliver(2))
    assert sent(session) == [PDU(f.DELIVER_SM_RESP, codes.RX_T_APPN, 2)]


def test_answering_more_than_came_is_a_bug_of_the_shell():
    session = bound_esme()
    (event,) = events(session, deliver(1))
    session.respond([(event.pdus[0], 0)])
    with pytest.raises(AssertionError):
        session.respond([(event.pdus[0], 0)])


def test_an_mc_replies_with_any_body():
    session = bound_mc()
    query = encode(PDU(f.QUERY_SM, 0, 400, {"message_id": "5f3a09c1"}))
    (event,) = events(session, query)
    fields = {"message_id": "5f3a09c1", "final_date": "260504101600008+", "message_state": 2}
    session.reply(event.pdus[0], fields)
    assert session.drain_output() == HEX["E41"]


def test_an_mc_delivers_and_alerts():
    session = bound_mc()
    body = HEX["E31"][16:]
    session.submit([("mo", body)], 0.0, f.DELIVER_SM)
    session.notify(HEX["E47"][16:])
    alert, delivery = sent(session)
    assert (alert.command_id, delivery.command_id) == (f.ALERT_NOTIFICATION, f.DELIVER_SM)
    assert events(session, header(f.DELIVER_SM_RESP, 0, delivery.sequence, b"\0")) == [
        Responses([("mo", 0, "", ())])
    ]


def test_a_request_expires_once_and_its_late_answer_still_brings_the_id():
    session = bound_esme(timers=TimerSettings(response_s=20, enquire_link_s=None))
    (early,) = submitted(session, "a", now=1.0)
    submitted(session, "b", now=2.0)
    assert session.next_deadline() == 21.0
    session.tick(21.0)
    assert session.drain_events() == [Expired(["a"])]
    assert session.next_deadline() == 22.0
    found = events(session, response(early, "late") * 2, now=21.5)
    assert found == [LateResponses([("a", 0, "late", ())]), Unexpected([(f.SUBMIT_SM_RESP, 0, early)])]
    session.tick(30.0)
    assert session.drain_events() == [Expired(["b"])]
    assert session.next_deadline() == float("inf")


def test_only_so_many_expired_requests_are_remembered():
    session = bound_esme(window=5, late_kept=2, timers=TimerSettings(response_s=20))
    sequences = submitted(session, *"abcde")
    session.tick(20.0)
    session.drain_events()
    late, unexpected = events(session, b"".join(response(number) for number in sequences), now=20.0)
    assert [token for token, *_ in late.responses] == ["d", "e"]
    assert len(unexpected.responses) == 3
