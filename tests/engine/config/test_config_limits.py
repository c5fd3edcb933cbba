"""`[limits]` and `[[rate_limits]]` in the configuration: what is taken, what is refused and how."""

import tomllib

import pytest

from stentor.config import ConfigErrors, effective, parse
from stentor.config.reload import diff
from stentor.pacing.gate import LimitRule
from stentor.pacing.quiet import QuietRule
from tests.engine.config.test_config import CHANNEL, SPECS, faults

TABLE = '[[rate_limits]]\nname = "l"\nlimit = 5\n'


def rule(text: str) -> LimitRule:
    (found,) = parse(CHANNEL + TABLE + text, SPECS).limit_rules
    return found


def test_a_limit_without_selectors_is_one_flow_for_everything() -> None:
    assert rule("") == LimitRule(name="l", limit=5, every="second")


def test_every_key_of_a_limit_reaches_the_engine() -> None:
    found = rule(
        'every = "month"\nunit = "segments"\nform = "allowance"\nzone = "Europe/Bucharest"\naccount = "a"\n'
        'channel = ["alpha"]\nlane = "0"\nprefix = "+40"\nfrom = ["Shop", "1234"]\nper = ["lane", "from"]\n'
    )
    assert found == LimitRule(
        name="l",
        limit=5,
        every="month",
        unit="segments",
        is_allowance=True,
        zone="Europe/Bucharest",
        accounts=("a",),
        channels=("alpha",),
        lanes=("0",),
        prefixes=("+40",),
        originators=("Shop", "1234"),
        per=("lane", "from"),
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            'channel = "alpa"',
            '4: rate_limits[0].channel[0]: there is no channel "alpa" (did you mean "alpha"?)',
        ),
        (
            'zone = "Mars/Olympus"',
            '4: rate_limits[0].zone: there is no time zone "Mars/Olympus" (write it like',
        ),
        ('zone = "../etc"', '4: rate_limits[0].zone: there is no time zone "../etc"'),
        ('form = "allowance"', "1: rate_limits[0].every: an allowance is for a day or a month"),
        (
            'form = "allowance"\nevery = "day"\nburst = 2',
            "6: rate_limits[0].burst: an allowance may go at once as it is",
        ),
        ('per = "prefix"', "4: rate_limits[0].per: which prefixes are to be told apart?"),
        ('per = ["lane", "lane"]', "4: rate_limits[0].per: names something twice"),
        ('per = "destination"', "4: rate_limits[0].per[0]: must be one of"),
        ("rate = 5", "4: rate_limits[0].rate: unknown key"),
        (
            "[[rate_limits]]\nname = 'l'\nlimit = 1",
            '5: rate_limits[1].name: "l" is the name of rate_limits[0]',
        ),
        (
            "[accounts.a]\n[[rate_limits]]\nname='m'\nlimit=1\naccount='b'",
            "rate_limits[1].account[0]: there is no",
        ),
    ],
)
def test_a_faulty_limit_is_refused_with_what_would_be_right(text: str, fault: str) -> None:
    found = faults(TABLE + text + "\n" + CHANNEL)
    assert any(fault in one for one in found), found


def test_limits_of_the_daemon_and_rate_limits_stand_side_by_side() -> None:
    assert parse("[limits]\nbacklog = 9_000_000\n" + TABLE, SPECS).limits.backlog == 9_000_000
    with pytest.raises(ConfigErrors, match=r"limits: must be a table \(write \[limits\]\)"):
        parse("[[limits]]\nbacklog = 9_000_000\n", SPECS)


def test_the_effective_limits_are_valid_toml_and_mean_the_same() -> None:
    config = parse(CHANNEL + TABLE + 'prefix = "+40"\nper = "account"\n', SPECS)
    document = tomllib.loads(effective(config))
    assert document["rate_limits"][0]["prefix"] == ["+40"]
    again = parse(effective(config).replace("********", "p"), SPECS)
    assert again.limit_rules == config.limit_rules


def test_a_reload_tells_of_changed_limits() -> None:
    old, new = parse(CHANNEL + TABLE, SPECS), parse(CHANNEL + TABLE + "burst = 2\n", SPECS)
    assert diff(old, new).rate_limits
    assert not diff(old, new).is_empty
    assert diff(new, new).is_empty


QUIET = '[[quiet_hours]]\nfrom = "22:00"\nuntil = "08:00"\n'


def test_quiet_hours_reach_the_engine() -> None:
    text = QUIET + 'prefix = "+40"\nexempt_priority = ["urgent", "high"]\nexempt_account = "x"\n'
    (found,) = parse(CHANNEL + text, SPECS).quiet_rules
    assert found == QuietRule(
        start_min=1320, end_min=480, prefixes=("+40",), exempt_priorities=(0, 1), exempt_accounts=("x",)
    )
    config = parse(CHANNEL + QUIET, SPECS)
    assert parse(effective(config).replace("********", "p"), SPECS).quiet_rules == config.quiet_rules
    assert diff(parse(CHANNEL, SPECS), config).quiet_hours


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            '[[quiet_hours]]\nfrom = "22"\nuntil = "08:00"',
            '2: quiet_hours[0].from: must be a time of day, like "22:00"',
        ),
        ('[[quiet_hours]]\nfrom = "24:00"\nuntil = "08:00"', "2: quiet_hours[0].from: must be a time of day"),
        ('[[quiet_hours]]\nfrom = "08:00"\nuntil = "08:00"', "3: quiet_hours[0].until: is when they begin"),
        ('[[quiet_hours]]\nuntil = "08:00"', "1: quiet_hours[0].from: is missing"),
        (
            '[[quiet_hours]]\nfrom = "12:00"\nuntil = "00:00"\nprefix = "+40"\n'
            '[[quiet_hours]]\nfrom = "00:00"\nuntil = "12:00"',
            "3: quiet_hours[0].until: no minute of the day is left, with the other quiet hours for the same messages "
            "(to send nothing at all, deny the destinations)",
        ),
        (QUIET + 'exempt_priority = "low"', "4: quiet_hours[0].exempt_priority[0]: must be one of"),
        (
            QUIET + "exempt_account = 'b'\n[accounts.a]",
            '4: quiet_hours[0].exempt_account[0]: there is no account "b"',
        ),
    ],
)
def test_faulty_quiet_hours_are_refused_with_what_would_be_right(text: str, fault: str) -> None:
    found = faults(text + "\n" + CHANNEL)
    assert any(fault in one for one in found), found


@pytest.mark.parametrize("backlog", [1, 40_000])
def test_a_small_backlog_alone_makes_the_active_set_small(backlog: int) -> None:
    config = parse(f"[limits]\nbacklog = {backlog}\n" + CHANNEL, SPECS)
    assert (config.limits.backlog, config.limits.active) == (backlog, backlog)
    assert parse(f"[limits]\nbacklog = {backlog}\nactive = 1\n" + CHANNEL, SPECS).limits.active == 1
