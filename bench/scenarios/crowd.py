"""The line with everything on: many prefixes, channels, accounts and limits; and the plain line beside it."""

import os
from statistics import median

from bench.harness import BenchError, Workplace, channel
from bench.scenario import Figure, Result, Scenario, Size, usage_of
from bench.scenarios.line import WITHIN_S, measure_engine

PREFIXES = 10_000
CHANNELS = 50
ACCOUNTS = 200
WINDOW = 200
FINISHED_S = 5.0
"""From the last receipt's acknowledgement on: each must have found its message."""
ROUNDS = 3
STRIDE = 61_803_399
"""Destinations are so far apart, which has no factor in common with their number: each client writes to all channels,
and not all of them to the same one at the same time."""
AMPLE = 1_000_000
"""Each limit lets so much go in a second: what is measured is the counting, not the waiting."""


def configuration(port: int) -> str:
    """Prefixes go round the channels, each with the next one as its substitute; everything that can be limited is."""
    names = [f"channel-{n}" for n in range(CHANNELS)]
    prefixes = [f"+407{n:04d}" for n in range(PREFIXES)]
    parts = [f"[api]\nfront_office = [{os.getuid()}]\n"]
    parts += (f"[accounts.account-{n}]\n" for n in range(ACCOUNTS))
    # A login of its own each: an SMSC gives the receipts of one login to any of its sessions.
    parts += (
        channel(port, name, window=WINDOW, rate=AMPLE, system_id=name, **{"from": "Stentor"})
        for name in names
    )
    for n, name in enumerate(names):
        listed = ", ".join(f'"{prefix}"' for prefix in prefixes[n::CHANNELS])
        parts.append(
            f'[[routes]]\nprefix = [{listed}]\nchannels = ["{name}", "{names[(n + 1) % CHANNELS]}"]\n'
        )
    for dimension in ("lane", "channel", "prefix", "from", "account"):
        limit = f'[[rate_limits]]\nname = "{dimension}"\nper = ["{dimension}"]\nlimit = {AMPLE}\nunit = "segments"\n'
        parts.append(
            limit + (f"prefix = [{', '.join(map(repr, prefixes))}]\n" if dimension == "prefix" else "")
        )
    return "".join(parts)


def measure(count: int) -> tuple[float, Result]:
    """Messages a second from the first submit to the last receipt acknowledged."""
    with Workplace() as place:
        smsc, port = place.start_smsc("--deliver-window", str(WINDOW))
        daemon = place.start_daemon(configuration(port))
        load = place.load(
            "stream",
            messages=count,
            connections=ACCOUNTS,
            outstanding=100,
            stride=STRIDE,
            header="Stentor-Account: account-{n}",
        )
        counted = place.wait_acknowledged(smsc, count, WITHIN_S)
        place.wait_finished(count, FINISHED_S)
        if load["accepted"] != count or counted["submits"] != count:
            raise BenchError(f"of {count}: {load['accepted']} accepted, {counted['submits']} submitted")
        per_second = count / (counted["last_acknowledged_at"] - load["first_submit_at"])
        processes = [daemon.usage(), usage_of(counted, "smsc"), usage_of(load, "load")]
        return per_second, Result([], processes, {"load": load, "smsc": counted, "ready_s": daemon.ready_s})


def run(size: Size) -> Result:
    count = size.pick(200_000, 40_000, 400)
    plain: list[float] = []
    crowded: list[float] = []
    for _ in range(size.pick(ROUNDS, 1, 1)):
        # In turn, so that both have the same of whatever else the machine does.
        per_second, beside = measure_engine(count)
        plain.append(per_second)
        per_second, found = measure(count)
        crowded.append(per_second)
    daemon = found.processes[0]
    figures = [
        Figure("messages a second, everything on", median(crowded), "/s"),
        Figure("the plain line in the same run", median(plain), "/s"),
        Figure("share of the plain line", median(crowded) / median(plain), "", at_least=0.75),
        Figure("CPU of the daemon a message, everything on", daemon.cpu_s / count * 1e6, "µs"),
        Figure("CPU of the daemon a message, plain", beside.processes[0].cpu_s / count * 1e6, "µs"),
        Figure("start with all of it", found.details["ready_s"], "s"),
    ]
    return Result(figures, found.processes, found.details)


SCENARIO = Scenario(
    name="crowd",
    summary=f"the line with {PREFIXES:,} prefixes, {CHANNELS} channels, {ACCOUNTS} accounts and limits on all of it",
    limit="The daemon's own thread, as with the line: routing, strands and limits on top, and smaller batches.",
    estimate="0.8 of the line: 1 µs to route, 3 to count against five limits, 2 for the turns of 200 accounts, 3 for "
    "batches of a tenth of the size.",
    refutation="Below 0.75: then something is done for each message that could be done once for many.",
    run=run,
)
