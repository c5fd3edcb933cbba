"""Which request is legal in which state, and what becomes of the others."""

import pytest

from stentor_smpp import fields as f
from stentor_smpp.states import BOUND_BY, REQUESTS, Role, State, Verdict, judge

ALL = {number for number in f.LAYOUTS if not number & f.RESPONSE_BIT}
TX, RX, TRX = State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX
SUBMITS = {f.SUBMIT_SM, f.SUBMIT_MULTI, f.QUERY_SM, f.CANCEL_SM, f.REPLACE_SM}
BROADCASTS = {f.BROADCAST_SM, f.QUERY_BROADCAST_SM, f.CANCEL_BROADCAST_SM}


def test_every_role_has_a_row_for_every_state():
    for role in Role:
        assert set(REQUESTS[role]) == set(State)


@pytest.mark.parametrize(
    ("role", "commands", "states"),
    [
        (Role.ESME, set(f.BINDS), {State.OPEN, State.OUTBOUND}),
        (Role.ESME, SUBMITS | BROADCASTS, {TX, TRX}),
        (Role.ESME, {f.DATA_SM}, {TX, RX, TRX}),
        (Role.MC, {f.DATA_SM}, {TX, RX, TRX}),
        (Role.MC, {f.DELIVER_SM, f.ALERT_NOTIFICATION}, {RX, TRX}),
        (Role.MC, {f.OUTBIND}, {State.OPEN}),
        (Role.ESME, {f.UNBIND}, {TX, RX, TRX, State.UNBINDING}),
        (Role.MC, {f.UNBIND}, {TX, RX, TRX, State.UNBINDING}),
        (Role.ESME, {f.ENQUIRE_LINK}, set(State) - {State.UNBOUND, State.CLOSED}),
        (Role.MC, {f.ENQUIRE_LINK}, set(State) - {State.UNBOUND, State.CLOSED}),
        (Role.ESME, {f.DELIVER_SM, f.ALERT_NOTIFICATION, f.OUTBIND}, set()),
        (Role.MC, SUBMITS | BROADCASTS | set(f.BINDS), set()),
    ],
)
def test_a_request_is_legal_exactly_in_its_states(role, commands, states):
    for command in commands:
        assert {state for state in State if command in REQUESTS[role][state]} == states


@pytest.mark.parametrize(
    ("sender", "state", "command", "verdict"),
    [
        (Role.ESME, State.OPEN, f.SUBMIT_SM, Verdict.WRONG_STATE),
        (Role.ESME, State.OPEN, f.UNBIND, Verdict.WRONG_STATE),
        (Role.ESME, RX, f.SUBMIT_SM, Verdict.WRONG_STATE),
        (Role.ESME, State.UNBINDING, f.SUBMIT_SM, Verdict.WRONG_STATE),
        (Role.ESME, TRX, f.BIND_TRANSCEIVER, Verdict.ALREADY_BOUND),
        (Role.ESME, State.BINDING, f.BIND_RECEIVER, Verdict.ALREADY_BOUND),
        (Role.ESME, TRX, f.DELIVER_SM, Verdict.NEVER),
        (Role.ESME, TRX, f.OUTBIND, Verdict.IGNORE),
        (Role.ESME, TRX, f.ALERT_NOTIFICATION, Verdict.IGNORE),
        (Role.MC, TRX, f.SUBMIT_SM, Verdict.NEVER),
        (Role.MC, TRX, f.BIND_TRANSCEIVER, Verdict.NEVER),
        (Role.MC, TX, f.DELIVER_SM, Verdict.TAKE),
        (Role.MC, TX, f.ALERT_NOTIFICATION, Verdict.TAKE),
        (Role.MC, State.UNBINDING, f.DELIVER_SM, Verdict.TAKE),
        (Role.MC, State.BINDING, f.DELIVER_SM, Verdict.HOLD),
        (Role.MC, State.BINDING, f.UNBIND, Verdict.TAKE),
        (Role.MC, State.OPEN, f.DELIVER_SM, Verdict.WRONG_STATE),
        (Role.MC, State.BINDING, f.OUTBIND, Verdict.IGNORE),
        (Role.MC, State.OPEN, f.ALERT_NOTIFICATION, Verdict.IGNORE),
    ],
)
def test_a_request_out_of_place_has_its_verdict(sender, state, command, verdict):
    assert judge(sender, state, command) is verdict


def test_every_request_has_a_verdict_in_every_state():
    for role in Role:
        for state in State:
            for command in ALL:
                verdict = judge(role, state, command)
                assert isinstance(verdict, Verdict)
                assert (verdict is Verdict.IGNORE) <= (command in f.UNANSWERED)


def test_each_kind_of_bind_leads_to_its_state():
    assert set(BOUND_BY) == f.BINDS
    assert len(set(BOUND_BY.values())) == 3
