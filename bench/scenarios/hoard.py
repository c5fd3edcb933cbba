"""Five million messages queued: what they cost in memory, and how soon a start is ready with them."""

import shutil

from bench.harness import BenchError, Workplace, channel, stopwatch
from bench.scenario import Figure, Result, Scenario, Size, usage_of

OCTETS_EACH = 1200
"""On disk, of a short message that is queued: rows, indexes and the log until it is written back."""
FILL_S = 900.0


def run(size: Size) -> Result:
    count = size.pick(5_000_000, 200_000, 1000)
    with Workplace() as place:
        place.state.mkdir(exist_ok=True)
        free = shutil.disk_usage(place.state).free
        if free < 2 * count * OCTETS_EACH:
            raise BenchError(
                f"{2 * count * OCTETS_EACH / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} are free"
            )
        config = f"[limits]\nbacklog = {max(count + 1, 50_000)}\n"
        smsc, port = place.start_smsc()
        daemon = place.start_daemon(config + channel(port, rate=1))
        load = place.load("stream", messages=count, within_s=FILL_S, priority="urgent,high,normal,bulk")
        if load["accepted"] != count:
            raise BenchError(f"{load['accepted']} of {count} were accepted: {load['refusals']}")
        filled, resting = daemon.usage(), daemon.rss_octets("VmRSS")
        octets = sum(file.stat().st_size for file in place.state.iterdir())
        daemon.kill()
        with stopwatch() as elapsed_s:
            daemon = place.start_daemon(config + channel(port, rate=1))
            ready_s = elapsed_s()
        queued = place.api.metrics()["backlog_messages"]
        if queued < count - 1000:
            raise BenchError(f"{queued:.0f} of {count} are queued after the start")
        figures = [
            Figure("resident memory, all queued, largest", filled.rss_octets / 1e6, "MB", at_most=300.0),
            Figure("resident memory, all queued, at rest", resting / 1e6, "MB", at_most=300.0),
            Figure("resident memory after a start", daemon.rss_octets() / 1e6, "MB", at_most=300.0),
            Figure("ready after kill -9", ready_s, "s"),
            Figure("messages a second, accepted", load["per_second"], "/s"),
            Figure("on disk a message", octets / count, "B"),
        ]
        processes = [filled, daemon.usage(), usage_of(load, "load")]
        return Result(figures, processes, {"load": load, "smsc": place.statistics(smsc)})


SCENARIO = Scenario(
    name="hoard",
    summary="5,000,000 messages queued behind a channel of 1/s, kill -9 and a new start",
    limit="The disk, 5 GB of it; memory holds the active set of 50,000 messages and counts of the rest.",
    estimate="150 MB resident, as with a million; ready within 5 s, one scan of an index of five million entries.",
    refutation="More memory than with a million: then something is kept for each message that only waits.",
    run=run,
)
