"""Urgent messages among a saturating bulk load on a channel with a rate: who goes when, seen from the SMSC.

``measure`` serves two scenarios: this one, with one channel and one account, and ``urgent-crowd`` with everything on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.harness import BenchError, Workplace, channel
from bench.peers.histogram import Histogram
from bench.scenario import Figure, Result, Scenario, Size, usage_of

RATE = 500
URGENT_PER_SECOND = 20
ELSEWHERE = "elsewhere"
"""How texts begin of messages that go over other channels: they are not counted."""
BULK_SHARE = 1 / 16
"""What the scheduler guarantees bulk while it waits, whatever is urgent."""


class Arrival(NamedTuple):
    """A submit_sm at the SMSC: when, in seconds, and its text."""

    at: float
    text: str


def run(size: Size) -> Result:
    return measure(size, lambda port: channel(port, rate=RATE, window=50), _one_campaign)


def _one_campaign(place: Workplace, size: Size) -> dict[str, Any]:
    backlog = size.pick(20_000, 10_000, 1500)
    return {"bulk": place.load("stream", messages=backlog, priority="bulk", text="bulk {n}")}


def measure(
    size: Size,
    configuration: Callable[[int], str],
    campaign: Callable[[Workplace, Size], dict[str, Any]],
    **urgent_options: Any,
) -> Result:
    """What urgent messages and bulk meet on a channel of ``RATE``; ``configuration(port)`` gives it the SMSC's port.

    ``campaign`` submits what saturates the channel, with texts that begin with ``bulk``, and returns the reports;
    ``urgent_options`` are for the loads of urgent messages.
    """
    seconds = size.pick(20, 8, 1)
    with Workplace() as place:
        record = place.folder / "record"
        _, port = place.start_smsc("--record", str(record))
        daemon = place.start_daemon(configuration(port))
        bulk = campaign(place, size)
        sent = place.api.metrics()["messages_sent_total"]
        urgent = place.load(
            "single",
            messages=URGENT_PER_SECOND * seconds,
            rate=URGENT_PER_SECOND,
            priority="urgent",
            text="urgent {n} {t}",
            **urgent_options,
        )
        place.wait_metric("messages_sent_total", sent + urgent["accepted"], 30.0)
        flood = place.load(
            "stream",
            messages=RATE * seconds,
            priority="urgent",
            text="flood {n}",
            outstanding=100_000,
            **{"to": "+408", **urgent_options},
        )
        usage = daemon.usage()
        arrivals = _wait_for_flood(place, record, seconds)
        figures = _latency_figures(arrivals, urgent["accepted"])
        figures += _share_figures(arrivals, urgent["first_submit_at"], urgent["last_result_at"])
        return Result(figures, [usage, usage_of(urgent, "load")], {**bulk, "urgent": urgent, "flood": flood})


def _wait_for_flood(place: Workplace, record: Path, seconds: int) -> list[Arrival]:
    """Arrivals until the SMSC has seen as many as half of the flood: not so long that a class has none waiting."""
    wanted = RATE * seconds // 2
    sent = place.api.metrics()["messages_sent_total"]
    place.wait_metric("messages_sent_total", sent + wanted, seconds + 20.0)
    return [arrival for arrival in read_arrivals(record) if not arrival.text.startswith(ELSEWHERE)]


def read_arrivals(record: Path) -> list[Arrival]:
    """The submissions in an SMSC's record; texts must be letters, digits and blanks, where GSM 03.38 is
    ASCII.
    """
    arrivals = []
    for line in record.read_text().splitlines():
        words = line.split()
        if words[0] == "s":
            arrivals.append(Arrival(int(words[1]) / 1e6, bytes.fromhex(words[8]).decode("ascii")))
    return arrivals


def _latency_figures(arrivals: list[Arrival], expected: int) -> list[Figure]:
    """Time from submit to wire, less the slot that a rate makes every message wait for."""
    added, seen = Histogram(), 0
    for arrival in arrivals:
        words = arrival.text.split()
        if words[0] == "urgent":
            seen += 1
            added.add(max(0.0, arrival.at - int(words[2]) / 1e9 - 1 / RATE))
    if seen != expected:
        raise BenchError(f"{seen} of {expected} urgent messages reached the SMSC")
    note = f"{seen} messages at {URGENT_PER_SECOND}/s; a slot is {1000 / RATE:g} ms and not counted"
    return [
        Figure("added to an urgent message, median", added.percentile(0.5) * 1e3, "ms"),
        Figure(
            "added to an urgent message, 99th percentile",
            added.percentile(0.99) * 1e3,
            "ms",
            at_most=25.0,
            note=note,
        ),
        Figure("added to an urgent message, largest", added.largest_s * 1e3, "ms"),
    ]


def _share_figures(arrivals: list[Arrival], start: float, end: float) -> list[Figure]:
    """What bulk got beside few urgent messages, and beside more of them than the channel can carry."""
    beside_few = [arrival for arrival in arrivals if start <= arrival.at <= end]
    bulk_few = sum(arrival.text.startswith("bulk") for arrival in beside_few)
    first = next(number for number, arrival in enumerate(arrivals) if arrival.text.startswith("flood"))
    beside_many = arrivals[first:]
    bulk_many = sum(arrival.text.startswith("bulk") for arrival in beside_many)
    free = RATE - URGENT_PER_SECOND
    return [
        Figure(
            "bulk beside few urgent messages",
            bulk_few / (end - start),
            "/s",
            at_least=0.95 * free,
            note=f"the channel's rate leaves {free}/s",
        ),
        Figure(
            "all messages, beside the rate", len(beside_few) / (end - start) / RATE * 100, "%", at_most=102.0
        ),
        Figure(
            "bulk's share while urgent floods",
            bulk_many / len(beside_many),
            "",
            at_least=0.95 * BULK_SHARE,
            note=f"guaranteed: {BULK_SHARE:g}",
        ),
    ]


SCENARIO = Scenario(
    name="urgent",
    summary=f"urgent messages at {URGENT_PER_SECOND}/s while bulk saturates a channel of {RATE}/s; then a flood",
    limit="The commit an urgent message waits for before it may go, and the slots that bulk has taken already.",
    estimate="2 to 5 ms at the median (HTTP, one commit beside others, the next slot), 10 ms at the 99th percentile.",
    refutation="A 99th percentile above 25 ms: then urgent messages stand behind bulk ones somewhere, in a driver's "
    "window or in a commit. Bulk below 1/16 during the flood: then classes are strict and bulk starves.",
    run=run,
)
