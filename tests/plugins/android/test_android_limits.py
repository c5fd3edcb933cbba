"""The limits of a SIM as the fleet keeps them: window, hour, day, month, and people a month."""

import pytest

from stentor.outcome import Deferred, Returned
from stentor_android.fleet import Fleet
from stentor_android.merging import Merger
from stentor_android.pacing import Limits
from stentor_android.protocol import RecipientReport, Report, SIMCard
from stentor_android.registry import Phone
from stentor_android.sealing import Sealer
from stentor_android.terms import Terms
from tests.plugins.android.phone_world import submission

HOUR_MS = 3_600_000
WALL_MS = 1_800_000_000_000  # 2027-01-15 08:00 UTC


class Limited:
    """One phone with one SIM that streams, and a clock that is set by hand."""

    def __init__(self, **limits):
        terms = Terms(parts_a_minute=600.0, window=10, limits={"": {0: Limits(**limits)}})
        self.fleet = Fleet(terms, b"k" * 32, Sealer())
        self.merger = Merger(self.fleet)
        phone = Phone("dv0", "anna", b"", "L", "m", 0, version=(1, 68, 0), sims=(SIMCard(0, 1),))
        self.device = self.fleet.add(phone, {}, 0.0, WALL_MS)
        self.fleet.stream_opened(self.device, 0.0, WALL_MS)
        self.now = self.token = 0

    def left(self, after_ms):
        """Messages that may go so long after the beginning."""
        self.now = after_ms / 1000
        self.fleet.measure(self.device, self.now, WALL_MS + after_ms)
        return self.fleet.room

    def send(self, to="+15550100001", after_ms=0, state="Sent", **changes):
        """Hand one over and have the phone report it; the outcome, None if it stays open."""
        self.token += 1
        self.now = max(self.now, after_ms / 1000) + 10
        self.fleet.place([submission(self.token, to, **changes)], self.now, WALL_MS + after_ms)
        for item in self.fleet.listing(self.device, False, self.now):
            report = Report(item.id, state, (RecipientReport(to, state),), {})
            self.merger.merge(self.device, report, self.now, WALL_MS + after_ms)
        outcomes, self.fleet.outcomes = self.fleet.outcomes, []
        return outcomes[-1] if outcomes else None


@pytest.mark.parametrize(
    ("limit", "before_ms", "renewed_ms"),
    [
        ("hourly", HOUR_MS - 1, HOUR_MS),
        ("daily", 16 * HOUR_MS - 1, 16 * HOUR_MS),
        ("monthly", (16 + 16 * 24) * HOUR_MS - 1, (16 + 16 * 24) * HOUR_MS),
    ],
)
def test_a_used_allowance_ends_with_its_window_of_the_calendar(limit, before_ms, renewed_ms):
    limited = Limited(**{limit: 3})
    limited.send()
    limited.send(segments=2)
    assert limited.left(0) == 0
    assert isinstance(limited.send(), Returned), "it waits for no fault of its own"
    assert limited.left(before_ms) == 0
    assert limited.left(renewed_ms) == 3


def test_a_message_of_more_parts_than_are_left_does_not_go():
    limited = Limited(hourly=3)
    limited.send(segments=2)
    assert limited.left(0) == 1
    assert isinstance(limited.send(segments=2), Deferred)
    assert limited.send().submission.segments == 1
    assert limited.left(0) == 0


def test_what_comes_back_unsent_is_not_counted():
    limited = Limited(hourly=2)
    assert isinstance(limited.send(state="Cancelled"), Returned)
    assert limited.left(0) == 2
    limited.send(state="Failed")
    assert limited.left(0) == 1, "what failed may have cost its parts"


def test_the_window_is_of_messages_that_android_does_not_have_yet():
    limited = Limited()
    for _ in range(4):
        limited.send(state="Pending")
    assert limited.left(0) == 6
    limited.send(state="Processed")
    assert limited.left(0) == 6


def test_the_people_of_a_month_are_counted_and_the_next_month_begins_anew():
    limited = Limited(destinations=2)
    limited.send("+15550100001")
    limited.send("+15550100002")
    assert isinstance(limited.send("+15550100003"), Deferred)
    assert not isinstance(limited.send("+15550100001"), Deferred)
    assert not isinstance(limited.send("+15550100003", after_ms=17 * 24 * HOUR_MS), Deferred)
