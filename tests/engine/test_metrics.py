"""Metrics and their text: what a scraper of the format 0.0.4 would read."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.dispatch.snapshot import (
    BacklogSnapshot,
    ChannelSnapshot,
    EngineSnapshot,
    JournalSnapshot,
    LaneSnapshot,
    LimitSnapshot,
    QueueSnapshot,
)
from stentor.driver import DriverStatus
from stentor.metrics import Counter, Family, Gauge, Histogram, engine_metrics, exposition

_LABEL = r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE = re.compile(rf"([a-zA-Z_:][\w:]*)(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? ([-+]?\S+)", re.ASCII)


def read(text: str) -> dict[str, float]:
    """A slow, strict reader of the format: every sample by name and labels, each metric in one group."""
    samples: dict[str, float] = {}
    seen: set[str] = set()
    current = kind = ""
    assert text == "" or text.endswith("\n")
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            assert current not in seen, f"{current} stands in two groups"
            seen.add(current)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            assert match[1] in [current + suffix for suffix in suffixes]
            key = match[1] + (f"{{{match[2]}}}" if match[2] else "")
            assert key not in samples, f"{key} twice"
            samples[key] = float(match[3])
    return samples


def test_counters_and_gauges_show_their_value() -> None:
    sent = Family("sent_total", "Sent.", Counter, ("channel",))
    child = sent.labels("alpha")
    child.inc()
    child.inc(4)
    child.value += 1
    depth = Family("depth", "Depth.", Gauge)
    depth.labels().value = -2.5
    assert sent.labels("alpha") is child
    assert read(exposition([sent]) + exposition([depth])) == {'sent_total{channel="alpha"}': 6, "depth": -2.5}


def test_a_removed_child_is_shown_no_more_and_an_empty_family_not_at_all() -> None:
    family = Family("x", "X.", Counter, ("lane",))
    family.labels("0").inc()
    family.remove("0")
    family.remove("0")
    assert family.exposition() == ""


def test_buckets_are_cumulative_and_their_bounds_inclusive() -> None:
    family = Family("s", "S.", lambda: Histogram((1.0, 2.5)))
    for value in (0.5, 1.0, 1.0001, 2.5, 99.0):
        family.labels().observe(value)
    assert read(family.exposition()) == {
        's_bucket{le="1"}': 2,
        's_bucket{le="2.5"}': 4,
        's_bucket{le="+Inf"}': 5,
        "s_sum": 104.0001,
        "s_count": 5,
    }


@given(st.lists(st.floats(0, 100)), st.lists(st.floats(0.001, 50), min_size=1, max_size=8, unique=True))
def test_a_histogram_agrees_with_counting_by_hand(values: list[float], bounds: list[float]) -> None:
    bounds.sort()
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    counts = [count for suffix, _, count in histogram.samples() if suffix == "_bucket"]
    assert counts == [sum(value <= bound for value in values) for bound in [*bounds, math.inf]]
    assert histogram.count == len(values)


@given(st.text(max_size=30))
def test_any_label_value_is_escaped_so_that_it_can_be_read_back(value: str) -> None:
    family = Family("x", "A \\ and a\nnewline.", Counter, ("name",))
    family.labels(value).inc()
    line = family.exposition().split("\n# TYPE")[1].split("\n", 1)[1]
    escaped = line.removeprefix('x{name="').removesuffix('"} 1\n')
    back = re.sub(r'\\([\\"n])', lambda match: {"n": "\n"}.get(match[1], match[1]), escaped)
    assert back == value
    assert "\n" not in escaped


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (True, "1"),
        (0.1, "0.1"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (1e300, "1e+300"),
    ],
)
def test_numbers_are_written_as_the_format_wants_them(value: float, text: str) -> None:
    family = Family("x", "X.", Gauge)
    family.labels().value = value
    assert family.exposition().endswith(f"\nx {text}\n")


def snapshot() -> EngineSnapshot:
    lane = LaneSnapshot("0", "ready", 3, 10, 500, 0.0, 12, 1, peer="h:1")
    channel = ChannelSnapshot(
        "alpha",
        "smpp",
        "up",
        False,
        100.0,
        50.0,
        5,
        3,
        (lane,),
        {"refused": 2},
        DriverStatus((), {"pdus": 4}),
    )
    down = ChannelSnapshot("beta", "smpp", "down", False, 0, 0, 0, 0, (), {"refused": 0}, DriverStatus())
    return EngineSnapshot(
        version="1.2.3", state="ready", started_at_ms=1_800_000_000_500, uptime_s=2.5, accepted=10, sent=9,
        finished=8, received=1, scheduled=2, channels=(channel, down),
        backlog=(BacklogSnapshot("alpha beta", "bulk", 3, 100, 2.5),),
        queues=(QueueSnapshot("commit", 1, 100, "pauses"),),
        journal=JournalSnapshot("ok", "power", 3, 4, 1.5, 4096, 100, "3.45", False),
        counters={"stray_outcomes": 7},
        limits=tuple(
            LimitSnapshot("fair-share", (name,), "messages", 9, "hour", 7, 4, 3.6) for name in ("x", "y")
        ),
    )  # fmt: skip


def test_the_engine_s_picture_is_shown_whole() -> None:
    samples = read(engine_metrics(snapshot()))
    expected = {
        'stentor_info{version="1.2.3"}': 1,
        "stentor_ready": 1,
        "stentor_start_time_seconds": 1_800_000_000.5,
        "stentor_messages_accepted_total": 10,
        "stentor_messages_finished_total": 8,
        'stentor_engine_total{what="stray_outcomes"}': 7,
        'stentor_limit_waiting{limit="fair-share"}': 8,
        'stentor_backlog_messages{route="alpha beta",priority="bulk",place="journal"}': 100,
        'stentor_backlog_oldest_seconds{route="alpha beta",priority="bulk"}': 2.5,
        'stentor_channel_up{channel="alpha",driver="smpp"}': 1,
        'stentor_channel_up{channel="beta",driver="smpp"}': 0,
        'stentor_channel_state{channel="beta",state="down"}': 1,
        'stentor_channel_total{channel="alpha",what="refused"}': 2,
        'stentor_driver_total{channel="alpha",what="pdus"}': 4,
        'stentor_lane_window{channel="alpha",lane="0"}': 10,
        'stentor_queue_limit{queue="commit"}': 100,
        'stentor_journal_state{state="ok"}': 1,
        "stentor_journal_commit_seconds": 0.0015,
    }
    assert expected.items() <= samples.items()


def test_an_engine_that_drains_is_not_ready() -> None:
    from msgspec.structs import replace

    assert read(engine_metrics(replace(snapshot(), state="draining")))["stentor_ready"] == 0
