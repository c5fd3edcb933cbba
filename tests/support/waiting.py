"""Waiting for what gives no event: another process, the kernel. All else is waited for by its event.

``WITHIN_S`` is no claim about speed: it ends a test that would wait for ever, and is far longer than a busy machine
makes anything take.
"""

import asyncio
import time
from collections.abc import Callable

POLL_S = 0.005
WITHIN_S = 30.0


def eventually(condition: Callable[[], object], within_s: float = WITHIN_S, what: str = "") -> None:
    """Return as soon as ``condition()`` is true; AssertionError naming ``what`` after ``within_s``."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or condition}"
        time.sleep(POLL_S)


async def eventually_async(
    condition: Callable[[], object], within_s: float = WITHIN_S, what: str = ""
) -> None:
    """``eventually`` for tests that run on an event loop."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or condition}"
        await asyncio.sleep(POLL_S)


def throughout(condition: Callable[[], object], for_s: float, what: str = "") -> None:
    """Return after ``for_s`` in which ``condition()`` was true each time one looked: for what must not happen."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        assert condition(), f"not for {for_s} s: {what or condition}"
        time.sleep(POLL_S)
