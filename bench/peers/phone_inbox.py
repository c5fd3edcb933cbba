"""The webhooks of a simulated phone: what comes in, and its queue that delivers one by one. Pure."""

import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

from bench.peers.phone_agenda import Agenda
from bench.peers.phone_habits import Periods
from bench.peers.phone_outbox import escape
from bench.peers.phone_requests import Delivery, Kind, Request
from bench.peers.phone_statistics import Statistics

MOST_REPEATS: Final = 15
_KEY_LENGTH: Final = 8
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

EVENTS: Final = {
    "sms:received": (1, 15, 0),
    "system:ping": (1, 16, 0),
    "sms:sent": (1, 18, 0),
    "sms:delivered": (1, 19, 0),
    "sms:failed": (1, 19, 0),
    "sms:data-received": (1, 40, 0),
    "mms:received": (1, 47, 0),
    "mms:downloaded": (1, 56, 0),
    "app:started": (1, 66, 0),
    "sms:cancelled": (1, 67, 0),
}
"""The version since which the app knows each event; another in the list makes the whole synchronisation fail."""


class Hook(msgspec.Struct, frozen=True):
    """One entry of the server's list."""

    id: str
    url: str
    event: str


def read_hooks(body: bytes, version: tuple[int, ...]) -> list[Hook]:
    """The list as the app takes it. Raises ValueError when it would refuse the whole."""
    hooks = msgspec.json.decode(body, type=list[Hook])
    for hook in hooks:
        since = EVENTS.get(hook.event)
        if since is None or version < since:
            raise ValueError(f"the app does not know the event {hook.event!r}")
    return hooks


def envelope(hook: Hook, delivery_id: str, device_id: str, payload: dict[str, Any]) -> bytes:
    """The body of a delivery."""
    fields = {
        "id": delivery_id,
        "webhookId": hook.id,
        "event": hook.event,
        "deviceId": device_id,
        "payload": payload,
    }
    return escape(msgspec.json.encode(fields))


def sign(key: str, body: bytes, timestamp: str) -> str:
    """HMAC-SHA256 over body and timestamp, in lower-case hex."""
    return hmac.new(key.encode(), body + timestamp.encode(), hashlib.sha256).hexdigest()


def received(random: Random, text: str, date: str) -> dict[str, Any]:
    """The payload of an inbound SMS from a number of its own."""
    sender = f"+1555{random.randrange(10**7):07d}"
    return {
        "message": text,
        "receivedAt": date,
        "messageId": f"{random.getrandbits(32):08x}",
        "sender": sender,
        "simNumber": 1,
        "phoneNumber": sender,
    }


def health(version: str) -> dict[str, Any]:
    """The payload of a ping."""
    level = {"status": "pass", "observedValue": 80, "observedUnit": "percent", "description": ""}
    checks = {"battery:level": level}
    return {"health": {"version": version, "releaseId": 1490, "status": "pass", "checks": checks}}


def word(random: Random, length: int) -> str:
    """An identifier as the app makes them."""
    return "".join(random.choices(_LETTERS, k=length))


class Inbox:
    """Deliveries go strictly one after the other; one that failed waits beside the others for its next attempt.

    ``send`` begins a request. ``hooks`` is the server's list.
    """

    def __init__(
        self,
        agenda: Agenda,
        random: Random,
        periods: Periods,
        statistics: Statistics,
        send: Callable[[float, Request], None],
        wall_ms: Callable[[float], int],
    ) -> None:
        self.hooks: list[Hook] = []
        self.signing_key = word(random, _KEY_LENGTH)
        self._agenda = agenda
        self._random = random
        self._periods = periods
        self._count = statistics
        self._send = send
        self._wall_ms = wall_ms
        self._waiting: deque[Delivery] = deque()
        self._is_busy = False

    def emit(self, now: float, event: str, device_id: str, payload: dict[str, Any]) -> None:
        """Something happened: it is delivered to everybody on the list who wants it."""
        for hook in self.hooks:
            if hook.event == event:
                body = envelope(hook, word(self._random, 21), device_id, payload)
                self._add(now, Delivery(hook.url, body))

    def ended(self, now: float, request: Request, *, is_done: bool) -> None:
        """An attempt is over."""
        delivery = request.delivery
        assert delivery is not None
        self._is_busy = False
        if is_done:
            self._count.hooks_acknowledged += 1
        elif delivery.repeats < MOST_REPEATS:
            pause_s = self._periods.hook_retry * 2.0**delivery.repeats
            delivery.repeats += 1
            self._agenda.add(now + pause_s, self._add, delivery)
        else:
            self._count.given_up += 1
        self._go_on(now)

    def _add(self, now: float, delivery: Delivery) -> None:
        self._waiting.append(delivery)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        if self._is_busy or not self._waiting:
            return
        self._is_busy = True
        self._count.hooks += 1
        delivery = self._waiting.popleft()
        timestamp = str(self._wall_ms(now) // 1000)
        signature = sign(self.signing_key, delivery.body, timestamp)
        fields = (("X-Timestamp", timestamp), ("X-Signature", signature))
        self._send(
            now, Request(Kind.HOOK, "POST", delivery.url, "", delivery.body, fields, delivery=delivery)
        )
