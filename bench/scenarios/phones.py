"""A fleet of simulated Android phones: sending and reporting, thousands of streams, and all coming back at once.

Three workplaces, one after the other. In the first 1,000 phones send 20 parts a minute each; in the second 5,000 only
keep their streams; in the third the streams of 1,000 are cut at one moment while an SMPP channel is at work.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.harness import BenchError, Child, Workplace, channel, wait_until
from bench.peers.histogram import Histogram
from bench.scenario import Figure, Result, Scenario, Size, usage_of
from bench.scenarios.urgent import Arrival, read_arrivals

PER_MINUTE = 20
TOKEN = "bench-private-token"
RECONNECT_S = 5.0
"""The app's own pause before it opens a stream again; in the tests it is a tenth."""
HURRY = 10
HURRIED = ["--hurry", str(HURRY), "--sent-after", "50ms", "--delivered-after", "50ms"]
ABSORBED_S = 10.0
LINE_RATE = 500
CALM_S = 8.0
FAR_AWAY = 5
"""The niceness of phones beside a line that is timed. A thousand phones have a thousand processors of their own; here
the line's own peers must not wait for the one process that stands for them."""
REGISTRATIONS = 250
"""Phones a second that come in for the first time."""

PHONES_CHANNEL = """[api]
tcp = "127.0.0.1:0"
max_connections = 16000
[channels.phones]
driver = "android"
url = "http://127.0.0.1:1"
private_token = "{token}"
parts_a_minute = 30
hourly = 0
daily = 0
ping = 0
"""
"""The pace leaves room above what is submitted, so that what is measured is the cost of the rate and no queue's."""


def run(size: Size) -> Result:
    sending, processes, counted = _sending(size)
    figures = sending + _streams(size) + _storm(size)
    return Result(figures, processes, {"phones": counted})


# -- sending -------------------------------------------------------------------------------------------------------


def _sending(size: Size) -> tuple[list[Figure], list[Any], dict[str, Any]]:
    phones, seconds = size.pick((1000, 60), (1000, 15), (20, 2))
    rate = phones * PER_MINUTE / 60
    count = int(rate * seconds)
    with Workplace() as place:
        daemon, fleet = _start(place, phones, size)
        _wait_streams(place, fleet, phones)
        # Registration and what follows it is not what is measured.
        time.sleep(size.pick(5, 3, 0.2))
        asked = place.statistics(fleet)["requests"]
        before_s, began = daemon.cpu_s(), time.monotonic()
        load = place.load("stream", messages=count, rate=rate, channel="phones", text="phones {n}")
        took_s, used_s = time.monotonic() - began, daemon.cpu_s() - before_s
        asked = place.statistics(fleet)["requests"] - asked
        rss_octets = daemon.rss_octets()
        metrics = place.wait_finished(count, 60.0)
        counted = _wait_settled(place, fleet, count)
        usage = [daemon.usage(), usage_of(counted, "phones"), usage_of(load, "load")]
    if metrics["messages_finished_total"] != count:
        raise BenchError(f"{metrics['messages_finished_total']} of {count} messages are final")
    answering = counted["answering"]["p99_ms"]
    note = f"{phones} phones, {PER_MINUTE} parts a minute each: {rate:.0f} messages and {asked / took_s:.0f} requests/s"
    figures = [
        Figure("phones: the daemon's share of a core", used_s / took_s * 100, "%", at_most=25.0, note=note),
        Figure("phones: the daemon's memory", rss_octets / 1e6, "MB", at_most=150.0),
        Figure("phones: requests answered, 99th percentile", answering, "ms"),
        *_faults(counted, count),
    ]
    return figures, usage, counted


def _faults(counted: dict[str, Any], count: int) -> list[Figure]:
    """What must not happen at any size."""
    violations = counted["violations"]
    return [
        Figure("phones: messages never sent", count - counted["handed"], "", at_most=0),
        Figure("phones: messages sent twice", counted["repeated_texts"], "", at_most=0),
        Figure(
            "phones: violations of the protocol",
            sum(violations.values()),
            "",
            at_most=0,
            note=", ".join(violations),
        ),
    ]


# -- streams -------------------------------------------------------------------------------------------------------


def _streams(size: Size) -> list[Figure]:
    phones, seconds = size.pick((5000, 20), (2000, 5), (20, 1))
    with Workplace() as place:
        daemon, fleet = _start(place, phones, size)
        _wait_streams(place, fleet, phones)
        time.sleep(size.pick(5, 2, 0.1))
        before_s, began = daemon.cpu_s(), time.monotonic()
        time.sleep(seconds)
        share = (daemon.cpu_s() - before_s) / (time.monotonic() - began)
        counted = place.statistics(fleet)
        rss_octets = daemon.rss_octets("VmRSS")
    return [
        Figure(
            "event streams open",
            counted["streams"],
            "",
            at_least=phones,
            note=f"{counted['comments']} keep-alives",
        ),
        Figure("event streams: the daemon's share of a core", share * 100, "%"),
        Figure("event streams: the daemon's memory", rss_octets / 1e6, "MB"),
    ]


# -- the storm -----------------------------------------------------------------------------------------------------


class _Round(NamedTuple):
    """One storm: how long until all phones were back, and the line's 99th percentile before and then, in seconds."""

    absorbed_s: float
    calm_s: float
    storm_s: float

    @property
    def ratio(self) -> float:
        return self.storm_s / self.calm_s


def _storm(size: Size) -> list[Figure]:
    """The streams of all phones are cut at once; five seconds later all come back, and each pulls. Three times, for
    some moments of calm are disturbed by other things; the middle one counts."""
    phones = size.pick(1000, 1000, 20)
    rate = size.pick(LINE_RATE, LINE_RATE, 50)
    rounds, calm_s, storm_s = size.pick((3, CALM_S, ABSORBED_S), (3, 5.0, ABSORBED_S), (1, 1.0, 1.0))
    pause_s = RECONNECT_S / size.pick(1, 1, HURRY)
    with Workplace() as place:
        record = place.folder / "record"
        _, port = place.start_smsc("--record", str(record))
        _, fleet = _start(place, phones, size, channel(port), niceness=size.pick(FAR_AWAY, FAR_AWAY, 0))
        _wait_streams(place, fleet, phones)
        time.sleep(size.pick(3, 3, 0.2))
        round_s = calm_s + pause_s + storm_s
        count = int(rate * (rounds * round_s + 3.0))
        load = place.start_load(
            "stream", messages=count, rate=rate, channel="alpha", to="+408", text="line {n} {t}"
        )
        time.sleep(1.0)
        moments = [_cut(place, fleet, phones, calm_s, pause_s, storm_s) for _ in range(rounds)]
        if load.read_json(60.0)["failures"]:
            raise BenchError("the line's own load failed")
        place.wait_finished(count, 60.0)
        arrivals = read_arrivals(record)
    found = [
        _Round(
            absorbed_at - back_at,
            _line_p99(arrivals, cut_at - calm_s, cut_at),
            _line_p99(arrivals, back_at, back_at + storm_s),
        )
        for cut_at, back_at, absorbed_at in moments
    ]
    middle = sorted(found, key=lambda each: each.ratio)[len(found) // 2]
    note = ", ".join(f"{each.storm_s * 1e3:.1f} after {each.calm_s * 1e3:.1f} ms" for each in found)
    return [
        Figure(
            "storm: all phones back and answered after",
            max(each.absorbed_s for each in found),
            "s",
            at_most=ABSORBED_S,
        ),
        Figure(
            "storm: the SMPP line's p99 beside its calm one",
            middle.ratio * 100,
            "%",
            at_most=120.0,
            note=f"in the {storm_s:g} s after the phones came back, beside the {calm_s:g} s before they went: {note}",
        ),
    ]


def _cut(
    place: Workplace, fleet: Child, phones: int, calm_s: float, pause_s: float, storm_s: float
) -> tuple[float, float, float]:
    """After some calm cut every stream, and wait for the storm to be over: when they were cut, when they came back
    and when all had been answered."""
    time.sleep(calm_s)
    opened = place.statistics(fleet)["streams_opened"]
    cut_at = time.monotonic()
    fleet.tell("drop")
    absorbed_at = _wait_absorbed(place, fleet, opened + phones, phones)
    back_at = cut_at + pause_s
    time.sleep(max(0.0, back_at + storm_s - time.monotonic()))
    return cut_at, back_at, absorbed_at


def _wait_absorbed(place: Workplace, fleet: Child, opened: int, phones: int) -> float:
    """Until so many streams were opened and every phone has pulled since; when that was."""
    seen: dict[str, Any] = {}

    def is_over() -> bool:
        seen.update(place.statistics(fleet))
        return bool(seen["streams_opened"] >= opened and seen["streams"] >= phones and not seen["pulling"])

    wait_until(
        is_over, 60.0, lambda: f"{seen['streams']} of {phones} streams, {seen['pulling']} pulls unanswered"
    )
    return max(float(seen["last_stream_at"]), float(seen["last_pull_at"]))


def _line_p99(arrivals: Sequence[Arrival], since: float, until: float) -> float:
    """The 99th percentile from submit to SMSC of what arrived between two moments, in seconds."""
    waited = Histogram()
    for arrival in arrivals:
        if since <= arrival.at < until:
            waited.add(arrival.at - int(arrival.text.split()[2]) / 1e9)
    if not waited.count:
        raise BenchError("the line carried nothing")
    return waited.percentile(0.99)


# -- processes -----------------------------------------------------------------------------------------------------


def _start(
    place: Workplace, phones: int, size: Size, more: str = "", niceness: int = 0
) -> tuple[Child, Child]:
    """The daemon and a fleet that comes in over some seconds."""
    daemon = place.start_daemon(PHONES_CHANNEL.format(token=TOKEN) + more)
    port = next(name for name in daemon.announced.split() if name.startswith("tcp:")).rpartition(":")[2]
    url = f"http://127.0.0.1:{port}/api/mobile/v1"
    options = [
        "--url",
        url,
        "--token",
        TOKEN,
        "--phones",
        str(phones),
        "--over",
        f"{phones / REGISTRATIONS:.2f}s",
    ]
    if phones > 2000:
        # A phone begins with four requests at once; all their connections kept are more than a process may have open.
        options += ["--most-idle", "1"]
    options += size.pick([], [], HURRIED)

    fleet = place.start("phones", "-m", "bench.peers.phones", *options, niceness=niceness)
    fleet.wait_ready()
    return daemon, fleet


def _wait_streams(place: Workplace, fleet: Child, count: int) -> None:
    seen: dict[str, Any] = {}

    def are_open() -> bool:
        seen.update(place.statistics(fleet))
        return bool(seen["streams"] >= count)

    wait_until(
        are_open,
        2 * count / REGISTRATIONS + 60.0,
        lambda: f"{seen['streams']} of {count} streams; {seen['answers']}, {seen['failures']}",
    )


def _wait_settled(place: Workplace, fleet: Child, count: int) -> dict[str, Any]:
    """Until the final state of so many messages is acknowledged to the phones."""
    seen: dict[str, Any] = {}

    def are_settled() -> bool:
        seen.update(place.statistics(fleet))
        return bool(seen["settled"] >= count)

    wait_until(are_settled, 60.0, lambda: f"{seen['settled']} of {count} messages are settled")
    return seen


SCENARIO = Scenario(
    name="phones",
    summary="1,000 phones sending 20 parts a minute each; 5,000 event streams; 1,000 coming back at once beside SMPP",
    limit="The daemon's own thread: four requests a message (a pull, three reports) at some 100 µs each, then the "
    "journal.",
    estimate="20 % of a core and 100 MB; 25 kB a stream; the storm over in 1 s, and fewer than one in a hundred of the "
    "line's messages wait for it.",
    refutation="More than 25 % of a core: phones' requests cost more than submits. A storm that lasts, or a p99 of the "
    "line above 1.2 of the calm one: phones hold the loop for longer than a slice.",
    run=run,
)
