"""How a session ends, what it hands back, and what hostile octets cost."""

import pytest

from stentor_smpp import fields as f
from stentor_smpp import status as codes
from stentor_smpp.events import (
    Ended,
    EndReason,
    Faults,
    Requests,
)
from stentor_smpp.pdu import PDU, encode
from stentor_smpp.states import State
from stentor_smpp.timers import TimerSettings
from tests.plugins.smpp.smpp_strategies import (
    BODY,
    CREDENTIALS,
    HEX,
    bound_esme,
    bound_mc,
    deliver,
    esme,
    events,
    header,
    mc,
    response,
    sent,
    submitted,
)


def test_a_lost_connection_splits_what_never_left_from_what_may_have():
    session = bound_esme()
    submitted(session, "a", "b")
    events(session, response(2))
    session.submit([("c", BODY), ("d", BODY)], 0.0)
    session.connection_lost("reset")
    (event,) = session.drain_events()
    assert event == Ended(EndReason.LOST, "reset", ["c", "d"], ["b"])
    assert session.drain_output() == b""
    session.connection_lost()
    session.close()
    session.tick(1e9)
    session.receive(deliver(1), 0.0)
    assert session.drain_events() == []
    assert session.next_deadline() == float("inf")


def test_what_never_left_is_not_sent_after_a_peers_unbind():
    session = bound_esme()
    submitted(session, "a")
    session.submit([("b", BODY)], 0.0)
    (event,) = events(session, HEX["E07"])
    assert event == Ended(EndReason.PEER_UNBOUND, "", ["b"], ["a"])
    assert session.drain_output() == HEX["E08"]


def test_our_unbind_goes_behind_what_is_queued_and_deliveries_are_still_answered():
    session = bound_esme()
    session.submit([("a", BODY)], 0.0)
    session.unbind(0.0)
    submit, unbind = sent(session)
    assert (submit.command_id, unbind.command_id) == (f.SUBMIT_SM, f.UNBIND)
    assert session.room == 0
    responses, requests = events(session, response(submit.sequence) + deliver(7))
    assert responses.responses[0][0] == "a"
    session.respond([(requests.pdus[0], 0)])
    assert sent(session)[0].sequence == 7
    (event,) = events(session, header(f.UNBIND_RESP, 0, unbind.sequence))
    assert event.reason is EndReason.UNBOUND


def test_two_unbinds_that_cross_end_the_session():
    session = bound_esme()
    session.unbind(0.0)
    sent(session)
    (event,) = events(session, HEX["E07"])
    assert event.reason is EndReason.UNBOUND
    assert session.drain_output() == HEX["E08"]


@pytest.mark.parametrize("ours", [True, False])
def test_after_unbind_the_session_is_unbound_until_the_connection_is_gone(ours):
    session = bound_esme()
    if ours:
        session.unbind(0.0)
        (unbind,) = sent(session)
        session.receive(header(f.UNBIND_RESP, 0, unbind.sequence), 0.0)
    else:
        session.receive(HEX["E07"], 0.0)
    assert session.state is State.UNBOUND
    session.drain_events()
    session.drain_output()
    assert events(session, HEX["E09"] + deliver(1)) == []
    assert session.drain_output() == b""
    session.connection_lost()
    assert session.state is State.CLOSED
    assert session.drain_events() == []


def test_a_session_that_was_not_unbound_is_closed():
    session = bound_esme()
    session.close()
    assert session.state is State.CLOSED


@pytest.mark.parametrize("role", ["esme", "mc"])
def test_an_outbind_without_a_bind_ends_with_the_session_init_timer(role):
    server, client = mc(timers=TimerSettings(session_init_s=5)), esme(timers=TimerSettings(session_init_s=5))
    server.outbind("MC", "secret")
    client.receive(server.drain_output(), 1.0)
    client.drain_events()
    session = server if role == "mc" else client
    assert session.state is State.OUTBOUND
    session.receive(HEX["E09"], 2.0)
    assert session.drain_output() == HEX["E10"]
    assert session.next_deadline() == 5.0
    session.tick(5.0)
    assert session.drain_events()[0].reason is EndReason.SESSION_INIT


def test_what_comes_before_bind_resp_is_held_in_bounds():
    session = esme(held_requests=3)
    session.bind(f.BIND_TRANSCEIVER, CREDENTIALS, 0.0)
    sent(session)
    assert events(session, b"".join(deliver(number) for number in range(1, 6))) == []
    assert sent(session) == [PDU(f.DELIVER_SM_RESP, codes.RX_T_APPN, number) for number in (4, 5)]
    _, requests = events(session, header(f.BIND_TRANSCEIVER | f.RESPONSE_BIT, 0, 1, b"MC\0"))
    assert [pdu.sequence for pdu in requests.pdus] == [1, 2, 3]


@pytest.mark.parametrize(
    "answer",
    [
        lambda sequence: PDU(f.SUBMIT_SM_RESP, 0, sequence, {"message_id": "1"}, ((0x0428, b"\x5a"),)),
        lambda sequence: PDU(f.SUBMIT_SM_RESP, 0x58, sequence, {}, ((0x0428, b"\x5a"),)),
        lambda sequence: PDU(f.ENQUIRE_LINK_RESP, 0, sequence, {}, ((0x0428, b"\x5a"),)),
        lambda sequence: PDU(f.GENERIC_NACK, 3, sequence, {}, ((0x0428, b"\x5a"),)),
    ],
)
def test_congestion_is_read_from_any_response(answer):
    session = bound_esme()
    if answer(1).command_id == f.ENQUIRE_LINK_RESP:
        session.tick(30.0)
        (request,) = sent(session)
        sequence = request.sequence
    else:
        (sequence,) = submitted(session, "a")
    assert session.congestion is None
    session.receive(encode(answer(sequence)), 30.0)
    assert session.congestion == 90


def test_an_answer_after_the_end_is_dropped():
    session = bound_esme()
    (event,) = events(session, deliver(1))
    session.close()
    session.respond([(event.pdus[0], 0)])
    session.respond_ids([(event.pdus[0], "x")])
    session.reply(event.pdus[0], {})
    assert session.drain_output() == b""


@pytest.mark.parametrize(
    ("make", "until", "reason"),
    [
        (lambda: mc(timers=TimerSettings(session_init_s=5)), 5.0, EndReason.SESSION_INIT),
        (lambda: esme(timers=TimerSettings(session_init_s=5)), 5.0, EndReason.SESSION_INIT),
    ],
)
def test_a_connection_without_a_bind_ends(make, until, reason):
    session = make()
    assert session.next_deadline() == until
    session.tick(until - 0.1)
    assert session.drain_events() == []
    session.tick(until)
    assert session.drain_events()[0].reason is reason


def test_a_bind_without_an_answer_ends():
    session = esme(timers=TimerSettings(bind_response_s=8))
    session.bind(f.BIND_TRANSCEIVER, CREDENTIALS, 2.0)
    session.tick(10.0)
    assert session.drain_events()[0].reason is EndReason.BIND_RESPONSE


def test_an_unbind_without_an_answer_ends():
    session = bound_esme(timers=TimerSettings(unbind_response_s=3))
    session.unbind(10.0)
    session.tick(13.0)
    assert session.drain_events()[0].reason is EndReason.UNBIND_RESPONSE


def test_silence_is_asked_about_once_and_then_ends_the_session():
    session = bound_esme()
    session.tick(29.9)
    assert sent(session) == []
    session.tick(30.0)
    session.tick(35.0)
    (enquire,) = sent(session)
    assert enquire.command_id == f.ENQUIRE_LINK
    submitted(session, "a", now=35.0)
    session.tick(40.0)
    (event,) = session.drain_events()
    assert (event.reason, event.in_doubt) == (EndReason.ENQUIRE_RESPONSE, ["a"])


def test_any_pdu_is_a_sign_of_life():
    session = bound_esme()
    session.tick(30.0)
    (enquire,) = sent(session)
    session.receive(deliver(1), 39.0)
    session.tick(41.0)
    assert session.next_deadline() == 69.0
    assert [type(event) for event in events(session, header(f.ENQUIRE_LINK_RESP, 0, enquire.sequence))] == [
        Requests
    ]


def test_half_a_pdu_is_no_sign_of_life():
    session = bound_esme(timers=TimerSettings(pdu_s=1000))
    session.receive(deliver(1)[:10], 29.0)
    session.tick(30.0)
    assert [pdu.command_id for pdu in sent(session)] == [f.ENQUIRE_LINK]


def test_idleness_ends_in_unbind_however_lively_the_link():
    session = bound_esme(timers=TimerSettings(inactivity_s=100))
    for moment in range(0, 100, 20):
        session.receive(HEX["E09"], float(moment))
    sent(session)
    session.tick(100.0)
    (unbind,) = sent(session)
    (event,) = events(session, header(f.UNBIND_RESP, 0, unbind.sequence), 100.0)
    assert event == Ended(EndReason.UNBOUND, "no message for too long", [], [])


def test_one_bad_pdu_never_costs_the_others():
    session = bound_esme()
    bad = header(f.DELIVER_SM, 0, 2, b"\0\1")
    requests, faults = events(session, deliver(1) + bad + deliver(3))
    assert [pdu.sequence for pdu in requests.pdus] == [1, 3]
    assert isinstance(faults, Faults)
    assert faults.faults[0].octet == 18
    assert sent(session) == [PDU(f.DELIVER_SM_RESP, codes.RINVSRCADR, 2)]


@pytest.mark.parametrize("prefix", [b"\0\0\0\x0f", b"\xff\xff\xff\xff"])
def test_a_length_that_cannot_be_ends_a_bound_session_with_a_nack(prefix):
    session = bound_esme()
    submitted(session, "a")
    *_, event = events(session, deliver(1) + prefix)
    assert (event.reason, event.in_doubt) == (EndReason.FRAMING, ["a"])
    assert sent(session) == [PDU(f.GENERIC_NACK, codes.RINVCMDLEN, 0)]


def test_a_length_that_cannot_be_gets_no_answer_before_the_bind():
    session = mc()
    *_, event = events(session, b"\0\0\0\1")
    assert event.reason is EndReason.FRAMING
    assert session.drain_output() == b""


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-x", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"]
)
def test_other_protocols_are_told_apart_and_closed(start):
    session = mc()
    (event,) = events(session, start)
    assert event.reason is EndReason.NOT_SMPP
    assert session.drain_output() == b""


def test_a_servers_limit_is_lower_than_a_clients():
    size = (65_537).to_bytes(4, "big")
    assert events(bound_mc(), size)[-1].reason is EndReason.FRAMING
    assert events(bound_esme(), size) == []


def test_a_pdu_that_drips_in_is_given_up():
    session = bound_mc(timers=TimerSettings(pdu_s=5, enquire_link_s=None))
    octets = header(f.SUBMIT_SM, 0, 1, BODY)
    for second in range(4):
        session.receive(octets[second : second + 1], float(second))
        session.tick(float(second))
    assert session.next_deadline() == 5.0
    session.tick(5.0)
    assert session.drain_events()[0].reason is EndReason.SLOW_PDU


def test_a_pdu_is_read_octet_by_octet_and_all_at_once():
    data = b"".join(deliver(number, short_message=bytes(number)) for number in range(1, 40))
    whole, bytewise = bound_esme(), bound_esme()
    (wanted,) = events(whole, data)
    found = []
    for at in range(len(data)):
        for event in events(bytewise, data[at : at + 1]):
            found += event.pdus
    assert found == wanted.pdus
    assert len(found) == 39


def test_a_peer_that_never_reads_our_answers_is_closed():
    session = bound_mc(output_octets=1000)
    *_, event = events(session, HEX["E09"] * 100)
    assert event.reason is EndReason.OUTPUT
    assert session.drain_output() == b""


def test_requests_after_the_end_in_one_read_are_not_read():
    session = bound_esme()
    found = events(session, HEX["E07"] + deliver(1))
    assert [type(event) for event in found] == [Ended]


def test_a_method_the_state_does_not_allow_is_a_bug_of_the_shell():
    with pytest.raises(AssertionError):
        esme().submit([("a", BODY)], 0.0)
    with pytest.raises(AssertionError):
        bound_esme(command_id=f.BIND_RECEIVER).submit([("a", BODY)], 0.0)
    with pytest.raises(AssertionError):
        mc().bind(f.BIND_TRANSCEIVER, CREDENTIALS, 0.0)
    with pytest.raises(AssertionError):
        bound_esme().outbind("x", "y")
