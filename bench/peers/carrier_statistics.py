"""What the simulated carrier counts."""

from collections import Counter

import msgspec


class Statistics(msgspec.Struct):
    """What is counted; moments are seconds of the machine's monotonic clock, 0 for never.

    ``submits``: messages taken. ``twice``: messages taken though the client's id was known, which a handset would get
    twice. ``known``: messages recognised by the client's id and not taken again. ``questions``: how
    often what was said about messages.
    """

    connections: int = 0
    requests: int = 0
    submits: int = 0
    twice: int = 0
    known: int = 0
    errors: Counter[str] = msgspec.field(default_factory=Counter)
    questions: Counter[str] = msgspec.field(default_factory=Counter)
    lost: int = 0
    dropped: int = 0
    unreadable: int = 0
    receipts: int = 0
    posts: int = 0
    acknowledged: int = 0
    repeated_posts: int = 0
    given_up: int = 0
    unreachable: int = 0
    hook_statuses: Counter[str] = msgspec.field(default_factory=Counter)
    inbound: int = 0
    inbound_acknowledged: int = 0
    first_submit_at: float = 0.0
    last_submit_at: float = 0.0
    last_acknowledged_at: float = 0.0
