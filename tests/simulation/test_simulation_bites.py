"""A rule broken on purpose is found by the simulator within a few dozen worlds."""

from collections import OrderedDict
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from stentor.dispatch.cancelling import Cancelling
from stentor.dispatch.dispatcher import Dispatcher
from stentor.dispatch.holdback import Holdback
from stentor.dispatch.reading import Reading
from stentor.dispatch.restraint import Restraint
from stentor.dispatch.sending import Departures
from stentor.journal.backlog import Backlog
from stentor.journal.expiries import Expiries
from stentor.journal.flight_record import FlightRecord
from stentor.journal.records import HeldPart, OverdueRead, Recovery
from stentor.message import Delivery, Message, Status
from stentor.outcome import Outcome
from stentor.pacing.quota import Allowance, SmoothQuota
from stentor.pacing.window import LaneWindow
from stentor.scheduling.lanes import Channel
from stentor.scheduling.ordering import Ordering
from stentor.scheduling.parking import Parking
from stentor.scheduling.scheduler import ChannelQueue
from stentor.scheduling.turns import Flow
from stentor.settling.following import Ages
from stentor.settling.holding import Holding
from stentor.settling.joining import Joiner
from stentor.settling.late import LateAnswers
from stentor.settling.ledger import Ledger
from stentor.settling.lifecycle import CHANGE_OF_RECEIPT, Change
from stentor.settling.receipts import ParkedReceipts
from stentor.settling.receiving import Receiver
from stentor.settling.repeats import Repeats
from stentor.settling.settle import Settler
from stentor.testing.simulation import Violation, simulate
from stentor.testing.simulator.faults import Faults
from stentor.testing.simulator.journal import ModelJournal

SEEDS = 80


def free_slots_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    resolve = Settler.resolve

    def early(self: Settler, outcomes: list[Outcome], now: float, wall_ms: int) -> None:
        resolve(self, outcomes, now, wall_ms)
        slots = self._ledger.effects.slots
        for lane, count in slots.items():
            lane.window.give_back(count)
        slots.clear()

    patch.setattr(Settler, "resolve", early)


def acknowledge_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    committed = Dispatcher.committed

    def early(self: Dispatcher, now: float, wall_ms: int) -> Any:
        commit, tickets = committed(self, now, wall_ms)
        owed, self.ledger.effects.tickets = self.ledger.effects.tickets, []
        return commit, [*tickets, *owed]

    patch.setattr(Dispatcher, "committed", early)


def trust_a_read_from_before_a_commit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "unseen", lambda self, key, segments=1: self.uncommitted(key))


def load_what_nobody_knows_to_be_stored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "to_be_queued", lambda self, key: None)


def load_what_is_in_memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reading, "waiting", lambda self, message: message)


def repeat_what_may_be_sent_at_most_once(patch: pytest.MonkeyPatch) -> None:
    conclude = Settler._conclude

    def again(self: Settler, message: Any, attempt: Any, wall_ms: int) -> None:
        delivery, message.delivery = message.delivery, Delivery.AT_LEAST_ONCE
        conclude(self, message, attempt, wall_ms)
        message.delivery = delivery

    patch.setattr(Settler, "_conclude", again)


def hand_over_before_the_lease(patch: pytest.MonkeyPatch) -> None:
    def at_once(self: Departures, lane: Any, batch: Any) -> None:
        messages, submissions = zip(*batch, strict=True)
        self._depart(lane, messages, list(submissions))

    patch.setattr(Departures, "_hand_over", at_once)


def drop_parked_receipts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ParkedReceipts, "take", lambda self, family, match_id: None)


def forget_to_write_a_deferral(patch: pytest.MonkeyPatch) -> None:
    retry = Settler.retry_later

    def unwritten(self: Settler, message: Any, attempt: Any, wall_ms: int) -> None:
        retry(self, message, attempt, wall_ms)
        if message.status is Status.QUEUED:
            self._ledger.commit.changed.pop(message.key, None)

    patch.setattr(Settler, "retry_later", unwritten)


def miscount_the_backlog(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Backlog, "leave_behind", lambda self, message: None)


def lose_what_is_left_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Departures, "withdraw", lambda self, lane, wall_ms: lane.leftover.clear())


def keep_what_is_left_over_past_its_time(patch: pytest.MonkeyPatch) -> None:
    def only_repeats(self: Departures, channel: Channel, wall_ms: int) -> None:
        if channel.repeats:
            self._settler.repeats.expire(channel, wall_ms)

    patch.setattr(Departures, "expire", only_repeats)


def ignore_the_window(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LaneWindow, "free", lambda self, now=0.0: self._offered)


def forget_when_the_next_is_due(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reading, "_wait_until", lambda self, due_ms: setattr(self, "_next_due_ms", due_ms))


def drop_the_effects_of_a_failed_commit(patch: pytest.MonkeyPatch) -> None:
    failed = Ledger.failed

    def without_effects(self: Ledger) -> Any:
        self.writing_effects.queued.clear()
        return failed(self)

    patch.setattr(Ledger, "failed", without_effects)


def forget_what_was_joined(patch: pytest.MonkeyPatch) -> None:
    def only_what_waits(self: Joiner, part: HeldPart) -> bool:
        joined, self._joined = self._joined, OrderedDict()
        try:
            return is_repeated(self, part)
        finally:
            self._joined = joined

    is_repeated = Joiner.is_repeated
    patch.setattr(Joiner, "is_repeated", only_what_waits)


def join_parts_without_a_trace(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Receiver, "_join", lambda self, collection, wall_ms: None)


def keep_parts_that_are_joined(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "drop", lambda self, key: None)


def lose_parts_over_a_crash(patch: pytest.MonkeyPatch) -> None:
    recovery = ModelJournal.recovery

    def without_parts(self: ModelJournal) -> Recovery:
        self.parts.clear()
        return recovery(self)

    patch.setattr(ModelJournal, "recovery", without_parts)


def expire_when_it_suits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Expiries, "expect", lambda self, key, expires_at_ms: None)


def cut_the_rest_as_the_next_channel_does(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Departures, "_begun", lambda self, message, coding: None)


def keep_a_new_cut_in_memory_only(patch: pytest.MonkeyPatch) -> None:
    follow = Departures._follow

    def quietly(self: Departures, message: Any, plan: Any) -> None:
        changed = dict(self._ledger.commit.changed)
        follow(self, message, plan)
        self._ledger.commit.changed = changed

    patch.setattr(Departures, "_follow", quietly)


def send_again_what_left_says_a_late_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LateAnswers, "outcome", lambda self, outcome, wall_ms: None)


def lose_held_messages_over_a_crash(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Holding, "hold_again", lambda self, message, channel, wall_ms: None)


def give_to_another_what_an_idempotent_peer_may_have(patch: pytest.MonkeyPatch) -> None:
    def unbound(self: Repeats, message: Message, outcome: Outcome) -> Outcome:
        del self.bound[outcome.submission.token]
        return outcome

    patch.setattr(Repeats, "outcome", unbound)


def forget_that_a_segment_was_told_of(patch: pytest.MonkeyPatch) -> None:
    gather = Settler._gather

    def forgetful(self: Settler, message: Message, outcome: Outcome, wall_ms: int) -> None:
        self.told.pop(outcome.submission.token, None)
        gather(self, message, outcome, wall_ms)

    patch.setattr(Settler, "_gather", forgetful)


def ask_as_soon_as_it_is_sent(patch: pytest.MonkeyPatch) -> None:
    read = Ages.read

    def early(self: Ages, channel: str, now: float, wall_ms: int, limit: int) -> OverdueRead | None:
        return read(self, channel, now, wall_ms + 30_000, limit)

    patch.setattr(Ages, "read", early)


def take_a_message_for_taken_back(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(CHANGE_OF_RECEIPT, Status.CANCELLED, Change.DELIVER)


def send_anew_what_goes_at_most_once(patch: pytest.MonkeyPatch) -> None:
    def begin_anew(self: Departures, message: Message, wall_ms: int) -> None:
        message.segment_list = []

    patch.setattr(Departures, "_begin_anew", begin_anew)


def forget_to_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SmoothQuota, "take", lambda self, cost, now, wall_ms: None)


def renew_an_allowance_at_any_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Allowance, "left", lambda self, now, wall_ms: self._limit)


def lose_what_is_parked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Parking, "drain", lambda self: [])


def let_a_paused_batch_go(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Holdback, "stops", lambda self, message, wall_ms: False)
    patch.setattr(Holdback, "enters", lambda self, message: None)


def let_ordered_messages_overtake(patch: pytest.MonkeyPatch) -> None:
    order_much(patch)
    patch.setattr(Ordering, "has_turn", lambda self, message: True)


def send_in_quiet_hours(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Restraint, "stops", lambda self, message, channel, wall_ms: False)


def let_the_best_class_always_go_first(patch: pytest.MonkeyPatch) -> None:
    def best(self: ChannelQueue, budget: int) -> Any:
        return next(class_ for class_ in self._classes if class_.members), budget

    patch.setattr(ChannelQueue, "_next_run", best)


def let_urgent_messages_wait(patch: pytest.MonkeyPatch) -> None:
    def worst(self: ChannelQueue, budget: int) -> Any:
        return next(class_ for class_ in reversed(self._classes) if class_.members), budget

    patch.setattr(ChannelQueue, "_next_run", worst)


def let_an_account_keep_its_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Flow, "take_turn", Flow.take)


def leave_a_message_where_it_was(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Channel, "discard", lambda self, key: None)


def forget_what_is_in_flight(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FlightRecord, "noted", [])


def strike_before_the_result_is_durable(patch: pytest.MonkeyPatch) -> None:
    resolve = Settler.resolve

    def early(self: Settler, outcomes: list[Outcome], now: float, wall_ms: int) -> None:
        resolve(self, outcomes, now, wall_ms)
        landed = self._ledger.effects.landed
        self.record.strike(landed)
        landed.clear()

    patch.setattr(Settler, "resolve", early)


def try_again_what_was_asked_back(patch: pytest.MonkeyPatch) -> None:
    cancel_much(patch)
    patch.setattr(Cancelling, "stops", lambda self, message, wall_ms: False)


def cancel_much(patch: pytest.MonkeyPatch) -> None:
    """Worlds whose carriers take their time, and whose clients think better of it meanwhile."""
    drawn = Faults.drawn

    def impatient(cls: type[Faults], random: Random) -> Faults:
        return msgspec.structs.replace(drawn(random), answer_slow=0.9, cancelled_s=3.0)

    patch.setattr(Faults, "drawn", classmethod(impatient))


def order_much(patch: pytest.MonkeyPatch) -> None:
    """Worlds in which most messages are ordered, and the first of them are often put off."""
    drawn = Faults.drawn

    def ordered(cls: type[Faults], random: Random) -> Faults:
        return msgspec.structs.replace(drawn(random), ordered=0.9, held_s=0.0, deferred=0.3)

    patch.setattr(Faults, "drawn", classmethod(ordered))


def run_worlds() -> None:
    for seed in range(SEEDS):
        simulate(seed)


@pytest.fixture(
    params=[
        free_slots_before_the_commit,
        acknowledge_before_the_commit,
        trust_a_read_from_before_a_commit,
        load_what_nobody_knows_to_be_stored,
        load_what_is_in_memory,
        repeat_what_may_be_sent_at_most_once,
        hand_over_before_the_lease,
        drop_parked_receipts,
        forget_to_write_a_deferral,
        miscount_the_backlog,
        lose_what_is_left_over,
        keep_what_is_left_over_past_its_time,
        ignore_the_window,
        forget_when_the_next_is_due,
        drop_the_effects_of_a_failed_commit,
        forget_what_was_joined,
        join_parts_without_a_trace,
        keep_parts_that_are_joined,
        lose_parts_over_a_crash,
        expire_when_it_suits,
        send_again_what_left_says_a_late_answer,
        lose_held_messages_over_a_crash,
        give_to_another_what_an_idempotent_peer_may_have,
        forget_that_a_segment_was_told_of,
        ask_as_soon_as_it_is_sent,
        take_a_message_for_taken_back,
        cut_the_rest_as_the_next_channel_does,
        keep_a_new_cut_in_memory_only,
        send_anew_what_goes_at_most_once,
        forget_to_count,
        renew_an_allowance_at_any_time,
        lose_what_is_parked,
        let_a_paused_batch_go,
        let_ordered_messages_overtake,
        send_in_quiet_hours,
        let_the_best_class_always_go_first,
        let_urgent_messages_wait,
        let_an_account_keep_its_turn,
        leave_a_message_where_it_was,
        forget_what_is_in_flight,
        strike_before_the_result_is_durable,
        try_again_what_was_asked_back,
    ],
    ids=lambda mutation: mutation.__name__,
)
def mutation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate: Callable[[pytest.MonkeyPatch], None] = request.param
    mutate(monkeypatch)


def test_order_is_kept_where_nearly_all_is_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    order_much(monkeypatch)
    for seed in range(20):
        simulate(seed)


def test_what_is_asked_back_ends_where_much_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many answers are slow there that starts find much in flight, and lanes much left over: in these worlds a
    receipt from before a start once made one message of parts of two, and one expired late."""
    cancel_much(monkeypatch)
    for seed in (34, 38, 63, 141, 268):
        simulate(seed)


@pytest.mark.usefixtures("mutation")
def test_a_broken_rule_is_found() -> None:
    with pytest.raises(Violation, match=r"seed \d+, step \d+"):
        run_worlds()
