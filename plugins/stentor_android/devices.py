"""A phone as the fleet sees it: its SIMs with their windows and allowances, its pace, and what it was given.

Invariant: ``waiting`` of a SIM is the number of its items that are not known to have been handed to Android.
"""

from collections.abc import Mapping
from math import inf
from typing import Final

from stentor_android.items import Item
from stentor_android.pacing import Allowance, Limits, Pace
from stentor_android.registry import Phone
from stentor_android.states import POLLING_MS, State

ANY_SIM: Final = 0


class SIM:
    """One lane of the fleet. ``slot`` counts from 1; 0 is whichever the phone takes, where it does not tell its SIMs.

    ``key`` names it among all SIMs of the fleet. ``failures`` are those in a row; ``used_at`` when it was given
    something last.
    """

    __slots__ = ("allowance", "failures", "key", "rests_until", "slot", "used_at", "waiting")

    def __init__(self, phone_id: str, slot: int, limits: Limits, kept: bytes | None) -> None:
        self.key = f"{phone_id}/{slot}"
        self.slot = slot
        self.allowance = Allowance(limits, kept)
        self.waiting = 0
        self.failures = 0
        self.used_at = -inf
        self.rests_until = 0.0

    def room(self, window: int, now: float, wall_ms: int) -> int:
        """Messages of one part that it could be given now."""
        if now < self.rests_until or self.waiting >= window:
            return 0
        free, allowance = window - self.waiting, self.allowance
        return min(free, allowance.left(wall_ms)) if allowance.is_limited else free

    def may_take(self, to: str, parts: int, window: int, now: float, wall_ms: int) -> bool:
        """Has it room for this message, and an allowance?"""
        if self.waiting >= window or now < self.rests_until:
            return False
        allowance = self.allowance
        return not allowance.is_bounded or allowance.admits(to, parts, wall_ms)


class Device:
    """One phone. ``streams`` is how many event streams it has open, ``room`` what the fleet counts on it for now;
    ``present`` are the SIMs it tells of, ``sims`` also those that are gone and still have something."""

    __slots__ = (
        "battery",
        "items",
        "last_error",
        "last_error_at_ms",
        "pace",
        "phone",
        "present",
        "room",
        "sims",
        "streams",
        "wakes_at",
    )

    def __init__(
        self,
        phone: Phone,
        parts_a_minute: float,
        limits: Mapping[int, Limits],
        kept: Mapping[int, bytes],
        now: float,
    ) -> None:
        self.phone = phone
        self.pace = Pace(parts_a_minute, now)
        self.sims: dict[int, SIM] = {}
        self.items: dict[str, Item] = {}
        self.streams = 0
        self.room = 0
        self.wakes_at = inf
        self.battery = -1
        self.last_error = ""
        self.last_error_at_ms = 0
        self.take_sims(limits, kept)

    def take_sims(self, limits: Mapping[int, Limits], kept: Mapping[int, bytes]) -> None:
        """The phone told its SIMs. One that is gone goes once nothing of it is open; the rest keep their counts."""
        slots = [sim.number for sim in self.phone.sims] or [ANY_SIM]
        open_slots = {item.slot for item in self.items.values()}
        for slot in [slot for slot in self.sims if slot not in slots and slot not in open_slots]:
            del self.sims[slot]
        for slot in slots:
            if slot not in self.sims:
                limit = limits.get(slot, limits[ANY_SIM])
                self.sims[slot] = SIM(self.phone.id, slot, limit, kept.get(slot))
            else:
                self.sims[slot].rests_until = 0.0
        self.present = tuple(self.sims[slot] for slot in slots)

    def is_open(self, wall_ms: int) -> bool:
        """May it be given something now? One that had a stream a while ago is about to come back, and then will."""
        phone = self.phone
        if phone.is_paused:
            return False
        return bool(self.streams) or self.is_poller(wall_ms)

    def is_poller(self, wall_ms: int) -> bool:
        """It asks from time to time and opens no stream."""
        phone = self.phone
        return (
            not self.streams
            and wall_ms - phone.seen_at_ms < POLLING_MS
            and wall_ms - phone.streamed_at_ms >= POLLING_MS
        )

    def measure(self, window: int, now: float, wall_ms: int) -> int:
        """Messages of one part that its SIMs have room for. They are listed as its pace allows, so that a phone which
        rests for some seconds between two messages is no phone that is gone."""
        if now < self.pace.rests_until or not self.is_open(wall_ms):
            return 0
        room = 0
        for sim in self.present:
            room += sim.room(window, now, wall_ms)
        return room

    def ready_at(self, window: int, now: float, wall_ms: int) -> float:
        """When it is worth measuring again if nothing is heard meanwhile; infinite if only the phone can change it."""
        if not self.is_open(wall_ms):
            return inf
        at = inf
        for sim in self.present:
            if sim.waiting >= window:
                continue
            ready_at = max(now, self.pace.rests_until, sim.rests_until)
            if sim.allowance.left(wall_ms) <= 0:
                ready_at = max(ready_at, now + (sim.allowance.renewed_at_ms(wall_ms) - wall_ms) / 1000)
            at = min(at, ready_at)
        return at

    @property
    def unlisted(self) -> list[Item]:
        """What it was given and was not told of yet."""
        return [item for item in self.items.values() if item.state is State.UNLISTED]

    def add(self, item: Item) -> None:
        self.items[item.id] = item
        if item.state < State.PROCESSED:
            self.sims[item.slot].waiting += 1

    def advance(self, item: Item, state: State) -> None:
        """The item has come so far; the window of its SIM follows."""
        if item.state < State.PROCESSED <= state:
            self.sims[item.slot].waiting -= 1
        item.state = state

    def take(self, item: Item) -> None:
        """The item is over for this phone."""
        del self.items[item.id]
        if item.state < State.PROCESSED:
            self.sims[item.slot].waiting -= 1
