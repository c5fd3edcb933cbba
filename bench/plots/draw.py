"""Draws the pictures of engine/SCHEDULING.md: ``make plots``, or ``python -m bench.plots.draw [FOLDER]``."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from bench.plots.chart import Chart, Series, draw
from bench.plots.line import ANSWER_S, STEP_S, Answers, Arrivals, Carrier, percentile, run
from stentor.message import Priority
from stentor.rate import AdaptiveRate, TokenBucket

FOLDER: Final = Path(__file__).parents[2] / "engine" / "plots"
_SHARES: Final = {Priority.URGENT: 0.02, Priority.HIGH: 0.08, Priority.NORMAL: 0.4, Priority.BULK: 0.5}
RATE: Final = 100.0


@cache
def latency_against_load() -> Chart:
    """How long messages of each priority wait as the channel fills up and overflows."""
    loads = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
    points: dict[Priority, list[tuple[float, float]]] = {priority: [] for priority in Priority}
    for load in loads:
        arrivals = [Arrivals(priority, load * RATE * share) for priority, share in _SHARES.items()]
        left = run(RATE, arrivals, 60.0)
        for priority in Priority:
            waits = [each.waited_s * 1000 for each in left if each.priority is priority]
            points[priority].append((load, max(1.0, percentile(waits, 0.99))))
    series = [Series(priority.word, points[priority], priority.value) for priority in Priority]
    title = "99th percentile of waiting, by priority: a channel of 100/s for a minute"
    return Chart(title, "offered load as a share of the rate", "ms from submit to wire", series, is_log=True)


@cache
def unequal_accounts() -> Chart:
    """Who gets how much when accounts of very different size share a channel."""
    arrivals = [
        Arrivals(Priority.NORMAL, 300.0, "campaign"),
        Arrivals(Priority.NORMAL, 25.0, "shop", from_s=10.0),
        Arrivals(Priority.NORMAL, 60.0, "clinic", from_s=20.0, until_s=45.0),
    ]
    left = run(RATE, arrivals, 60.0)
    counts = Counter((each.account, int(each.at_s / 2)) for each in left)
    series = [
        Series(
            f"{each.account} ({each.rate:g}/s)",
            [(2.0 * n + 1, counts[each.account, n] / 2) for n in range(30)],
            colour,
        )
        for each, colour in zip(arrivals, (3, 4, 2), strict=True)
    ]
    title = "What three accounts get of a channel of 100/s, and what they ask for"
    return Chart(title, "seconds", "segments a second", series)


@cache
def hidden_limit() -> Chart:
    """An adaptive rate that finds a limit the carrier enforces and does not tell, and finds it again."""

    def limit(now: float) -> float:
        return 200.0 if now < 60 else 120.0

    carrier, adaptive, answers = Carrier(limit), AdaptiveRate(0.0), Answers()
    bucket = TokenBucket(0.0, 0.0)
    rates: list[tuple[float, float]] = []
    throttled: Counter[int] = Counter()
    for step in range(int(120 / STEP_S)):
        now = step * STEP_S
        for is_accepted in answers.come(now):
            if is_accepted:
                adaptive.sent(1, now)
            else:
                adaptive.throttled(now)
                throttled[int(now)] += 1
        bucket.set_rate(adaptive.rate(now), now)
        # Without a limit a window of 100 is always full.
        count = min(100, int(bucket.available(now))) if adaptive.rate(now) else 10
        bucket.take(count, now)
        for _ in range(count):
            answers.send(now + ANSWER_S, carrier.takes(now))
        if step % 100 == 0 and adaptive.rate(now):
            rates.append((now, adaptive.rate(now)))
    series = [
        Series("the carrier's limit", [(0, 200), (60, 200), (60, 120), (120, 120)], 3, is_dashed=True),
        Series("our rate", rates, 2),
        Series(
            "throttled a second",
            [(at + 0.5, count) for at, count in sorted(throttled.items())],
            0,
            is_dots=True,
        ),
    ]
    return Chart("Finding a limit that nobody tells", "seconds", "segments a second", series)


@cache
def campaign_beside_urgent() -> Chart:
    """A campaign of a million, passwords beside it, and what either notices."""
    left = run(500.0, [Arrivals(Priority.URGENT, 10.0, "bank", from_s=5.0)], 30.0, campaign=1_000_000)
    urgent = [(each.at_s, each.waited_s * 1000) for each in left if each.priority is Priority.URGENT]
    bulk = Counter(int(each.at_s) for each in left if each.priority is Priority.BULK)
    series = [
        Series("an urgent message", [(at, max(0.1, waited)) for at, waited in urgent], 0, is_dots=True),
        Series("bulk a second", [(n + 0.5, bulk[n]) for n in range(30)], 3),
    ]
    title = "A million bulk messages in the queue of a channel of 500/s, and 10 urgent/s"
    return Chart(
        title, "seconds", "urgent: ms from submit to wire; bulk: segments a second", series, is_log=True
    )


PICTURES: Final[dict[str, Callable[[], Chart]]] = {
    "latency-against-load": latency_against_load,
    "unequal-accounts": unequal_accounts,
    "hidden-limit": hidden_limit,
    "campaign-beside-urgent": campaign_beside_urgent,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Draw every picture into the folder."""
    arguments = sys.argv[1:] if argv is None else argv
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        (folder / f"{name}.svg").write_text(draw(picture()))
        print(folder / f"{name}.svg", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
