"""A daemon with ten bound channels and nothing to do."""

import time
from pathlib import Path

from bench.harness import Child, Workplace, channel, wait_until
from bench.scenario import Figure, Result, Scenario, Size

CHANNELS = 10
SETTLE_S = 2.0


def run(size: Size) -> Result:
    period_s = size.pick(30.0, 10.0, 0.5)
    channels = size.pick(CHANNELS, CHANNELS, 2)
    with Workplace() as place:
        smsc, port = place.start_smsc()
        config = "".join(channel(port, f"channel{n}", enquire_link=5) for n in range(channels))
        daemon = place.start_daemon(config)
        wait_until(lambda: place.statistics(smsc)["binds"] == channels, 60.0, lambda: "not all are bound")
        time.sleep(size.pick(SETTLE_S, SETTLE_S, 0.1))
        before_s, started = on_core_s(daemon), time.monotonic()
        time.sleep(period_s)
        used_s, elapsed_s = on_core_s(daemon) - before_s, time.monotonic() - started
        figures = [
            Figure("share of a core", used_s / elapsed_s * 100, "%", at_most=1.0),
            Figure("resident memory", daemon.rss_octets("VmRSS") / 1e6, "MB"),
        ]
        return Result(figures, [daemon.usage()])


def on_core_s(child: Child) -> float:
    """Seconds its threads have run on a processor; finer than the ticks of ``Child.cpu_s``."""
    threads = Path(f"/proc/{child.process.pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


SCENARIO = Scenario(
    name="idle",
    summary="CPU of the daemon with 10 channels bound, enquire_link every 5 s, no messages",
    limit="Timers: housekeeping once a second, enquire_link of ten sessions.",
    estimate="0.2 % of a core: three wake-ups a second at 0.3 ms, most of it one hop to the journal's thread.",
    refutation="More than 1 %: then something polls.",
    run=run,
)
