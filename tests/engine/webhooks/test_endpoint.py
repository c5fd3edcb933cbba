"""Whatever a receiver does and whenever the program dies, each event is delivered, in order for its message."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stentor.message import Event, EventKind
from stentor.webhooks.endpoint import Endpoint, EndpointLimits
from stentor.webhooks.feed import Delivery, Page, Read, Tide
from stentor.webhooks.records import Progress, Waiting
from stentor.webhooks.schedule import FAILURES, TRANSITIONS, Fact, State, delay_s, probe_s
from stentor.webhooks.subscription import Webhook
from stentor.webhooks.verdict import DELIVERED, Ruling, Verdict
from tests.conftest import SCALE

WALL_MS = 1_800_000_000_000
FAILED = Verdict(Ruling.FAILED, 0.0, "the receiver answered 500")
GONE = Verdict(Ruling.GONE, 0.0, "the receiver answered 410")
LIMITS = EndpointLimits(concurrency=3, window=8, waiting=5)


def webhook(**fields: object) -> Webhook:
    known: dict[str, object] = {
        "key": 256,
        "tail": 1,
        "account": "a",
        "url": "https://x/",
        "created_at_ms": 1,
    }
    return Webhook(**(known | fields))  # type: ignore[arg-type]  # fields are the tests' own


def event(seq: int, key: int = 0, at_ms: int = WALL_MS) -> Event:
    return Event(seq, EventKind.SENT, at_ms, "a", key or seq * 256)


class Journal:
    """All events, and what was kept of the endpoint: what a crash leaves."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.progress = Progress(256, 0)
        self.waiting: dict[int, Waiting] = {}

    def keep(self, endpoint: Endpoint) -> None:
        self.progress, rows = endpoint.take_records()
        for seq, row in rows.items():
            self.waiting.pop(seq, None)
            if row is not None:
                self.waiting[seq] = row

    def read(self, page: Page) -> Read:
        after = [one for one in self.events if one.seq > page.after_seq]
        found = [Delivery(one, one.at_ms, b"{}", is_replay=page.is_replay) for one in after if page.has(one)]
        taken = found[: page.limit]
        is_end = len(taken) == len(found)
        last_seq = (
            taken[-1].event.seq if not is_end else max((one.seq for one in after), default=page.after_seq)
        )
        return Read(taken, last_seq, is_end)


class EndpointMachine(RuleBasedStateMachine):
    """An endpoint between a journal and a receiver, with time and crashes in between."""

    def __init__(self) -> None:
        super().__init__()
        self.journal = Journal()
        self.now = 0.0
        self.told = 0
        self.crashes = 0
        self.delivered: list[Event] = []
        self.flights: list[Delivery] = []
        self.page: Page | None = None
        self.read: Read | None = None
        self.open()

    @property
    def wall_ms(self) -> int:
        return WALL_MS + round(self.now * 1000)

    def open(self) -> None:
        self.tide = Tide(self.told)
        kept = self.journal.waiting.values()
        self.endpoint = Endpoint(
            webhook(), self.journal.progress, kept, self.tide, LIMITS, lambda: 0.5, self.now, self.wall_ms
        )
        self.flights, self.page, self.read = [], None, None

    @rule(keys=st.lists(st.integers(1, 4), min_size=1, max_size=6))
    def commit(self, keys: list[int]) -> None:
        """Events become durable; those who keep up hear of them."""
        first = len(self.journal.events) + 1
        new = [event(seq, key * 256, self.wall_ms) for seq, key in enumerate(keys, first)]
        self.journal.events += new
        self.endpoint.feed.tell([Delivery(one, one.at_ms, b"{}") for one in new], self.endpoint.room)
        self.told = self.tide.seq = new[-1].seq

    @rule()
    def begin_reading(self) -> None:
        if self.page is None:
            self.page = self.endpoint.begin_page()

    @precondition(lambda self: self.page is not None)
    @rule()
    def look(self) -> None:
        """What a read sees is as old as the read."""
        assert self.page is not None
        self.read = self.journal.read(self.page)

    @precondition(lambda self: self.page is not None and self.read is not None)
    @rule(fails=st.booleans())
    def finish_reading(self, fails: bool) -> None:
        assert self.page is not None
        self.endpoint.finish_page(self.page, None if fails else self.read)
        self.page = self.read = None

    @rule()
    def take(self) -> None:
        one = self.endpoint.take(self.now)
        if one is not None:
            keys = [flight.event.key for flight in self.flights]
            assert one.event.key not in keys, "two of one message at once"
            self.flights.append(one)

    @precondition(lambda self: bool(self.flights))
    @rule(
        data=st.data(), verdict=st.sampled_from([DELIVERED, DELIVERED, FAILED, Verdict(Ruling.FAILED, 30.0)])
    )
    def answer(self, data: st.DataObject, verdict: Verdict) -> None:
        one = self.flights.pop(data.draw(st.integers(0, len(self.flights) - 1)))
        if verdict is DELIVERED:
            self.delivered.append(one.event)
        self.endpoint.resolve(one, verdict, self.now, self.wall_ms)

    @precondition(lambda self: bool(self.flights))
    @rule()
    def fail_all(self) -> None:
        """The receiver is away: its breaker opens."""
        for _ in range(FAILURES):
            while (one := self.endpoint.take(self.now)) is not None:
                self.flights.append(one)
            for one in self.flights:
                self.endpoint.resolve(one, FAILED, self.now, self.wall_ms)
            self.flights.clear()
            self.now += 40

    @rule(seconds=st.sampled_from((0.1, 5.0, 40.0, 4000.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def keep(self) -> None:
        self.journal.keep(self.endpoint)

    @rule()
    def crash(self) -> None:
        self.crashes += 1
        self.open()

    @rule(seq=st.integers(1, 20))
    def again(self, seq: int) -> None:
        """Somebody wants one event, or all from it on, once more."""
        if seq <= len(self.journal.events) and self.endpoint.waiting < LIMITS.waiting:
            self.endpoint.deliver_again(self.journal.events[seq - 1], self.now, self.wall_ms)

    @rule(seq=st.integers(0, 20))
    def replay(self, seq: int) -> None:
        self.endpoint.start_replay(min(seq, len(self.journal.events)), 0, 2**62)

    @invariant()
    def is_bounded(self) -> None:
        endpoint = self.endpoint
        assert endpoint.in_flight <= LIMITS.concurrency
        assert endpoint.ready <= LIMITS.window * 5 // 2, (
            "a page, half a page of a replay, and what was kept aside"
        )
        assert endpoint.waiting <= LIMITS.waiting + LIMITS.window + LIMITS.concurrency
        if endpoint.state in (State.OPEN, State.DISABLED):
            assert endpoint.ready == 0, "what cannot go stays in the journal"

    def teardown(self) -> None:
        """Once the receiver works again everything comes through."""
        for one in self.flights:
            self.endpoint.resolve(one, FAILED, self.now, self.wall_ms)
        self.flights.clear()
        if self.page is not None:
            self.endpoint.finish_page(self.page, None)
        for _ in range(400):
            page = self.endpoint.begin_page()
            if page is not None:
                self.endpoint.finish_page(page, self.journal.read(page))
            while (one := self.endpoint.take(self.now)) is not None:
                self.delivered.append(one.event)
                self.endpoint.resolve(one, DELIVERED, self.now, self.wall_ms)
            if self.endpoint.feed.is_live and not self.endpoint.waiting and not self.endpoint.ready:
                break
            self.now += 30
        self.journal.keep(self.endpoint)
        assert self.endpoint.given_up == 0
        assert {one.seq for one in self.delivered} == {one.seq for one in self.journal.events}
        assert self.journal.waiting == {}
        assert self.journal.progress.seq == len(self.journal.events)
        first: dict[int, list[int]] = {}
        seen: set[int] = set()
        for one in self.delivered:
            if one.seq not in seen:
                seen.add(one.seq)
                first.setdefault(one.key, []).append(one.seq)
        for seqs in first.values():
            assert seqs == sorted(seqs), "out of order for one message"


EndpointMachine.TestCase.settings = settings(
    max_examples=SCALE(gate=100, nightly=3_000, release=30_000), stateful_step_count=40, deadline=None
)
TestWhatever = EndpointMachine.TestCase


class Bench:
    """One endpoint that keeps up."""

    def __init__(self, limits: EndpointLimits = LIMITS, progress: Progress | None = None) -> None:
        self.tide = Tide(0)
        self.now = 100.0
        self.endpoint = Endpoint(
            webhook(), progress or Progress(256, 0), (), self.tide, limits, lambda: 0.0, self.now, WALL_MS
        )
        page = self.endpoint.begin_page()
        assert page is not None
        self.endpoint.finish_page(page, Read((), 0, True))

    @property
    def wall_ms(self) -> int:
        return WALL_MS + round((self.now - 100) * 1000)

    def tell(self, *events: Event) -> None:
        self.endpoint.feed.tell([Delivery(one, one.at_ms, b"{}") for one in events], self.endpoint.room)
        self.tide.seq = events[-1].seq

    def take(self) -> Delivery:
        one = self.endpoint.take(self.now)
        assert one is not None
        return one

    def resolve(self, one: Delivery, verdict: Verdict) -> None:
        self.endpoint.resolve(one, verdict, self.now, self.wall_ms)

    def fail(self, times: int) -> None:
        for _ in range(times):
            at = self.endpoint.wakes_at(self.now)
            self.now = max(self.now, at)
            self.resolve(self.take(), FAILED)


def test_an_endpoint_that_fails_ten_times_in_a_row_is_left_alone_and_probed() -> None:
    bench = Bench()
    bench.tell(*(event(seq) for seq in range(1, 7)))
    bench.fail(FAILURES)
    assert bench.endpoint.state is State.OPEN
    assert bench.endpoint.ready == 0
    assert bench.endpoint.take(bench.now) is None
    bench.now = bench.endpoint.wakes_at(bench.now)
    probe = bench.take()
    assert bench.endpoint.take(bench.now) is None, "one probe at a time"
    bench.resolve(probe, DELIVERED)
    assert bench.endpoint.state is State.WORKING
    assert bench.endpoint.take(bench.now) is not None, "what waited goes at once"


def test_a_receiver_that_answers_410_is_never_asked_again() -> None:
    bench = Bench()
    bench.tell(event(1), event(2))
    bench.resolve(bench.take(), GONE)
    assert bench.endpoint.state is State.DISABLED
    assert "410" in bench.endpoint.webhook.reason
    bench.now += 1e6
    assert bench.endpoint.take(bench.now) is None
    assert bench.endpoint.begin_page() is None


def test_a_callback_that_is_gone_ends_its_own_delivery_and_no_others() -> None:
    bench = Bench()
    bench.endpoint.webhook = webhook(is_callback=True)
    bench.tell(event(1), event(2, key=256), event(3))
    bench.resolve(bench.take(), GONE)
    assert bench.endpoint.state is State.WORKING
    assert (bench.endpoint.given_up, bench.endpoint.waiting) == (1, 0)
    bench.resolve(bench.take(), DELIVERED)
    bench.resolve(bench.take(), DELIVERED)
    assert bench.endpoint.delivered == 2


def test_a_probe_of_a_callback_that_is_gone_leaves_the_breaker_to_the_next() -> None:
    bench = Bench()
    bench.endpoint.webhook = webhook(is_callback=True)
    bench.tell(*(event(seq) for seq in range(1, 7)))
    bench.fail(FAILURES)
    bench.now = bench.endpoint.wakes_at(bench.now)
    bench.resolve(bench.take(), GONE)
    assert bench.endpoint.state is State.OPEN
    bench.resolve(bench.take(), DELIVERED)
    assert bench.endpoint.state is State.WORKING


def test_after_three_days_of_failing_a_webhook_disables_itself() -> None:
    bench = Bench()
    bench.tell(event(1))
    while bench.endpoint.state is not State.DISABLED:
        bench.now = max(bench.now, min(bench.endpoint.wakes_at(bench.now), bench.now + 3600))
        one = bench.endpoint.take(bench.now)
        if one is not None:
            bench.resolve(one, FAILED)
        if bench.endpoint.given_up:
            bench.tell(event(bench.tide.seq + 1, at_ms=bench.wall_ms))
        assert bench.now < 100 + 5 * 86_400
    assert "for 3 days; the last: " in bench.endpoint.webhook.reason
    assert bench.now >= 100 + 3 * 86_400


def test_an_hour_is_not_told_in_days() -> None:
    bench = Bench(EndpointLimits(disable_after_ms=3_600_000))
    bench.tell(event(1))
    while bench.endpoint.state is not State.DISABLED:
        bench.now = max(bench.now, bench.endpoint.wakes_at(bench.now))
        if (one := bench.endpoint.take(bench.now)) is not None:
            bench.resolve(one, FAILED)
    assert "for 1 hour; the last: " in bench.endpoint.webhook.reason


def test_a_receiver_that_asks_for_time_gets_it() -> None:
    bench = Bench()
    bench.tell(event(1), event(2))
    bench.resolve(bench.take(), Verdict(Ruling.FAILED, 60.0, "429"))
    assert bench.endpoint.take(bench.now + 59) is None
    assert bench.endpoint.wakes_at(bench.now) == bench.now + 60
    bench.now += 60
    assert bench.take().event.seq in (1, 2)


def test_a_full_list_of_what_waits_stops_the_cursor() -> None:
    bench = Bench()
    for seq in range(1, 6):
        bench.tell(event(seq))
        bench.resolve(bench.take(), FAILED)
    bench.tell(event(6))
    assert bench.endpoint.take(bench.now) is None
    assert not bench.endpoint.feed.is_live
    progress, rows = bench.endpoint.take_records()
    assert progress.seq == 5
    assert sorted(rows) == [1, 2, 3, 4, 5]


def test_a_slow_delivery_does_not_hold_the_cursor_back_for_ever() -> None:
    bench = Bench()
    bench.tell(event(1))
    bench.take()
    for seq in range(2, 1100):
        bench.tell(event(seq))
        bench.resolve(bench.take(), DELIVERED)
    progress, rows = bench.endpoint.take_records()
    assert progress.seq == 1099
    assert list(rows) == [1]


def test_enabled_again_it_goes_on_where_it_stood() -> None:
    from msgspec.structs import replace

    bench = Bench()
    bench.tell(event(1), event(2))
    bench.endpoint.change(replace(bench.endpoint.webhook, is_enabled=False), bench.now)
    assert bench.endpoint.take(bench.now) is None
    bench.endpoint.change(replace(bench.endpoint.webhook, is_enabled=True), bench.now)
    page = bench.endpoint.begin_page()
    assert page is not None
    assert page.after_seq == 0


def test_pauses_grow_until_three_days_are_over() -> None:
    age_s, pauses = 0.0, []
    while (pause_s := delay_s(len(pauses) + 1, age_s, 0.0)) is not None:
        pauses.append(pause_s)
        age_s += pause_s
    assert age_s == 3 * 86_400
    assert pauses[0] == 5.0
    assert pauses[:-1] == sorted(pauses[:-1])
    assert delay_s(1, 0.0, 0.5) == pytest.approx(5.5)
    assert probe_s(0, 0.0) == 5.0
    assert probe_s(99, 0.0) == 300.0


def test_every_state_knows_what_every_fact_means() -> None:
    wanted = {(state, fact) for state in State for fact in Fact}
    unprobed = {(state, Fact.PROBED) for state in State if state is not State.OPEN}
    assert set(TRANSITIONS) == wanted - unprobed


@pytest.mark.parametrize("build", [Bench])
def test_no_more_than_allowed_are_under_way(build: Callable[[], Bench]) -> None:
    bench = build()
    bench.tell(*(event(seq) for seq in range(1, 7)))
    taken = [bench.take() for _ in range(3)]
    assert bench.endpoint.take(bench.now) is None
    bench.resolve(taken[0], DELIVERED)
    assert bench.take().event.seq == 4


def test_a_callback_is_given_one_at_once_until_it_takes_something() -> None:
    limits = EndpointLimits(concurrency=12, window=64)
    callback = webhook(is_callback=True)
    endpoint = Endpoint(callback, Progress(256, 0), (), Tide(0), limits, lambda: 0.5, 0.0, WALL_MS)
    page = endpoint.begin_page()
    assert page is not None
    endpoint.finish_page(page, Read([Delivery(event(seq), WALL_MS, b"{}") for seq in range(1, 60)], 59, True))
    first = endpoint.take(0.0)
    assert first is not None
    assert endpoint.take(0.0) is None
    endpoint.resolve(first, DELIVERED, 0.0, WALL_MS)
    assert [endpoint.take(0.0) is not None for _ in range(3)] == [True, True, False]


def test_a_receiver_is_given_more_at_once_as_it_takes_what_it_is_given() -> None:
    limits = EndpointLimits(concurrency=12, window=64)
    endpoint = Endpoint(webhook(), Progress(256, 0), (), Tide(0), limits, lambda: 0.5, 0.0, WALL_MS)
    page = endpoint.begin_page()
    assert page is not None
    endpoint.finish_page(page, Read([Delivery(event(seq), WALL_MS, b"{}") for seq in range(1, 60)], 59, True))

    def fill() -> list[Delivery]:
        taken = []
        while (one := endpoint.take(0.0)) is not None:
            taken.append(one)
        return taken

    flights = fill()
    assert len(flights) == 8
    for wanted in (9, 10, 11, 12, 12):
        endpoint.resolve(flights.pop(), DELIVERED, 0.0, WALL_MS)
        flights += fill()
        assert len(flights) == wanted
    endpoint.resolve(flights.pop(), FAILED, 0.0, WALL_MS)
    assert fill() == []
    for _ in range(4):
        endpoint.resolve(flights.pop(), DELIVERED, 0.0, WALL_MS)
    flights += fill()
    assert len(flights) == 12
