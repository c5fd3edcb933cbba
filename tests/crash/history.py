"""Histories: what is done to the daemon, life after life, while it is under load.

A history is a list of incidents in an order drawn from its seed. Each incident ends one life; the state directory
goes on to the next. What it all came to is left to the checker.
"""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from stentor.aio.failpoints import POINTS
from tests.crash.harness import World

LIFE_S = 0.45
REACH_S = 30.0
"""How long a life may take to come to its point; a point that is not reached fails the test."""

AT_START = ("recovered", "before-ready")
AT_FIRST_START = ("migration-step",)
AT_RELOAD = ("reload-planned", "reload-applied")
AT_STOP = ("stopping", "drained", "closing", "checkpoint", "checkpointed")
WITH_PHONES = ("before-memory-commit", "after-memory-commit")
"""This history has no driver that keeps anything while it sends; ``test_crash_phones`` passes these."""
ELSEWHERE = (*AT_START, *AT_FIRST_START, *AT_RELOAD, *AT_STOP, *WITH_PHONES)
UNDER_LOAD = tuple(name for name in POINTS if name not in ELSEWHERE)
CARRIER = ("half", "seen", "answered", "receipt")
"""Moments that only the carrier sees: a PDU half read, read whole, answered, a receipt sent."""


@dataclass(frozen=True)
class Incident:
    """One end of a life. ``name`` is unique in a kind; ``happens`` brings it about and is told whether it was."""

    name: str
    happens: Callable[[World, Random], bool]
    failpoint: str = ""


def at_point(name: str, count: int = 1, action: str = "kill") -> Incident:
    """The daemon dies at a named point, of what it does under load, at its start, its stop or a reload."""

    def happens(world: World, random: Random) -> bool:
        if name in AT_FIRST_START or name in AT_START:
            reached = not world.lives_on(REACH_S)
        elif not world.wait_ready():
            return False
        elif name in AT_STOP:
            world.lives_on(LIFE_S)
            world.signal(signal.SIGTERM)
            reached = not world.lives_on(REACH_S)
        elif name in AT_RELOAD:
            world.lives_on(LIFE_S / 2)
            world.write_config(log_level="debug", window=world.window - 1)
            world.signal(signal.SIGHUP)
            reached = not world.lives_on(REACH_S)
        else:
            reached = not world.lives_on(REACH_S)
        world.signal(signal.SIGKILL)
        world.ended("kill")
        return reached and world.life.code == -signal.SIGKILL

    return Incident(name if action == "kill" else f"{name} {action}", happens, f"{name}:{count}:{action}")


def at_random(number: int) -> Incident:
    """The daemon dies at any moment, some of them before it is ready."""

    def happens(world: World, random: Random) -> bool:
        if number % 4 == 0:
            world.lives_on(random.uniform(0.1, 0.6))
        elif world.wait_ready():
            world.lives_on(random.uniform(0.0, 2 * LIFE_S))
        world.kill()
        return True

    return Incident(f"random {number}", happens)


def as_seen_by_carrier(what: str) -> Incident:
    """The carrier kills the daemon by what it saw on the wire."""

    def happens(world: World, random: Random) -> bool:
        if not world.wait_ready():
            return False
        world.carrier.tell("arm", what, random.randint(1, 60), world.pid)
        reached = not world.lives_on(REACH_S)
        world.carrier.tell("disarm")
        world.signal(signal.SIGKILL)
        world.ended("kill")
        return reached

    return Incident(f"carrier {what}", happens)


def in_good_order(number: int) -> Incident:
    """SIGTERM under load."""

    def happens(world: World, random: Random) -> bool:
        if world.wait_ready():
            world.lives_on(random.uniform(0.2, LIFE_S))
        world.stop()
        return world.life.code == 0

    return Incident(f"stop {number}", happens)


def incidents(randoms: int, stops: int, seed: int) -> tuple[list[Incident], list[Incident]]:
    """What a history begins with; and every named point, every moment of the carrier's and random moments, in an order
    drawn from the seed, which may be shared out over several histories."""
    random = Random(seed)
    first = [at_point("migration-step", count) for count in (random.randint(1, 8), random.randint(9, 16))]
    others = [
        *(at_point(name) for name in (*AT_START, *AT_RELOAD, *AT_STOP)),
        *(at_point(name, random.randint(1, 1 if name == "pruning" else 6)) for name in UNDER_LOAD),
        at_point("checkpoint", 1, "late"),
        at_point("open-transaction", random.randint(2, 20), "late"),
        *(as_seen_by_carrier(what) for what in CARRIER),
        *(at_random(number) for number in range(randoms)),
        *(in_good_order(number) for number in range(stops)),
    ]
    random.shuffle(others)
    return first, others


def run(world: World, plan: Sequence[Incident]) -> list[str]:
    """Live through the plan and to the end; returns the incidents that did not come about."""
    random = Random(world.seed)
    missed = []
    for incident in plan:
        world.start(incident.failpoint)
        world.look()
        if not incident.happens(world, random):
            missed.append(f"{incident.name} in life {world.life.number}")
    world.start()
    world.look()
    assert world.wait_ready(), "the last life did not begin"
    world.finish()
    return missed
