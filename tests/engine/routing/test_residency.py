"""Messages that must stay in a place stay there: at admission, through fail-over, whatever becomes of channels."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.dispatch.dispatcher import Dispatcher, Limits
from stentor.driver import Capabilities
from stentor.errors import Refusal
from stentor.ids import IdGenerator
from stentor.journal.records import Recovery
from stentor.outcome import Deferred, Refused, Returned, Scope, Sent, Unknown
from stentor.retry import RetryPolicy
from stentor.routing.admission import Policy, References, Submit, admit
from stentor.routing.prices import Price, PriceTable
from stentor.routing.routes import AccountTerms, ChannelDefaults, Query, RouteTable, Routing, Rule

WALL = 1_800_000_000_000
NAMES = ("a", "b", "c", "d")
TAGS = st.frozensets(st.sampled_from(["eea", "direct"]))
ACCOUNTS = {
    "free": AccountTerms(),
    "resident": AccountTerms(frozenset({"eea"})),
    "strict": AccountTerms(frozenset({"eea", "direct"})),
}
PRICES = PriceTable(Price(name, "", cost, "EUR") for name, cost in zip(NAMES, (3, 1, 2, 4), strict=True))

CHANNELS = st.fixed_dictionaries({name: st.builds(ChannelDefaults, tags=TAGS) for name in NAMES})


@st.composite
def rules_of(draw, prefix: str):
    names = tuple(draw(st.permutations(NAMES))[: draw(st.integers(1, 4))])
    kind = draw(st.sampled_from(["listed", "weights", "least_cost"]))
    return Rule(
        names,
        (prefix,) if prefix else (),
        weights=tuple(draw(st.integers(0, 3)) for _ in names) if kind == "weights" else (),
        is_cheapest=kind == "least_cost",
        sticky_s=draw(st.sampled_from([0, 60])),
        required=draw(st.sampled_from([frozenset(), frozenset({"direct"})])),
    )


RULES = st.tuples(rules_of(""), rules_of("+40"), rules_of("+4072"))
SUBMITS = st.lists(
    st.tuples(
        st.sampled_from(["+40721234567", "+40711234567", "+36201234567"]),
        st.sampled_from(list(ACCOUNTS)),
        st.sampled_from([None, None, *NAMES]),
    ),
    min_size=1,
    max_size=12,
)
FATES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["up", "down", "pause", "resume", "remove"]), st.sampled_from(NAMES)),
        st.tuples(
            st.sampled_from(
                ["sent", "unknown", "returned", "deferred", "message", "destination", "lane", "channel"]
            ),
            st.just(""),
        ),
    ),
    max_size=20,
)


class World:
    """A dispatcher with four channels, and who got what."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher(
            Recovery(), Limits(), RetryPolicy(first_s=0.1), IdGenerator(bytes), lambda: 0.0
        )
        self.now, self.wall = 0.0, WALL
        for name in NAMES:
            self.dispatcher.add_channel(name, "test", Capabilities(), 0.0, 0.0)
        self.dispatcher.start(0.0, WALL)
        self.held: list = []
        self.carried: list[tuple[str, int]] = []

    def turn(self) -> None:
        while self.dispatcher.take_commit() is not None:
            self.dispatcher.committed(self.now, self.wall)
        self.now += 10
        self.wall += 10_000
        self.dispatcher.tick(self.now, self.wall)
        self.dispatcher.flush(self.now, self.wall)
        for lane, batch in self.dispatcher.take_outgoing():
            self.held += batch
            self.carried += [(lane.channel.name, submission.token & ~0xFF) for submission in batch]

    def meet(self, fate: str, name: str) -> None:
        dispatcher, now, wall = self.dispatcher, self.now, self.wall
        if name and name not in dispatcher.channels:
            return
        match fate:
            case "up":
                dispatcher.offer_lane(name, "1", 2, None, now, wall)
            case "down":
                dispatcher.remove_lane(name, "1", now, wall)
            case "pause" | "resume":
                dispatcher.set_paused(name, fate == "pause", wall)
            case "remove":
                dispatcher.remove_channel(name, now, wall)
            case _:
                held, self.held = self.held, []
                known = [one for one in held if one.token in dispatcher.settler.flights]
                dispatcher.resolve([outcome(fate, one) for one in known], now, wall)


def outcome(fate: str, submission):
    match fate:
        case "sent":
            return Sent(submission, "1")
        case "unknown":
            return Unknown(submission, "lost")
        case "returned":
            return Returned(submission)
        case "deferred":
            return Deferred(submission, "busy", scope=Scope.LANE)
        case _:
            return Refused(submission, "refused", scope=Scope(fate))


@given(CHANNELS, RULES, SUBMITS, FATES)
def test_no_message_is_ever_carried_by_a_channel_without_what_its_account_requires(
    channels, rules, submits, fates
):
    table = RouteTable(rules, channels, Routing(ACCOUNTS, prices=PRICES))
    world = World()
    required: dict[int, frozenset[str]] = {}
    for number, (to, account, pinned) in enumerate(submits, 1):
        submit = Submit(to, "x", channel=pinned)
        try:
            message = admit(submit, Policy(account), table, WALL, number << 8, 0, References(0))
        except Refusal:
            continue
        required[message.key] = ACCOUNTS[account].required
        for name in message.route:
            assert channels[name].tags >= required[message.key]
        world.dispatcher.accept([message], ())
    world.meet("up", "a")
    for fate, name in fates:
        world.turn()
        world.meet(fate, name)
    world.turn()
    for name, key in world.carried:
        assert channels[name].tags >= required[key]


def test_the_property_is_not_empty():
    """Every kind of account does have messages carried, and after a refusal by another channel too."""
    channels = {name: ChannelDefaults(tags=frozenset({"eea", "direct"})) for name in "ab"}
    table = RouteTable([Rule(("a", "b"))], channels, Routing(ACCOUNTS))
    world = World()
    for number, account in enumerate(ACCOUNTS, 1):
        message = admit(
            Submit("+40721234567", "x"), Policy(account), table, WALL, number << 8, 0, References(0)
        )
        world.dispatcher.accept([message], ())
    world.meet("up", "a")
    world.turn()
    world.meet("up", "b")
    world.meet("down", "a")
    world.turn()
    assert {key for _, key in world.carried} == {256, 512, 768}
    assert {name for name, _ in world.carried} == {"a", "b"}


TABLE = RouteTable(
    [Rule(("far",), ("+1",)), Rule(("near", "far"))],
    {"near": ChannelDefaults(tags=frozenset({"eea"})), "far": ChannelDefaults()},
    Routing(ACCOUNTS),
)


def test_pinning_a_channel_that_is_not_allowed_is_refused():
    def query(channel: str, account: str) -> Query:
        return Query("+40712345678", WALL, WALL, account, channel=channel)

    assert TABLE.decide(query("near", "resident")).route.channels == ("near",)
    assert TABLE.decide(query("far", "free")).route.channels == ("far",)
    with pytest.raises(Refusal) as refused:
        TABLE.decide(query("far", "resident"))
    assert (refused.value.code, refused.value.path) == ("channel_not_allowed", "$.channel")
    with pytest.raises(Refusal) as refused:
        TABLE.decide(query("nowhere", "resident"))
    assert refused.value.code == "unknown_channel"


def test_a_route_without_an_allowed_channel_refuses_and_no_other_route_steps_in():
    with pytest.raises(Refusal) as refused:
        TABLE.decide(Query("+12025550123", WALL, WALL, "resident"))
    assert (refused.value.code, refused.value.path) == ("no_route", "$.to")
    assert "eea" in refused.value.detail


def test_a_message_carries_no_word_of_the_tags_it_was_routed_by():
    submit = msgspec.json.decode(b'{"to":"+40712345678","text":"x","tags":["otp"]}', type=Submit)
    message = admit(submit, Policy("resident"), TABLE, WALL, 256, 0, References(0))
    assert (message.route, message.channel) == (("near",), "near")
