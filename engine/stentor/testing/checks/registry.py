"""What a check is, and the list of all of them in the order of their groups."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from stentor.testing.peer import Can
from stentor.testing.world import Subject, World, play


class Check(msgspec.Struct, frozen=True):
    """One promise of the contract. ``run(subject)`` raises AssertionError when it is broken.

    ``needs`` is what the subject's peer must be able to do; without it the check is skipped, not passed.
    """

    name: str
    group: str
    promise: str
    needs: frozenset[Can]
    run: Callable[[Subject], None]

    def missing(self, subject: Subject) -> list[str]:
        """What the subject's peer cannot do, in words."""
        return sorted(need.value for need in self.needs - subject.peer().can)


REGISTERED: list[Check] = []


def check(group: str, *needs: Can) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Register a function of the subject; its docstring is the promise."""

    def register(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        promise = (function.__doc__ or "").strip()
        REGISTERED.append(Check(function.__name__, group, promise, frozenset(needs), function))
        return function

    return register


Scene = Callable[[World], Coroutine[Any, Any, None]]


def scene(group: str, *needs: Can) -> Callable[[Scene], Scene]:
    """Register a scene: it plays in a world of its own, with the driver running."""

    def register(function: Scene) -> Scene:
        promise = (function.__doc__ or "").strip()
        run = functools.partial(play, scene=function)
        REGISTERED.append(Check(function.__name__, group, promise, frozenset(needs), run))
        return function

    return register
