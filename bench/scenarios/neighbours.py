"""What other gateways lose or stumble over, one figure each: see the table in bench/README.md."""

from collections.abc import Callable

from bench.harness import BenchError, Child, Workplace, channel
from bench.scenario import Figure, Result, Scenario, Size
from bench.scenarios.accidents import disk_full, service_stop
from bench.scenarios.distance import far_smsc
from bench.scenarios.limits import full_queue, untold_limit
from bench.scenarios.links import carrier_restart, stalled_session

THROTTLE = 100
NEVER_CAME = 50_000
CONNECTIONS = 500

Part = Callable[[Size], list[Figure]]


def throttling_smsc(size: Size) -> list[Figure]:
    """An SMSC that refuses what is more than 100 a second: a thousand messages are there after ten seconds."""
    count = size.pick(1000, 1000, 100)
    with Workplace() as place:
        smsc, port = place.start_smsc("--throttle", str(THROTTLE))
        place.start_daemon(channel(port, window=50))
        load = place.load("stream", messages=count)
        counted = place.wait_acknowledged(smsc, count, 60.0)
        spent_s = counted["last_acknowledged_at"] - load["first_submit_at"]
    ideal_s = count / THROTTLE
    note = f"ideal {ideal_s:g} s, elsewhere {9 * ideal_s:g} s; {counted['throttled']} answers said throttled"
    name = f"SMSC throttles at {THROTTLE}/s: {count} messages"
    return [Figure(name, spent_s, "s", at_most=1.2 * ideal_s, note=note)]


def receipts_that_never_came(size: Size) -> list[Figure]:
    """The rate of the line with tens of thousands of messages still waiting for their receipts, and without."""
    missing, count = size.pick((NEVER_CAME, 40_000), (NEVER_CAME, 20_000), (500, 300))
    with Workplace() as place:
        silent, silent_port = place.start_smsc("--receipts", "none")
        smsc, port = place.start_smsc()
        place.start_daemon(channel(port) + channel(silent_port, "silent"))
        before = _line(place, smsc, count, 0)
        place.load("stream", messages=missing, channel="silent", to="+408")
        place.wait_metric("messages_sent_total", count + missing, 120.0)
        if place.statistics(silent)["submits"] != missing:
            raise BenchError(f"the silent SMSC saw {place.statistics(silent)['submits']} of {missing}")
        after = _line(place, smsc, count, count)
    name = f"rate with {missing:,} receipts that never came, beside without"
    note = f"{after:,.0f}/s beside {before:,.0f}/s; elsewhere 45/s beside 5,000/s"
    return [Figure(name, after / before, "", at_least=0.8, note=note)]


def _line(place: Workplace, smsc: Child, count: int, already: int) -> float:
    """Messages a second from submit to journalled receipt."""
    load = place.load("stream", messages=count, channel="alpha")
    counted = place.wait_acknowledged(smsc, already + count, 120.0)
    spent_s: float = counted["last_acknowledged_at"] - load["first_submit_at"]
    return count / spent_s


def many_connections(size: Size) -> list[Figure]:
    """Hundreds of clients that connect at the same moment, each answered."""
    count = size.pick(CONNECTIONS, CONNECTIONS, 50)
    with Workplace() as place:
        _, port = place.start_smsc()
        place.start_daemon(channel(port))
        load = place.load("connect", connections=count)
        if load["requests"] != count:
            raise BenchError(f"{load['requests']} of {count} connections were answered")
    name = f"{count} connections at once, the last answered after"
    note = "elsewhere 10 s"
    return [Figure(name, load["last_result_at"] - load["first_submit_at"], "s", at_most=1.0, note=note)]


PARTS: tuple[Part, ...] = (
    service_stop,
    disk_full,
    far_smsc,
    throttling_smsc,
    untold_limit,
    full_queue,
    carrier_restart,
    stalled_session,
    receipts_that_never_came,
    many_connections,
)


def run(size: Size) -> Result:
    figures: list[Figure] = []
    for part in PARTS:
        figures += part(size)
    return Result(figures)


SCENARIO = Scenario(
    name="neighbours",
    summary="what other gateways lose or stumble over: stop, full disk, distance, limits, failing links, lost receipts",
    limit="None: each is a matter of doing the right thing.",
    estimate="Nothing lost; 480/s at 20 ms with and without delayed ACKs; 11 s for a thousand messages at 100/s; "
    "an untold limit found within 5 % with 0.5 % refused; work again a second after a full queue; 16 attempts in the "
    "second behind a restart and 3/s on average; three sessions of four undisturbed by the stalled one; "
    "no slower for 50,000 missing receipts; 500 connections within 0.2 s.",
    refutation="Any figure missed is a fault, not a matter of speed.",
    run=run,
)
