"""A session against a scripted peer: how it is bound, and who may say what."""

import pytest

from stentor_smpp import fields as f
from stentor_smpp import status as codes
from stentor_smpp.events import (
    Alert,
    BindRequested,
    Bound,
    EndReason,
    Outbound,
)
from stentor_smpp.pdu import PDU, EncodeError, Limits, encode
from stentor_smpp.states import State
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
    sent,
)


def test_an_esme_binds_and_learns_whom_it_is_bound_to():
    session = esme()
    session.bind(f.BIND_TRANSMITTER, CREDENTIALS, 0.0)
    (bind,) = sent(session)
    assert (bind.command_id, bind.sequence, bind.fields["system_id"]) == (f.BIND_TRANSMITTER, 1, "stentor")
    answer = PDU(f.BIND_TRANSMITTER | f.RESPONSE_BIT, 0, 1, {"system_id": "MC1"}, ((0x210, b"\x34"),))
    assert events(session, encode(answer)) == [Bound(State.BOUND_TX, "MC1", 0x34)]
    assert session.is_bound
    assert session.may_send_tlvs


@pytest.mark.parametrize(
    ("body", "version", "may_send"),
    [
        (b"MC\0", None, False),
        (b"", None, False),
        (b"\0\2\x10\0\1\x33", 0x33, False),
        (b"\0\2\x10\0\2\0\x50", 0x50, True),
    ],
)
def test_a_bind_resp_may_be_short_and_its_version_of_any_size(body, version, may_send):
    session = esme()
    session.bind(f.BIND_TRANSCEIVER, CREDENTIALS, 0.0)
    (event,) = events(session, header(f.BIND_TRANSCEIVER | f.RESPONSE_BIT, 0, 1, body))
    assert (event.state, event.peer_version) == (State.BOUND_TRX, version)
    assert session.may_send_tlvs is may_send


@pytest.mark.parametrize("nack", [False, True])
def test_a_refused_bind_ends_the_session_with_its_status(nack):
    session = esme()
    session.bind(f.BIND_RECEIVER, CREDENTIALS, 0.0)
    command = f.GENERIC_NACK if nack else f.BIND_RECEIVER | f.RESPONSE_BIT
    (event,) = events(session, header(command, codes.RINVPASWD, 1))
    assert (event.reason, event.status) == (EndReason.BIND_REFUSED, codes.RINVPASWD)
    assert session.state is State.CLOSED


def test_credentials_that_do_not_fit_are_refused_before_anything_is_sent():
    session = esme()
    with pytest.raises(EncodeError):
        session.bind(f.BIND_TRANSCEIVER, {"system_id": "x" * 16}, 0.0)
    assert session.state is State.OPEN
    session.bind(f.BIND_TRANSCEIVER, CREDENTIALS, 0.0)
    assert esme(limits=Limits(are_passwords_long=True)).bind(1, {"password": "p" * 20}, 0.0) is None


def test_an_mc_asks_its_shell_about_a_bind_and_accepts_it():
    session = mc()
    (event,) = events(session, HEX["E01"])
    assert isinstance(event, BindRequested)
    session.accept_bind(event.pdu, "CARRIER1", 0.0)
    assert session.drain_output() == HEX["E02"]
    assert session.drain_events() == [Bound(State.BOUND_TRX, "stentor", 0x34)]


def test_an_mc_sends_no_tlv_to_an_old_peer():
    session = mc()
    (event,) = events(session, encode(PDU(f.BIND_RECEIVER, 0, 1, {"interface_version": 0x33})))
    session.accept_bind(event.pdu, "MC", 0.0)
    assert sent(session)[0].tlvs == ()
    assert not session.may_send_tlvs


def test_an_mc_refuses_and_the_esme_may_try_again():
    session = mc()
    (event,) = events(session, HEX["E01"])
    session.refuse_bind(event.pdu, codes.RINVPASWD)
    assert session.drain_output() == HEX["E03"]
    assert isinstance(events(session, HEX["E01"])[0], BindRequested)


def test_outbind_invites_the_esme_to_bind():
    server, client = mc(), esme()
    server.outbind("MC", "secret")
    assert events(client, server.drain_output()) == [Outbound("MC", "secret")]
    client.bind(f.BIND_RECEIVER, CREDENTIALS, 0.0)
    assert isinstance(events(server, client.drain_output())[0], BindRequested)


def test_an_outbind_out_of_place_is_ignored():
    session = bound_esme()
    assert events(session, HEX["E06"]) == []
    assert session.drain_output() == b""


def test_a_deliver_sm_before_or_beside_bind_resp_is_not_lost():
    session = esme()
    session.bind(f.BIND_TRANSCEIVER, CREDENTIALS, 0.0)
    sent(session)
    assert events(session, deliver(1)) == []
    assert sent(session) == []
    answer = header(f.BIND_TRANSCEIVER | f.RESPONSE_BIT, 0, 1, b"MC\0")
    bound, requests = events(session, answer + deliver(2))
    assert isinstance(bound, Bound)
    assert [pdu.sequence for pdu in requests.pdus] == [1, 2]
    session.respond([(pdu, 0) for pdu in requests.pdus])
    assert [pdu.sequence for pdu in sent(session)] == [1, 2]


def test_a_peer_that_does_not_bind_is_answered_a_few_times_and_closed():
    session = mc(early_requests=3)
    for sequence in range(1, 4):
        (told,) = events(session, header(f.SUBMIT_SM, 0, sequence, BODY))
        assert told.faults[0].detail == "submit_sm is out of place while open"
        (answer,) = sent(session)
        assert (answer.status, answer.sequence) == (codes.RINVBNDSTS, sequence)
    _, ended = events(session, header(f.SUBMIT_SM, 0, 4, BODY))
    assert ended.reason is EndReason.NOT_BOUND


def test_a_client_that_is_not_bound_refuses_a_deliver_sm():
    session = esme()
    events(session, deliver(9))
    assert sent(session) == [PDU(f.DELIVER_SM_RESP, codes.RINVBNDSTS, 9)]


@pytest.mark.parametrize(
    ("command_id", "wanted"),
    [
        (f.BIND_TRANSCEIVER, (f.BIND_TRANSCEIVER | f.RESPONSE_BIT, codes.RALYBND)),
        (f.DELIVER_SM, (f.GENERIC_NACK, codes.RINVCMDID)),
        (0x00010200, (f.GENERIC_NACK, codes.RINVCMDID)),
        (f.ENQUIRE_LINK, (f.ENQUIRE_LINK_RESP, codes.ROK)),
        (f.OUTBIND, None),
        (f.ALERT_NOTIFICATION, None),
        (f.GENERIC_NACK, None),
        (0x80010200, None),
        (f.ENQUIRE_LINK_RESP, None),
    ],
)
def test_a_server_answers_what_is_out_of_place(command_id, wanted):
    session = bound_mc()
    session.receive(header(command_id, 0, 0xFFFFFFFF), 0.0)
    answers = [(pdu.command_id, pdu.status) for pdu in sent(session)]
    assert answers == ([] if wanted is None else [wanted])


def test_a_submit_over_a_receiver_is_in_the_wrong_state():
    session = bound_mc(command_id=f.BIND_RECEIVER)
    session.receive(header(f.SUBMIT_SM, 0, 5, BODY), 0.0)
    assert sent(session) == [PDU(f.SUBMIT_SM_RESP, codes.RINVBNDSTS, 5)]


def test_a_client_takes_a_deliver_sm_over_a_transmitter():
    session = bound_esme(command_id=f.BIND_TRANSMITTER)
    (event,) = events(session, deliver(3))
    session.respond([(event.pdus[0], 0)])
    assert session.drain_output() == header(f.DELIVER_SM_RESP, 0, 3, b"\0")


def test_a_client_nacks_a_submit_sm():
    session = bound_esme()
    session.receive(header(f.SUBMIT_SM, 0, 5, BODY), 0.0)
    assert sent(session) == [PDU(f.GENERIC_NACK, codes.RINVCMDID, 5)]


def test_enquire_link_is_answered_in_every_state():
    for session in (mc(), esme(), bound_mc(), bound_esme()):
        session.receive(HEX["E09"], 0.0)
        assert session.drain_output() == HEX["E10"]


@pytest.mark.parametrize("sequence", [0, 0x80000000, 0xFFFFFFFF])
def test_any_sequence_number_is_echoed(sequence):
    session = bound_esme()
    (event,) = events(session, deliver(sequence))
    session.respond([(event.pdus[0], codes.RX_T_APPN)])
    assert sent(session) == [PDU(f.DELIVER_SM_RESP, codes.RX_T_APPN, sequence)]


def test_an_alert_is_told_and_not_answered():
    session = bound_esme()
    (event,) = events(session, HEX["E47"])
    assert isinstance(event, Alert)
    assert event.pdu.fields["source_addr"] == "46701234567"
    assert session.drain_output() == b""


def test_data_sm_comes_and_is_answered_like_deliver_sm():
    session = bound_esme()
    (event,) = events(session, HEX["E38"])
    session.respond([(event.pdus[0], 0)])
    assert session.drain_output() == header(f.DATA_SM_RESP, 0, 300, b"\0")
