"""Which message is on which phone: placing, listing, taking back, and what must be done when nothing is heard.

Pure: times are arguments, what is decided is collected in ``outcomes`` and ``hints`` for the shell to carry out.
Invariants: a submission is on one phone at most, and gets one outcome; what was never listed is given back, what was
listed is given up only when its validity has passed by a margin; ``room`` is the sum of the rooms of all devices.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Final

from stentor.outcome import Deferred, Outcome, Returned, Sent, Submission, Unknown
from stentor_android.choice import Choice, remember
from stentor_android.choosing import Chooser
from stentor_android.devices import SIM, Device
from stentor_android.items import PRIORITIES, Item, make_id, match_id, unfit
from stentor_android.leases import Lease, Leases, lease_of
from stentor_android.pacing import Limits
from stentor_android.registry import Phone
from stentor_android.sealing import Sealer
from stentor_android.states import State
from stentor_android.terms import Terms
from stentor_android.versions import CANCELLING
from stentor_android.wishes import Wishes, wish

TAKEN_BACK: Final = 10_000
LISTED_AT_ONCE: Final = 100
LEASES_KEPT: Final = 1_000
_POLLER_PICKUP_S: Final = 20 * 60.0
_LOST_S: Final = 15.0
_UNFIT_S: Final = 300.0
_SOONEST_S: Final = 0.05
_NAME: Final = 60


class Fleet:
    """All phones of a channel and everything they were given.

    ``key`` makes the ids. The caller takes ``outcomes``, and ``hints``: devices that should pull. ``leases_changed``
    are devices whose leases are to be remembered anew, ``asked_back`` tokens whose phones are asked for them again.
    ``gone`` are phones that left with something they may send yet.
    """

    def __init__(self, terms: Terms, key: bytes, sealer: Sealer) -> None:
        self.terms = terms
        self.key = key
        self.sealer = sealer
        self.devices: dict[str, Device] = {}
        self.gone: dict[str, Device] = {}
        self.items: dict[int, Item] = {}
        self.wishes = Wishes()
        self.room = 0
        self.outcomes: list[Outcome] = []
        self.hints: dict[str, None] = {}
        self.leases_changed: dict[str, None] = {}
        self.asked_back: list[int] = []
        self.is_draining = False
        self._called: dict[str, str] = {}
        self._chooser = Chooser(terms.window, self._called)
        self._taken_back: OrderedDict[int, int] = OrderedDict()
        self.earlier = Leases()
        self._due: list[tuple[float, int]] = []
        self._wakes: list[tuple[float, str]] = []

    # -- phones -----------------------------------------------------------------------------------------------------

    def add(self, phone: Phone, kept: Mapping[int, bytes], now: float, wall_ms: int) -> Device:
        """A phone registered, or was remembered; ``kept`` are its allowances by slot."""
        terms = self.terms
        device = Device(phone, terms.parts_a_minute, self.limits_of(phone), kept, now)
        self.devices[phone.id] = device
        for name in (phone.id, phone.name, *phone.previous):
            self._called[name] = phone.id
        self.measure(device, now, wall_ms)
        return device

    def limits_of(self, phone: Phone) -> Mapping[int, Limits]:
        """The allowances of its SIMs, by slot; 0 is the rest."""
        default = self.terms.limits[""]
        return {**default, **self.terms.limits.get(phone.name, {})}

    def remove(self, device: Device) -> None:
        """It is gone for good, and what it was not listed goes back. The rest it may send yet: that waits until its
        validity there has passed."""
        phone = device.phone
        phone.is_paused = True
        for item in list(device.items.values()):
            if item.state in (State.UNLISTED, State.PROCESSED):
                self.end(item, self._given_up(item))
        if device.items:
            self.gone[phone.id] = device
            self.leases_changed[phone.id] = None
        self.outcomes += map(Returned, self.wishes.take(phone.id))
        self.room -= device.room
        device.room = 0
        self._chooser.ready.pop(phone.id, None)
        for name in (phone.id, phone.name, *phone.previous):
            self._called.pop(name, None)
        del self.devices[phone.id]

    def restore(self, device_id: str, leases: Iterable[Lease], wall_ms: int) -> None:
        """What was listed to this phone before a restart, and may be with it still."""
        for lease in leases:
            if not lease.is_over(wall_ms, int(self.terms.margin_s * 1000)):
                self.earlier.add(device_id, lease)

    def leases(self, device_id: str) -> list[Lease]:
        """What to remember of this phone: what it was listed, and what it may have from before a restart."""
        device = self.holder(device_id)
        found: list[Lease] = []
        if device is not None:
            found = [lease_of(item) for item in device.items.values() if item.state >= State.LISTED]
        found += self.earlier.of(device_id)
        return found[:LEASES_KEPT]

    def holder(self, device_id: str) -> Device | None:
        """The phone of this id, also one that is gone and may have something yet."""
        return self.devices.get(device_id) or self.gone.get(device_id)

    def stream_opened(self, device: Device, now: float, wall_ms: int) -> None:
        device.streams += 1
        device.phone.streamed_at_ms = wall_ms
        self.measure(device, now, wall_ms)

    def stream_closed(self, device: Device, now: float, wall_ms: int) -> None:
        """With its last stream a phone is out of reach: what it never was listed need not wait for it long."""
        device.streams -= 1
        device.phone.streamed_at_ms = wall_ms
        if not device.streams:
            for item in device.items.values():
                if item.state is State.UNLISTED:
                    self._do_at(item, min(item.due_at, now + _LOST_S))
        self.measure(device, now, wall_ms)

    # -- placing ----------------------------------------------------------------------------------------------------

    def place(self, batch: Sequence[Submission], now: float, wall_ms: int) -> None:
        """Give each submission to a phone, or give it back, or say why it cannot go."""
        for submission in batch:
            outcome = self._place(submission, now, wall_ms)
            if outcome is not None:
                self.outcomes.append(outcome)

    def _place(self, submission: Submission, now: float, wall_ms: int) -> Outcome | None:
        if self.is_draining:
            return Returned(submission)
        if submission.token in self.earlier and self._place_again(submission, now, wall_ms):
            return None
        refused = unfit(submission, self.terms.parts_a_message)
        if refused is not None or self._choose(submission, now, wall_ms):
            return refused
        wanted = wish(submission)
        device_id = self._called.get(wanted.device)
        is_held = device_id is not None or (wanted.sim and not wanted.device)
        if is_held and self.wishes.hold(device_id or "", submission, now):
            return None
        return self._no_place(submission, wanted.device if device_id is None else "")

    def _choose(self, submission: Submission, now: float, wall_ms: int) -> bool:
        """Was there a phone for it?"""
        found = self._chooser.best(submission, now, wall_ms)
        if found is None:
            return False
        self._give(submission, *found, now, wall_ms)
        return True

    def _grant(self, now: float, wall_ms: int) -> None:
        """Place what waits for one phone, where that has room; give back what has waited long enough."""
        for device_id in self.wishes.waiting():
            while (submission := self.wishes.first(device_id)) is not None:
                if (device_id and device_id not in self._chooser.ready) or not self._choose(
                    submission, now, wall_ms
                ):
                    break
                self.wishes.pop(device_id)
        self.outcomes += map(Returned, self.wishes.overdue(now))

    def explain(self, to: str, parts: int, now: float, wall_ms: int) -> list[Choice]:
        """Which phone a message to this destination would go by now, and why, the best first."""
        return self._chooser.explain(to, parts, now, wall_ms)

    def _no_place(self, submission: Submission, nobody: str) -> Outcome:
        """Without any room it comes back as room appears; where there is room but none for it, it waits longer.
        ``nobody``: it asked for a phone of this name, and there is none."""
        if self.room <= 0:
            return Returned(submission)
        detail = "no phone with room may take it: allowances, or what the app cannot do"
        if nobody:
            detail = f'there is no phone "{nobody[:_NAME]}"'
        return Deferred(submission, "carrier_busy", None, detail, retry_after_s=_UNFIT_S)

    def _give(self, submission: Submission, device: Device, sim: SIM, now: float, wall_ms: int) -> None:
        phone = device.phone
        pickup_s = self._pickup_s(device, wall_ms)
        lease_s = self.terms.lease_s + (pickup_s if device.is_poller(wall_ms) else 0.0)
        valid_for_s = min(float(submission.valid_for_s), lease_s)
        times = self._taken_back.get(submission.token, 0)
        item_id = make_id(self.key, phone.id, submission.token, submission.attempt, times)
        item = self._item(submission, item_id, device, sim.slot, wall_ms, wall_ms + int(valid_for_s * 1000))
        device.add(item)
        sim.used_at = now
        sim.allowance.take(submission.to, submission.segments, wall_ms)
        self.items[submission.token] = item
        self._do_at(item, now + min(pickup_s, valid_for_s))
        self._chooser.gave(submission.to, sim)
        self._summon(device, now)
        self.measure(device, now, wall_ms)

    def _pickup_s(self, device: Device, wall_ms: int) -> float:
        return _POLLER_PICKUP_S if device.is_poller(wall_ms) else self.terms.pickup_s

    def _summon(self, device: Device, now: float) -> None:
        """Have the phone pull as soon as its pace lets it have something."""
        wanted = sum(item.parts for item in device.unlisted)
        if wanted:
            at = device.pace.ready_at(wanted, now)
            if at <= now:
                self.hints[device.phone.id] = None
            else:
                self._wake(device, at, now)

    def _item(
        self,
        submission: Submission,
        item_id: str,
        device: Device,
        slot: int,
        wall_ms: int,
        valid_until_ms: int,
    ) -> Item:
        is_encrypted = self.sealer.seals(device.phone.name)
        text = submission.text or ""
        return Item(
            submission,
            item_id,
            device.phone.id,
            slot,
            submission.segments,
            self.sealer.seal(submission.to) if is_encrypted else submission.to,
            self.sealer.seal(text) if is_encrypted else text,
            wall_ms,
            valid_until_ms,
            is_encrypted=is_encrypted,
        )

    def _place_again(self, submission: Submission, now: float, wall_ms: int) -> bool:
        """It was listed before a restart and is handed over again. While it may still leave from that phone, it is
        listed to that phone alone, by the same id, which sends nothing twice and tells how it stands. What its client
        cancelled that phone is asked for again, and no other is given it."""
        device_id, lease = self.earlier.take(submission.token)
        self.leases_changed[device_id] = None
        if lease.is_recalled:
            self.asked_back.append(submission.token)
        if lease.state in (State.SENT, State.DELIVERED):
            # It told so before this came again.
            self.outcomes.append(Sent(submission, lease.id, match_id(lease.id, device_id)))
            return True
        if lease.state > State.SENT or lease.is_over(wall_ms, int(self.terms.margin_s * 1000)):
            if lease.is_recalled:
                is_back = lease.state > State.SENT
                self.outcomes.append(Returned(submission) if is_back else Unknown(submission, "no_report"))
            return lease.is_recalled
        device = self.holder(device_id) or self._left(device_id, now)
        slot = lease.slot if lease.slot in device.sims else next(iter(device.sims))
        item = self._item(submission, lease.id, device, slot, wall_ms, lease.valid_until_ms)
        item.state = State.PROCESSED if lease.state == State.PROCESSED else State.LISTED
        item.is_recalled, item.is_withdrawn = (
            lease.is_recalled,
            lease.is_recalled and item.state < State.PROCESSED,
        )
        device.add(item)
        self.items[submission.token] = item
        self._do_at(item, now + (self.terms.ask_s if item.state < State.PROCESSED else self.terms.handover_s))
        self.hints[device_id] = None
        self.measure(device, now, wall_ms)
        return True

    def _left(self, device_id: str, now: float) -> Device:
        """A phone that is gone since before a restart, and may have something yet."""
        phone = Phone(device_id, "", b"", "", "", 0, is_paused=True)
        device = self.gone[device_id] = Device(
            phone, self.terms.parts_a_minute, self.limits_of(phone), {}, now
        )
        return device

    # -- listing ----------------------------------------------------------------------------------------------------

    def listing(self, device: Device, is_lifo: bool, now: float) -> list[Item]:
        """What a pull is answered with, urgent first. Asking again answers at least the same: nothing counts as taken.
        What the phone was not told of before is added as its pace allows."""
        has_cancelling = device.phone.version >= CANCELLING
        waiting = [
            item
            for item in device.items.values()
            if item.is_listed and (has_cancelling or not item.is_withdrawn)
        ]
        if len(waiting) > 1:
            waiting.sort(key=lambda item: item.created_at_ms, reverse=is_lifo)
            waiting.sort(key=lambda item: -PRIORITIES[item.submission.priority])
        found: list[Item] = []
        pace = device.pace
        for item in waiting[:LISTED_AT_ONCE]:
            if item.state is State.UNLISTED:
                if pace.available(now) <= 0:
                    continue
                pace.take(item.parts, now)
                item.state = State.LISTED
                self.leases_changed[device.phone.id] = None
                self._do_at(item, now + self.terms.ask_s)
            item.is_asked = False
            found.append(item)
        if len(found) < len(waiting):
            self._summon(device, now)
        return found

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self, now: float, wall_ms: int) -> None:
        """Do what is due, and count anew on phones that may have room again."""
        wakes, due = self._wakes, self._due
        while wakes and wakes[0][0] <= now:
            _, device_id = heapq.heappop(wakes)
            device = self.devices.get(device_id)
            if device is not None and device.wakes_at <= now:
                device.wakes_at = inf
                self.measure(device, now, wall_ms)
                self._summon(device, now)
        while due and due[0][0] <= now:
            at, token = heapq.heappop(due)
            item = self.items.get(token)
            if item is None or item.woken_at != at:
                continue  # it has ended, or another entry wakes it
            item.woken_at = inf
            if item.due_at > now:
                self._do_at(item, item.due_at)
            else:
                self._overdue(item, now, wall_ms)
        if self.wishes.count:
            self._grant(now, wall_ms)

    @property
    def wakes_at(self) -> float:
        """When :meth:`tick` is next worth calling."""
        return min(
            self._wakes[0][0] if self._wakes else inf,
            self._due[0][0] if self._due else inf,
            self.wishes.ends_at,
        )

    def _overdue(self, item: Item, now: float, wall_ms: int) -> None:
        device = self._device_of(item)
        if item.state is State.UNLISTED and device.pace.available(now) <= 0 and device.is_open(wall_ms):
            # It was not the phone that kept it waiting.
            self._do_at(item, device.pace.ready_at(1, now) + self._pickup_s(device, wall_ms))
            return
        if item.state is State.UNLISTED:
            # It did not come for it: another may.
            device.sims[item.slot].failures += 1
            self._chooser.forget(item.submission.to)
            self.end(item, Returned(item.submission))
        elif item.state is State.PROCESSED:
            # Handed to Android, and some phones never tell more: it counts as sent, and never goes again.
            device.phone.sent += 1
            self.end(item, Sent(item.submission, item.id, item.match_id))
        elif wall_ms <= item.valid_until_ms + int(self.terms.margin_s * 1000):
            item.is_asked = True
            self.hints[item.device_id] = None
            self._do_at(item, now + self.terms.ask_s)
            return
        else:
            device.sims[item.slot].failures += 1
            self.end(item, Unknown(item.submission, "no_report"))
        self.measure(device, now, wall_ms)

    def wait(self, item: Item, now: float, seconds: float) -> None:
        """Look at the item again after so long, if nothing is heard of it."""
        self._do_at(item, now + seconds)

    def _do_at(self, item: Item, at: float) -> None:
        """A later time costs nothing: the entry there is finds out when it is reached."""
        item.due_at = at
        if not item.woken_at or at < item.woken_at or item.woken_at == inf:
            item.woken_at = at
            heapq.heappush(self._due, (at, item.submission.token))

    # -- ending -----------------------------------------------------------------------------------------------------

    def end(self, item: Item, outcome: Outcome) -> None:
        """The submission's one outcome; whoever calls measures the device."""
        token = item.submission.token
        del self.items[token]
        device = self._device_of(item)
        device.take(item)
        if not device.items and self.gone:
            self.gone.pop(item.device_id, None)
        if item.state >= State.LISTED:
            self.leases_changed[item.device_id] = None
        if isinstance(outcome, Returned):
            wall_ms = item.created_at_ms
            device.sims[item.slot].allowance.take(item.submission.to, -item.parts, wall_ms)
        self.outcomes.append(outcome)

    def _device_of(self, item: Item) -> Device:
        device = self.holder(item.device_id)
        assert device is not None, "a phone that is gone is kept as long as it has something"
        return device

    def took_back(self, item: Item) -> None:
        """The phone says that it never began to send. It would not send anything by this id any more."""
        token = item.submission.token
        remember(self._taken_back, token, self._taken_back.get(token, 0) + 1, TAKEN_BACK)
        self.end(item, Returned(item.submission))

    def avoid(self, item: Item) -> None:
        """It failed on this SIM: the next attempt is better made on another."""
        self._chooser.avoid(item.submission.token, f"{item.device_id}/{item.slot}")

    def abandon(self) -> None:
        """The end: what was never listed goes back, the rest is in doubt."""
        self.give_back()
        for item in list(self.items.values()):
            if item.state >= State.LISTED:
                # Whoever has it next knows with whom it was.
                self.earlier.add(item.device_id, lease_of(item))
            self.end(item, self._given_up(item))

    def give_back(self) -> None:
        """What waits for one phone waits no more."""
        for device_id in self.wishes.waiting():
            self.outcomes += map(Returned, self.wishes.take(device_id))

    def _given_up(self, item: Item) -> Outcome:
        if item.state is State.UNLISTED:
            return Returned(item.submission)
        if item.state is State.PROCESSED:
            return Sent(item.submission, item.id, item.match_id)
        return Unknown(item.submission, "no_report")

    # -- room -------------------------------------------------------------------------------------------------------

    @property
    def window(self) -> int:
        """What the channel's lane offers: what is in flight and what fits beside it."""
        return 0 if self.is_draining else len(self.items) + self.wishes.count + max(0, self.room)

    def measure(self, device: Device, now: float, wall_ms: int) -> None:
        """Count anew how much the phone could be given, and know when to look again."""
        room = device.measure(self.terms.window, now, wall_ms)
        if room != device.room:
            self.room += room - device.room
            device.room = room
        device_id = device.phone.id
        if room:
            self._chooser.ready[device_id] = device
            return
        self._chooser.ready.pop(device_id, None)
        self._wake(device, device.ready_at(self.terms.window, now, wall_ms), now)

    def _wake(self, device: Device, at: float, now: float) -> None:
        """Look at the phone again by then."""
        if at < device.wakes_at:
            device.wakes_at = max(at, now + _SOONEST_S)
            heapq.heappush(self._wakes, (device.wakes_at, device.phone.id))
