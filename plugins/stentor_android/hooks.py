"""The receiver of the webhooks that phones are given: one address with a secret element for each phone.

A delivery is believed if the path's secret is the phone's and, from app 1.33 on, if the octets are signed with the key
that was pushed to it. A refusal makes the phone try again later, which is right for a signature: the phone may not have
read its settings yet.
"""

import hmac
from collections.abc import Sequence
from typing import Final

from stentor_android.api import API
from stentor_android.core import (
    BARRED,
    MALFORMED,
    NOT_STORED,
    OK,
    UNAUTHORISED,
    Answer,
    Reply,
    Request,
    Storing,
    Waiting,
)
from stentor_android.devices import Device
from stentor_android.inbound import (
    Delivery,
    health,
    is_oversized,
    is_recent,
    is_signed,
    names_of,
    read_delivery,
    received,
    started_sims,
)
from stentor_android.registry import Phone
from stentor_android.versions import SIGNATURES, UNKNOWN, parse_agent

INBOUND: Final = ("sms:received", "sms:data-received", "mms:downloaded")
UNSETTLED: Final = 1_000
"""So many deliveries may wait to become durable; further ones are asked for again."""


class Hooks:
    """Answers deliveries. ``unsettled`` is how many wait; the shell counts them."""

    def __init__(self, api: API, path: str) -> None:
        self.api = api
        self.core = api.core
        self.path = path
        self.unsettled = 0

    def url(self, device_id: str) -> str:
        """Where the phone is to call."""
        return f"{self.core.config.url}{self.path}/{device_id}/{self._secret(device_id)}"

    def _secret(self, device_id: str) -> str:
        return self.core.registry.derived("hook", device_id)

    def answer(self, request: Request, now: float, wall_ms: int) -> Answer:
        """Answer one delivery."""
        core = self.core
        device_id, _, secret = request.path[len(self.path) + 1 :].partition("/")
        if request.method != "POST" or not hmac.compare_digest(
            secret.encode(), self._secret(device_id).encode()
        ):
            return self._refuse("unauthorised", request, request.path, now)
        device = self._device(device_id)
        if device is None:
            # Its registration is gone: nobody will ever take it, and repeating it does not help.
            core.counters["foreign_devices"] += 1
            return OK
        version = parse_agent(request.headers.get("user-agent", ""))
        if version != UNKNOWN:
            device.phone.version = version
        timestamp = request.headers.get("x-timestamp", "")
        signature = request.headers.get("x-signature", "")
        if signature or device.phone.version >= SIGNATURES:
            key = core.registry.derived("sign", device_id)
            newest = core.registry.derived("sign", device.phone.id)
            if not any(is_signed(each, timestamp, signature, request.body) for each in (key, newest)):
                return self._refuse("forged", request, device_id, now)
            if core.config.trust_clocks and not is_recent(timestamp, wall_ms):
                core.counters["stale"] += 1
                return UNAUTHORISED
        delivery = read_delivery(request.body)
        if delivery is None:
            core.counters["malformed"] += 1
            return MALFORMED
        if delivery.device_id not in (device.phone.id, *device.phone.previous):
            core.counters["foreign_devices"] += 1
            return OK
        core.seen(device.phone, wall_ms)
        return self._take(delivery, device, now, wall_ms)

    def _refuse(self, counter: str, request: Request, credentials: str, now: float) -> Reply:
        """It is not from whom it says. A phone whose key is wrong repeats itself, which counts once."""
        core, address = self.core, self.api.client(request.headers, request.address)
        if core.guard.is_barred(address, now):
            core.counters["barred"] += 1
            return BARRED
        core.guard.failed(address, credentials, now)
        core.counters[counter] += 1
        return UNAUTHORISED

    def uploaded(self, found: Sequence[Delivery | None], phone: Phone) -> list[Storing]:
        """What of an upload nobody has told of yet. What is being stored already is left to who waits for it."""
        answers = [self._message(each, phone) for each in found if each is not None]
        self.core.counters["inbound_unreadable"] += sum(each is None for each in found)
        return [answer for answer in answers if isinstance(answer, Storing)]

    def _device(self, device_id: str) -> Device | None:
        """The phone of this registration, or the one that has taken its place."""
        found = self.core.fleet.devices.get(device_id)
        if found is not None:
            return found
        return next(
            (each for each in self.core.fleet.devices.values() if device_id in each.phone.previous), None
        )

    def _take(self, delivery: Delivery, device: Device, now: float, wall_ms: int) -> Answer:
        if delivery.event in INBOUND:
            return self._message(delivery, device.phone)
        if delivery.event == "system:ping":
            told = health(delivery.payload)
            if told is not None:
                device.battery = told.battery
        elif delivery.event == "app:started":
            sims = started_sims(delivery.payload)
            if sims is not None:
                self.core.told_sims(device, sims, now, wall_ms)
                self.core.write()
        # What was sent is told by reports; these events are further evidence of the same.
        return OK

    def _message(self, delivery: Delivery, phone: Phone) -> Answer:
        core = self.core
        names = names_of(delivery)
        known = core.repeats.state(names)
        if known is not None:
            core.counters["inbound_repeated"] += 1
            return OK if known else Waiting(names)
        item = received(delivery, phone)
        if item is None:
            # It will make no more sense the next time.
            core.counters["inbound_oversized" if is_oversized(delivery) else "inbound_unreadable"] += 1
            return OK
        if self.unsettled >= UNSETTLED:
            core.counters["not_stored"] += 1
            return NOT_STORED
        core.repeats.begin(names)
        core.counters["inbound"] += 1
        phone.received += 1
        return Storing(item, names)
