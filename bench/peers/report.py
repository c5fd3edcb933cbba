"""What a load generator saw, and the file of what was acknowledged to it."""

import os
from collections import Counter
from typing import Any, Final

import msgspec

from bench.peers.histogram import Histogram
from bench.peers.usage import usage

_SAMPLES: Final = 5


class LoadReport:
    """Counts of one run, over all its connections. Moments are seconds of the machine's monotonic clock."""

    def __init__(self, acknowledged: str = "") -> None:
        """``acknowledged``: a file to append every result line to, as it came and as soon as it came."""
        self.acknowledged_fd: int | None = None
        if acknowledged:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self.acknowledged_fd = os.open(acknowledged, flags, 0o600)
        self.accepted = 0
        self.refused = 0
        self.requests = 0
        self.statuses: Counter[int] = Counter()
        self.latency = Histogram()
        self.connecting = Histogram()
        self.first_submit_at = 0.0
        self.last_result_at = 0.0
        self.failures: list[str] = []
        self.samples: list[str] = []

    def began(self, now: float) -> None:
        if not self.first_submit_at:
            self.first_submit_at = now

    def failed(self, reason: str) -> None:
        """A connection could not do what it was to do."""
        self.failures.append(reason)

    def refused_lines(self, lines: bytes, count: int) -> None:
        """Keep a few refusals to show."""
        if len(self.samples) < _SAMPLES:
            wrong = [line for line in lines.splitlines() if line.startswith(b'{"error"')]
            self.samples += [
                line[:300].decode(errors="replace") for line in wrong[: _SAMPLES - len(self.samples)]
            ]

    def keep(self, lines: bytes) -> None:
        """Append whole result lines to the file of acknowledged messages."""
        assert self.acknowledged_fd is not None
        while lines:
            lines = lines[os.write(self.acknowledged_fd, lines) :]

    def close(self) -> None:
        if self.acknowledged_fd is not None:
            os.close(self.acknowledged_fd)

    def summary(self) -> dict[str, Any]:
        elapsed_s = self.last_result_at - self.first_submit_at
        return {
            "accepted": self.accepted,
            "refused": self.refused,
            "requests": self.requests,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "elapsed_s": elapsed_s,
            "per_second": (self.accepted + self.refused) / elapsed_s if elapsed_s > 0 else 0.0,
            "first_submit_at": self.first_submit_at,
            "last_result_at": self.last_result_at,
            "latency": self.latency.summary(),
            "connecting": self.connecting.summary(),
            "failures": self.failures[:_SAMPLES],
            "refusals": self.samples,
            **usage(),
        }

    def to_json(self) -> bytes:
        return msgspec.json.encode(self.summary())
