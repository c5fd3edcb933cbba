"""Receipts of carriers that report each part of a message: one receipt of the message from those of its parts.

A failed part decides at once; delivered is what all parts are. What has been counted is kept beyond restarts.
Invariant: at most ``limit`` messages are counted, none for longer than ``LONGEST_MS``, and the oldest is forgotten
first; a message that is forgotten ends without receipt.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from stentor.driver import Receipt
from stentor.message import Status

LIMIT: Final = 50_000
LONGEST_MS: Final = 8 * 86_400_000
PREFIX: Final = "part/"
_NAME_OCTETS: Final = 200

Keep = Callable[[str, bytes | None], None]
"""As ``Host.keep``; may not raise."""


class Counted(msgspec.Struct, array_like=True, gc=False):
    """The parts of a message that were delivered so far, and when the first was."""

    at_ms: int
    parts: list[str]


class PartTally:
    """The parts delivered so far, by the message's match_id. ``kept`` is what :meth:`Host.kept` gives."""

    __slots__ = ("_counted", "_keep", "_limit")

    def __init__(
        self, limit: int = LIMIT, keep: Keep | None = None, kept: Mapping[str, bytes] | None = None
    ) -> None:
        self._limit, self._keep = limit, keep
        found = [
            (name.removeprefix(PREFIX), msgspec.msgpack.decode(value, type=Counted))
            for name, value in (kept or {}).items()
            if name.startswith(PREFIX)
        ]
        found.sort(key=lambda pair: pair[1].at_ms)
        self._counted: OrderedDict[str, Counted] = OrderedDict(found)

    def __len__(self) -> int:
        return len(self._counted)

    def take(self, receipt: Receipt, part: str, total: int, wall_ms: int) -> Receipt:
        """The message's receipt as of now: the part's own, or one that says SENT while other parts are awaited."""
        if total <= 1 or receipt.status is Status.SENT:
            return receipt
        match_id = receipt.match_id
        if receipt.status is not Status.DELIVERED:
            self._forget(match_id)
            return receipt
        counted = self._counted.get(match_id)
        if counted is None:
            self._make_room(wall_ms)
            counted = self._counted[match_id] = Counted(wall_ms, [])
        if part not in counted.parts:
            counted.parts.append(part)
            if len(counted.parts) >= total:
                self._forget(match_id)
                return receipt
            self._tell(match_id, msgspec.msgpack.encode(counted))
        return msgspec.structs.replace(receipt, status=Status.SENT)

    def _make_room(self, wall_ms: int) -> None:
        while self._counted:
            oldest, counted = next(iter(self._counted.items()))
            if len(self._counted) < self._limit and wall_ms - counted.at_ms < LONGEST_MS:
                return
            self._forget(oldest)

    def _forget(self, match_id: str) -> None:
        if self._counted.pop(match_id, None) is not None:
            self._tell(match_id, None)

    def _tell(self, match_id: str, value: bytes | None) -> None:
        # A longer id is no carrier's; it is counted, and forgotten by a restart.
        if self._keep is not None and len(match_id.encode()) <= _NAME_OCTETS:
            self._keep(f"{PREFIX}{match_id}", value)
