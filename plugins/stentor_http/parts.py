"""Receipts of carriers that report each part of a message: one receipt of the message from those of its parts.

A failed part decides at once; delivered is what all parts are. Invariant: at most ``limit`` messages are remembered,
the oldest is forgotten first; a message that is forgotten, or whose parts came before a restart, ends without receipt.
"""

from collections import OrderedDict
from typing import Final

import msgspec

from stentor.driver import Receipt
from stentor.message import Status

LIMIT: Final = 100_000


class PartTally:
    """The parts delivered so far, by the message's match_id."""

    __slots__ = ("_delivered", "_limit")

    def __init__(self, limit: int = LIMIT) -> None:
        self._delivered: OrderedDict[str, set[str]] = OrderedDict()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._delivered)

    def take(self, receipt: Receipt, part: str, total: int) -> Receipt:
        """The message's receipt as of now: the part's own, or one that says SENT while other parts are awaited."""
        if total <= 1 or receipt.status is not Status.DELIVERED:
            return receipt
        delivered = self._delivered.get(receipt.match_id)
        if delivered is None:
            delivered = self._delivered[receipt.match_id] = set()
            if len(self._delivered) > self._limit:
                self._delivered.popitem(last=False)
        delivered.add(part)
        if len(delivered) < total:
            return msgspec.structs.replace(receipt, status=Status.SENT)
        del self._delivered[receipt.match_id]
        return receipt
