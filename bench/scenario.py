"""What a scenario is: what it claims before it is run, and the figures it comes back with."""

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

import msgspec

from bench.harness import Usage

T = TypeVar("T")


class Size(Enum):
    """How much work: all of it, a glance (``--quick``), or just enough to show that it runs (in the tests)."""

    FULL = "full"
    QUICK = "quick"
    TINY = "tiny"

    def pick(self, full: T, quick: T, tiny: T) -> T:
        return {Size.FULL: full, Size.QUICK: quick, Size.TINY: tiny}[self]


class Verdict(Enum):
    """Whether a figure reached its target."""

    REACHED = "reached"
    MISSED = "missed"
    NONE = ""


class Figure(msgspec.Struct, frozen=True):
    """One number. ``at_least`` or ``at_most`` is its target, where it has one; ``note`` says what it was
    compared with, or why it is missing."""

    name: str
    value: float | None
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.value is None or (self.at_least is None and self.at_most is None):
            return Verdict.NONE
        is_enough = self.at_least is None or self.value >= self.at_least
        is_little = self.at_most is None or self.value <= self.at_most
        return Verdict.REACHED if is_enough and is_little else Verdict.MISSED


class Result(msgspec.Struct, frozen=True):
    """What one run gave. ``details`` are the reports of its parts, for whoever wants to look closer."""

    figures: list[Figure]
    processes: list[Usage] = []
    details: dict[str, Any] = {}


class Scenario(msgspec.Struct, frozen=True):
    """``limit``: the resource that is expected to bound it; ``estimate``: the figure expected, with its
    reason; ``refutation``: what figure would prove that wrong. All written before it is run."""

    name: str
    summary: str
    limit: str
    estimate: str
    refutation: str
    run: Callable[[Size], Result]


def usage_of(report: dict[str, Any], name: str) -> Usage:
    """A peer's own report of what it used."""
    return Usage(name, report["cpu_s"], int(report["rss_octets"]))
