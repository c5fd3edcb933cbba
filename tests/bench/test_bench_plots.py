"""The pictures of the documents: well formed, and what the engine's code draws today."""

import re
from xml.etree import ElementTree

import pytest

from bench.plots.chart import Chart, Series, draw
from bench.plots.draw import (
    FOLDER,
    PICTURES,
    campaign_beside_urgent,
    hidden_limit,
    latency_against_load,
    unequal_accounts,
)
from bench.plots.line import Arrivals, percentile, run
from stentor.message import Priority

ROUND = re.compile(r">(-?[\d.]+(?:e\+\d+)?)</text>")


def chart(points, **options):
    return Chart("A & B", "x", "y", [Series("s", points, 0)], **options)


def test_a_chart_is_well_formed_and_says_what_it_shows():
    root = ElementTree.fromstring(draw(chart([(0, 1), (10, 7)])))
    assert root.tag.endswith("svg")
    assert next(text.text for text in root.iter() if text.tag.endswith("text")) == "A & B"


@pytest.mark.parametrize(
    ("points", "is_log", "low", "high"),
    [
        ([(0, 1), (10, 7)], False, 0, 7),
        ([(3, 5), (3, 5)], False, 0, 5),
        ([(0, 0.5), (1, 2000)], True, 0.1, 10_000),
        ([(0, 100), (1, 100)], True, 100, 1000),
    ],
)
def test_round_numbers_enclose_what_is_drawn(points, is_log, low, high):
    numbers = [float(number) for number in ROUND.findall(draw(chart(points, is_log=is_log)))]
    assert min(numbers) <= low
    assert max(numbers) >= high


def test_a_channel_keeps_its_rate_in_virtual_time():
    left = run(50.0, [Arrivals(Priority.NORMAL, 500.0)], 10.0)
    assert 495 <= len(left) <= 510
    assert all(each.waited_s >= 0 for each in left)


def test_urgent_waits_least_when_the_channel_is_full():
    lines = {series.name: dict(series.points) for series in latency_against_load().series}
    assert lines["urgent"][1.5] < 50
    assert lines["urgent"][1.5] < lines["normal"][1.5] < lines["bulk"][1.5]


def test_accounts_that_ask_for_little_get_all_of_it():
    lines = {series.name.split()[0]: dict(series.points) for series in unequal_accounts().series}
    alone = [lines["campaign"][at] for at in (3.0, 5.0, 7.0)]
    shop = sum(lines["shop"][at] for at in (31.0, 33.0, 35.0, 37.0, 39.0)) / 5
    assert min(alone) == 100
    assert shop == pytest.approx(25, rel=0.2)


def test_the_hidden_limit_is_found_within_a_tenth_and_then_hardly_disturbed():
    _, rate, throttled = hidden_limit().series
    settled = [value for at, value in rate.points if 15 <= at < 60 or at >= 75]
    limits = [200 if at < 60 else 120 for at, _ in rate.points if 15 <= at < 60 or at >= 75]
    assert all(abs(value - limit) <= 0.1 * limit for value, limit in zip(settled, limits, strict=True))
    late = sum(count for at, count in throttled.points if 15 <= at < 60 or at >= 75)
    sent = 45 * 200 + 45 * 120
    assert late <= 0.01 * sent


def test_percentiles_are_of_the_values():
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([5.0], 0.99) == 5.0


@pytest.mark.parametrize("name", PICTURES)
def test_the_committed_picture_is_what_the_code_draws(name):
    assert (FOLDER / f"{name}.svg").read_text() == draw(PICTURES[name]()), "make plots draws it anew"


def test_a_password_does_not_wait_for_a_campaign_of_a_million():
    urgent, bulk = campaign_beside_urgent().series
    assert max(waited for _, waited in urgent.points) <= 25
    assert all(count >= 0.95 * 490 for _, count in bulk.points)
