"""The small parts of the phones' driver: dates, versions, authorization, allowances, choice, pushes, codes."""

import argparse
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.errors import ConfigError
from stentor_android.choice import Candidate, explain
from stentor_android.commands import _WORDS, PHONES, age
from stentor_android.config import AndroidConfig, check
from stentor_android.core import REFUSED
from stentor_android.dates import date_text, parse_date
from stentor_android.guard import FAILURES, Guard, host_of
from stentor_android.items import make_id, read_id
from stentor_android.pacing import UNLIMITED, Allowance, Limits
from stentor_android.protocol import endpoint, parse_authorization
from stentor_android.push import Push
from stentor_android.qr import beside, code_lines
from stentor_android.states import Presence, presence
from stentor_android.versions import UNKNOWN, parse_agent

HOUR_MS = 3_600_000
WALL_MS = 1_800_000_000_000  # 2027-01-15 08:00 UTC


@pytest.mark.parametrize(
    ("text", "wall_ms"),
    [
        ("2026-07-01T09:15:02.310+02:00", 1782890102310),
        ("2026-07-01T07:15:02.310Z", 1782890102310),
        ("2026-07-01T07:15:02Z", 1782890102000),
        ("2026-07-01T07:15:02.3Z", 1782890102300),
        ("2026-07-01T07:15:02.310123Z", 1782890102310),
        ("2026-07-01T07:15:02.310+0000", 1782890102310),
        ("2026-07-01T02:15:02.310+-5:00", 1782890102310),
        ("2026-07-01T02:15:02.310-05:00", 1782890102310),
        ("2026-02-30T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_dates_are_read_tolerantly(text, wall_ms):
    assert parse_date(text) == wall_ms


@given(st.integers(0, 4_000_000_000_000))
def test_dates_are_written_with_three_digits_and_read_again(wall_ms):
    text = date_text(wall_ms)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert parse_date(text) == wall_ms


@given(st.text() | st.integers() | st.none())
def test_no_date_makes_trouble(text):
    parse_date(text)


@pytest.mark.parametrize(
    ("agent", "version"),
    [
        ("me.capcom.smsgateway/1.68.0", (1, 68, 0)),
        ("me.capcom.smsgateway/1.53.1 (x)", (1, 53, 1)),
        ("me.capcom.smsgateway/2.0", (2, 0, 0)),
        ("okhttp/4.10.0", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_versions_are_read_from_the_agent(agent, version):
    assert parse_agent(agent) == version


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("", ("", "", "", "")),
        ("Bearer abc", ("bearer", "abc", "", "")),
        ("bearer  abc ", ("bearer", "abc", "", "")),
        ("Code K7W3MA", ("code", "K7W3MA", "", "")),
        ("Basic UTdNWjJLOm40dmV4cTBsYWhzN3Rk", ("basic", "", "Q7MZ2K", "n4vexq0lahs7td")),
        ("Basic YTpiOmM=", ("basic", "", "a", "b:c")),
        ("Basic YQ==", ("wrong", "", "", "")),
        ("Basic /w==", ("wrong", "", "", "")),
        ("Basic é", ("wrong", "", "", "")),
        ("Negotiate abc", ("wrong", "", "", "")),
    ],
)
def test_every_form_of_authorization(value, form):
    found = parse_authorization(value)
    assert (found.scheme, found.token, found.login, found.password) == form
    assert found.token not in repr(found) or not found.token


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/api/mobile/v1/device", "/device"),
        ("/api/mobile/v1//device", "/device"),
        ("/api/mobile/v1/devices/", "/device"),
        ("/api/mobile/v1/messages", "/message"),
        ("/api/mobile/v1", ""),
        ("/api/mobile/v1/user//code", "/user/code"),
        ("/elsewhere", ""),
    ],
)
def test_paths_lead_to_endpoints(path, below):
    assert endpoint(path, "/api/mobile/v1") == below


@given(st.integers(1, (1 << 60) - 1), st.integers(1, 9_999))
def test_an_id_is_read_by_the_phone_it_was_made_for_and_no_other(token, attempt):
    made = make_id(b"k" * 32, "dv1", token, attempt)
    assert len(made) <= 36
    assert "|" not in made
    assert read_id(b"k" * 32, "dv1", made) == (token, attempt)
    assert read_id(b"k" * 32, "dv2", made) is None
    assert read_id(b"x" * 32, "dv1", made) is None
    assert read_id(b"k" * 32, "dv1", made[:-1]) is None


@given(st.text(max_size=40))
def test_no_text_is_an_id_by_chance(text):
    assert read_id(b"k" * 32, "dv1", text) is None


def test_allowances_count_by_the_calendar_and_survive():
    allowance = Allowance(Limits(hourly=10, daily=12, monthly=15, destinations=2))
    allowance.take("+1", 8, WALL_MS)
    assert (allowance.left(WALL_MS), allowance.admits("+1", 3, WALL_MS)) == (2, False)
    again = Allowance(allowance.limits, allowance.kept())
    assert again.left(WALL_MS) == 2
    assert again.left(WALL_MS + HOUR_MS) == 4
    again.take("+2", 4, WALL_MS + HOUR_MS)
    assert again.left(WALL_MS + HOUR_MS) == 0
    assert again.left(WALL_MS + 24 * HOUR_MS) == 3
    assert again.admits("+1", 1, WALL_MS + 24 * HOUR_MS)
    assert not again.admits("+3", 1, WALL_MS + 24 * HOUR_MS)
    february = WALL_MS + 31 * 24 * HOUR_MS
    assert again.admits("+3", 10, february)
    # A clock set back grants nothing anew.
    again.take("+3", 10, february)
    assert again.left(february - HOUR_MS) == 0
    assert Allowance(Limits()).left(WALL_MS) == UNLIMITED
    assert Allowance(Limits(hourly=5), b"nonsense").left(WALL_MS) == 5


def candidate(key, **changes):
    facts = {
        "is_sticky": False,
        "is_streaming": True,
        "load": 0.0,
        "allowance": 1.0,
        "idle_s": 60.0,
        "failures": 0,
        **changes,
    }
    return Candidate(key, **facts)


def best(*candidates):
    return explain(candidates)[0].key


@pytest.mark.parametrize(
    "worse",
    [
        {"is_streaming": False},
        {"load": 0.5},
        {"allowance": 0.1},
        {"idle_s": 1.0},
        {"failures": 2},
    ],
)
def test_each_factor_counts(worse):
    assert best(candidate("worse", **worse), candidate("better")) == "better"


def test_a_destination_keeps_its_sim_unless_that_is_much_worse():
    assert best(candidate("new"), candidate("old", is_sticky=True, load=0.6, idle_s=0.0)) == "old"
    assert best(candidate("new"), candidate("old", is_sticky=True, is_streaming=False)) == "new"


def test_the_explanation_adds_up_to_the_score():
    for each in explain([candidate("a", load=0.25, failures=1), candidate("b", is_sticky=True)]):
        assert sum(each.factors.values()) == pytest.approx(each.score, abs=0.01)


def test_comments_come_round_in_turn_and_closed_streams_are_forgotten():
    push = Push(1.0, 15.0)
    push.open("a", "s1", 0.0)
    push.open("b", "s2", 5.0)
    assert push.keep_alive(14.9) == []
    assert push.keep_alive(15.0) == ["s1"]
    assert push.close("a", "s1")
    assert not push.close("a", "s1")
    assert push.keep_alive(40.0) == ["s2"]
    assert push.count == 1


def test_comments_of_a_crowd_that_came_at_one_moment_are_spread_and_none_waits_longer():
    push = Push(1.0, 15.0)
    for number in range(1000):
        push.open(f"d{number}", number, 0.0)
    last = dict.fromkeys(range(1000), 0.0)
    for tick in range(1, 241):
        now = tick * 0.25
        told = push.keep_alive(now)
        assert len(told) <= 40
        for stream in told:
            assert now - last[stream] <= 15.25
            last[stream] = now
    assert min(last.values()) >= 60.0 - 15.25


@pytest.mark.parametrize(
    ("passed_s", "text"),
    [
        (0, "0 s ago"),
        (-5, "0 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7_200, "2 h ago"),
        (200_000, "2 days ago"),
    ],
)
def test_a_phone_was_seen_so_long_ago(passed_s, text):
    assert age(WALL_MS - passed_s * 1000, WALL_MS) == text
    assert age(0, WALL_MS) == ""


def test_presence_in_a_word():
    minute_ms = 60_000
    words = [presence(0, WALL_MS - silent * minute_ms, WALL_MS) for silent in (1, 19, 21, 59, 61)]
    assert words == [Presence.POLLING] * 2 + [Presence.STALE] * 2 + [Presence.OFFLINE]
    assert presence(1, 0, WALL_MS) is Presence.STREAMING


def test_failures_are_counted_by_address_and_forgotten():
    guard = Guard()
    for number in range(FAILURES - 1):
        assert not guard.is_barred("192.0.2.1:1", 0.0)
        guard.failed(f"192.0.2.1:{number}", "the same", 0.0)
        guard.failed(f"192.0.2.1:{number}", f"Bearer {number}", 0.0)
    assert guard.is_barred("192.0.2.1:9", 59.0)
    assert not guard.is_barred("192.0.2.2:9", 59.0)
    assert not guard.is_barred("192.0.2.1:9", 61.0)
    assert host_of("[2001:db8:1:2:3::4]:5") == host_of("[2001:db8:1:2:9::9]:5")


def test_a_code_is_drawn_in_half_blocks():
    lines = code_lines("https://gw.example.test/api/mobile/v1")
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == (len(lines[0]) + 1) // 2
    assert set("".join(lines)) <= set("█▀▄ ")
    assert set(lines[0]) == {"█"}
    both = beside(lines, code_lines("x"))
    assert len(both) == len(lines)
    assert both[0].startswith(lines[0] + "    █")


class FakeDesk:
    """Answers as the daemon does, and keeps what is shown."""

    is_terminal = True

    def __init__(self, answers, is_json=False):
        self.answers, self.is_json = answers, is_json
        self.asked, self.shown = [], []

    def ask(self, method, target, body=None):
        self.asked.append((method, target, body))
        return self.answers[method, target]

    def fail(self, text):
        raise SystemExit(text)

    def say(self, text=""):
        self.shown.append(text)

    def say_json(self, value):
        self.shown.append(value)

    def fields(self, pairs):
        self.shown += pairs

    def table(self, columns, rows, right=()):
        assert all(len(row) == len(columns) for row in rows)
        self.shown += rows


CHANNELS = ("GET", "/v1/channels")
ONE = {"channels": [{"name": "phones", "driver": "android"}, {"name": "alpha", "driver": "smpp"}]}


def command(argv, desk):
    parser = argparse.ArgumentParser()
    PHONES.add(parser.add_subparsers())
    options = parser.parse_args(["phones", *argv])
    return options.run(options, desk)


def test_the_command_line_pairs_a_phone():
    pairing = {
        "name": "anna",
        "url": "https://gw.example.test/api/mobile/v1",
        "token": "tkn",
        "replaced": False,
    }
    desk = FakeDesk({CHANNELS: ONE, ("POST", "/in/phones/phones"): pairing})
    assert command(["add", "anna"], desk) == 0
    assert desk.asked[-1] == ("POST", "/in/phones/phones", {"name": "anna"})
    assert ("Private token", "tkn") in desk.shown
    assert any("█" in each for each in desk.shown if isinstance(each, str))
    assert not any("worth nothing" in each for each in desk.shown if isinstance(each, str))
    desk = FakeDesk({CHANNELS: ONE, ("POST", "/in/phones/phones"): {**pairing, "replaced": True}})
    assert command(["add", "anna"], desk) == 0
    assert any("token made before for anna, which is worth nothing" in str(each) for each in desk.shown)


def test_the_list_of_phones_ends_with_what_was_refused():
    desk = FakeDesk(
        {CHANNELS: ONE, ("GET", "/in/phones/phones"): {"phones": [], "refused": {"forged": 1_200}}}
    )
    assert command([], desk) == 0
    assert desk.shown[-1] == "\nRefused since the start: 1,200 with a wrong signature."


def test_whatever_is_refused_has_words():
    assert set(_WORDS) == set(REFUSED)


def test_the_command_line_needs_a_channel_where_there_are_several():
    both = {"channels": [{"name": name, "driver": "android"} for name in ("a", "b")]}
    with pytest.raises(SystemExit, match="--channel a, b"):
        command([], FakeDesk({CHANNELS: both}))
    with pytest.raises(SystemExit, match="No channel"):
        command([], FakeDesk({CHANNELS: {"channels": []}}))
    with pytest.raises(SystemExit, match="alpha is no channel of phones; there is a, b"):
        command(["--channel", "alpha"], FakeDesk({CHANNELS: both}))
    desk = FakeDesk({CHANNELS: both, ("GET", "/in/b/phones"): {"phones": []}}, is_json=True)
    assert command(["--channel", "b", "list"], desk) == 0
    assert desk.shown == [{"phones": []}]


@pytest.mark.parametrize(
    ("url", "why", "right"),
    [
        ("sms.example.com", "is no https:// address", "https://sms.example.com"),
        ("", "is no https:// address", "https://sms.example.com"),
        ("https://", "is no https:// address", "https://sms.example.com"),
        ("https://gw.example.test/", "scheme and host alone", "https://gw.example.test"),
        ("http://10.0.0.1:8080/api/mobile/v1", "scheme and host alone", "http://10.0.0.1:8080"),
        ("https://gw.example.test sms", "scheme and host alone", "https://gw.example.test"),
    ],
)
def test_an_address_with_a_path_or_without_a_scheme_is_refused_in_words(url, why, right):
    with pytest.raises(ConfigError, match=why) as caught:
        check(AndroidConfig(url=url))
    assert (caught.value.path, caught.value.suggestion) == ("url", right)
    check(AndroidConfig(url=right))
