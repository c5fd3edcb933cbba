"""What became of submissions: outcomes and receipts applied to messages."""

from itertools import product

import pytest

from stentor.driver import Capabilities, Receipt
from stentor.journal.flight_record import FlightRecord
from stentor.journal.records import ParkedReceipt
from stentor.message import Charge, Delivery, Error, Message, Segment, Status
from stentor.outcome import Deferred, Outcome, Refused, Returned, Scope, Sent, Submission, Unknown
from stentor.retry import RetryPolicy
from stentor.scheduling.lanes import Channel, Lane
from stentor.settling.ledger import Ledger
from stentor.settling.receipts import ParkedReceipts
from stentor.settling.settle import Settler
from stentor.text.segments import Encoding

WALL = 1_800_000_000_000
RETRY = RetryPolicy(first_s=4.0, factor=2.0, longest_s=60.0, attempts=3)


class Scene:
    """A settler with one lane; ``again`` and ``gone`` are what it told the dispatcher."""

    def __init__(self, limit: int = 10, **capabilities) -> None:
        self.channel = Channel("a", "test", Capabilities(**capabilities), 0.0, 0.0)
        self.lane = self.channel.lanes["1"] = Lane(self.channel, "1", 50, 0.0, 0.0)
        self.ledger = Ledger(0)
        self.again: list[tuple[Message, float]] = []
        self.gone: list[Message] = []
        self.late: list[Outcome] = []
        self.settler = Settler(
            self.ledger,
            RETRY,
            limit,
            ParkedReceipts(10, 10**6),
            lambda: 0.0,
            lambda message, delay_s: self.again.append((message, delay_s)),
            self.gone.append,
            lambda name: name,
            lambda message, avoided: bool(set(message.route) - avoided),
            {},
            10,
            lambda outcome, wall_ms: self.late.append(outcome),
            FlightRecord.in_memory(),
        )

    def send(self, message: Message) -> list[Submission]:
        """Its open segments are handed over."""
        done = {segment.index for segment in message.segment_list}
        submissions = [
            Submission(
                message.key + index, message.attempts + 1, message.to, message.originator, message.encoding,
                b"", b"", index, message.segments, message.wants_receipt, 60, message.priority,
            )
            for index in range(1, message.segments + 1)
            if index not in done
        ]  # fmt: skip
        message.status = Status.SENDING
        if len(submissions) > 1:
            self.settler.begin(message, len(submissions))
        self.lane.take(len(submissions), 0.0)
        slots = self.settler.record.depart("a", submissions)
        for each, slot in zip(submissions, slots, strict=True):
            self.settler.flights[each.token] = each, message, self.lane, slot
        return submissions

    def resolve(self, *outcomes: Outcome) -> None:
        self.late.clear()
        self.settler.resolve(outcomes, 0.0, WALL)

    def report(self, match_id: str, status: Status) -> None:
        found = self.settler.awaited.take("a", match_id)
        assert found is not None
        self.settler.report(*found, Receipt(match_id, status, Error("not_delivered")), self.channel, WALL)


def message(segments: int = 1, key: int = 1, **more) -> Message:
    return Message(
        key << 8,
        0,
        "x",
        "+1",
        "1",
        "x",
        Encoding.GSM7,
        segments,
        WALL,
        WALL,
        WALL * 2,
        ("a",),
        channel="a",
        **more,
    )


def test_what_a_carrier_counted_is_kept_with_the_attempt() -> None:
    scene = Scene(receipts="none")
    (submission,) = scene.send(message(attempts=1))
    scene.resolve(Sent(submission, "c", "c", Charge(2, 45_000, "EUR")))
    (line,) = scene.ledger.commit.history
    assert (line.key, line.segment, line.attempt, line.channel) == (256, 1, 2, "a")
    assert line.charge == Charge(2, 45_000, "EUR")


def test_what_a_receipt_says_was_counted_is_kept_and_not_once_more_for_its_repetition() -> None:
    scene = Scene()
    (submission,) = scene.send(message())
    scene.resolve(Sent(submission, "c", "c"))
    segment = scene.settler.awaited.get("a", "c")
    assert segment is not None
    receipt = Receipt("c", Status.DELIVERED, charge=Charge(2, 45_000, "EUR"))
    for _ in range(2):
        scene.settler.report(*segment, receipt, scene.channel, WALL)
    (line,) = scene.ledger.commit.history
    assert (line.segment, line.attempt, line.channel, line.charge) == (1, 1, "a", receipt.charge)


def test_a_receipt_that_came_too_early_keeps_its_charge() -> None:
    scene = Scene()
    early = ParkedReceipt("a", "c", Status.DELIVERED, WALL, charge=Charge(1, 7_000, "EUR"))
    scene.settler.parked.park(early)
    (submission,) = scene.send(message())
    scene.resolve(Sent(submission, "c", "c"))
    (line,) = scene.ledger.commit.history
    assert (line.attempt, line.charge) == (1, early.charge)


ONE_LEFT = 4.0
OUTCOMES = {
    "sent": lambda each: Sent(each, f"c{each.token}", f"c{each.token}"),
    "refused": lambda each: Refused(each, "bad_destination"),
    "deferred": lambda each: Deferred(each, "carrier_busy"),
    "throttled": lambda each: Deferred(each, "throttled", is_throttle=True),
    "returned": Returned,
    "doubt": Unknown,
}


def verdict(kinds: set[str], delivery: Delivery) -> tuple[Status, int, float | None]:
    """Status, attempts counted, seconds until it is tried again: the rule in the fewest words."""
    if "refused" in kinds:
        return Status.REJECTED, 1, None
    if "doubt" in kinds and delivery is Delivery.AT_MOST_ONCE:
        return Status.UNKNOWN, 1, None
    if "deferred" in kinds:
        return Status.QUEUED, 1, ONE_LEFT
    if "doubt" in kinds:
        return Status.QUEUED, 1, 0.0
    if kinds & {"throttled", "returned"}:
        return Status.QUEUED, 0, 0.0
    return Status.SENT, 1, None


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize(
    "kinds", [*((kind,) for kind in OUTCOMES), *product(OUTCOMES, repeat=2)], ids="+".join
)
def test_outcomes_of_an_attempt_decide_together(kinds: tuple[str, ...], delivery: Delivery) -> None:
    scene = Scene()
    sent = message(len(kinds), delivery=delivery)
    submissions = scene.send(sent)
    status, attempts, delay_s = verdict(set(kinds), delivery)
    for kind, submission in zip(kinds, submissions, strict=True):
        assert sent.status is Status.SENDING, "until the last is in"
        scene.resolve(OUTCOMES[kind](submission))
    assert (sent.status, sent.attempts) == (status, attempts)
    assert [delay for _, delay in scene.again] == ([] if delay_s is None else [delay_s])
    assert scene.gone == ([sent] if delay_s is None else [])
    assert sent.is_final is (status in (Status.REJECTED, Status.UNKNOWN))
    returned = kinds.count("returned")
    assert scene.lane.window.in_flight == len(kinds) - returned, "slots wait for the commit"
    assert scene.ledger.effects.slots.get(scene.lane, 0) == len(kinds) - returned
    assert not scene.settler.flights


def test_a_deferral_waits_as_long_as_the_carrier_asks() -> None:
    scene = Scene()
    sent = message()
    (submission,) = scene.send(sent)
    scene.resolve(Deferred(submission, "carrier_busy", retry_after_s=30.0))
    assert scene.again == [(sent, 30.0)]
    assert sent.due_at_ms == WALL + 30_000
    assert scene.ledger.commit.changed == {256: sent}
    (line,) = scene.ledger.commit.history
    assert (line.attempt, line.error) == (1, Error("carrier_busy"))


def test_the_last_attempt_ends_the_message() -> None:
    scene = Scene()
    sent = message()
    for attempt in range(RETRY.attempts):
        assert sent.status is Status.QUEUED, attempt
        (submission,) = scene.send(sent)
        scene.resolve(Deferred(submission, "carrier_busy", "20"))
    assert (sent.status, sent.attempts) == (Status.FAILED, 3)
    assert sent.error == Error("attempts_exhausted", "20", "carrier_busy")


def test_only_the_first_doubt_is_repeated_at_once() -> None:
    scene = Scene()
    sent = message()
    for _ in range(2):
        (submission,) = scene.send(sent)
        scene.resolve(Unknown(submission))
    assert [delay > 0 for _, delay in scene.again] == [False, True]


@pytest.mark.parametrize(("scope", "paused"), [(Scope.MESSAGE, 0.0), (Scope.LANE, 1.0), (Scope.CHANNEL, 1.0)])
def test_a_deferral_of_the_lane_pauses_it(scope: Scope, paused: float) -> None:
    scene = Scene()
    (submission,) = scene.send(message())
    scene.resolve(Deferred(submission, "carrier_busy", scope=scope))
    assert scene.lane.paused_until == paused


def test_an_outcome_without_a_flight_is_given_back() -> None:
    scene = Scene()
    sent = message()
    (submission,) = scene.send(sent)
    again = Sent(submission)
    scene.resolve(Sent(submission), again)
    assert scene.late == [again]
    refused = Refused(submission, "bad_destination")
    scene.resolve(refused)
    assert scene.late == [refused]
    assert sent.status is Status.SENT


def test_a_late_outcome_of_an_earlier_attempt_is_not_that_of_the_present_one() -> None:
    scene = Scene()
    sent = message()
    (first,) = scene.send(sent)
    scene.resolve(Unknown(first))
    (second,) = scene.send(sent)
    late = Sent(first, "c1")
    scene.resolve(late)
    assert (sent.status, scene.late) == (Status.SENDING, [late])
    scene.resolve(Sent(second, "c2"))
    assert sent.status is Status.SENT


@pytest.mark.parametrize("segments", [1, 2])
@pytest.mark.parametrize(("wants", "receipts"), [(False, "segment"), (True, "none")])
def test_sent_is_final_when_no_receipt_can_come(segments: int, wants: bool, receipts: str) -> None:
    scene = Scene(receipts=receipts)
    sent = message(segments, wants_receipt=wants)
    scene.resolve(*[Sent(each, "c") for each in scene.send(sent)])
    assert (sent.status, sent.is_final, sent.sent_at_ms) == (Status.SENT, True, WALL)
    assert scene.settler.counters["finished"] == 1


@pytest.mark.parametrize(
    ("reports", "status"),
    [
        ((Status.DELIVERED, Status.DELIVERED), Status.DELIVERED),
        ((Status.DELIVERED, Status.UNDELIVERED), Status.UNDELIVERED),
        ((Status.EXPIRED, Status.DELIVERED), Status.EXPIRED),
        ((Status.UNKNOWN, Status.REJECTED), Status.REJECTED),
    ],
)
def test_a_message_of_several_segments_ends_as_the_worst_of_them(
    reports: tuple[Status, ...], status: Status
) -> None:
    scene = Scene()
    sent = message(2)
    scene.resolve(*[OUTCOMES["sent"](each) for each in scene.send(sent)])
    scene.report("c257", reports[0])
    assert not sent.is_final
    scene.report("c258", reports[1])
    assert (sent.status, sent.is_final) == (status, True)
    assert scene.settler.known(256) is None


def test_an_intermediate_receipt_is_noted_and_the_last_still_awaited() -> None:
    scene = Scene()
    sent = message()
    scene.resolve(*[OUTCOMES["sent"](each) for each in scene.send(sent)])
    scene.report("c257", Status.SENT)
    assert len(scene.ledger.commit.history) == 1
    scene.report("c257", Status.DELIVERED)
    assert sent.status is Status.DELIVERED


def test_a_receipt_that_comes_again_is_counted_and_changes_nothing() -> None:
    scene = Scene()
    sent = message()
    scene.resolve(*[OUTCOMES["sent"](each) for each in scene.send(sent)])
    segment = sent.segment_list[0]
    for status in (Status.DELIVERED, Status.UNDELIVERED):
        scene.settler.report(sent, segment, Receipt("c257", status), scene.channel, WALL)
    assert (sent.status, scene.settler.counters["duplicate_receipts"]) == (Status.DELIVERED, 1)


def test_a_receipt_for_a_half_sent_message_waits_for_the_rest() -> None:
    scene = Scene()
    sent = message(2)
    first, second = scene.send(sent)
    scene.resolve(OUTCOMES["sent"](first))
    scene.report("c257", Status.DELIVERED)
    scene.resolve(Deferred(second, "carrier_busy"))
    (second,) = scene.send(sent)
    scene.resolve(OUTCOMES["sent"](second))
    assert not sent.is_final
    scene.report("c258", Status.DELIVERED)
    assert sent.status is Status.DELIVERED


def test_a_parked_receipt_is_joined_by_the_response() -> None:
    scene = Scene()
    scene.settler.parked.park(ParkedReceipt("a", "c257", Status.DELIVERED, WALL))
    sent = message()
    scene.resolve(*[OUTCOMES["sent"](each) for each in scene.send(sent)])
    assert sent.status is Status.DELIVERED
    assert scene.ledger.commit.parked == {("a", "c257"): None}


def test_beyond_the_bound_the_oldest_message_is_forgotten_with_all_its_ids() -> None:
    scene = Scene(limit=4)
    old, new = message(2, key=1), message(2, key=2)
    scene.settler.remember(old)
    for sent in (old, new):
        scene.resolve(*[OUTCOMES["sent"](each) for each in scene.send(sent)])
    for key in range(10, 14):
        scene.settler.remember(message(2, key=key))
    assert scene.settler.known(256) is None
    assert scene.settler.awaited.get("a", "c257") is None


def test_an_id_given_again_is_not_forgotten_with_its_first_owner() -> None:
    scene = Scene()
    old, new = message(key=1), message(key=2)
    (first,) = scene.send(old)
    scene.resolve(Sent(first, "same", "same"))
    (second,) = scene.send(new)
    scene.resolve(Sent(second, "same", "same"))
    assert scene.settler.lose_sight([old], WALL, is_unknown=True) == 1
    scene.report("same", Status.DELIVERED)
    assert (old.status, new.status) == (Status.UNKNOWN, Status.DELIVERED)


def test_only_what_still_waits_is_lost_sight_of() -> None:
    scene = Scene()
    final = message(key=1, status=Status.DELIVERED, final_at_ms=1)
    waits = message(key=2, status=Status.SENT, segment_list=[Segment(1, Status.SENT, "c", "c", WALL)])
    assert scene.settler.lose_sight([final, waits], WALL, is_unknown=True) == 1
    assert (final.final_at_ms, waits.status) == (1, Status.UNKNOWN)
    assert waits.error == Error("no_receipt")


def test_what_no_driver_was_given_comes_back_uncounted() -> None:
    scene = Scene()
    sent = message(2, delivery=Delivery.AT_MOST_ONCE)
    submissions = scene.send(sent)
    scene.settler.take_back(submissions, WALL)
    assert (sent.status, sent.attempts, scene.lane.window.in_flight) == (Status.QUEUED, 0, 0)
    assert scene.ledger.commit.changed == {256: sent}, "or its lease would leave it in doubt"
