"""Pictures of the running engine, for `stentor status`, the channels' resources and metrics. Immutable, typed."""

import msgspec

from stentor.driver import DriverStatus


class LaneSnapshot(msgspec.Struct, frozen=True):
    """One lane. ``window`` is what it may have in flight now, ``offered`` what its driver offered; ``state`` is
    ready, throttled, suspended, receiving or down; ``rate`` is segments a second in force, 0 for unlimited."""

    key: str
    state: str
    in_flight: int
    window: int
    offered: int
    rate: float
    sent: int
    throttled: int
    peer: str = ""
    detail: str = ""


class ChannelSnapshot(msgspec.Struct, frozen=True):
    """One channel. ``state``: up, down, paused or disabled. One that cannot send is up while it receives.

    ``breaker``: closed, or open while all lanes are dead and messages go elsewhere, or probing. ``pace`` is segments a
    second that left lately, ``waits_for`` why what waits there does not leave now.
    """

    name: str
    driver: str
    state: str
    paused: bool
    rate_limit: float
    rate_now: float
    queued: int
    in_flight: int
    lanes: tuple[LaneSnapshot, ...]
    counters: dict[str, int]
    driver_status: DriverStatus
    last_error: str | None = None
    last_error_at_ms: int = 0
    can_send: bool = True
    breaker: str = "closed"
    breaker_reason: str = ""
    pace: float = 0.0
    waits_for: tuple[str, ...] = ()


class QueueSnapshot(msgspec.Struct, frozen=True):
    """A queue or buffer of the engine by name: how full it is, its bound, and what happens when it is full."""

    name: str
    length: int
    limit: int
    when_full: str


class BacklogSnapshot(msgspec.Struct, frozen=True):
    """Messages that have not left, by route and priority: in memory, in the journal only, the age of the oldest in
    memory, and how many of those in the journal are held back."""

    route: str
    priority: str
    active: int
    journal: int
    oldest_age_s: float
    held: int = 0


class LimitSnapshot(msgspec.Struct, frozen=True):
    """One quota of a rate limit: ``values`` are those it is for, empty for a limit's only one. ``left`` may go now of
    ``limit`` in ``every``, ``waiting`` messages wait for it, and the next may go in ``ready_in_s``."""

    name: str
    values: tuple[str, ...]
    unit: str
    limit: int
    every: str
    left: int
    waiting: int
    ready_in_s: float


class QueueLine(msgspec.Struct, frozen=True):
    """Queued messages to one country: ``counts`` by age, see QueueShape."""

    prefix: str
    counts: tuple[int, ...]


class QueueShape(msgspec.Struct, frozen=True):
    """The queue by calling code and age. Column i of a line counts messages no older than ``ages_s[i]`` seconds (and
    older than the one before), the last one what is older still. ``is_whole`` is false when the queue was too long to
    look at all of it; then it is the part that stands first."""

    ages_s: tuple[int, ...]
    lines: tuple[QueueLine, ...]
    is_whole: bool


class WebhookSnapshot(msgspec.Struct, frozen=True):
    """How one webhook is. ``state``: working, open (it fails, and is probed now and then), probing or disabled.
    ``waiting`` deliveries are tried again; ``is_behind``: there are events on the disk that it was not told yet. Counts
    are since the daemon's start, times are 0 for never."""

    state: str
    waiting: int
    in_flight: int
    is_behind: bool
    is_replaying: bool
    delivered: int
    failed: int
    given_up: int
    failing_since_ms: int
    delivered_at_ms: int
    last_error: str


class WebhooksSnapshot(msgspec.Struct, frozen=True):
    """All webhooks: how many there are, by state; and what WebhookSnapshot has of each, together. ``is_paced``: sending
    keeps the daemon busy and goes first, so deliveries start at a set pace."""

    states: dict[str, int] = {}
    waiting: int = 0
    in_flight: int = 0
    behind: int = 0
    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    is_paced: bool = False


class BatchSnapshot(msgspec.Struct, frozen=True):
    """A batch: its messages by status (words, those there are), how many are held and how many have not left, and how
    many a second leave. ``state``: active, paused, resuming or cancelling."""

    batch: str
    state: str
    counts: dict[str, int]
    held: int
    left: int
    rate: float


class JournalSnapshot(msgspec.Struct, frozen=True):
    """The journal's health. ``sqlite_is_affected``: this SQLite has the WAL race that a second writer would trigger.
    ``space`` of its disk: roomy, low or short."""

    state: str
    durability: str
    commits: int
    rows: int
    last_commit_ms: float
    file_octets: int
    wal_octets: int
    sqlite_version: str
    sqlite_is_affected: bool
    detail: str = ""
    space: str = "roomy"
    free_octets: int = 0


class EngineSnapshot(msgspec.Struct, frozen=True):
    """The whole. ``clock_held_ms``: how far the machine's clock is ahead of the engine's, which does not follow it."""

    version: str
    state: str
    started_at_ms: int
    uptime_s: float
    accepted: int
    sent: int
    finished: int
    received: int
    scheduled: int
    channels: tuple[ChannelSnapshot, ...]
    backlog: tuple[BacklogSnapshot, ...]
    queues: tuple[QueueSnapshot, ...]
    journal: JournalSnapshot
    counters: dict[str, int]
    loop_lag_ms: float = 0.0
    clock_held_ms: int = 0
    limits: tuple[LimitSnapshot, ...] = ()
    webhooks: WebhooksSnapshot = WebhooksSnapshot()
