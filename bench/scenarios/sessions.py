"""A thousand sessions with nothing to do: what each costs the daemon to hold."""

import time

from bench.harness import Workplace, channel, wait_until
from bench.scenario import Figure, Result, Scenario, Size
from bench.scenarios.idle import on_core_s

CHANNELS, SESSIONS = 16, 64
SETTLE_S = 3.0


def measure(channels: int, sessions: int, enquire_link_s: float, settle_s: float) -> tuple[float, int]:
    """CPU seconds a second over two rounds of enquire_link, and the resident set, of a daemon that holds so many."""
    with Workplace() as place:
        smsc, port = place.start_smsc()
        config = "".join(
            channel(port, f"channel{n}", sessions=sessions, enquire_link=enquire_link_s)
            for n in range(channels)
        )
        daemon = place.start_daemon(config or channel(port, enabled=False))
        wait_until(
            lambda: place.statistics(smsc)["binds"] == channels * sessions,
            60.0,
            lambda: f"{place.statistics(smsc)['binds']} of {channels * sessions} are bound",
        )
        time.sleep(settle_s)
        before_s, started = on_core_s(daemon), time.monotonic()
        time.sleep(2 * enquire_link_s)
        share = (on_core_s(daemon) - before_s) / (time.monotonic() - started)
        return share, daemon.rss_octets("VmRSS")


def run(size: Size) -> Result:
    channels, sessions = size.pick((CHANNELS, SESSIONS), (CHANNELS, SESSIONS), (2, 3))
    enquire_link_s, settle_s = size.pick((30.0, SETTLE_S), (10.0, SETTLE_S), (0.2, 0.1))
    empty_share, empty_octets = measure(0, 0, enquire_link_s / 2, settle_s)
    share, octets = measure(channels, sessions, enquire_link_s, settle_s)
    count = channels * sessions
    figures = [
        Figure(
            f"share of a core, {count} sessions",
            share * 100,
            "%",
            at_most=2.0,
            note=f"{empty_share * 100:.2f} % without a session",
        ),
        Figure(
            "memory a session",
            (octets - empty_octets) / count / 1000,
            "kB",
            at_most=20.0,
            note=f"{octets / 1e6:.1f} MB beside {empty_octets / 1e6:.1f} MB without a session",
        ),
    ]
    return Result(figures)


SCENARIO = Scenario(
    name="sessions",
    summary="CPU and memory of the daemon with 1,024 sessions bound on 16 channels, no messages",
    limit="Timers: an enquire_link a session every 30 s. Memory: a task, a transport and a session core each.",
    estimate="1 % of a core: 34 enquire_links a second at 150 µs and housekeeping once a second. 12 kB a session: "
    "4 for uvloop's transport, 3 for the task, 3 for the session's containers, 2 for the rest.",
    refutation="More than 2 %: then housekeeping costs by the session. More than 20 kB: then something is allocated "
    "for traffic before there is any.",
    run=run,
)
