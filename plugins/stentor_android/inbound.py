"""What phones call us for: messages that came in, signs of life, and extra evidence about what was sent.

Owns the webhooks a phone is given, the check of their signatures over the raw octets, and the recognition of
repetitions: by the delivery's id, and by what the message itself says, because some versions of the app tell of one
SMS twice under different ids. Invariant: what repeats is answered as the first was, and never before it.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from stentor.driver import Inbound
from stentor.text.segments import Encoding, choose
from stentor_android.protocol import SIMCard, Webhook, decode
from stentor_android.registry import Phone
from stentor_android.versions import EVENTS_SINCE, parse_version

REMEMBERED: Final = 20_000
CLOCK_S: Final = 300
NUMBER: Final = 40
TEXT_OCTETS: Final = 64 * 1024
_HEX: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)


class Delivery(msgspec.Struct, frozen=True, rename="camel"):
    """The envelope of every webhook."""

    id: str
    event: str
    device_id: str
    webhook_id: str = ""
    payload: dict[str, Any] = {}


class Health(msgspec.Struct, frozen=True):
    """What a ping tells: the app's version, its own opinion, and the battery in percent, -1 if it does not say."""

    version: tuple[int, int, int]
    status: str
    battery: int


def webhooks(phone: Phone, url: str, events: Iterable[str]) -> list[Webhook]:
    """The entries for this phone, with ids that never change; none that its version does not know."""
    return [
        Webhook(f"{phone.id}-{event.replace(':', '-')}"[:36], url, event)
        for event in events
        if phone.version >= EVENTS_SINCE[event]
    ]


def is_signed(key: str, timestamp: str, signature: str, body: bytes) -> bool:
    """HMAC-SHA256 over body and timestamp, compared in constant time."""
    if not _HEX.fullmatch(signature) or not _SECONDS.fullmatch(timestamp):
        return False
    made = hmac.digest(key.encode(), body + timestamp.encode(), hashlib.sha256).hex()
    return hmac.compare_digest(made, signature)


def is_recent(timestamp: str, wall_ms: int) -> bool:
    """Was it made within CLOCK_S of now? A retry has a new timestamp; a replay has not."""
    return bool(_SECONDS.fullmatch(timestamp)) and abs(int(timestamp) - wall_ms // 1000) <= CLOCK_S


def read_delivery(body: bytes) -> Delivery | None:
    return decode(body, Delivery)


def received(delivery: Delivery, phone: Phone) -> Inbound | None:
    """The message an event tells of; None where it is none, or makes no sense. Raises nothing."""
    payload = delivery.payload
    originator = _text(payload, "sender") or _text(payload, "phoneNumber")
    if originator is None or len(originator) > NUMBER:
        return None
    to = (_text(payload, "recipient") or _own_number(payload, phone) or phone.name)[:NUMBER]
    carrier_id = _text(payload, "messageId")
    if delivery.event == "sms:received":
        text = _text(payload, "message")
        if text is None or len(text) > TEXT_OCTETS:
            return None
        return Inbound(originator, to, text, choose(text), carrier_id=carrier_id)
    if delivery.event == "sms:data-received":
        try:
            data = base64.b64decode(_text(payload, "data") or "", validate=True)
        except (binascii.Error, ValueError):
            return None
        return Inbound(originator, to, None, Encoding.BINARY, data, carrier_id=carrier_id)
    if delivery.event == "mms:downloaded":
        text = "\n".join(each for each in (_text(payload, "subject"), _text(payload, "body")) if each)
        return Inbound(originator, to, text[:TEXT_OCTETS], choose(text), carrier_id=carrier_id)
    return None


def is_oversized(delivery: Delivery) -> bool:
    """Is its text or its originator longer than any can be?"""
    payload = delivery.payload
    lengths = {"message": TEXT_OCTETS, "sender": NUMBER, "phoneNumber": NUMBER}
    return any(len(_text(payload, name) or "") > most for name, most in lengths.items())


def health(payload: dict[str, Any]) -> Health | None:
    """What a ping says, as far as it can be read."""
    told = payload.get("health")
    if not isinstance(told, dict):
        return None
    checks = told.get("checks")
    level = checks.get("battery:level") if isinstance(checks, dict) else None
    battery = level.get("observedValue") if isinstance(level, dict) else None
    is_percent = isinstance(battery, int) and 0 <= battery <= 100
    return Health(
        parse_version(_text(told, "version") or ""),
        (_text(told, "status") or "")[:16],
        battery if is_percent and isinstance(battery, int) else -1,
    )


def started_sims(payload: dict[str, Any]) -> tuple[SIMCard, ...] | None:
    """The SIMs ``app:started`` tells of. It does not mask them; we do, as the app does elsewhere."""
    try:
        sims = msgspec.convert(payload.get("simCards"), tuple[SIMCard, ...])
    except msgspec.ValidationError:
        return None
    return tuple(
        SIMCard(sim.slot_index, sim.number, *map(_masked, (sim.phone_number, sim.carrier_name, sim.iccid)))
        for sim in sims
    )


def names_of(delivery: Delivery) -> tuple[str, str]:
    """The names a repetition would bear: the delivery's id, and what the message itself says."""
    payload = delivery.payload
    said = [
        str(payload.get(name))
        for name in ("messageId", "receivedAt", "sender", "phoneNumber", "message", "data", "transactionId")
    ]
    return (
        f"{delivery.device_id}/{delivery.id}",
        _short("\0".join([delivery.device_id, delivery.event, *said])),
    )


class Repeats:
    """Deliveries that are durable, and those on their way to be, each under both of its names. Bounded: the oldest is
    forgotten, and would be taken for new."""

    __slots__ = ("_known", "limit")

    def __init__(self, limit: int = REMEMBERED) -> None:
        self.limit = limit
        self._known: OrderedDict[str, bool] = OrderedDict()

    def state(self, names: tuple[str, str]) -> bool | None:
        """True: stored before. False: about to be. None: new."""
        found = [self._known[name] for name in names if name in self._known]
        return None if not found else any(found)

    def begin(self, names: tuple[str, str]) -> None:
        for name in names:
            self._known[name] = False
        while len(self._known) > self.limit:
            self._known.popitem(last=False)

    def settled(self, names: tuple[str, str], is_durable: bool) -> None:
        for name in names:
            if is_durable:
                self._known[name] = True
            else:
                self._known.pop(name, None)


def _text(values: dict[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) else None


def _own_number(payload: dict[str, Any], phone: Phone) -> str | None:
    """The number of the SIM it came to, if that is known and not masked."""
    for sim in phone.sims:
        if sim.number == payload.get("simNumber") and sim.phone_number and "*" not in sim.phone_number:
            return sim.phone_number
    return None


def _masked(text: str | None) -> str | None:
    if text is None:
        return None
    return "****" if len(text) <= 4 else "*" * (len(text) - 4) + text[-4:]


def _short(text: str) -> str:
    return hashlib.blake2s(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
