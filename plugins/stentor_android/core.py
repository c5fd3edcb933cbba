"""What a channel of phones is made of, and how its parts act together when a phone comes, goes or is remembered.

Pure: the shell hands in requests and times, and carries out what is collected here; ``orphans`` are streams to end,
``told`` is what to write on which.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from stentor.driver import Inbound
from stentor_android.config import AndroidConfig
from stentor_android.devices import Device
from stentor_android.fleet import Fleet
from stentor_android.guard import Guard
from stentor_android.inbound import Repeats
from stentor_android.leases import Lease
from stentor_android.merging import Merger
from stentor_android.protocol import SIMCard, refusal
from stentor_android.push import Push
from stentor_android.recalling import Recalling
from stentor_android.registry import Phone, Registry, clipped
from stentor_android.sealing import Sealer
from stentor_android.uploads import Upload

_leases: Final = msgspec.msgpack.Decoder(list[Lease])
COUNTED: Final = (
    "unauthorised",
    "barred",
    "malformed",
    "foreign_devices",
    "forged",
    "stale",
    "inbound",
    "inbound_repeated",
    "inbound_unreadable",
    "inbound_oversized",
    "not_stored",
    "streams_refused",
    "streams_ended",
    "registered",
    "registered_again",
    "full",
)


REFUSED: Final = (
    "unauthorised",
    "barred",
    "malformed",
    "foreign_devices",
    "forged",
    "stale",
    "full",
    "inbound_unreadable",
    "inbound_oversized",
    "reports_foreign",
    "reports_unreadable",
    "reports_unfitting",
)
"""Of what is counted: what was not believed."""


class Request(msgspec.Struct, frozen=True):
    """A request as the shell hands it in. ``address`` is ``host:port``, empty on the Unix socket."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    address: str

    def __repr__(self) -> str:
        return f"Request({self.method})"


class Reply(msgspec.Struct, frozen=True):
    """A whole response."""

    status: int
    body: bytes = b""
    fields: tuple[tuple[str, str], ...] = ()


class Streaming(msgspec.Struct, frozen=True):
    """The response is an event stream of this device."""

    device: Device


class Listing(msgspec.Struct, frozen=True):
    """The reply waits until it is remembered that this phone was listed what it lists."""

    reply: Reply
    device_id: str


class Remembering(msgspec.Struct, frozen=True):
    """The reply waits until what has changed in the registry is durable: it tells a token that must be found again."""

    reply: Reply


class Storing(msgspec.Struct, frozen=True):
    """The reply waits until the item is durable; ``names`` are those a repetition would bear."""

    item: Inbound
    names: tuple[str, str]


class Uploading(msgspec.Struct, frozen=True):
    """The reply waits until these are read, which takes long, and durable."""

    uploads: list[Upload]
    device: Device


class Waiting(msgspec.Struct, frozen=True):
    """The same is on its way to be durable already: the reply waits for that."""

    names: tuple[str, str]


Answer = Reply | Streaming | Listing | Remembering | Storing | Uploading | Waiting

OK: Final = Reply(200)
CREATED: Final = Reply(201)
NO_CONTENT: Final = Reply(204)
NOTHING: Final = Reply(200, b"[]")
UNAUTHORISED: Final = Reply(401, refusal("Unauthorized"))
FORBIDDEN: Final = Reply(403, refusal("Forbidden"))
NOT_FOUND: Final = Reply(404, refusal("Not found"))
MALFORMED: Final = Reply(400, refusal("The body is not what this path takes"))
TOO_MUCH: Final = Reply(413, refusal("Too much at once, send less"))
NOT_STORED: Final = Reply(503, refusal("Not stored, try again"), (("Retry-After", "5"),))
FULL: Final = Reply(429, refusal("There are as many phones as may be"), (("Retry-After", "3600"),))
BARRED: Final = Reply(429, refusal("Too many failures, try again later"), (("Retry-After", "60"),))


Keep = Callable[[str, bytes | None, Callable[[], None] | None], None]
"""Remembers a value under a name, None to forget it; then says so."""


class Core:
    """Registry, fleet and the rest. ``keep(name, value)`` remembers beyond restarts, ``kept`` is what was.

    ``settling`` counts by device the pulls whose answers wait until their leases are durable.
    """

    def __init__(
        self,
        config: AndroidConfig,
        channel: str,
        entropy: Callable[[int], bytes],
        keep: Keep,
        sealer: Sealer,
    ) -> None:
        self.config = config
        self.channel = channel
        self.registry = Registry(config.private_token, entropy)
        self.push: Push[object] = Push(1.0, config.keep_alive_s)
        self.guard = Guard()
        self.repeats = Repeats()
        self.counters = dict.fromkeys(COUNTED, 0)
        self.fleet = Fleet(config.terms, b"", sealer)
        self.merger = Merger(self.fleet)
        self.recalling = Recalling(self.fleet)
        self.orphans: list[object] = []
        self.told: list[tuple[object, bytes]] = []
        self._keep = keep
        self._used: dict[str, dict[int, bytes]] = {}
        self._seen: dict[str, Phone] = {}
        self._had_leases: set[str] = set()
        self.settling: dict[str, int] = {}

    def restore(self, kept: Mapping[str, bytes], now: float, wall_ms: int) -> None:
        """Begin with what was remembered."""
        self.registry.restore(kept)
        self.fleet.key = self.registry.key
        for name, value in kept.items():
            kind, _, rest = name.partition("/")
            if kind == "used":
                owner, _, slot = rest.rpartition("/")
                self._used.setdefault(owner, {})[int(slot)] = value
        for phone in self.registry:
            self.fleet.add(phone, self._used.get(phone.name, {}), now, wall_ms)
        for name, value in kept.items():
            kind, _, device_id = name.partition("/")
            if kind == "lease":
                self._had_leases.add(device_id)
                self.fleet.restore(device_id, _leases.decode(value), wall_ms)
        self.write()

    # -- phones -----------------------------------------------------------------------------------------------------

    def registered(self, phone: Phone, old: Phone | None, now: float, wall_ms: int) -> Device:
        """A phone was let in, in the place of ``old`` if there was one. To be written."""
        self.counters["registered"] += 1
        if old is not None:
            self.counters["registered_again"] += 1
            self.forget(old)
        return self.fleet.add(phone, self._used.get(phone.name, {}), now, wall_ms)

    def forget(self, phone: Phone) -> None:
        """Its device goes from the fleet; what it used of its allowances is remembered with its name."""
        device = self.fleet.devices[phone.id]
        self._keep_used(device)
        self.fleet.remove(device)
        self.orphans += self.push.drop(phone.id)
        self._seen.pop(phone.id, None)

    def remove(self, name: str) -> None:
        """A phone, an invitation, or both, are forgotten with all that was kept of them. To be written."""
        phone = self.registry.by_name(name)
        if phone is not None:
            self.forget(phone)
        self.registry.remove(name)
        for slot in self._used.pop(name, {}):
            self._keep(f"used/{name}/{slot}", None, None)
        self.write_leases()

    def told_sims(self, device: Device, sims: tuple[SIMCard, ...], now: float, wall_ms: int) -> None:
        """The phone told its SIMs anew."""
        phone = device.phone
        if (found := clipped(sims)) != phone.sims:
            phone.sims = found
            self.registry.changed(phone)
        device.take_sims(self.fleet.limits_of(phone), self._used.get(phone.name, {}))
        self.fleet.measure(device, now, wall_ms)

    def seen(self, phone: Phone, wall_ms: int) -> None:
        phone.seen_at_ms = wall_ms
        self._seen[phone.id] = phone

    @property
    def refused(self) -> dict[str, int]:
        """What was not believed so far, where there is any of it."""
        counted = {**self.counters, **self.merger.counters}
        return {name: counted[name] for name in REFUSED if counted[name]}

    # -- what is kept -----------------------------------------------------------------------------------------------

    def write(self, durable: Callable[[], None] | None = None) -> None:
        """Remember what has changed in the registry; ``durable`` is called once it is."""
        changes = self.registry.take_changes()
        *names, last = changes or ("",)
        for name in names:
            self._keep(name, changes[name], None)
        if last:
            self._keep(last, changes[last], durable)
        elif durable is not None:
            durable()

    def write_leases(self) -> None:
        """Forget what phones had and have no more; the shell asks for it every few seconds and at the end."""
        changed, self.fleet.leases_changed = self.fleet.leases_changed, {}
        for device_id in changed:
            self._write_leases(device_id, None)

    def write_lease(self, device_id: str, durable: Callable[[], None]) -> None:
        """Remember what this phone was listed before it hears of it."""
        self.fleet.leases_changed.pop(device_id, None)
        self.settling[device_id] = self.settling.get(device_id, 0) + 1

        def settled() -> None:
            self.settling[device_id] -= 1
            if not self.settling[device_id]:
                del self.settling[device_id]
            durable()

        self._write_leases(device_id, settled)

    def _write_leases(self, device_id: str, durable: Callable[[], None] | None) -> None:
        leases = self.fleet.leases(device_id)
        if leases:
            self._had_leases.add(device_id)
            self._keep(f"lease/{device_id}", msgspec.msgpack.encode(leases), durable)
        elif device_id in self._had_leases or durable is not None:
            self._had_leases.discard(device_id)
            self._keep(f"lease/{device_id}", None, durable)

    def write_used(self) -> None:
        """Remember when phones were seen and what they used, once a minute and at the end."""
        for phone in self._seen.values():
            self.registry.changed(phone)
        self._seen.clear()
        self.write()
        for device in self.fleet.devices.values():
            self._keep_used(device)

    def _keep_used(self, device: Device) -> None:
        name = device.phone.name
        for slot, sim in device.sims.items():
            if sim.allowance.is_changed:
                value = sim.allowance.kept()
                self._used.setdefault(name, {})[slot] = value
                self._keep(f"used/{name}/{slot}", value, None)
