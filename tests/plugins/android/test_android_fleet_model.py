"""The fleet under any course of events: one outcome each, no message on two phones, reports that only advance."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stentor.outcome import Returned, Sent, Unknown
from stentor_android.fleet import Fleet
from stentor_android.merging import Merger
from stentor_android.protocol import RecipientReport, Report, SIMCard
from stentor_android.recalling import Recalling
from stentor_android.registry import Phone
from stentor_android.sealing import Sealer
from stentor_android.states import State
from stentor_android.terms import Terms
from tests.plugins.android.phone_world import submission
from tests.support.scale import chosen_scale

SCALE = chosen_scale()
WALL_MS = 1_800_000_000_000
WORDS = ["Pending", "Processed", "Sent", "Delivered", "Failed", "Cancelled", "Whatever"]
ERRORS = [
    "TTL expired",
    "Send result: RESULT_ERROR_GENERIC_FAILURE (x)",
    "Send result: RESULT_ERROR_NO_SERVICE (x)",
    "Send result: RESULT_INVALID_ARGUMENTS (x)",
    "Delivery result from SC +1: 70",
]
WISHES = [None, None, b'{"device":"p1"}', b'{"device":"dv3","sim":1}', b'{"sim":2}', b'{"device":"nobody"}']
phones = st.integers(0, 3)


class FleetModel(RuleBasedStateMachine):
    """Four phones, the last one a poller; the model remembers which phone has seen which message."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.fleet = Fleet(Terms(parts_a_minute=60.0), b"k" * 32, Sealer())
        self.merger = Merger(self.fleet)
        self.recalling = Recalling(self.fleet)
        self.phone_ids = [f"dv{number}" for number in range(4)]
        for number in range(4):
            sims = tuple(SIMCard(slot - 1, slot) for slot in range(1, 1 + number % 3))
            phone = Phone(f"dv{number}", f"p{number}", b"", "L", "m", 0, version=(1, 68, 0), sims=sims)
            phone.seen_at_ms = WALL_MS
            self.fleet.add(phone, {}, self.now, WALL_MS)
        self.token = 0
        self.handed = {}
        self.ended = {}
        self.may_have = {}
        self.listed = []
        self.told = {}

    @property
    def wall_ms(self):
        return WALL_MS + round(self.now * 1000)

    @property
    def room(self):
        return self.fleet.window - len(self.fleet.items) - self.fleet.wishes.count

    def device(self, number):
        return self.fleet.devices[self.phone_ids[number]]

    def collect(self):
        for outcome in self.fleet.outcomes:
            token = outcome.submission.token
            assert self.handed[token] is outcome.submission
            assert token not in self.ended, "two outcomes"
            self.ended[token] = outcome
            if isinstance(outcome, Returned):
                withdrawn = self.told.get(token) == "Cancelled"
                assert withdrawn or token not in self.may_have, "given back, and a phone may send it"
            if isinstance(outcome, Unknown):
                assert token in self.may_have, "in doubt, and nobody had it"
        self.fleet.outcomes.clear()

    @initialize()
    def begin(self):
        """Streams stand, and two messages are with their phones."""
        for number in range(3):
            self.open(number)
        self.submit(2, 0)
        for number in range(4):
            self.pull(number, False)

    @precondition(lambda self: self.room > 0)
    @rule(count=st.integers(1, 4), to=st.integers(0, 5), wish=st.sampled_from(WISHES))
    def submit(self, count, to, wish=None):
        batch = []
        for _ in range(min(count, self.room)):
            self.token += 1
            batch.append(submission(self.token, f"+1555010000{to}", metadata=wish))
            self.handed[self.token] = batch[-1]
        self.fleet.place(batch, self.now, self.wall_ms)
        self.collect()

    @rule(number=phones)
    def open(self, number):
        if self.device(number).streams < 3 and number < 3:
            self.fleet.stream_opened(self.device(number), self.now, self.wall_ms)
        self.collect()

    @rule(number=phones)
    def close(self, number):
        if self.device(number).streams:
            self.fleet.stream_closed(self.device(number), self.now, self.wall_ms)
        self.collect()

    @rule(number=phones, is_lifo=st.booleans())
    def pull(self, number, is_lifo):
        device = self.device(number)
        device.phone.seen_at_ms = self.wall_ms
        for item in self.fleet.listing(device, is_lifo, self.now):
            token = item.submission.token
            assert self.may_have.setdefault(token, number) == number, "on two phones"
            self.listed.append((number, item.id, token, item.sent_to))
        again = {item.id for item in self.fleet.listing(device, is_lifo, self.now)}
        assert {item.id for item in device.items.values() if item.state is State.LISTED} <= again
        self.collect()

    @precondition(lambda self: self.listed)
    @rule(
        data=st.data(),
        words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
        error=st.sampled_from(ERRORS),
        stranger=st.none() | st.none() | phones,
    )
    def report(self, data, words, error, stranger):
        """Snapshots of one message in any order, mostly of one that is open and by the phone that has it."""
        known = [each for each in self.listed if each[2] in self.fleet.items] or self.listed
        number, item_id, token, to = data.draw(st.sampled_from(known))
        reporter = number if stranger is None else stranger
        for word in words:
            item = self.fleet.items.get(token)
            before = None if item is None else item.state
            receipts = len(self.merger.receipts)
            told = RecipientReport(to, word, error if word == "Failed" else None)
            if reporter == number and item is not None:
                self.told[token] = word
            report = Report(item_id, word, (told,), {word: "when?"})
            self.merger.merge(self.device(reporter), report, self.now, self.wall_ms)
            self.collect()
            if reporter != number:
                assert len(self.merger.receipts) == receipts, "a stranger's report was believed"
                assert item is None or item.state is before
            elif item is not None and before is not None:
                assert item.state >= before, "it went backwards"
                if word == "Delivered":
                    assert isinstance(self.ended[token], Sent)

    @rule(seconds=st.sampled_from([1.0, 5.0, 20.0, 70.0, 400.0, 900.0]))
    def wait(self, seconds):
        end = self.now + seconds
        while self.fleet.wakes_at <= end:
            self.now = max(self.now, self.fleet.wakes_at)
            self.fleet.tick(self.now, self.wall_ms)
            self.collect()
        self.now = end

    @rule(number=phones, is_paused=st.booleans())
    def pause(self, number, is_paused):
        device = self.device(number)
        device.phone.is_paused = is_paused
        if is_paused:
            self.recalling.withdraw(device, self.now, self.wall_ms)
        self.fleet.measure(device, self.now, self.wall_ms)
        self.collect()

    @precondition(lambda self: len(self.ended) < len(self.handed))
    @rule(data=st.data())
    def recall(self, data):
        """Its client cancels it: what nobody was told of comes back at once, and that alone."""
        token = data.draw(st.sampled_from(sorted(set(self.handed) - set(self.ended))))
        item = self.fleet.items.get(token)
        was_listed = item is not None and item.state is not State.UNLISTED
        is_asked = self.recalling.recall(token, self.now, self.wall_ms)
        self.collect()
        assert (token in self.ended) == (not was_listed)
        assert is_asked == (
            was_listed and item.state < State.PROCESSED and item.device_id not in self.fleet.gone
        )
        assert not is_asked or item.is_withdrawn

    @rule(number=phones)
    def register_again(self, number):
        """The phone has a new id; what it has by the old one it may send yet, and tell of."""
        device = self.device(number)
        old = device.phone
        previous = (old.id, *old.previous)
        phone_id = self.phone_ids[number] = f"dv{number}.{len(previous)}"
        phone = msgspec.structs.replace(old, id=phone_id, previous=previous, streamed_at_ms=0)
        had = {token for token in self.fleet.items if self.fleet.items[token].device_id == old.id}
        kept = {token for token in had if token in self.may_have}
        self.fleet.remove(device)
        self.fleet.add(phone, {}, self.now, self.wall_ms)
        self.collect()
        for token in kept:
            assert token in self.fleet.items or isinstance(self.ended[token], Sent), "given up, and it may go"

    @invariant()
    def the_sums_are_right(self):
        fleet = self.fleet
        assert fleet.room == sum(device.room for device in fleet.devices.values())
        assert fleet.room >= 0
        everybody = [*fleet.devices.values(), *fleet.gone.values()]
        on_phones = [item for device in everybody for item in device.items.values()]
        assert all(device.items and not device.room for device in fleet.gone.values())
        assert len(on_phones) == len(fleet.items)
        assert {item.submission.token for item in on_phones} == set(fleet.items)
        held = {token for token in self.handed if token in fleet.wishes}
        assert len(held) == fleet.wishes.count
        assert set(fleet.items) | set(self.ended) | held == set(self.handed)
        assert not held & set(fleet.items)
        for device in everybody:
            for slot, sim in device.sims.items():
                waiting = [
                    item
                    for item in device.items.values()
                    if item.slot == slot and item.state < State.PROCESSED
                ]
                assert sim.waiting == len(waiting) <= fleet.terms.window

    def teardown(self):
        self.fleet.abandon()
        self.collect()
        assert set(self.ended) == set(self.handed)


FleetModel.TestCase.settings = settings(
    max_examples=SCALE(gate=60, nightly=2_000, release=20_000), stateful_step_count=40, deadline=None
)
test_the_fleet = FleetModel.TestCase
