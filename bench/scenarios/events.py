"""Events on their way out beside the line: a webhook that takes all, one that is dead, one that is slow, subscribers.

Each round runs the line four times with the same messages, one way after the other and in turn, each with a daemon of
its own: with nobody to tell, with one webhook for every change, with a dead and a slow webhook, with 100 subscribers.
What each costs is its rate, or its CPU a message, as a share of the round's own line; the figure is the median of the
rounds, with what so many rounds can tell apart. Two webhooks that take nothing cost less than that: what they cost is
measured besides when nothing is sent, where nothing hides it.
"""

import time
from collections.abc import Callable
from math import sqrt
from statistics import median
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from bench.harness import BenchError, Child, Usage, Workplace, channel, wait_until
from bench.scenario import Figure, Result, Scenario, Size, usage_of

WINDOW: Final = 2000
WITHIN_S: Final = 300.0
SECRET: Final = "whsec_c3RlbnRvciBiZW5jaCBldmVudHMgc2NlbmFyaW8="
SLOW_S: Final = 10
SUBSCRIBERS: Final = 100
EVENTS_A_MESSAGE: Final = 3
FAR_AWAY: Final = 10
"""The niceness of peers. Whoever receives 5,000 requests a second has a processor of its own: here it would take the
one for which the daemon's writer waits, and with it the interpreter's lock, for which the loop waits."""
CONFIG: Final = "[webhooks]\nallow_private = true\nconcurrency = 128\n"


class Run(msgspec.Struct, frozen=True):
    """One way of one round: the line's rate, and what the events' own peer counted while it ran. ``cores`` are those
    that all processes together have used, ``attempts`` the deliveries that were tried while it ran. Of the time after,
    when nothing is sent: ``drained_*``, and ``idle_share`` of a core that the daemon has used."""

    per_second: float
    seconds: float
    daemon: Usage
    smsc: dict[str, Any]
    load: dict[str, Any]
    cores: float = 0.0
    attempts: float = 0.0
    counted: dict[str, Any] = {}
    idle_share: float = 0.0
    drained_per_second: float = 0.0
    drained_cpu_us: float = 0.0
    all_told: dict[str, Any] = {}


Prepare = Callable[[Workplace], Child | None]


def run_line(count: int, prepare: Prepare, settle_s: float = 0.0, *, waits_for_all: bool = False) -> Run:
    """The line once. ``prepare`` starts whoever is told, and gives the peer that counts.

    ``settle_s``: how long to watch deliveries when nothing is sent any more.
    """
    with Workplace(FAR_AWAY) as place:
        smsc, port = place.start_smsc("--deliver-window", str(WINDOW))
        daemon = place.start_daemon(channel(port, window=WINDOW) + CONFIG)
        peer = prepare(place)
        load = place.load("stream", messages=count)
        counted = place.wait_acknowledged(smsc, count, WITHIN_S)
        told = place.statistics(peer) if peer is not None else {}
        usage = daemon.usage()
        if load["accepted"] != count or counted["submits"] != count:
            raise BenchError(f"of {count}: {load['accepted']} accepted, {counted['submits']} submitted")
        seconds = counted["last_acknowledged_at"] - load["first_submit_at"]
        attempts = place.api.metrics().get("webhook_deliveries_total", 0.0)
        cpu_s = usage.cpu_s + sum(each.get("cpu_s", 0.0) for each in (load, counted, told))
        run = Run(
            count / seconds, seconds, usage, counted, load, cpu_s / seconds, attempts, told, all_told=told
        )
        if settle_s:
            run = _settle(place, daemon, peer, run, settle_s)
        if peer is not None and waits_for_all:
            run = replace(run, all_told=_wait_told(place, peer, count * EVENTS_A_MESSAGE))
        return run


def _settle(place: Workplace, daemon: Child, peer: Child | None, run: Run, settle_s: float) -> Run:
    """What goes on when nothing is sent any more."""
    time.sleep(0.5)  # what sending leaves to be written is not what is measured
    told_then = place.statistics(peer) if peer is not None else {}
    cpu_s, began = daemon.cpu_s(), time.monotonic()
    time.sleep(settle_s)
    cpu_s = daemon.cpu_s() - cpu_s
    run = replace(run, idle_share=cpu_s / (time.monotonic() - began))
    if peer is None:
        return run
    all_told = place.statistics(peer)
    delivered = all_told["accepted"] - told_then["accepted"]
    return replace(
        run,
        drained_per_second=_between(told_then, all_told),
        drained_cpu_us=cpu_s / max(1, delivered) * 1e6,
        all_told=all_told,
    )


def _between(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Deliveries a second between two statistics, as far as there were any to deliver."""
    seconds = after["last_at"] - before["last_at"]
    return (after["accepted"] - before["accepted"]) / seconds if seconds > 0 else 0.0


def _wait_told(place: Workplace, peer: Child, count: int) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def has_come() -> bool:
        seen.update(place.statistics(peer))
        return bool(seen["accepted"] >= count)

    wait_until(has_come, 60.0, lambda: f"{seen['accepted']} of {count} events were delivered")
    return seen


# -- who is told -----------------------------------------------------------------------------------------------------


def nobody(place: Workplace) -> None:
    """The line alone."""


def one_webhook(place: Workplace) -> Child:
    """A receiver that takes every event, and verifies its signature."""
    receiver, port = _start_receiver(place, "receiver", "--secret", SECRET)
    _subscribe(place, port)
    return receiver


def bad_webhooks(place: Workplace) -> None:
    """One webhook at a port where nobody listens, one whose receiver takes ten seconds to answer."""
    _, port = _start_receiver(place, "slow", "--latency", f"{SLOW_S}s")
    _subscribe(place, place.free_port())
    _subscribe(place, port)


def subscribers(count: int) -> Prepare:
    """So many event streams."""

    def prepare(place: Workplace) -> Child:
        options = ("--socket", str(place.api.path), "--connections", str(count))
        peer = place.start("subscribers", "-m", "bench.peers.subscribers", *options)
        if int(peer.wait_ready()) != count:
            raise BenchError("not every subscriber could subscribe")
        return peer

    return prepare


def _start_receiver(place: Workplace, name: str, *options: str) -> tuple[Child, int]:
    receiver = place.start(name, "-m", "bench.peers.receiver", *options)
    return receiver, int(receiver.wait_ready())


def _subscribe(place: Workplace, port: int) -> None:
    place.api.json("POST", "/v1/webhooks", {"url": f"http://127.0.0.1:{port}/hook", "secret": SECRET})


# -- the scenario ----------------------------------------------------------------------------------------------------


def run(size: Size) -> Result:
    count = size.pick(100_000, 20_000, 200)
    rounds = size.pick(5, 2, 1)
    settle_s = size.pick(5.0, 2.0, 0.0)
    ways: dict[str, Callable[[], Run]] = {
        "line": lambda: run_line(count, nobody),
        "webhook": lambda: run_line(count, one_webhook, settle_s, waits_for_all=size is Size.TINY),
        "bad": lambda: run_line(count, bad_webhooks, settle_s),
        "streams": lambda: run_line(count, subscribers(size.pick(SUBSCRIBERS, SUBSCRIBERS, 3))),
    }
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        # Each way comes in each place, so that what the machine does meanwhile strikes all alike.
        at = number % len(names)
        for name in names[at:] + names[:at]:
            runs[name].append(ways[name]())
    return _result(count, runs)


def _result(count: int, runs: dict[str, list[Run]]) -> Result:
    hooked, plain = runs["webhook"], runs["line"]
    deliveries = [one.counted["accepted"] / one.seconds for one in hooked]
    costs = [
        (one.daemon.cpu_s - alone.daemon.cpu_s) / max(1, one.counted["accepted"]) * 1e6
        for one, alone in zip(hooked, plain, strict=True)
    ]
    last = hooked[-1]
    streams, bad = runs["streams"], runs["bad"]
    asked = [one.counted["cpu_s"] / max(1, one.counted["requests"]) * 1e6 for one in hooked]
    read = [one.counted["events"] / one.seconds for one in streams]
    figures = [
        Figure("line: messages a second, nobody told", median(one.per_second for one in plain), "/s"),
        _ratio("webhook: sending, share of the line", plain, hooked, 0.8),
        _figure("webhook: deliveries a second while sending", deliveries, "/s", 5_000),
        _figure(
            "webhook: deliveries a second when nothing is sent",
            [one.drained_per_second for one in hooked],
            "/s",
        ),
        _figure("webhook: CPU of the daemon a delivery while sending", costs, "µs"),
        _figure("webhook: and when nothing is sent", [one.drained_cpu_us for one in hooked], "µs"),
        _figure("webhook: CPU of the receiver a request", asked, "µs"),
        Figure(
            "webhook: cores in use while sending, of all processes", median(one.cores for one in hooked), ""
        ),
        *_faults(hooked),
        _ratio("dead and slow webhook: sending, share of the line", plain, bad),
        _cheapness("dead and slow webhook: CPU a message, share of the line's", plain, bad, 1 / 0.98),
        _figure("dead and slow webhook: attempts while sending", [one.attempts for one in bad], ""),
        Figure(
            "dead and slow webhook: share of a core when nothing is sent",
            median(one.idle_share for one in bad),
            "",
            at_most=0.02,
        ),
        _ratio("subscribers: sending, share of the line", plain, streams, 0.9),
        _figure("subscribers: events read a second while sending", read, "/s"),
        Figure("subscribers: streams the daemon ended", sum(one.counted["lost"] for one in streams), ""),
    ]
    processes = [last.daemon, usage_of(last.all_told, "receiver"), usage_of(last.smsc, "smsc")]
    details = {name: msgspec.to_builtins(each, str_keys=True) for name, each in runs.items()}
    return Result(figures, processes, {"messages": count, **details})


def _faults(hooked: list[Run]) -> list[Figure]:
    """What must not happen at any size."""
    return [
        Figure(f"webhook: {text}", sum(one.all_told[name] for one in hooked), "", at_most=0)
        for name, text in (
            ("duplicates", "events delivered twice"),
            ("disordered", "events behind a later one of their message"),
            ("overlapping", "events sent before the one before was answered"),
            ("forged", "requests with a bad signature"),
            ("broken", "requests that are no event"),
        )
    ]


def _ratio(name: str, plain: list[Run], others: list[Run], at_least: float | None = None) -> Figure:
    """The median of each round's share of its own line."""
    shares = [other.per_second / one.per_second for one, other in zip(plain, others, strict=True)]
    return Figure(name, median(shares), "", at_least=at_least, note=_resolved(shares))


def _cheapness(name: str, plain: list[Run], others: list[Run], at_most: float) -> Figure:
    """The same of CPU a message, which a machine that others share disturbs less."""
    shares = [other.daemon.cpu_s / one.daemon.cpu_s for one, other in zip(plain, others, strict=True)]
    return Figure(name, median(shares), "", at_most=at_most, note=_resolved(shares))


def _resolved(shares: list[float]) -> str:
    """The spread, and how far their median may be from the truth: its standard error, if they scatter as errors do."""
    middle = median(shares)
    scatter = 1.4826 * median(abs(share - middle) for share in shares)
    error = f", ± {1.2533 * scatter / sqrt(len(shares)):.3f}" if len(shares) > 2 else ""
    return _spread(shares, "{:.3f}") + error


def _figure(name: str, values: list[float], unit: str, at_least: float | None = None) -> Figure:
    return Figure(name, median(values), unit, at_least=at_least, note=_spread(values, "{:,.0f}"))


def _spread(values: list[float], form: str) -> str:
    return f"{form.format(min(values))} to {form.format(max(values))} in {len(values)} rounds"


SCENARIO = Scenario(
    name="events",
    summary="the line with a webhook for every change, with a dead and a slow one, and with 100 subscribers",
    limit="The daemon's own thread: what a delivery costs there, sending does not get.",
    estimate="5,000 deliveries/s at 40 µs each are a fifth of the line; what is not told in time stands in the "
    "journal. A dead or slow webhook costs a look at its state for each commit, below 1 %. 100 subscribers cannot be "
    "given 75,000 events/s each, 6 GB/s; they get a fortieth of the thread, and read the rest from the journal.",
    refutation="Fewer than 5,000 deliveries/s with an idle core, or a line below 0.8: deliveries cost more than 40 µs. "
    "More than 2 % by a webhook that takes nothing: something is done for each event that nobody takes.",
    run=run,
)
