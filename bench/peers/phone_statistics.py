"""What the simulated phones count together."""

from collections import Counter
from typing import Any

import msgspec

from bench.peers.histogram import Histogram
from bench.peers.usage import usage


class Statistics(msgspec.Struct):
    """Counts of a whole fleet. Moments are seconds of the machine's monotonic clock, 0 for never.

    ``streams`` are open and ``pulling`` pulls in flight now. ``listed`` counts items of pulls, ``accepted`` those a
    phone did not know. ``handed`` are messages given to Android, ``parts`` their parts. ``missed`` reports were never
    made by habit, ``given_up`` ones never got through. ``violations`` are what a server must not do, in words.
    """

    registrations: int = 0
    updates: int = 0
    streams: int = 0
    streams_opened: int = 0
    streams_ended: int = 0
    stream_failures: int = 0
    hints: int = 0
    comments: int = 0
    requests: int = 0
    answers: Counter[str] = msgspec.field(default_factory=Counter)
    failures: Counter[str] = msgspec.field(default_factory=Counter)
    pulls: int = 0
    pulling: int = 0
    pulls_aborted: int = 0
    listed: int = 0
    accepted: int = 0
    cancelled: int = 0
    handed: int = 0
    parts: int = 0
    repeated_texts: int = 0
    states: Counter[str] = msgspec.field(default_factory=Counter)
    reports: int = 0
    acknowledged: int = 0
    settled: int = 0
    missed: int = 0
    given_up: int = 0
    inbound: int = 0
    hooks: int = 0
    hooks_acknowledged: int = 0
    restarts: int = 0
    wipes: int = 0
    radio_lost: int = 0
    dozes: int = 0
    violations: Counter[str] = msgspec.field(default_factory=Counter)
    last_stream_at: float = 0.0
    last_pull_at: float = 0.0
    first_accepted_at: float = 0.0
    last_accepted_at: float = 0.0
    last_acknowledged_at: float = 0.0

    def summary(self, sent: list[int], answering: Histogram) -> dict[str, Any]:
        """All of it, with what each phone sent and how long answers took."""
        sent = sorted(sent)
        spread = {"phones": len(sent), "least": 0, "median": 0, "most": 0}
        if sent:
            spread |= {"least": sent[0], "median": sent[len(sent) // 2], "most": sent[-1]}
        counts: dict[str, Any] = msgspec.to_builtins(self)
        return {**counts, "sent": spread, "answering": answering.summary(), **usage()}
