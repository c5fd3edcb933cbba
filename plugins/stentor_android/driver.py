"""The driver's shell: requests of phones in, answers, event streams and outcomes out, on asyncio.

Owns the timers and the streams. Everything is decided below; here it is carried out, always in the same order:
outcomes, receipts, leases, hints, the lane. That is done at once after a request or a batch, and while many come, for
those of a few milliseconds together: a thousand phones send their requests one by one, and each would cost the engine
a turn and a commit of its own. A report is answered when the receipts it brought are durable, an inbound message when
it is, a pull when it is remembered what it lists to whom.
"""

import asyncio
import functools
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from stentor.driver import DriverStatus, Host, HTTPExchange, LaneStatus
from stentor.errors import Overloaded
from stentor.outcome import Submission
from stentor_android.admin import Admin
from stentor_android.api import API
from stentor_android.bridge import Bridge
from stentor_android.config import AndroidConfig
from stentor_android.core import (
    CREATED,
    NOT_FOUND,
    NOT_STORED,
    OK,
    Core,
    Listing,
    Remembering,
    Reply,
    Request,
    Storing,
    Streaming,
    Uploading,
    Waiting,
)
from stentor_android.devices import Device
from stentor_android.encryption import Encryption
from stentor_android.hooks import UNSETTLED, Hooks
from stentor_android.inbound import Delivery
from stentor_android.protocol import PREFIXES
from stentor_android.push import CANCEL, KEEP_ALIVE, PULL, encode_event
from stentor_android.sealing import Sealer
from stentor_android.thirdparty import BODY_LIMIT as THIRD_PARTY_LIMIT
from stentor_android.thirdparty import ThirdParty
from stentor_android.thirdparty_account import Kept
from stentor_android.thirdparty_calls import PREFIXES as THIRD_PARTY_PREFIXES
from stentor_android.uploads import opened

LANE: Final = "fleet"
TICK_S: Final = 0.25
GATHER_S: Final = 0.25
LEASES_S: Final = 5.0
USED_S: Final = 60.0
BODY_LIMIT: Final = 1 << 20
HOOK_LIMIT: Final = 2 << 20
"""A delivery may carry the pictures of a multimedia message, in base64."""
UNSETTLED_REPORTS: Final = 10_000
_STREAM_FIELDS: Final = (("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no"))


class AndroidDriver:
    """One channel: a fleet of phones behind one lane, whose window is what they have room for."""

    def __init__(self, config: AndroidConfig, host: Host) -> None:
        self.config = config
        self.host = host
        self.own = f"/in/{host.channel}"
        self.core = Core(config, host.channel, secrets.token_bytes, self._keep, sealer(config))
        self.api = API(self.core, lambda device_id: self.hooks.url(device_id), self._wanted)
        self.hooks = Hooks(self.api, f"{self.own}/hook")
        self.admin = Admin(self.core, f"{self.own}/phones")
        self.third_party: ThirdParty | None = None
        self._encryption = Encryption(config.passphrase, secrets.token_bytes) if config.passphrase else None
        self.last_error: str | None = None
        self.last_error_at_ms = 0
        self._since_ms = host.clock.wall_ms()
        self._is_draining = asyncio.Event()
        self._is_over = asyncio.Event()
        self._is_changed = asyncio.Event()
        self._is_running = False
        self.gather_s = GATHER_S
        self.offload = _offload
        self._timer: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None
        self._flushed_at = 0.0
        self._offered = -1
        self._unsettled = 0
        self._reports: list[tuple[HTTPExchange, Reply]] = []
        self._listings: dict[str, list[tuple[HTTPExchange, Reply]]] = {}
        self._asking = ""
        self._lost = 0
        self._waiting: dict[str, list[HTTPExchange]] = {}
        self._leases_at = self._used_at = 0.0

    # -- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve phones until drained."""
        if self._is_draining.is_set():
            return
        host = self.host
        now, wall_ms = host.clock.now(), host.clock.wall_ms()
        self.core.restore(host.kept(), now, wall_ms)
        self._leases_at, self._used_at = now + LEASES_S, now + USED_S
        for prefix in PREFIXES:
            host.serve(prefix, functools.partial(self._serve, self._phone), BODY_LIMIT)
        host.serve(self.own, functools.partial(self._serve, self._ours), HOOK_LIMIT)
        self._serve_third_parties()
        self._is_running = True
        try:
            self._flush(now)
            self._tick()
            await self._is_over.wait()
        finally:
            self._stop()

    async def drain(self, deadline: float) -> None:
        """Take back what can be, wait for the rest, and let go of the streams."""
        self._is_draining.set()
        if not self._is_running:
            return
        host, fleet = self.host, self.core.fleet
        self.core.recalling.drain(host.clock.now(), host.clock.wall_ms())
        self._flush(host.clock.now())
        try:
            async with asyncio.timeout(max(0.0, deadline - host.clock.now())):
                while fleet.items:
                    self._is_changed.clear()
                    await self._is_changed.wait()
        except TimeoutError:
            host.log.warning("drain ran out of time", in_flight=len(fleet.items))
        self._stop()

    def _stop(self) -> None:
        """Nothing is left: no timer, no stream, no submission without its outcome; what phones have is remembered."""
        if not self._is_running:
            return
        self._is_running = False
        if self._timer is not None:
            self._timer.cancel()
        core = self.core
        core.fleet.is_draining = True
        core.fleet.abandon()
        for device_id in (*core.fleet.devices, *core.fleet.gone):
            core.fleet.leases_changed[device_id] = None
        core.write_leases()
        core.write_used()
        for device_id in list(core.push.streams):
            core.orphans += core.push.drop(device_id)
        self._flush(self.host.clock.now())
        self._is_over.set()

    # -- third parties ----------------------------------------------------------------------------------------------

    def _serve_third_parties(self) -> None:
        bridge = Bridge(self.core, self.config.account, self._is_barred)
        self.third_party = ThirdParty(
            self.host, bridge, bridge, secrets.token_bytes, self._encryption, self.offload, self._suspect
        )
        for prefix in THIRD_PARTY_PREFIXES:
            self.host.serve(prefix, self._third_party, THIRD_PARTY_LIMIT)

    def _third_party(self, exchange: HTTPExchange) -> None:
        """A request of a client of that API."""
        now = self.host.clock.now()
        self._asking = self.api.client(exchange.head.headers, exchange.address)
        if not self._is_running or self.third_party is None:
            _give(exchange, NOT_STORED)
        else:
            self.third_party.handle(exchange)
            self._flush_soon(now)

    def _suspect(self, authorization: str) -> bool:
        """Nobody has these credentials, or whoever asks is barred."""
        core, now = self.core, self.host.clock.now()
        is_barred = core.guard.is_barred(self._asking, now)
        core.counters["barred" if is_barred else "unauthorised"] += 1
        if not is_barred:
            core.guard.failed(self._asking, authorization, now)
        return not is_barred

    def _is_barred(self) -> bool:
        """Is nothing that could be guessed believed of whoever asks now?"""
        return self.core.guard.is_barred(self._asking, self.host.clock.now())

    def _wanted(self, login: str) -> Kept:
        return Kept() if self.third_party is None else self.third_party.kept(login)

    # -- submissions ------------------------------------------------------------------------------------------------

    def submit(self, lane: str, batch: Sequence[Submission]) -> None:
        now = self.host.clock.now()
        self.core.fleet.place(batch, now, self.host.clock.wall_ms())
        if self._is_running:
            self._flush_soon(now)
        else:
            self.core.fleet.abandon()
            self._flush(now)

    def recall(self, submissions: Sequence[Submission]) -> Collection[int]:
        """Their clients cancelled them: give back what no phone was told of, ask phones for what they may have."""
        now, wall_ms, recalling = self.host.clock.now(), self.host.clock.wall_ms(), self.core.recalling
        asked = {each.token for each in submissions if recalling.recall(each.token, now, wall_ms)}
        self.core.write_leases()
        self._flush(now)
        return asked

    # -- requests ---------------------------------------------------------------------------------------------------

    def _serve(
        self, answer: Callable[[HTTPExchange, Request, float, int], None], exchange: HTTPExchange
    ) -> None:
        """One request."""
        head = exchange.head
        request = Request(head.method, head.path, head.query, head.headers, exchange.body, exchange.address)
        now = self.host.clock.now()
        if not self._is_running:
            _give(exchange, NOT_STORED)
            return
        answer(exchange, request, now, self.host.clock.wall_ms())
        self._flush_soon(now)

    def _phone(self, exchange: HTTPExchange, request: Request, now: float, wall_ms: int) -> None:
        """A request of the device API."""
        if self._unsettled >= UNSETTLED_REPORTS and request.method == "PATCH":
            self.core.counters["not_stored"] += 1
            _give(exchange, NOT_STORED)
            return
        receipts = self.core.merger.receipts
        before = len(receipts)
        answer = self.api.answer(request, now, wall_ms)
        if isinstance(answer, Streaming):
            self._open(exchange, answer.device, now, wall_ms)
        elif isinstance(answer, Listing):
            self._listings.setdefault(answer.device_id, []).append((exchange, answer.reply))
        elif isinstance(answer, Remembering):
            self._remember(exchange, answer)
        elif isinstance(answer, Uploading):
            self._read_uploads(exchange, answer)
        elif isinstance(answer, Reply):
            if len(receipts) > before:
                self._unsettled += 1
                self._reports.append((exchange, answer))
            else:
                _give(exchange, answer)

    def _ours(self, exchange: HTTPExchange, request: Request, now: float, wall_ms: int) -> None:
        """A request below the channel's own prefix: a delivery of a phone, or of people over the Unix socket."""
        if request.path.startswith(f"{self.hooks.path}/"):
            self._delivered(exchange, request, now, wall_ms)
        elif not request.address and (request.path + "/").startswith(f"{self.admin.path}/"):
            told = self.admin.answer(request, now, wall_ms)
            if isinstance(told, Remembering):
                self._remember(exchange, told)
            elif isinstance(told, Reply):
                _give(exchange, told)
        else:
            _give(exchange, NOT_FOUND)

    def _delivered(self, exchange: HTTPExchange, request: Request, now: float, wall_ms: int) -> None:
        answer = self.hooks.answer(request, now, wall_ms)
        if isinstance(answer, Storing):
            names = answer.names
            self._waiting[names[0]] = self._waiting[names[1]] = [exchange]
            self.hooks.unsettled += 1
            self.host.receive([answer.item], functools.partial(self._stored, names))
        elif isinstance(answer, Waiting):
            for name in answer.names:
                if name in self._waiting:
                    self._waiting[name].append(exchange)
                    return
            _give(exchange, NOT_STORED)
        elif isinstance(answer, Reply):
            _give(exchange, answer)

    def _read_uploads(self, exchange: HTTPExchange, answer: Uploading) -> None:
        """Deriving keys takes long; once it is done the phone is answered when all of it is durable."""
        uploads, phone, encryption = answer.uploads, answer.device.phone, self._encryption

        def stored(all_names: Sequence[tuple[str, str]], is_durable: bool) -> None:
            for names in all_names:
                self._stored(names, is_durable)
            _give(exchange, CREATED if is_durable else NOT_STORED)

        def done(found: list[Delivery | None]) -> None:
            if not self._is_running or self.hooks.unsettled + len(found) > UNSETTLED:
                _give(exchange, NOT_STORED)
                return
            storing = self.hooks.uploaded(found, phone)
            if not storing:
                _give(exchange, CREATED)
                return
            self.hooks.unsettled += len(storing)
            all_names = [each.names for each in storing]
            self.host.receive([each.item for each in storing], functools.partial(stored, all_names))

        self.offload(lambda: opened(uploads, phone.id, encryption), done)

    # -- durable ----------------------------------------------------------------------------------------------------

    def _reported(self, reports: Sequence[tuple[HTTPExchange, Reply]], is_durable: bool) -> None:
        self._unsettled -= len(reports)
        for exchange, reply in reports:
            _give(exchange, reply if is_durable else NOT_STORED)

    def _listed(self, listings: Sequence[tuple[HTTPExchange, Reply]]) -> None:
        for exchange, reply in listings:
            _give(exchange, reply)

    def _remember(self, exchange: HTTPExchange, answer: Remembering) -> None:
        self.core.write(functools.partial(_give, exchange, answer.reply))

    def _stored(self, names: tuple[str, str], is_durable: bool) -> None:
        """An inbound message is durable, or not: everybody who waits for it is told."""
        self.hooks.unsettled -= 1
        core = self.core
        core.repeats.settled(names, is_durable)
        if not is_durable:
            core.counters["not_stored"] += 1
        waiting = self._waiting.pop(names[0], [])
        self._waiting.pop(names[1], None)
        for exchange in waiting:
            _give(exchange, OK if is_durable else NOT_STORED)

    # -- streams ----------------------------------------------------------------------------------------------------

    def _open(self, exchange: HTTPExchange, device: Device, now: float, wall_ms: int) -> None:
        core = self.core
        device_id = device.phone.id
        if self._is_draining.is_set():
            core.counters["streams_refused"] += 1
            _give(exchange, NOT_STORED)
            return
        exchange.on_close = functools.partial(self._closed, device_id, exchange)
        exchange.on_drain = functools.partial(self._let_go, device_id, exchange)
        exchange.start(200, "text/event-stream", _STREAM_FIELDS)
        exchange.send(KEEP_ALIVE)
        ended = core.push.open(device_id, exchange, now)
        core.fleet.stream_opened(device, now, wall_ms)
        if ended is not None:
            core.counters["streams_ended"] += 1
            core.orphans.append(ended)
            core.fleet.stream_closed(device, now, wall_ms)
        if device.unlisted:
            # Versions before 1.53.1 do not pull when the stream stands.
            exchange.send(encode_event(PULL))

    def _closed(self, device_id: str, exchange: HTTPExchange) -> None:
        """The phone is gone, or we let it go."""
        core = self.core
        if not core.push.close(device_id, exchange):
            return
        now, wall_ms = self.host.clock.now(), self.host.clock.wall_ms()
        device = core.fleet.devices.get(device_id)
        if device is not None:
            core.fleet.stream_closed(device, now, wall_ms)
        if self._is_running:
            self._flush_soon(now)

    def _let_go(self, device_id: str, exchange: HTTPExchange) -> None:
        """The server stops. The streams stay while phones may still report; the end of the drain ends them."""
        if self._is_over.is_set():
            exchange.end()

    # -- carrying out -----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """The one timer: what is due in the fleet, hints, and comments on the streams whose turn it is."""
        now = self.host.clock.now()
        core = self.core
        core.fleet.tick(now, self.host.clock.wall_ms())
        for stream in core.push.keep_alive(now):
            _exchange(stream).send(KEEP_ALIVE)
        if now >= self._leases_at:
            self._leases_at = now + LEASES_S
            core.write_leases()
        if now >= self._used_at:
            self._used_at = now + USED_S
            core.write_used()
        self._flush(now)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _flush_soon(self, now: float) -> None:
        """Carry out what was collected, at once or with what comes in the next milliseconds."""
        if self._gathering is not None:
            return
        wait_s = self._flushed_at + self.gather_s - now
        if wait_s <= 0.0:
            self._flush(now)
        else:
            self._gathering = asyncio.get_running_loop().call_later(wait_s, self._gathered)

    def _gathered(self) -> None:
        self._flush(self.host.clock.now())

    def _flush(self, now: float) -> None:
        core = self.core
        fleet = core.fleet
        self._flushed_at = now
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        if fleet.asked_back:
            asked, fleet.asked_back = fleet.asked_back, []
            self.host.asked_back(asked)
        if fleet.outcomes:
            outcomes, fleet.outcomes = fleet.outcomes, []
            self.host.resolve(outcomes)
            self._is_changed.set()
        self._make_durable()
        if core.orphans:
            orphans, core.orphans = core.orphans, []
            for stream in orphans:
                _exchange(stream).end()
        if core.registry.gone and self.third_party is not None:
            for login in core.registry.gone:
                self.third_party.forget(login)
            core.registry.gone.clear()
        if core.told:
            told, core.told = core.told, []
            for stream, data in told:
                _exchange(stream).send(data)
        if core.recalling.asked_back:
            for item in core.recalling.asked_back:
                for stream, data in core.push.tell(item.device_id, CANCEL, {"messageId": item.id}):
                    _exchange(stream).send(data)
            core.recalling.asked_back.clear()
        if fleet.hints:
            for device_id in fleet.hints:
                core.push.hint(device_id)
            fleet.hints.clear()
        for stream, data in core.push.due(now):
            _exchange(stream).send(data)
        window = fleet.window
        if window != self._offered and (self._offered >= 0 or window):
            self._offered = window
            self.host.lane(LANE, window)

    def _make_durable(self) -> None:
        """Receipts, and what phones are about to be told of: whoever waits for them is answered after that."""
        receipts = self.core.merger.receipts
        if receipts:
            reports, self._reports = self._reports, []
            self.host.receive(list(receipts), functools.partial(self._reported, reports))
            receipts.clear()
        if self._listings:
            listings, self._listings = self._listings, {}
            for device_id, each in listings.items():
                self.core.write_lease(device_id, functools.partial(self._listed, each))

    def _keep(self, name: str, value: bytes | None, durable: Callable[[], None] | None) -> None:
        """Remember; what there is no room for is counted, and lost with the next restart."""
        try:
            self.host.keep(name, value, durable)
        except Overloaded:
            self._lost += 1
            if durable is not None:
                durable()
            self.last_error, self.last_error_at_ms = "no room to remember more", self.host.clock.wall_ms()

    # -- status -----------------------------------------------------------------------------------------------------

    def status(self) -> DriverStatus:
        core = self.core
        phones, streaming = len(core.fleet.devices), len(core.push.streams)
        state = "closed" if self._is_over.is_set() else "up" if self._offered > 0 else "waiting"
        peer = f"{phones} {'phone' if phones == 1 else 'phones'}, {streaming} streaming"
        counters = {
            **core.counters,
            **core.merger.counters,
            "hints": core.push.hints,
            "streams": core.push.count,
            "not_kept": self._lost,
        }
        lanes = (LaneStatus(LANE, state, peer, self._since_ms, is_receiving=self._is_running),)
        return DriverStatus(lanes, counters, self.last_error, self.last_error_at_ms)


def sealer(config: AndroidConfig) -> Sealer:
    """Encrypts for the phones that are to have it."""
    if not config.encrypt:
        return Sealer()
    encryption = Encryption(config.passphrase, secrets.token_bytes, config.iterations)
    return Sealer(encryption.encrypt, "*" in config.encrypt, frozenset(config.encrypt))


def _offload(work: Callable[[], Any], done: Callable[[Any], None]) -> None:
    """Work that takes long is done by a thread of the loop's own pool."""
    future = asyncio.get_running_loop().run_in_executor(None, work)
    future.add_done_callback(lambda found: done(found.result()))


def _give(exchange: HTTPExchange, reply: Reply) -> None:
    exchange.respond(reply.status, reply.body, fields=reply.fields)


def _exchange(stream: object) -> HTTPExchange:
    return stream  # type: ignore[return-value]  # the core is told of streams as objects
