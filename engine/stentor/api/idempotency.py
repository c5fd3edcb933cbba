"""Idempotency keys: the same key and body are answered what the first was answered, and nothing is stored
twice.

The answer is written in the transaction that stores its messages, so there is no moment in which a crash
could part them. Within one daemon the holders of a key go one after the other (``Turns``): the second finds
what the first wrote.
"""

import re
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from stentor.errors import Refusal
from stentor.journal.records import Idempotency

HEADER: Final = "idempotency-key"
WHOLE: Final = -1
"""The line number that stands for a whole request."""
END: Final = -2
"""The line number under which stands how many lines a stream had that came to its end."""
HELD_MS: Final = 24 * 3600 * 1000
REPLAYED: Final = ("Idempotency-Replayed", "true")

_printable: Final = re.compile(r"[\x20-\x7e]{1,255}").fullmatch


def checked_key(key: str) -> str:
    """The key, as sent. Raises Refusal (400)."""
    if not _printable(key):
        detail = "an idempotency key is 1 to 255 printable ASCII characters"
        raise Refusal("bad_idempotency_key", detail, f"$.headers.{HEADER}", 400)
    return key


def digest(octets: bytes) -> bytes:
    """What a body or a line is recognized by."""
    return blake2b(octets, digest_size=16).digest()


def end_of_stream(account: str, key: str, count: int, at_ms: int) -> Idempotency:
    """The record that a stream of so many lines came to its end."""
    return Idempotency(account, key, END, b"", at_ms, b"%d" % count)


def reused() -> Refusal:
    """The key was used with another body."""
    return Refusal("idempotency_key_reused", "the idempotency key was used with another body", "$", 409)


def is_held(record: Idempotency, now_ms: int) -> bool:
    """Whether a record still counts: a key is free again after 24 hours."""
    return now_ms - record.at_ms < HELD_MS


class Turns:
    """Who may use a key now: one at a time, the others in the order they came.

    ``enter`` calls ``proceed`` at once or when its turn comes; whoever proceeded must ``leave``. Bounded by
    the requests in hand, each of which waits for one key at most.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], deque[Callable[[], None]]] = {}

    def enter(self, account: str, key: str, proceed: Callable[[], None]) -> None:
        waiting = self._waiting.get((account, key))
        if waiting is None:
            self._waiting[account, key] = deque()
            proceed()
        else:
            waiting.append(proceed)

    def leave(self, account: str, key: str) -> None:
        waiting = self._waiting[account, key]
        if waiting:
            waiting.popleft()()
        else:
            del self._waiting[account, key]
