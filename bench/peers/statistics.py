"""What the simulated SMSC counts."""

from collections import Counter

import msgspec


class Statistics(msgspec.Struct):
    """What is counted. Moments are seconds of the machine's monotonic clock, 0 for never."""

    connections: int = 0
    binds: int = 0
    refused_binds: int = 0
    submits: int = 0
    statuses: Counter[int] = msgspec.field(default_factory=Counter)
    throttled: int = 0
    lost: int = 0
    dropped: int = 0
    receipts: int = 0
    acknowledged: int = 0
    redelivered: int = 0
    refused_deliveries: int = 0
    queries: int = 0
    cancels: int = 0
    alerts: int = 0
    inbound: int = 0
    inbound_acknowledged: int = 0
    unexpected: int = 0
    last_bind_at: float = 0.0
    first_submit_at: float = 0.0
    last_submit_at: float = 0.0
    last_acknowledged_at: float = 0.0

    def submitted(self, now: float, count: int) -> None:
        self.submits += count
        self.last_submit_at = now
        if not self.first_submit_at:
            self.first_submit_at = now
