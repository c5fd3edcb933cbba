"""Counters, gauges and histograms as plain values, and the Prometheus text format 0.0.4 they are shown in.

One loop owns them all, so nothing here locks. A metric with labels is a family: ``labels(...)`` finds or
makes the child for one set of values, to be kept by whoever counts; then a count costs one addition.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, Generic, Protocol, TypeVar

from stentor.dispatch.snapshot import ChannelSnapshot, EngineSnapshot, JournalSnapshot, WebhooksSnapshot

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BUCKETS_S: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)

Labels = Sequence[tuple[str, str]]
Sample = tuple[str, Labels, float]
"""Suffix of the metric's name, labels, value."""

_HELP_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_LABEL_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


class Counter:
    """Only grows. ``value`` may be read and, on hot paths, added to in place."""

    __slots__ = ("value",)

    kind = "counter"

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        self.value += amount

    def samples(self) -> list[Sample]:
        return [("", (), self.value)]


class Gauge:
    """Goes up and down; ``value`` is set in place."""

    __slots__ = ("value",)

    kind = "gauge"

    def __init__(self) -> None:
        self.value: float = 0

    def samples(self) -> list[Sample]:
        return [("", (), self.value)]


class Histogram:
    """Counts observations in fixed buckets; each bound is inclusive, as the format wants it."""

    __slots__ = ("_bounds", "_counts", "sum")

    kind = "histogram"

    def __init__(self, bounds: Sequence[float] = LATENCY_BUCKETS_S) -> None:
        assert all(low < high for low, high in pairwise(bounds)), "bounds must grow"
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self._counts)

    def samples(self) -> list[Sample]:
        total = 0
        samples: list[Sample] = []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            samples.append(("_bucket", (("le", _number(bound)),), total))
        return [*samples, ("_sum", (), self.sum), ("_count", (), total)]


class Metric(Protocol):
    """What a family is made of."""

    kind: str

    def samples(self) -> list[Sample]: ...


MetricT = TypeVar("MetricT", bound=Metric)


class Family(Generic[MetricT]):
    """A named metric, one child for each set of label values. ``make`` makes a child."""

    __slots__ = ("_children", "_make", "help", "kind", "label_names", "name")

    def __init__(
        self, name: str, help: str, make: Callable[[], MetricT], label_names: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.help = help
        self.label_names = tuple(label_names)
        self.kind = make().kind
        self._make = make
        self._children: dict[tuple[str, ...], MetricT] = {}

    def labels(self, *values: str) -> MetricT:
        """The child for these values, in the order of ``label_names``."""
        child = self._children.get(values)
        if child is None:
            assert len(values) == len(self.label_names), f"{self.name} has labels {self.label_names}"
            child = self._children[values] = self._make()
        return child

    def remove(self, *values: str) -> None:
        """Forget a child: its channel or lane is gone."""
        self._children.pop(values, None)

    def exposition(self) -> str:
        samples = [
            (suffix, (*zip(self.label_names, values, strict=True), *labels), value)
            for values, child in self._children.items()
            for suffix, labels, value in child.samples()
        ]
        return render(self.name, self.kind, self.help, samples)


def exposition(families: Iterable[Family[MetricT]]) -> str:
    """Families in the text format, in the order given."""
    return "".join(family.exposition() for family in families)


def render(name: str, kind: str, help: str, samples: Iterable[Sample]) -> str:
    """One metric in the text format; nothing if it has no sample."""
    lines = [_sample(name + suffix, labels, value) for suffix, labels, value in samples]
    if not lines:
        return ""
    return f"# HELP {name} {help.translate(_HELP_ESCAPES)}\n# TYPE {name} {kind}\n{''.join(lines)}"


def _sample(name: str, labels: Labels, value: float) -> str:
    if not labels:
        return f"{name} {_number(value)}\n"
    inside = ",".join(f'{key}="{text.translate(_LABEL_ESCAPES)}"' for key, text in labels)
    return f"{name}{{{inside}}} {_number(value)}\n"


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    if value == float("-inf"):
        return "-Inf"
    if value != value:
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


# -- the running engine --------------------------------------------------------------------------------


class _Page:
    """Collects samples by metric, so that those of one metric stand together as the format demands."""

    def __init__(self) -> None:
        self._metrics: dict[str, tuple[str, str, list[Sample]]] = {}

    def add(self, name: str, kind: str, help: str, value: float, **labels: str) -> None:
        samples = self._metrics.setdefault(name, (kind, help, []))[2]
        samples.append(("", tuple(labels.items()), value))

    def text(self) -> str:
        return "".join(
            render(f"stentor_{name}", kind, help, samples)
            for name, (kind, help, samples) in self._metrics.items()
        )


_CHANNEL_STATES: Final = ("up", "down", "paused", "disabled")


def engine_metrics(snapshot: EngineSnapshot) -> str:
    """The running engine in the text format. Names of accounts, numbers and texts are in none of it."""
    page = _Page()
    page.add("info", "gauge", "Version of the daemon.", 1, version=snapshot.version)
    page.add("ready", "gauge", "1 while work is taken.", snapshot.state == "ready")
    page.add("start_time_seconds", "gauge", "When the daemon started.", snapshot.started_at_ms / 1000)
    page.add("uptime_seconds", "gauge", "How long the daemon has run.", snapshot.uptime_s)
    totals = (
        ("accepted", snapshot.accepted, "Messages accepted from clients."),
        ("sent", snapshot.sent, "Messages a carrier took."),
        ("finished", snapshot.finished, "Messages that reached a final status."),
        ("received", snapshot.received, "Messages received from handsets."),
    )
    for word, total, help in totals:
        page.add(f"messages_{word}_total", "counter", help, total)
    page.add("messages_scheduled", "gauge", "Messages that wait for their time.", snapshot.scheduled)
    page.add("loop_lag_seconds", "gauge", "How late the event loop last was.", snapshot.loop_lag_ms / 1000)
    help = "How far the machine's clock is ahead of the engine's while it is not followed."
    page.add("clock_held_seconds", "gauge", help, snapshot.clock_held_ms / 1000)
    for name, count in snapshot.counters.items():
        page.add("engine_total", "counter", "What the engine counts, by name.", count, what=name)
    _add_backlog(page, snapshot)
    for queue in snapshot.queues:
        page.add("queue_length", "gauge", "How full a queue is.", queue.length, queue=queue.name)
        page.add("queue_limit", "gauge", "The bound of a queue.", queue.limit, queue=queue.name)
    # The values of a limit may be names of accounts: only its sum is shown.
    for name in dict.fromkeys(limit.name for limit in snapshot.limits):
        waiting = sum(limit.waiting for limit in snapshot.limits if limit.name == name)
        page.add("limit_waiting", "gauge", "Messages that wait for a rate limit.", waiting, limit=name)
    for channel in snapshot.channels:
        _add_channel(page, channel)
    _add_webhooks(page, snapshot.webhooks)
    _add_journal(page, snapshot.journal)
    return page.text()


def _add_webhooks(page: _Page, webhooks: WebhooksSnapshot) -> None:
    """Of all accounts together."""
    for state, count in webhooks.states.items():
        page.add("webhooks", "gauge", "Webhooks by the state they are in.", count, state=state)
    page.add("webhooks_behind", "gauge", "Webhooks with events that wait on the disk.", webhooks.behind)
    help = "Deliveries that wait to be tried again."
    page.add("webhook_deliveries_waiting", "gauge", help, webhooks.waiting)
    page.add("webhook_deliveries_in_flight", "gauge", "Deliveries under way.", webhooks.in_flight)
    outcomes = (
        ("delivered", webhooks.delivered),
        ("failed", webhooks.failed),
        ("given_up", webhooks.given_up),
    )
    for word, count in outcomes:
        help = "Attempts by outcome, and events given up."
        page.add("webhook_deliveries_total", "counter", help, count, outcome=word)


def _add_backlog(page: _Page, snapshot: EngineSnapshot) -> None:
    for part in snapshot.backlog:
        labels = {"route": part.route, "priority": part.priority}
        help = "Messages that have not left, in memory or in the journal only."
        page.add("backlog_messages", "gauge", help, part.active, **labels, place="memory")
        page.add("backlog_messages", "gauge", help, part.journal, **labels, place="journal")
        page.add("backlog_oldest_seconds", "gauge", "Age of the oldest of them.", part.oldest_age_s, **labels)


def _add_channel(page: _Page, channel: ChannelSnapshot) -> None:
    name = channel.name
    labels = {"channel": name, "driver": channel.driver}
    page.add("channel_up", "gauge", "1 while a channel can send.", channel.state == "up", **labels)
    help = "The state a channel is in."
    for state in dict.fromkeys((*_CHANNEL_STATES, channel.state)):
        page.add("channel_state", "gauge", help, channel.state == state, channel=name, state=state)
    help = "The state of a channel's circuit breaker."
    for state in ("closed", "open", "probing"):
        page.add("channel_breaker", "gauge", help, channel.breaker == state, channel=name, state=state)
    page.add("channel_pace", "gauge", "Segments a second that left lately.", channel.pace, channel=name)
    page.add("channel_queued", "gauge", "Messages held for a channel.", channel.queued, channel=name)
    page.add("channel_in_flight", "gauge", "Submissions without an answer.", channel.in_flight, channel=name)
    help = "Segments a second a channel may send; 0 for unlimited."
    page.add("channel_rate_limit", "gauge", help, channel.rate_limit, channel=name)
    page.add(
        "channel_rate",
        "gauge",
        "Segments a second in force now; 0 for unlimited.",
        channel.rate_now,
        channel=name,
    )
    _add_counts(page, "channel_total", "What the engine counts for a channel.", channel.counters, name)
    driver_counters = channel.driver_status.counters
    _add_counts(page, "driver_total", "What a channel's driver counts.", driver_counters, name)
    for lane in channel.lanes:
        labels = {"channel": name, "lane": lane.key}
        page.add("lane_ready", "gauge", "1 while a lane can be given work.", lane.state == "ready", **labels)
        page.add("lane_in_flight", "gauge", "Submissions without an answer.", lane.in_flight, **labels)
        page.add("lane_window", "gauge", "Submissions a lane may have in flight now.", lane.window, **labels)
        page.add("lane_window_offered", "gauge", "Window the driver offered.", lane.offered, **labels)
        page.add("lane_sent_total", "counter", "Submissions the peer took.", lane.sent, **labels)
        help = "Times the peer asked to slow down."
        page.add("lane_throttled_total", "counter", help, lane.throttled, **labels)


def _add_counts(page: _Page, name: str, help: str, counters: Mapping[str, int], channel: str) -> None:
    for what, count in counters.items():
        page.add(name, "counter", help, count, channel=channel, what=what)


def _add_journal(page: _Page, journal: JournalSnapshot) -> None:
    page.add("journal_state", "gauge", "The state the journal is in.", 1, state=journal.state)
    page.add("journal_commits_total", "counter", "Transactions written.", journal.commits)
    page.add("journal_rows_total", "counter", "Rows written.", journal.rows)
    page.add("journal_commit_seconds", "gauge", "Length of the last commit.", journal.last_commit_ms / 1000)
    page.add("journal_octets", "gauge", "Size of a file of the journal.", journal.file_octets, file="main")
    page.add("journal_octets", "gauge", "Size of a file of the journal.", journal.wal_octets, file="wal")
    page.add("journal_space", "gauge", "How much room the journal's disk has.", 1, space=journal.space)
    page.add("journal_free_octets", "gauge", "What is free of the journal's disk.", journal.free_octets)
