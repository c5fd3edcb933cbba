"""The whole engine under faults, without time, network or disk: ``python -m stentor.testing.simulation SEED``.

A seed is a world: its channels, limits and faults, its clients, carriers and crashes. The same seed is the same run,
step by step. What a run holds the engine to stands in ``simulator.invariants``.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import msgspec

from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.world import World

__all__ = ["Report", "Violation", "main", "simulate"]


class Report(msgspec.Struct, frozen=True):
    """What happened in a world that kept all promises."""

    seed: int
    simulated_s: float
    steps: int
    counts: dict[str, int]


def simulate(seed: int, hours: float = 1.0) -> Report:
    """Run one world. Raises Violation, naming the seed, for a broken promise or a failed assertion."""
    world = World(seed, hours)
    try:
        world.run()
    except Exception as error:
        raise Violation(f"seed {seed}, step {world.steps}, {world.now:.3f} s: {error!r}") from error
    return Report(seed, world.now, world.steps, world.counts)


def trace(seed: int, hours: float = 1.0) -> tuple[list[str], Exception | None]:
    """The steps of one world, and what it failed with."""
    world = World(seed, hours, is_traced=True)
    assert world.lines is not None
    try:
        world.run()
    except Exception as error:
        return world.lines, error
    return world.lines, None


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the trace of one seed, or run many."""
    parser = argparse.ArgumentParser(description="Simulate the engine in a seeded world.")
    parser.add_argument("seed", type=int)
    parser.add_argument("--to", type=int, help="run all seeds up to this one, without traces")
    parser.add_argument("--hours", type=float, default=1.0, help="simulated hours of each world")
    options = parser.parse_args(arguments)
    if options.to is None:
        lines, error = trace(options.seed, options.hours)
        _say("\n".join(lines))
        if error is not None:
            raise error
        return 0
    started, failed = time.perf_counter(), 0
    for seed in range(options.seed, options.to + 1):
        try:
            simulate(seed, options.hours)
        except Violation as violation:
            failed += 1
            _say(str(violation))
    took_s = time.perf_counter() - started
    _say(f"{options.to - options.seed + 1} seeds in {took_s:.1f} s, {failed} failed")
    return 1 if failed else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
