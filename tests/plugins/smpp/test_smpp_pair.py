"""Two sessions, an ESME and an MC, talk through pipes that cut octets anywhere, and neither loses anything.

Invariants after every step: each token handed over is outstanding or has come back, once; nothing follows ``Ended``;
what a session holds is bounded.
"""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stentor_smpp import fields as f
from stentor_smpp import status as codes
from stentor_smpp.events import (
    Alert,
    Answers,
    BindRequested,
    Bound,
    Ended,
    Expired,
    Faults,
    LateResponses,
    Outbound,
    Receipts,
    Requests,
    Responses,
    Unexpected,
)
from stentor_smpp.link import SessionSettings
from stentor_smpp.pdu import PDU, encode_body
from stentor_smpp.session import Session
from stentor_smpp.states import REQUESTS, Role, State
from stentor_smpp.timers import TimerSettings
from tests.plugins.smpp.smpp_strategies import BODY, CREDENTIALS
from tests.support.scale import chosen_scale

SCALE = chosen_scale()
WINDOW = 4
PEER_WINDOW = 6
LATE = 5
TIMERS = TimerSettings(
    session_init_s=20,
    bind_response_s=20,
    enquire_link_s=30,
    enquire_response_s=10,
    inactivity_s=200,
    response_s=15,
)
BODIES = {
    f.SUBMIT_SM: BODY,
    f.DELIVER_SM: BODY,
    f.DATA_SM: encode_body(f.DATA_SM, {}, ((0x0424, b"x"),)),
    f.QUERY_SM: encode_body(f.QUERY_SM, {"message_id": "x"}),
    f.CANCEL_SM: encode_body(f.CANCEL_SM, {"message_id": "x"}),
}
GATHERED = (Responses, LateResponses, Answers, Requests, Receipts, Expired, Unexpected, Faults)


class Side:
    """One end: a session, the octets on their way to it, and what became of its tokens."""

    def __init__(self, role: Role) -> None:
        settings = SessionSettings(
            role, window=WINDOW, peer_window=PEER_WINDOW, timers=TIMERS, late_kept=LATE, held_requests=3
        )
        # So near the end that the numbers wrap.
        self.session = Session(settings, 0.0, f.RESPONSE_BIT - 3)
        self.role = role
        self.pipe = bytearray()
        self.taken: list[PDU] = []
        self.submitted: set[int] = set()
        self.back: Counter[int] = Counter()
        self.late: Counter[int] = Counter()
        self.bind: PDU | None = None
        self.is_over = False

    def hear(self, event: Any) -> None:
        assert not self.is_over, f"{event} after the end"
        match event:
            case Responses() | LateResponses():
                into = self.back if isinstance(event, Responses) else self.late
                into.update(token for token, *_ in event.responses)
            case Answers():
                self.back.update(token for token, _ in event.answers)
            case Expired():
                self.back.update(event.tokens)
            case Requests():
                self.taken += event.pdus
            case BindRequested():
                self.bind = event.pdu
            case Ended():
                self.back.update(event.never_left + event.in_doubt)
                self.is_over = True
                self.taken.clear()
            case _:
                assert isinstance(event, Bound | Outbound | Alert | Faults | Unexpected), event


class Pair(RuleBasedStateMachine):
    """Nothing a step does is refused by the sessions: it is tried only where the state allows it."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = {role: Side(role) for role in Role}
        self.now = 0.0
        self.token = 0

    def settle(self) -> None:
        """Events to their side, octets into the pipe of the other."""
        for side in self.sides.values():
            for event in side.session.drain_events():
                side.hear(event)
            output = side.session.drain_output()
            self.sides[side.role.peer].pipe += output

    @initialize(
        command_id=st.sampled_from([None, f.BIND_TRANSMITTER, f.BIND_RECEIVER] + [f.BIND_TRANSCEIVER] * 6)
    )
    def begin(self, command_id: int | None) -> None:
        """Mostly they are bound already: the way there is short, and what happens after it is not."""
        if command_id is not None:
            self.bind(command_id)
            self.carry_all(Role.MC)
            self.decide(True)
            self.carry_all(Role.ESME)

    @rule()
    @precondition(lambda self: self.sides[Role.MC].session.state is State.OPEN)
    def outbind(self) -> None:
        self.sides[Role.MC].session.outbind("MC", "secret")
        self.settle()

    @rule(command_id=st.sampled_from(sorted(f.BINDS)))
    @precondition(lambda self: self.sides[Role.ESME].session.state in (State.OPEN, State.OUTBOUND))
    def bind(self, command_id: int) -> None:
        self.sides[Role.ESME].session.bind(command_id, CREDENTIALS, self.now)
        self.settle()

    @rule(is_welcome=st.sampled_from([True, True, True, False]))
    @precondition(lambda self: self.sides[Role.MC].session.state is State.BINDING)
    def decide(self, is_welcome: bool) -> None:
        side = self.sides[Role.MC]
        request, side.bind = side.bind, None
        assert request is not None
        if is_welcome:
            side.session.accept_bind(request, "MC", self.now)
        else:
            side.session.refuse_bind(request, codes.RINVPASWD)
        self.settle()

    @rule(
        role=st.sampled_from(Role),
        command_id=st.sampled_from(sorted(BODIES)),
        count=st.integers(1, WINDOW),
        is_sent=st.booleans(),
    )
    def submit(self, role: Role, command_id: int, count: int, is_sent: bool) -> None:
        side = self.sides[role]
        count = min(count, side.session.room)
        if not count or command_id not in REQUESTS[role][side.session.state]:
            return
        tokens = range(self.token, self.token + count)
        self.token += count
        side.submitted.update(tokens)
        side.session.submit([(token, BODIES[command_id]) for token in tokens], self.now, command_id)
        if is_sent:
            self.settle()

    @rule(role=st.sampled_from(Role), index=st.integers(0, 9), status=st.sampled_from([0, 0, 0x58, 0xDEAD]))
    def answer(self, role: Role, index: int, status: int) -> None:
        """One of the peer's requests, in any order."""
        side = self.sides[role]
        if not side.taken:
            return
        pdu = side.taken.pop(index % len(side.taken))
        if status or pdu.command_id != f.SUBMIT_SM:
            side.session.respond([(pdu, status)])
        else:
            side.session.respond_ids([(pdu, f"id{pdu.sequence}")])
        self.settle()

    @rule(role=st.sampled_from(Role), octets=st.integers(1, 200))
    def carry(self, role: Role, octets: int) -> None:
        side = self.sides[role]
        piece = bytes(side.pipe[:octets])
        del side.pipe[:octets]
        if piece:
            side.session.receive(piece, self.now)
        self.settle()

    @rule(role=st.sampled_from(Role))
    def carry_all(self, role: Role) -> None:
        self.carry(role, 1 << 20)

    @rule(
        role=st.sampled_from(Role),
        command_id=st.sampled_from(sorted(f.LAYOUTS)),
        sequence=st.integers(1, 6) | st.integers(f.RESPONSE_BIT - 4, f.RESPONSE_BIT + 1),
        status=st.sampled_from([0, 5]),
    )
    def speak_out_of_turn(self, role: Role, command_id: int, sequence: int, status: int) -> None:
        """Between two whole PDUs somebody puts in one that nobody sent: an answer twice, a request out of place."""
        side = self.sides[role]
        if not side.pipe and not side.session._partial:
            header = (16).to_bytes(4, "big") + command_id.to_bytes(4, "big") + status.to_bytes(4, "big")
            side.pipe += header + sequence.to_bytes(4, "big")

    @rule(seconds=st.sampled_from([0.5, 4.0, 9.0, 16.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for side in self.sides.values():
            side.session.tick(self.now)
            assert side.session.next_deadline() > self.now
        self.settle()

    @rule(role=st.sampled_from(Role))
    def unbind(self, role: Role) -> None:
        side = self.sides[role]
        if side.session.is_bound and self.token >= 8:
            side.session.unbind(self.now)
            self.settle()

    @rule(role=st.sampled_from(Role), is_close=st.booleans())
    def cut(self, role: Role, is_close: bool) -> None:
        """One side closes, or its connection is lost; the other hears of it when the pipe is empty."""
        side = self.sides[role]
        if self.token < 12:
            return
        side.session.close() if is_close else side.session.connection_lost()
        self.settle()

    @invariant()
    def every_token_is_outstanding_or_back_once(self) -> None:
        for side in self.sides.values():
            assert set(side.back.values()) <= {1}
            assert set(side.late) <= set(side.back)
            assert set(side.late.values()) <= {1}
            assert len(side.submitted) == side.session.outstanding + len(side.back)

    @invariant()
    def what_is_held_is_bounded(self) -> None:
        for side in self.sides.values():
            session, ledger = side.session, side.session._ledger
            assert session.outstanding <= WINDOW
            assert session.unanswered <= PEER_WINDOW + 3
            assert len(session._held) <= 3
            assert len(ledger._late) <= LATE
            assert len(ledger.waiting) <= 3
            assert len(ledger.undrained) <= WINDOW
            assert len(session._partial) <= 70_000

    def teardown(self) -> None:
        self.settle()
        for side in self.sides.values():
            side.session.connection_lost()
        self.settle()
        for side in self.sides.values():
            assert side.is_over
            assert side.session.state is State.CLOSED
            assert set(side.back) == side.submitted
            assert side.session.next_deadline() == float("inf")


TestPair = Pair.TestCase
TestPair.settings = settings(
    max_examples=SCALE(gate=150, nightly=3_000, release=30_000), stateful_step_count=60, deadline=None
)


@pytest.mark.parametrize("seed", range(SCALE(gate=12, nightly=200, release=2_000)))
def test_long_conversations_lose_nothing(seed: int) -> None:
    """The same steps for long, with the weights of a busy link; most requests are answered, some never."""
    chance = random.Random(seed)
    pair = Pair()
    harmless = sorted(f.LAYOUTS.keys() - {f.UNBIND})
    pair.begin(chance.choice(sorted(f.BINDS)))
    for _ in range(1_500):
        role = chance.choice(list(Role))
        match chance.choices(range(7), (30, 50, 80, 20, 4, 1, 1))[0]:
            case 0:
                pair.submit(
                    role, chance.choice(sorted(BODIES)), chance.randint(1, WINDOW), chance.random() < 0.8
                )
            case 1:
                pair.answer(role, chance.randrange(9), chance.choice([0, 0, 0x58]))
            case 2:
                pair.carry(role, chance.randint(1, 120))
            case 3:
                pair.carry_all(role)
            case 4:
                pair.wait(0.5)
            case 5:
                pair.wait(9.0)
            case _:
                pair.speak_out_of_turn(role, chance.choice(harmless), chance.randint(1, 9), 0)
        pair.every_token_is_outstanding_or_back_once()
        pair.what_is_held_is_bounded()
    assert pair.token > 10
    pair.teardown()
