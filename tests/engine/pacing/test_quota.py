"""No interval of any length holds more than a quota allows; allowances are renewed when the local day or month is."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.pacing.quota import Allowance, SmoothQuota, span_of

WALL = 1_800_000_000_000


def at_ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@given(
    limit=st.integers(1, 1000),
    period_s=st.sampled_from((1, 60, 3600, 86_400)),
    burst=st.sampled_from((0.0, 1.0, 5.0, 50.0)),
    asks=st.lists(st.tuples(st.floats(0, 100), st.sampled_from((1, 1, 1, 3, 9))), max_size=60),
    restart_after=st.integers(0, 60),
)
def test_no_interval_of_any_length_holds_more_than_the_rate_and_the_burst(
    limit, period_s, burst, asks, restart_after
) -> None:
    """Every interval between two grants is looked at; a restart in between changes nothing."""
    now, interval_s = 1000.0, period_s / limit
    quota = SmoothQuota(limit, period_s, burst, now)
    granted: list[tuple[float, int]] = []
    for number, (pause, cost) in enumerate(asks):
        now += pause * interval_s
        wall_ms = WALL + int(now * 1000)
        if number == restart_after:
            saved = quota.saved(now, wall_ms)
            quota = SmoothQuota(limit, period_s, burst, now)
            quota.restore(saved, now, wall_ms)
        if quota.fits(cost, now, wall_ms):
            quota.take(cost, now, wall_ms)
            granted.append((now, cost))
    most = max(1.0, burst or 0.1 * limit / period_s)
    for first in range(len(granted)):
        total = 0
        largest = 0
        for at, cost in granted[first:]:
            total += cost
            largest = max(largest, cost)
            allowed = (at - granted[first][0]) / interval_s + max(most, largest)
            # A restart rounds to a millisecond, always to the later.
            assert total <= allowed + 1e-3 / interval_s + 1e-6


@given(costs=st.lists(st.integers(1, 5), min_size=1, max_size=30), burst=st.sampled_from((1.0, 4.0)))
def test_whoever_comes_when_told_to_gets_the_whole_rate(costs, burst) -> None:
    quota, now = SmoothQuota(10, 60, burst, 0.0), 0.0
    for cost in costs:
        now = quota.ready_at(cost, now, 0)
        assert quota.fits(cost, now, 0)
        quota.take(cost, now, 0)
    assert now <= sum(costs) * 6.0 + 1e-6


def test_what_is_left_and_when_it_is_ready_agree() -> None:
    quota = SmoothQuota(60, 60, 3, 0.0)
    assert quota.left(0.0, 0) == 3
    quota.take(3, 0.0, 0)
    assert (quota.left(0.5, 0), quota.fits(1, 0.5, 0), quota.ready_at(1, 0.5, 0)) == (0, False, 1.0)
    assert (quota.left(2.0, 0), quota.ready_at(3, 2.0, 0)) == (2, 3.0)


def test_a_clock_set_back_over_a_restart_shuts_a_quota_no_longer_than_an_empty_bucket() -> None:
    quota = SmoothQuota(60, 60, 5, 0.0)
    quota.restore(str(WALL + 10**9), 0.0, WALL)
    assert quota.ready_at(1, 0.0, WALL) == 1.0
    quota.restore("nonsense", 0.0, WALL)


@pytest.mark.parametrize(
    ("moment", "every", "zone", "start", "end"),
    [
        ("2027-01-15T12:00", "day", "UTC", "2027-01-15T00:00", "2027-01-16T00:00"),
        ("2027-01-15T23:59:59", "month", "UTC", "2027-01-01T00:00", "2027-02-01T00:00"),
        ("2027-12-31T23:00", "month", "Europe/Bucharest", "2027-12-01T00:00", "2028-01-01T00:00"),
        ("2027-03-28T12:00", "day", "Europe/Bucharest", "2027-03-28T00:00", "2027-03-29T00:00"),
        # Clocks go forward at midnight: the day begins at one.
        ("2027-04-30T12:00", "day", "Africa/Cairo", "2027-04-30T01:00", "2027-05-01T00:00"),
    ],
)
def test_days_and_months_are_those_of_the_zone(moment, every, zone, start, end) -> None:
    span = span_of(at_ms(moment, zone), every, zone)
    assert (span.start_ms, span.end_ms) == (at_ms(start, zone), at_ms(end, zone))


def test_a_day_of_changed_clocks_has_23_or_25_hours() -> None:
    spring = span_of(at_ms("2027-03-28T12:00"), "day", "Europe/Bucharest")
    autumn = span_of(at_ms("2027-10-31T12:00"), "day", "Europe/Bucharest")
    assert (spring.end_ms - spring.start_ms, autumn.end_ms - autumn.start_ms) == (
        23 * 3_600_000,
        25 * 3_600_000,
    )


@given(
    limit=st.integers(1, 9),
    asks=st.lists(st.tuples(st.integers(0, 40), st.sampled_from((1, 1, 2))), max_size=60),
    restart_after=st.integers(0, 60),
)
def test_no_month_holds_more_than_its_allowance(limit, asks, restart_after) -> None:
    """Hours pass between the asks, months begin, the daemon is restarted; what each month held is counted anew."""
    wall_ms = at_ms("2027-01-10T00:00")
    allowance = Allowance(limit, "month", "UTC", wall_ms)
    used: dict[tuple[int, int], list[int]] = {}
    for number, (hours, cost) in enumerate(asks):
        wall_ms += hours * 3_600_000
        if number == restart_after:
            saved = allowance.saved(0.0, wall_ms)
            allowance = Allowance(limit, "month", "UTC", wall_ms)
            allowance.restore(saved, 0.0, wall_ms)
        month = datetime.fromtimestamp(wall_ms / 1000, UTC)
        mine = used.setdefault((month.year, month.month), [])
        fits = sum(mine) + cost <= limit or not mine
        assert allowance.fits(cost, 0.0, wall_ms) is fits
        assert allowance.left(0.0, wall_ms) == max(0, limit - sum(mine))
        if fits:
            allowance.take(cost, 0.0, wall_ms)
            mine.append(cost)
        else:
            ready_ms = wall_ms + round(allowance.ready_at(cost, 0.0, wall_ms) * 1000)
            after = datetime.fromtimestamp(ready_ms / 1000, UTC)
            assert (after.day, after.hour, after.minute) == (1, 0, 0)


def test_a_clock_set_back_does_not_renew_an_allowance() -> None:
    wall_ms = at_ms("2027-02-01T00:00")
    allowance = Allowance(1, "month", "UTC", wall_ms)
    allowance.take(1, 0.0, wall_ms)
    assert not allowance.fits(1, 0.0, wall_ms - 86_400_000)
    again = Allowance(1, "month", "UTC", wall_ms - 86_400_000)
    again.restore(allowance.saved(0.0, wall_ms), 0.0, wall_ms - 86_400_000)
    assert not again.fits(1, 0.0, wall_ms)
    assert again.fits(1, 0.0, at_ms("2027-03-01T00:00"))
