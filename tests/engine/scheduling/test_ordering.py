"""Ordered messages to one destination leave one after the other, and nobody else waits for them."""

import copy
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from stentor.journal.records import BacklogRead, DueRead
from stentor.message import Priority, Status
from stentor.outcome import Deferred, Refused, Sent, Unknown
from stentor.pacing.gate import LimitRule
from stentor.pacing.quiet import Quiet, QuietRule
from stentor.scheduling.ordering import Ordering
from stentor.testing.simulator.journal import ModelJournal
from tests.engine.dispatch.dispatch_engine import message
from tests.engine.dispatch.test_holdback import Journalled

ROMANIA, HUNGARY = "+40700000001", "+36300000001"


def ordered(key: int, **more):
    return message(key, is_ordered=True, **more)


def on_the_way(one: Journalled) -> list[int]:
    """Numbers of the messages that are handed over now; none is answered."""
    return [each.token >> 8 for each in one.turn()]


def answer(one: Journalled, outcome: type = Sent) -> None:
    """Every submission under way has its outcome."""
    flights = list(one.dispatcher.settler.flights.values())
    one.resolve(
        *[Sent(each, None) if outcome is Sent else outcome(each, "carrier_busy") for each, _, _, _ in flights]
    )
    one.settle()


def test_the_next_one_leaves_when_the_first_is_sent() -> None:
    one = Journalled()
    one.accept(*[ordered(key) for key in (1, 2, 3)])
    assert on_the_way(one) == [1]
    assert on_the_way(one) == []
    answer(one)
    assert on_the_way(one) == [2]
    answer(one)
    assert on_the_way(one) == [3]


def test_other_destinations_accounts_and_messages_do_not_wait() -> None:
    one = Journalled()
    one.accept(ordered(1), ordered(2), ordered(3, to=HUNGARY), ordered(4, account="y"), message(5))
    assert sorted(on_the_way(one)) == [1, 3, 4, 5]


def test_a_retry_keeps_its_place_and_those_behind_it_wait() -> None:
    one = Journalled()
    one.accept(ordered(1), ordered(2))
    assert on_the_way(one) == [1]
    answer(one, Deferred)
    assert on_the_way(one) == []
    one.wait(60.0)
    assert on_the_way(one) == [1]
    answer(one, Unknown)
    assert on_the_way(one) == []
    one.wait(60.0)
    assert on_the_way(one) == [1]
    answer(one)
    assert on_the_way(one) == [2]


def test_the_order_survives_a_restart_in_the_middle_of_a_retry() -> None:
    one = Journalled()
    one.accept(*[ordered(key) for key in (1, 2, 3)])
    assert on_the_way(one) == [1]
    answer(one, Deferred)
    again = restarted(one.journal)
    assert on_the_way(again) == [1]
    answer(again)
    assert on_the_way(again) == [2]


def restarted(journal: ModelJournal) -> Journalled:
    again = Journalled(journal.recovery())
    again.journal = journal
    again.turn()
    again.settle()
    return again


def test_whoever_ends_passes_the_turn_on() -> None:
    one = Journalled()
    one.accept(ordered(1), ordered(2), ordered(3, expires_at_ms=one.wall + 500), ordered(4))
    assert on_the_way(one) == [1]
    one.dispatcher.cancel(one.journal.message(2 << 8), one.wall)
    one.wait(1.1)
    one.turn()
    one.settle()
    assert (one.status(2), one.status(3)) == (Status.CANCELLED, Status.EXPIRED)
    answer(one)
    assert on_the_way(one) == [4]


def test_nobody_follows_what_a_crash_would_bring_back() -> None:
    one = Journalled()
    one.accept(ordered(1), ordered(2))
    (first,) = one.turn()
    one.resolve(Refused(first, "bad_destination"))
    assert on_the_way(one) == []
    again = restarted(copy.deepcopy(one.journal))
    assert on_the_way(again) == [1]
    one.settle()
    assert on_the_way(one) == [2]


def test_what_ends_before_it_is_placed_keeps_its_turn_until_that_is_durable() -> None:
    ordering, first, second, third = Ordering(), ordered(1), ordered(2), ordered(3)
    assert [ordering.has_turn(each) for each in (first, second, third)] == [True, False, False]
    ordering.left(first)
    assert ordering.freed == [second]
    assert ordering.discard(second)
    assert (ordering.freed, ordering.waiting_keys(), ordering.discard(second)) == ([], [third.key], False)
    ordering.left(second)
    assert ordering.freed == [third]


def test_an_ordered_message_that_is_held_lets_the_others_go_and_comes_back_in_its_place() -> None:
    one = Journalled()
    one.accept(*[ordered(key) for key in (1, 2, 3)])
    one.change("hold", 1)
    one.settle()
    assert on_the_way(one) == [2]
    one.change("release", 1)
    one.settle()
    answer(one)
    assert on_the_way(one) == [1]
    answer(one)
    assert on_the_way(one) == [3]


def test_priorities_do_not_break_the_order() -> None:
    one = Journalled()
    one.accept(ordered(1, priority=Priority.BULK), ordered(2, priority=Priority.URGENT))
    assert on_the_way(one) == [1]
    answer(one)
    assert on_the_way(one) == [2]


def test_a_rate_limit_holds_back_the_chain_and_nothing_else() -> None:
    one = Journalled()
    rule = LimitRule(name="l", limit=60, every="minute", prefixes=("+40",))
    one.dispatcher.set_limits((rule,), one.now, one.wall)
    one.accept(message(9, to=ROMANIA), ordered(1, to=ROMANIA), ordered(2, to=ROMANIA), ordered(3, to=HUNGARY))
    assert sorted(on_the_way(one)) == [3, 9]
    answer(one)
    one.wait(1.0)
    assert on_the_way(one) == [1]


def test_when_a_channel_goes_down_the_chain_goes_over_the_next() -> None:
    one = Journalled()
    one.accept(ordered(1), ordered(2))
    one.lane("b")
    one.lane(window=0)
    assert on_the_way(one) == [1]
    answer(one)
    assert on_the_way(one) == [2]


def night(one: Journalled, hours: float) -> Quiet:
    """Quiet hours everywhere that began an hour ago and last so much longer; urgent messages are exempt."""
    local = datetime.fromtimestamp(one.wall / 1000, UTC).astimezone(ZoneInfo("Europe/Bucharest"))
    begin, end = local - timedelta(hours=1), local + timedelta(hours=hours)
    rule = QuietRule(
        start_min=begin.hour * 60 + begin.minute,
        end_min=end.hour * 60 + end.minute,
        exempt_priorities=(Priority.URGENT,),
    )
    one.dispatcher.restraint.set_quiet((rule,))
    return Quiet((rule,))


def test_what_quiet_hours_moved_keeps_its_order_and_lets_pass_what_they_do_not_concern() -> None:
    one = Journalled()
    quiet = night(one, 2.0)
    moved = [ordered(key, to=ROMANIA, expires_at_ms=one.wall + 86_400_000) for key in (1, 2)]
    for each in moved:
        quiet.shift(each, one.wall)
    one.accept(*moved)
    one.accept(ordered(3, to=ROMANIA, priority=Priority.URGENT))
    assert on_the_way(one) == [3]
    answer(one)
    # Queued before anybody knew of the night, and postponed by it.
    one.accept(ordered(4, to=ROMANIA, expires_at_ms=one.wall + 86_400_000))
    assert on_the_way(one) == []
    one.settle()
    one.wait(2 * 3_600.0)
    one.turn()
    one.settle()
    for key in (1, 2, 4):
        assert on_the_way(one) == [key]
        answer(one)


def test_a_new_message_stays_behind_what_falls_due_in_the_same_commit() -> None:
    one = Journalled()
    first = ordered(1, status=Status.SCHEDULED, due_at_ms=one.wall + 60_000, send_at_ms=one.wall + 60_000)
    one.accept(first)
    one.wait(60.0)
    one.dispatcher.tick(one.now, one.wall)
    (read,) = [each for each in one.dispatcher.take_reads() if isinstance(each, DueRead)]
    one.dispatcher.answer(read, [one.journal.message(first.key)], 0, one.wall)
    one.accept(ordered(2))
    assert on_the_way(one) == [1]


def opening(*moved: int, block: int = 1) -> Journalled:
    """The end of quiet hours: what they moved is due, and the first block of it is going to be read."""
    one = Journalled()
    one.dispatcher.reading.block = block
    quiet = night(one, 2.0)
    messages = [ordered(key, to=ROMANIA, expires_at_ms=one.wall + 86_400_000) for key in moved]
    for each in messages:
        quiet.shift(each, one.wall)
    one.accept(*messages)
    one.wait((messages[0].due_at_ms - one.wall) / 1000)
    assert on_the_way(one) == []
    return one


def new(one: Journalled, key: int, **more):
    """A message that is accepted now."""
    return message(
        key, submitted_at_ms=one.wall, due_at_ms=one.wall, expires_at_ms=one.wall + 3_600_000, **more
    )


def answer_one(one: Journalled, *kinds: type) -> None:
    """The journal answers the reads asked for so far, of these kinds, and what was made of them is durable."""
    for read in one.dispatcher.take_reads():
        if not kinds or isinstance(read, kinds):
            next_due_ms = one.journal.next_due_ms(read.until_ms) if isinstance(read, DueRead) else 0
            one.answer(read, *one.journal.read(read), next_due_ms=next_due_ms)
    one.commit()


def all_in_turn(one: Journalled) -> list[int]:
    """What leaves while the journal answers one read after the other."""
    found: list[int] = []
    for _ in range(30):
        found += on_the_way(one)
        one.resolve(*[Sent(flight[0], None) for flight in list(one.dispatcher.settler.flights.values())])
        answer_one(one)
    return found


def test_a_new_message_stays_behind_what_quiet_hours_moved_however_long_that_takes_to_be_read() -> None:
    one = opening(1, 2, 3)
    one.accept(new(one, 4, to=ROMANIA, is_ordered=True))
    for _ in range(3):
        one.wait(0.5)
        assert 4 not in on_the_way(one)
        answer_one(one)
    assert all_in_turn(one) == [1, 2, 3, 4]


def test_a_new_message_stays_behind_what_quiet_hours_moved_over_a_crash_in_between() -> None:
    one = opening(1, 2, 3)
    one.accept(new(one, 4, to=ROMANIA, is_ordered=True))
    answer_one(one)
    again = Journalled(one.journal.recovery())
    again.journal, again.wall = one.journal, one.wall
    found = on_the_way(again)
    for _ in range(5):
        answer_one(again, BacklogRead)
        answer(again)
        found += on_the_way(again)
    assert 4 not in found


def test_what_is_not_ordered_leaves_at_once_while_what_quiet_hours_moved_is_read() -> None:
    one = opening(1, 2, 3)
    one.accept(new(one, 4, to=ROMANIA), new(one, 5, to=ROMANIA, batch="b"))
    assert on_the_way(one) == [4, 5]


def test_an_ordered_message_does_not_wait_for_ever_where_something_falls_due_all_the_time() -> None:
    one = Journalled()
    rounds = 20
    one.accept(
        *[
            message(
                key, status=Status.SCHEDULED, due_at_ms=one.wall + 10 * key, send_at_ms=one.wall + 10 * key
            )
            for key in range(1, rounds)
        ]
    )
    one.wait(0.05)
    one.turn()
    one.accept(new(one, rounds, to=HUNGARY, is_ordered=True))
    found: list[int] = []
    for _ in range(4):
        answer_one(one)
        one.wait(0.01)
        found += on_the_way(one)
    assert rounds in found
    assert one.dispatcher.scheduled > 5, "others are still falling due"
