"""Latencies counted in buckets that grow by two per cent: any number of them in little memory."""

from math import exp, log
from typing import Final

_GROWTH: Final = log(1.02)
_SMALLEST_S: Final = 1e-6


class Histogram:
    """Counts durations in seconds; what it answers is within two per cent of the truth."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.largest_s = 0.0

    def add(self, duration_s: float, count: int = 1) -> None:
        bucket = round(log(max(duration_s, _SMALLEST_S) / _SMALLEST_S) / _GROWTH)
        self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += count
        if duration_s > self.largest_s:
            self.largest_s = duration_s

    def percentile(self, share: float) -> float:
        """The duration that ``share`` of all do not exceed; 0 when there are none."""
        left = share * self.count
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return min(self.largest_s, _SMALLEST_S * exp(bucket * _GROWTH))
        return self.largest_s

    def summary(self) -> dict[str, float]:
        """Milliseconds: median, 99th percentile, 99.9th, largest."""
        return {
            "p50_ms": self.percentile(0.5) * 1e3,
            "p99_ms": self.percentile(0.99) * 1e3,
            "p999_ms": self.percentile(0.999) * 1e3,
            "max_ms": self.largest_s * 1e3,
        }
