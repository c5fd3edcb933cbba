"""Nothing leaves in the destination's quiet hours, and everything that waited leaves when they end."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.message import EventKind, Priority, Status
from stentor.numbers.zones import zones_of
from stentor.pacing.quiet import Quiet, QuietRule
from stentor.settling.lifecycle import Change
from tests.engine.dispatch.dispatch_engine import message
from tests.engine.dispatch.test_holdback import Journalled

NIGHT = QuietRule(start_min=22 * 60, end_min=8 * 60)
LUNCH = QuietRule(start_min=12 * 60, end_min=13 * 60)
ROMANIA, NEW_YORK, RUSSIA = "+40700000001", "+12125550100", "+79160000000"


def at_ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def opening(moment: str, zone: str, to: str, *rules: QuietRule, **fields) -> str:
    opens_ms = Quiet(rules or (NIGHT,)).opens_ms(message(to=to, **fields), at_ms(moment, zone))
    return datetime.fromtimestamp(opens_ms / 1000, ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize(
    ("moment", "zone", "to", "opens"),
    [
        ("2027-01-15T21:59", "Europe/Bucharest", ROMANIA, "2027-01-15T21:59"),
        ("2027-01-15T22:00", "Europe/Bucharest", ROMANIA, "2027-01-16T08:00"),
        ("2027-01-16T07:59", "Europe/Bucharest", ROMANIA, "2027-01-16T08:00"),
        ("2027-01-16T08:00", "Europe/Bucharest", ROMANIA, "2027-01-16T08:00"),
        ("2027-01-31T23:30", "America/New_York", NEW_YORK, "2027-02-01T08:00"),
        # The clocks change in the night: it ends at eight by the new time.
        ("2027-03-27T23:00", "Europe/Bucharest", ROMANIA, "2027-03-28T08:00"),
        ("2027-10-30T23:00", "Europe/Bucharest", ROMANIA, "2027-10-31T08:00"),
        # Eleven zones: quiet from the first evening in the east to the last morning in the west.
        ("2027-01-15T14:00", "Europe/Moscow", RUSSIA, "2027-01-16T09:00"),
        ("2027-01-15T10:00", "Europe/Moscow", RUSSIA, "2027-01-15T10:00"),
        # Zones so far apart that it is always quiet in one: the first one's night counts.
        ("2027-01-15T12:00", "Pacific/Honolulu", "+1999", "2027-01-15T12:00"),
    ],
)
def test_quiet_hours_end_by_the_local_time_of_the_destination(moment, zone, to, opens) -> None:
    rules = (NIGHT,) if to != "+1999" else (QuietRule(start_min=14 * 60, end_min=10 * 60),)
    assert opening(moment, zone, to, *rules) == opens


def test_an_hour_that_is_left_out_or_repeated_is_no_trap() -> None:
    """Romania's clocks skip 03:00 to 04:00 in spring and pass it twice in autumn."""
    until = QuietRule(start_min=2 * 60, end_min=3 * 60 + 30)
    quiet = Quiet((until,))
    assert opening("2027-03-28T02:30", "Europe/Bucharest", ROMANIA, until) == "2027-03-28T04:30"
    first, second = (int(moment) for moment in (at_ms("2027-10-31T00:10"), at_ms("2027-10-31T01:10")))
    assert quiet.opens_ms(message(to=ROMANIA), first) == at_ms("2027-10-31T00:30")
    assert quiet.opens_ms(message(to=ROMANIA), second) == at_ms("2027-10-31T01:30")


def test_rules_add_up_and_exempt_some() -> None:
    assert opening("2027-01-15T12:30", "Europe/Bucharest", ROMANIA, NIGHT, LUNCH) == "2027-01-15T13:00"
    touching = QuietRule(start_min=8 * 60, end_min=9 * 60)
    assert opening("2027-01-15T23:00", "Europe/Bucharest", ROMANIA, NIGHT, touching) == "2027-01-16T09:00"
    for rule, fields in (
        ({"exempt_priorities": (Priority.URGENT,)}, {"priority": Priority.URGENT}),
        ({"exempt_accounts": ("x",)}, {"account": "x"}),
        ({"accounts": ("x",)}, {"account": "y"}),
        ({"prefixes": ("+36",)}, {}),
    ):
        only = QuietRule(start_min=0, end_min=23 * 60, **rule)
        assert opening("2027-01-15T12:00", "Europe/Bucharest", ROMANIA, only, **fields) == "2027-01-15T12:00"


def test_a_number_of_no_country_has_no_night() -> None:
    assert opening("2027-01-15T23:00", "UTC", "+80012345678") == "2027-01-15T23:00"


@given(
    start=st.integers(0, 1439),
    length=st.integers(1, 1000),
    at=st.integers(at_ms("2027-01-01T00:00"), at_ms("2028-01-01T00:00")),
    to=st.sampled_from(
        (ROMANIA, NEW_YORK, "+5511912345678", "+9779800000000", "+881612345678", "+351912345678")
    ),
)
def test_at_the_opening_it_is_quiet_in_no_zone_and_until_then_in_one(
    start: int, length: int, at: int, to: str
) -> None:
    """Against a walk minute by minute."""
    rule = QuietRule(start_min=start, end_min=(start + length) % 1440)
    opens_ms = Quiet((rule,)).opens_ms(message(to=to), at)

    def is_quiet(moment_ms: int) -> bool:
        for zone in zones_of(to):
            local = datetime.fromtimestamp(moment_ms / 1000, ZoneInfo(zone))
            if rule.is_quiet(local.hour * 60 + local.minute):
                return True
        return False

    if to.startswith("+1") or len(zones_of(to)) < 3:
        assert not is_quiet(opens_ms)
        step = max(60_000, (opens_ms - at) // 40 // 60_000 * 60_000)
        for moment_ms in range(at, opens_ms, step):
            local_ms = moment_ms // 60_000 * 60_000
            repeated = any(is_quiet(local_ms + shift) for shift in (0, 3_600_000, -3_600_000))
            assert is_quiet(local_ms) or repeated


def test_a_message_accepted_in_quiet_hours_is_scheduled_for_their_end() -> None:
    night = at_ms("2027-01-15T23:00", "Europe/Bucharest")
    late = message(to=ROMANIA, due_at_ms=night, expires_at_ms=night + 600_000)
    Quiet((NIGHT,)).shift(late, night)
    opens = at_ms("2027-01-16T08:00", "Europe/Bucharest")
    assert (late.status, late.due_at_ms, late.send_at_ms) == (Status.SCHEDULED, opens, opens)
    assert late.expires_at_ms == opens + 600_000
    by_day = message(to=ROMANIA, due_at_ms=opens)
    Quiet((NIGHT,)).shift(by_day, opens)
    assert (by_day.status, by_day.send_at_ms) == (Status.QUEUED, 0)


def test_what_is_still_queued_when_they_begin_is_scheduled_too_and_told_of_once() -> None:
    """The test's clock starts at 10:00 in Romania and at 09:00 in Hungary."""
    one = Journalled()
    one.dispatcher.restraint.set_quiet((QuietRule(start_min=10 * 60, end_min=11 * 60),))
    one.accept(message(1, to=ROMANIA), message(2, to="+36300000001"))
    assert one.gone() == [2]
    assert one.status(1) is Status.SCHEDULED
    assert one.journal.messages[1 << 8].due_at_ms == one.wall + 3_600_000
    assert one.dispatcher.scheduled == 1
    assert len(one.dispatcher.backlog) == 0
    one.journal.messages[1 << 8].expires_at_ms += 10**8
    one.wait(3600.0)
    one.turn()
    one.settle()
    assert one.gone() == [1]
    assert one.journal.kinds[1 << 8] == [EventKind.QUEUED, EventKind.SENT]


def test_a_postponed_message_survives_a_restart_and_can_be_cancelled() -> None:
    one = Journalled()
    one.dispatcher.restraint.set_quiet((QuietRule(start_min=10 * 60, end_min=11 * 60),))
    one.accept(message(1, to=ROMANIA), message(2, to=ROMANIA))
    assert one.gone() == []
    recovery = one.journal.recovery()
    assert (recovery.scheduled, recovery.next_due_ms) == (2, one.wall + 3_600_000)
    one.dispatcher.cancel(one.journal.message(1 << 8), one.wall)
    one.settle()
    assert one.status(1) is Status.CANCELLED
    assert Change.POSTPONE.value


def test_a_message_with_an_exempt_tag_is_marked_and_any_other_told_why_it_waits() -> None:
    quiet = Quiet((QuietRule(start_min=0, end_min=24 * 60 - 1, exempt_tags=("otp",)),))
    now_ms = at_ms("2027-01-15T12:00")
    tagged, plain = message(to=ROMANIA), message(to=ROMANIA)
    quiet.shift(tagged, now_ms, ["otp", "web"])
    quiet.shift(plain, now_ms, ["web"])
    assert tagged.ignores_quiet
    assert (tagged.status, tagged.error) == (Status.QUEUED, None)
    assert quiet.opens_ms(tagged, now_ms) == now_ms
    assert plain.status is Status.SCHEDULED
    assert plain.error is not None
    assert plain.error.code == "quiet_hours"
