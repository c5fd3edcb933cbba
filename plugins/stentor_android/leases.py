"""What phones were listed before a restart: it may be with them still, and they may tell of it before it comes again.

Pure. A lease is taken when its message is handed over again. Until then a report of the phone is noted in it, so that
what the phone said has left never goes to another, however long the message waits in its queue. Invariant: a token has
one lease at most.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from stentor_android.items import Item
from stentor_android.states import State

TOLD_MS: Final = 48 * 3_600_000
"""So long it is remembered what a phone told of a message, or that a client cancelled it."""


class Lease(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is remembered beyond a restart of a message that was listed and whose end is not known. ``state`` is what
    the phone has told of it since; ``is_recalled``: its client cancelled it, and the phone was asked for it."""

    token: int
    id: str
    slot: int
    valid_until_ms: int
    state: int = State.LISTED
    is_recalled: bool = False

    def is_over(self, wall_ms: int, margin_ms: int) -> bool:
        """Can it leave the phone no more, and has neither the phone nor a client told anything of it?"""
        more_ms = TOLD_MS if self.state >= State.PROCESSED or self.is_recalled else margin_ms
        return wall_ms > self.valid_until_ms + more_ms


def lease_of(item: Item) -> Lease:
    """What to remember of an item that was listed."""
    submission = item.submission
    state = max(State.LISTED, item.state)
    return Lease(submission.token, item.id, item.slot, item.valid_until_ms, state, item.is_recalled)


class Leases:
    """By token, and by the phone that has them."""

    __slots__ = ("_by_phone", "_phone_of")

    def __init__(self) -> None:
        self._phone_of: dict[int, str] = {}
        self._by_phone: dict[str, dict[int, Lease]] = {}

    def __contains__(self, token: int) -> bool:
        return token in self._phone_of

    def add(self, device_id: str, lease: Lease) -> None:
        self._phone_of[lease.token] = device_id
        self._by_phone.setdefault(device_id, {})[lease.token] = lease

    def of(self, device_id: str) -> Iterable[Lease]:
        """All of one phone."""
        return self._by_phone.get(device_id, {}).values()

    def take(self, token: int) -> tuple[str, Lease]:
        """The lease of this message and whose it is; it is there."""
        device_id = self._phone_of.pop(token)
        return device_id, self._by_phone[device_id].pop(token)

    def note(self, token: int, item_id: str, state: State) -> str | None:
        """The phone told this of it; whose lease has changed by that."""
        device_id = self._phone_of.get(token)
        if device_id is None:
            return None
        lease = self._by_phone[device_id][token]
        if lease.id != item_id or state <= lease.state:
            return None
        self._by_phone[device_id][token] = msgspec.structs.replace(lease, state=int(state))
        return device_id
