"""The line: lines of JSON in, journal, SMPP, receipts back into the journal; and the bare path beside it."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from bench.harness import BenchError, Workplace, channel
from bench.scenario import Figure, Result, Scenario, Size, usage_of

WINDOW = 2000
WITHIN_S = 300.0


def measure_bare(count: int) -> tuple[float, dict[str, Any]]:
    """Messages a second of the bare path, and the reports of its parts."""
    with Workplace() as place:
        place.state.mkdir()
        smsc, port = place.start_smsc("--deliver-window", str(WINDOW))
        arguments = {"socket": place.api.path, "journal": place.state / "bare.db", "smsc": port}
        arguments |= {"messages": count, "window": WINDOW}
        options = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
        bare = place.start("bare", "-m", "bench.bare", *options, is_peer=False)
        bare.wait_ready()
        load = place.load("stream", messages=count)
        report = bare.read_json(WITHIN_S)
        parts = {"bare": report, "load": load, "smsc": place.statistics(smsc)}
        return count / (report["finished_at"] - load["first_submit_at"]), parts


def measure_engine(count: int) -> tuple[float, Result]:
    """Messages a second from the first submit to the last receipt acknowledged, which is after its commit."""
    with Workplace() as place:
        smsc, port = place.start_smsc("--deliver-window", str(WINDOW))
        daemon = place.start_daemon(channel(port, window=WINDOW))
        load = place.load("stream", messages=count)
        counted = place.wait_acknowledged(smsc, count, WITHIN_S)
        metrics = place.wait_finished(count, WITHIN_S)
        usage = daemon.usage()
        if load["accepted"] != count or counted["submits"] != count:
            raise BenchError(f"of {count}: {load['accepted']} accepted, {counted['submits']} submitted")
        per_second = count / (counted["last_acknowledged_at"] - load["first_submit_at"])
        processes = [usage, usage_of(counted, "smsc"), usage_of(load, "load")]
        details = {"load": load, "smsc": counted, "metrics": metrics}
        return per_second, Result([], processes, details)


def run(size: Size) -> Result:
    """Pairs of the two, for a machine that others share changes its pace within a minute: what counts is the middle
    one of their shares."""
    count = size.pick(200_000, 20_000, 300)
    pairs = [_pair(count, is_bare_first=number % 2 == 0) for number in range(size.pick(5, 1, 1))]
    pairs.sort(key=lambda pair: pair[0])
    share, _, _, bare_parts, found = pairs[len(pairs) // 2]
    daemon = found.processes[0]
    figures = [
        Figure(
            "messages a second, submit to journalled receipt",
            median(pair[2] for pair in pairs),
            "/s",
            at_least=25_000,
        ),
        Figure("the bare path in the same run", median(pair[1] for pair in pairs), "/s"),
        Figure("share of the bare path", share, "", at_least=0.40, note=_spread(pairs)),
        Figure("messages a second, accepted", found.details["load"]["per_second"], "/s"),
        Figure("CPU of the daemon a message", daemon.cpu_s / count * 1e6, "µs"),
        Figure("CPU of the bare path a message", bare_parts["bare"]["cpu_s"] / count * 1e6, "µs"),
    ]
    runs = [{"bare": pair[1], "engine": pair[2]} for pair in pairs]
    return Result(figures, found.processes, {**found.details, "bare": bare_parts, "pairs": runs})


Pair = tuple[float, float, float, dict[str, Any], Result]
"""Share, bare path and engine in messages a second, and what each tells beside."""


def _pair(count: int, *, is_bare_first: bool) -> Pair:
    """One of each, the one or the other first."""
    if is_bare_first:
        bare, parts = measure_bare(count)
        engine, found = measure_engine(count)
    else:
        engine, found = measure_engine(count)
        bare, parts = measure_bare(count)
    return engine / bare, bare, engine, parts, found


def _spread(pairs: Sequence[Pair]) -> str:
    return f"the middle one of {len(pairs)} pairs, {pairs[0][0]:.3f} to {pairs[-1][0]:.3f}"


SCENARIO = Scenario(
    name="line",
    summary="NDJSON submit to journalled receipt: 200,000 messages, one session, window 2000, durability power",
    limit="The daemon's own thread, the one that holds Python's interpreter lock.",
    estimate="25,000 to 30,000 messages/s: 35 to 40 µs a message, of which the bare path takes 15 and the rest is "
    "validation, encoding, routing, scheduling, states, events and the timeline. The journal's thread writes five rows "
    "a message at 5 µs each and fits beside it.",
    refutation="A daemon that uses less than 0.9 of a core while the SMSC and the load generator are idle: then it "
    "waits for commits or for the window, and not for the processor.",
    run=run,
)
