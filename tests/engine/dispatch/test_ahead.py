"""A message for later is handed over ahead of its time to a channel whose peer holds it, and to no other."""

import msgspec
import pytest

from stentor.driver import Capabilities
from stentor.journal.records import DueRead
from stentor.message import EventKind, Message, Status
from stentor.outcome import Sent
from stentor.pacing.gate import LimitRule
from stentor.pacing.quiet import Quiet, QuietRule
from stentor.routing.admission import Policy, References, Submit, admit
from stentor.routing.routes import ChannelDefaults, RouteTable, Rule
from stentor.settling.lifecycle import TOO_EARLY
from tests.engine.dispatch.dispatch_engine import ONCE, WALL, Engine, message
from tests.engine.dispatch.test_holdback import Journalled
from tests.engine.settling.test_following import answer, engine_that_asks, sent

AHEAD_S = 600.0
LATER = WALL + 3_600_000
ROMANIA = "+40700000001"
ROUTES = RouteTable(
    [Rule(("holds", "not"), ("+40",)), Rule(("not", "holds"), ("+36",))],
    {"holds": ChannelDefaults(schedules_s=AHEAD_S), "not": ChannelDefaults()},
)


def early(key: int = 1, in_s: float = 300.0, **more) -> Message:
    """Queued now, to be sent later."""
    return message(key, **({"send_at_ms": WALL + int(in_s * 1000), "expires_at_ms": WALL + 10**8} | more))


def half(**more) -> Engine:
    """Channel ``a`` takes messages ten minutes ahead, channel ``b`` does not."""
    engine = Engine(**more)
    engine.dispatcher.add_channel("a", "test", Capabilities(schedules_s=AHEAD_S, **more), 0.0, 0.0)
    return engine


@pytest.mark.parametrize(
    ("fields", "due_in_s"),
    [
        ({}, 3000),
        ({"to": "+36301234567"}, 3600),
        ({"channel": "holds"}, 3000),
        ({"channel": "not"}, 3600),
        # The order in which a peer delivers what it holds is not ours to say.
        ({"ordered": True}, 3600),
    ],
)
def test_a_message_falls_due_ahead_of_its_time_by_what_its_preferred_channel_takes(fields, due_in_s) -> None:
    when = "2027-01-15T09:00:00Z"  # an hour from WALL
    wanted = {"to": ROMANIA, "text": "x", "send_at": when, "valid_for": 60} | fields
    submit = msgspec.json.decode(msgspec.json.encode(wanted), type=Submit)
    found = admit(submit, Policy(), ROUTES, WALL, 256, 5, References(0))
    assert (found.send_at_ms, found.due_at_ms) == (LATER, WALL + due_in_s * 1000)
    assert (found.status, found.expires_at_ms) == (Status.SCHEDULED, LATER + 60_000)
    found = admit(submit, Policy(), ROUTES, LATER - 500_000, 256, 5, References(0))
    assert found.status is (Status.QUEUED if due_in_s == 3000 else Status.SCHEDULED)


@pytest.mark.parametrize("delivery", [ONCE, message().delivery])
def test_it_leaves_with_the_time_it_is_for_and_its_validity_counted_from_now(delivery) -> None:
    engine = half()
    engine.lane("a")
    engine.accept(early(1, in_s=600, delivery=delivery, expires_at_ms=WALL + 660_000))
    gone = engine.turn()
    engine.commit()
    gone += engine.turn()
    assert [(each.send_at_ms, each.valid_for_s) for each in gone] == [(WALL + 600_000, 660)]
    engine.resolve(Sent(gone[0], "C", "c"))
    engine.commit()
    assert engine.events == [(1, EventKind.QUEUED), (1, EventKind.SENT)]


def test_a_channel_that_does_not_take_it_so_early_gives_it_back_to_the_calendar_and_it_is_told_of_once() -> (
    None
):
    engine = half()
    engine.lane("b")
    one = early(1)
    engine.accept(one)
    assert engine.turn() == []
    engine.commit()
    assert (one.status, one.due_at_ms, one.error) == (Status.SCHEDULED, one.send_at_ms, TOO_EARLY)
    assert (engine.dispatcher.scheduled, len(engine.dispatcher.backlog)) == (1, 0)
    engine.wait(299.0)
    assert engine.turn() == []
    engine.wait(1.0)
    engine.turn()
    (read,) = engine.reads(DueRead)
    engine.answer(read, one)
    engine.commit()
    (gone,) = engine.turn()
    engine.resolve(Sent(gone, "C", "c"))
    engine.commit()
    assert engine.events == [(1, EventKind.QUEUED), (1, EventKind.SENT)]


@pytest.mark.parametrize("limited", [False, True], ids=["no limits", "rate limits"])
def test_a_longer_lead_than_the_channel_takes_waits_for_the_rest(limited: bool) -> None:
    engine = half()
    if limited:
        engine.dispatcher.set_limits([LimitRule(name="one", limit=1, every="day")], 0.0, WALL)
    engine.lane("a")
    one, two = early(1, in_s=600.001), early(2, in_s=600.0)
    engine.accept(one, two)
    # With a limit of one: what may not leave is not counted as if it had.
    assert [each.token >> 8 for each in engine.turn()] == [2]
    assert (one.status, one.due_at_ms) == (Status.SCHEDULED, WALL + 1)


def test_when_its_channel_goes_down_it_waits_for_its_time_at_the_next() -> None:
    engine = half()
    engine.lane("a", window=1)
    engine.lane("b")
    first, second = early(1), early(2)
    engine.accept(first, second)
    assert [each.token >> 8 for each in engine.turn()] == [1]
    engine.dispatcher.offer_lane("a", "1", 0, None, engine.now, engine.wall)
    assert engine.turn() == []
    engine.commit()
    assert (second.status, second.due_at_ms) == (Status.SCHEDULED, second.send_at_ms)


def test_quiet_hours_are_those_of_the_time_it_is_for() -> None:
    """The test's clock starts at 10:00 in Romania."""
    engine = half()
    engine.lane("a")
    engine.dispatcher.restraint.set_quiet((QuietRule(start_min=10 * 60, end_min=10 * 60 + 4),))
    by_day = early(1, in_s=300)
    engine.accept(by_day)
    assert len(engine.turn()) == 1
    engine.dispatcher.restraint.set_quiet((QuietRule(start_min=10 * 60 + 4, end_min=10 * 60 + 7),))
    by_night = early(2, in_s=300)
    engine.accept(by_night)
    assert engine.turn() == []
    assert (by_night.status, by_night.due_at_ms) == (Status.SCHEDULED, WALL + 420_000)


def test_a_new_message_for_quiet_hours_is_moved_to_their_end_with_its_validity() -> None:
    rule = QuietRule(start_min=10 * 60 + 4, end_min=10 * 60 + 7)
    one = early(1, in_s=300, expires_at_ms=WALL + 360_000)
    Quiet((rule,)).shift(one, WALL)
    assert (one.due_at_ms, one.send_at_ms) == (WALL + 420_000, WALL + 420_000)
    assert one.expires_at_ms == WALL + 480_000


def test_nothing_of_a_paused_batch_is_handed_over_early() -> None:
    one = Journalled()
    one.dispatcher.add_channel("a", "test", Capabilities(schedules_s=AHEAD_S), 0.0, 0.0)
    one.accept(early(1, batch="b"))
    one.dispatcher.restraint.holdback.pause("x", "b")
    assert one.gone() == []
    one.dispatcher.restraint.holdback.resume("x", "b")
    one.settle()
    assert one.gone() == [1]


def test_what_the_peer_still_holds_is_not_asked_about() -> None:
    engine = engine_that_asks(schedules_s=AHEAD_S)
    held = sent(1, WALL, send_at_ms=WALL + 300_000)
    asked = []
    for second in range(1, 2200):
        engine.wait(1)
        engine.turn()
        if answer(engine, held):
            asked.append(second)
    # It is due at 300; its ages count from when it left, each looked at with a delay of a quarter, and five minutes at
    # most. The horizon of 1600 is as much later as the channel takes messages ahead.
    assert len(asked) == 3
    assert all(
        age <= at <= age + min(300, age / 4) + 1 for age, at in zip((400, 800, 1600), asked, strict=True)
    )
