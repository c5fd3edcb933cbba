"""What people ask of the fleet: list, show, add, remove, pause and resume phones. Only the Unix socket leads here.

Paths below the channel's own prefix: ``/phones`` and ``/phones/NAME``, with ``/pause`` and ``/resume`` behind it.
"""

from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from stentor_android.choice import Choice
from stentor_android.core import MALFORMED, NOT_FOUND, Answer, Core, Remembering, Reply, Request
from stentor_android.devices import Device
from stentor_android.protocol import PREFIXES, decode, refusal
from stentor_android.registry import Phone
from stentor_android.states import Presence, presence
from stentor_android.versions import RECOMMENDED, UNKNOWN, version_text

_NOBODY: Final = Reply(404, refusal("there is no phone of this name; `stentor phones` lists those there are"))
_NOT_YET: Final = Reply(
    409, refusal("this phone has not registered yet: type the URL and the token into its app")
)
_TAKEN: Final = Reply(
    409,
    refusal(
        "this name cannot be used: it is 1 to 40 letters, digits, - _ and ., begins with a letter or digit, and is not "
        "that of a phone which came in with the shared token"
    ),
)


class SIMView(msgspec.Struct, frozen=True):
    """One SIM for people. ``left`` is what it may send yet, None for no limit; ``used`` what went, by window."""

    slot: int
    number: str
    carrier: str
    waiting: int
    failures: int
    left: int | None
    used: dict[str, int]


class PhoneView(msgspec.Struct, frozen=True):
    """One phone for people. ``presence`` says in a word how it is in touch; ``advice`` what to change in the app."""

    name: str
    presence: str
    id: str = ""
    model: str = ""
    version: str = ""
    paused: bool = False
    streams: int = 0
    seen_at_ms: int = 0
    battery: int | None = None
    in_flight: int = 0
    sent: int = 0
    failed: int = 0
    received: int = 0
    last_error: str = ""
    last_error_at_ms: int = 0
    sims: tuple[SIMView, ...] = ()
    advice: tuple[str, ...] = ()


class Pairing(msgspec.Struct, frozen=True):
    """What is typed into a phone. ``replaced``: a token made before for this name is worth nothing any more."""

    name: str
    url: str
    token: str
    replaced: bool


class Invite(msgspec.Struct, frozen=True):
    name: str


class Admin:
    """Answers the command line."""

    def __init__(self, core: Core, path: str) -> None:
        self.core = core
        self.path = path

    def answer(self, request: Request, now: float, wall_ms: int) -> Answer:
        """Answer one request from the Unix socket."""
        parts = [unquote(part) for part in request.path[len(self.path) :].split("/")[1:]]
        match request.method, parts:
            case "GET", []:
                phones, refused = self._views(wall_ms), self.core.refused
                return _json({"channel": self.core.channel, "phones": phones, "refused": refused})
            case "POST", []:
                return self._add(request, wall_ms)
            case "GET", [name]:
                return self._show(name, request, now, wall_ms)
            case "DELETE", [name]:
                return self._remove(name)
            case "POST", [name, "pause" | "resume" as action]:
                return self._pause(name, action == "pause", now, wall_ms)
        return NOT_FOUND

    def _views(self, wall_ms: int) -> list[PhoneView]:
        core = self.core
        views = [view(device, wall_ms) for device in core.fleet.devices.values()]
        views += [_invited(name) for name in core.registry.waiting]
        return sorted(views, key=lambda each: each.name)

    def _add(self, request: Request, wall_ms: int) -> Answer:
        told = decode(request.body, Invite)
        if told is None:
            return MALFORMED
        is_replaced = self.core.registry.is_invited(told.name)
        token = self.core.registry.invite(told.name, wall_ms)
        if token is None:
            return _TAKEN
        pairing = Pairing(told.name, self.core.config.url + PREFIXES[0], token, is_replaced)
        return Remembering(_json(pairing, 201))

    def _show(self, name: str, request: Request, now: float, wall_ms: int) -> Reply:
        phone = self.core.registry.by_name(name)
        if phone is None:
            return _json({"phone": _invited(name)}) if self.core.registry.knows(name) else _NOBODY
        found: dict[str, object] = {"phone": view(self._device(phone), wall_ms)}
        to = dict(parse_qsl(request.query)).get("to")
        if to:
            found["choice"] = self._choices(to, now, wall_ms)
        return _json(found)

    def _choices(self, to: str, now: float, wall_ms: int) -> list[Choice]:
        """Which phone a message would go by, with names instead of ids."""
        found: list[Choice] = []
        for choice in self.core.fleet.explain(to, 1, now, wall_ms):
            device_id, _, slot = choice.key.partition("/")
            name = self.core.fleet.devices[device_id].phone.name
            found.append(msgspec.structs.replace(choice, key=f"{name}/{slot}"))
        return found

    def _remove(self, name: str) -> Answer:
        if not self.core.registry.knows(name):
            return _NOBODY
        self.core.remove(name)
        return Remembering(_json({"removed": name}))

    def _pause(self, name: str, is_paused: bool, now: float, wall_ms: int) -> Answer:
        core = self.core
        phone = core.registry.by_name(name)
        if phone is None:
            return _NOT_YET if core.registry.knows(name) else _NOBODY
        device = self._device(phone)
        phone.is_paused = is_paused
        core.registry.changed(phone)
        if is_paused:
            core.recalling.withdraw(device, now, wall_ms)
        core.fleet.measure(device, now, wall_ms)
        return Remembering(_json({"phone": view(device, wall_ms)}))

    def _device(self, phone: Phone) -> Device:
        return self.core.fleet.devices[phone.id]


def view(device: Device, wall_ms: int) -> PhoneView:
    """A phone as people see it."""
    phone = device.phone
    return PhoneView(
        name=phone.name,
        presence=presence(device.streams, phone.seen_at_ms, wall_ms).value,
        id=phone.id,
        model=phone.model,
        version=version_text(phone.version),
        paused=phone.is_paused,
        streams=device.streams,
        seen_at_ms=phone.seen_at_ms,
        battery=device.battery if device.battery >= 0 else None,
        in_flight=len(device.items),
        sent=phone.sent,
        failed=phone.failed,
        received=phone.received,
        last_error=device.last_error,
        last_error_at_ms=device.last_error_at_ms,
        sims=_sims(device, wall_ms),
        advice=tuple(advice(device, wall_ms)),
    )


def _sims(device: Device, wall_ms: int) -> tuple[SIMView, ...]:
    told = {sim.number: sim for sim in device.phone.sims}
    views = []
    for slot, sim in device.sims.items():
        card = told.get(slot)
        limits = sim.allowance.limits
        is_limited = limits.hourly or limits.daily or limits.monthly
        views.append(
            SIMView(
                slot,
                (card and card.phone_number) or "",
                (card and card.carrier_name) or "",
                sim.waiting,
                sim.failures,
                sim.allowance.left(wall_ms) if is_limited else None,
                sim.allowance.counts(wall_ms),
            )
        )
    return tuple(views)


def advice(device: Device, wall_ms: int) -> list[str]:
    """What to change on the phone, if its way of being in touch is the wrong one."""
    phone = device.phone
    found: list[str] = []
    if device.streams:
        return found
    is_old = phone.version != UNKNOWN and phone.version < RECOMMENDED
    if is_old:
        found.append(
            f"update the app: {version_text(phone.version)} asks every 15 minutes only, "
            f"{version_text(RECOMMENDED)} and later hear at once"
        )
    elif phone.waits_for_push:
        found.append(
            "in the app: Settings, Cloud Server, Notification channel: SSE Only; then stop and start it. "
            "It waits for Google's push service, which only the app's vendor can use"
        )
    elif presence(0, phone.seen_at_ms, wall_ms) is Presence.POLLING:
        found.append(
            "it asks but holds no event stream: look whether a proxy on the way buffers or ends it, "
            "and whether Notification channel is SSE Only"
        )
    return found


def _invited(name: str) -> PhoneView:
    return PhoneView(name, "invited", advice=("type the URL and the token into the app",))


def _json(value: object, status: int = 200) -> Reply:
    return Reply(status, msgspec.json.encode(value))
