"""Two sessions joined in memory. Invariants, whatever the wire does:

- every request of either side is handed back exactly once;
- a request said to have never left was never seen by the other side;
- a request answered with success was seen by the other side.
"""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp import fields as f
from stentor_smpp.events import BindRequested, Ended, Expired, Faults, LateResponses, Requests, Responses
from stentor_smpp.pdu import encode_body
from stentor_smpp.session import Session
from stentor_smpp.states import Role, State
from stentor_smpp.timers import TimerSettings
from tests.plugins.smpp.smpp_strategies import CREDENTIALS, esme, mc

TIMERS = TimerSettings(response_s=20, enquire_link_s=15, enquire_response_s=5, inactivity_s=300)


class End:
    """One session with the shell a driver would have, and what it learned."""

    def __init__(self, session: Session, command_id: int) -> None:
        self.session = session
        self.command_id = command_id
        self.wire = b""
        self.unanswered: list[Any] = []
        self.seen: set[str] = set()
        self.given: list[str] = []
        self.back: Counter[str] = Counter()
        self.succeeded: set[str] = set()
        self.never_left: set[str] = set()
        self.ended: Ended | None = None

    def settle(self, now: float) -> None:
        for event in self.session.drain_events():
            self.handle(event, now)
        self.wire += self.session.drain_output()

    def handle(self, event: Any, now: float) -> None:
        assert self.ended is None, "an event after the end"
        if isinstance(event, BindRequested):
            self.session.accept_bind(event.pdu, "MC", now)
            self.settle(now)
        elif isinstance(event, Requests):
            self.unanswered += event.pdus
            self.seen.update(pdu.fields["short_message"].decode("latin-1") for pdu in event.pdus)
        elif isinstance(event, Responses):
            self.back.update(token for token, *_ in event.responses)
            self.succeeded.update(token for token, status, *_ in event.responses if status == 0)
        elif isinstance(event, Expired):
            self.back.update(event.tokens)
        elif isinstance(event, Ended):
            self.back.update(event.never_left + event.in_doubt)
            self.never_left.update(event.never_left)
            self.ended = event
        else:
            assert isinstance(event, Faults | LateResponses) or event is not None

    def send(self, count: int, now: float) -> None:
        batch = []
        for _ in range(min(count, self.session.room)):
            token = f"{self.command_id}-{len(self.given)}"
            self.given.append(token)
            batch.append((token, encode_body(self.command_id, {"short_message": token.encode()})))
        if batch:
            self.session.submit(batch, now, self.command_id)

    def answer(self, place: int, status: int) -> None:
        if self.unanswered and self.session.state is not State.CLOSED:
            pdu = self.unanswered.pop(place % len(self.unanswered))
            if status:
                self.session.respond([(pdu, status)])
            else:
                self.session.respond_ids([(pdu, f"id{place}")])


def pass_on(source: End, target: End, count: int, now: float) -> None:
    data, source.wire = source.wire[:count], source.wire[count:]
    target.session.receive(data, now)
    target.settle(now)


ACTIONS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(Role), st.integers(1, 6)),
    st.tuples(st.just("send and wait"), st.sampled_from(Role), st.integers(1, 6)),
    st.tuples(st.just("answer"), st.sampled_from(Role), st.integers(0, 9)),
    st.tuples(st.just("refuse"), st.sampled_from(Role), st.integers(0, 9)),
    st.tuples(st.just("pass"), st.sampled_from(Role), st.integers(1, 300)),
    st.tuples(st.just("pass"), st.sampled_from(Role), st.integers(1, 300)),
    st.tuples(st.just("tick"), st.sampled_from(Role), st.integers(1, 12)),
)
FAULTS = st.one_of(
    st.tuples(st.just("lose answer"), st.sampled_from(Role), st.integers(0, 9)),
    st.tuples(st.just("repeat"), st.sampled_from(Role), st.integers(1, 80)),
    st.tuples(st.just("damage"), st.sampled_from(Role), st.integers(0, 400)),
    st.tuples(st.just("unbind"), st.sampled_from(Role), st.just(0)),
    st.tuples(st.just("cut"), st.sampled_from(Role), st.just(0)),
)


class World:
    """Both ends, the wire between them, and the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        client, server = esme(window=8, timers=TIMERS), mc(window=8, peer_window=16, timers=TIMERS)
        self.ends = {Role.ESME: End(client, f.SUBMIT_SM), Role.MC: End(server, f.DELIVER_SM)}
        client.bind(f.BIND_TRANSCEIVER, CREDENTIALS, 0.0)
        self.ends[Role.ESME].settle(0.0)
        for role in (Role.ESME, Role.MC):
            pass_on(self.ends[role], self.ends[role.peer], 1000, 0.0)
        assert client.is_bound
        assert server.is_bound

    def act(self, action: str, role: Role, number: int) -> None:
        end, other = self.ends[role], self.ends[role.peer]
        if action == "send" or action == "send and wait":
            end.send(number, self.now)
        elif action == "answer" or action == "refuse":
            end.answer(number, 0x58 if action == "refuse" else 0)
        elif action == "pass":
            pass_on(end, other, number, self.now)
        elif action == "tick":
            self.now += number
            end.session.tick(self.now)
            other.session.tick(self.now)
            other.settle(self.now)
        elif action == "lose answer" and end.unanswered:
            end.unanswered.pop(number % len(end.unanswered))
        elif action == "repeat":
            end.wire += end.wire[:number]
        elif action == "damage" and end.wire:
            at = number % len(end.wire)
            end.wire = end.wire[:at] + bytes((end.wire[at] ^ 0x55,)) + end.wire[at + 1 :]
        elif action == "unbind" and end.session.is_bound:
            end.session.unbind(self.now)
        elif action == "cut":
            for each in self.ends.values():
                each.session.connection_lost("cut")
                each.settle(self.now)
        if action != "send and wait":
            end.settle(self.now)

    def finish(self) -> None:
        for end in self.ends.values():
            end.session.connection_lost("over")
            end.settle(self.now)

    def check(self) -> None:
        for role, end in self.ends.items():
            assert end.ended is not None
            assert end.back == Counter(end.given)
            assert end.session.outstanding == 0
            assert not end.never_left & self.ends[role.peer].seen
            assert not end.never_left & end.succeeded


@given(st.lists(ACTIONS, max_size=60))
def test_over_a_slow_but_honest_wire_successes_are_real(actions):
    world = World()
    for action in actions:
        world.act(*action)
    for role, end in world.ends.items():
        assert end.succeeded <= world.ends[role.peer].seen
    world.finish()
    world.check()


@given(st.lists(st.one_of(ACTIONS, ACTIONS, FAULTS), max_size=60))
def test_over_any_wire_each_request_comes_back_exactly_once(actions):
    world = World()
    for action in actions:
        world.act(*action)
    world.finish()
    for role, end in world.ends.items():
        assert end.back == Counter(end.given), role
        assert end.session.outstanding == 0


def test_two_sessions_carry_a_thousand_messages_both_ways():
    world = World()
    for round_ in range(125):
        for role in Role:
            world.act("send", role, 8)
        for role in Role:
            world.act("pass", role, 100_000)
        for role in Role:
            for place in range(8):
                world.act("answer", role, place + round_)
            world.act("pass", role, 100_000)
    for end in world.ends.values():
        assert len(end.succeeded) == 1000
    world.act("unbind", Role.ESME, 0)
    for role in Role:
        world.act("pass", role, 1000)
    world.finish()
    world.check()
    assert world.ends[Role.ESME].ended.reason.name == "UNBOUND"
    assert world.ends[Role.MC].ended.reason.name == "PEER_UNBOUND"
