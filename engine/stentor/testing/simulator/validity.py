"""What is not with a driver when its validity ends is with none later, and ends itself, wherever it waits.

Held to only while journal and clock do what they should: what expires is found by commits, reads and sweeps.
"""

from typing import Final

from stentor.message import Message
from stentor.testing.simulator.fates import Fates
from stentor.testing.simulator.faults import Violation

_LATE_MS: Final = 2_500
"""A sweep, a read and a commit."""


def check_leaving(message: Message, booted_ms: int, wall_ms: int) -> None:
    """Something of a message is handed over."""
    late_ms = _late_ms(message, booted_ms, wall_ms)
    if late_ms > _LATE_MS:
        raise Violation(f"message {message.key} left {late_ms} ms after its validity")


def check_expired(row: Message, booted_ms: int, fates: Fates) -> None:
    """A message expired. What was with a driver may have had to come home."""
    late_ms = _late_ms(row, booted_ms, row.final_at_ms)
    tokens = range(row.key + 1, row.key + row.segments + 1)
    if late_ms > _LATE_MS and not any(fates.has_left(token) for token in tokens):
        raise Violation(f"message {row.key} expired {late_ms} ms too late")


def _late_ms(message: Message, booted_ms: int, at_ms: int) -> int:
    """How long after its end, or after the start that found it, if that was later."""
    return at_ms - max(message.expires_at_ms, booted_ms)
