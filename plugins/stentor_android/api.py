"""The device API: each request of a phone becomes an answer. A table says which function has which endpoint.

A wrong or unknown device token is answered 401 and nothing else, for only that makes a phone register again; nobody
guesses one, so those who come with another server's are not counted against their address either. A valid one is always
served, whoever else fails from the same address.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from stentor_android.core import (
    BARRED,
    FORBIDDEN,
    FULL,
    MALFORMED,
    NO_CONTENT,
    NOT_FOUND,
    NOTHING,
    TOO_MUCH,
    UNAUTHORISED,
    Answer,
    Core,
    Listing,
    Remembering,
    Reply,
    Request,
    Streaming,
    Uploading,
)
from stentor_android.dates import date_text
from stentor_android.devices import Device
from stentor_android.inbound import webhooks
from stentor_android.items import listed
from stentor_android.protocol import (
    PREFIXES,
    PasswordChange,
    Registration,
    Update,
    Webhook,
    decode,
    decode_reports,
    endpoint,
    parse_authorization,
    refusal,
)
from stentor_android.registry import MAX_PHONES, digest
from stentor_android.settings import settings
from stentor_android.thirdparty_account import Kept
from stentor_android.uploads import read_uploads
from stentor_android.versions import EVENTS_SINCE, NEVER, UNKNOWN, parse_agent

EVENTS: Final = (
    "sms:received",
    "sms:data-received",
    "mms:downloaded",
    "system:ping",
    "app:started",
)
SENT_EVENTS: Final = ("sms:sent", "sms:delivered", "sms:failed", "sms:cancelled")
REPORTS_AT_ONCE: Final = 500
_NEW_PASSWORD: Final = 14
_LONGEST_BEARER: Final = 64
"""Of an Authorization field with the token of a phone, which has 21 letters."""
_PREFIXES: Final = tuple(sorted(PREFIXES, key=len, reverse=True))

Function = Callable[["API", Request, Device, float, int], Answer]


class API:
    """Answers phones. Pure: what is to be done besides is collected in the core. ``wanted`` has the webhooks and
    settings that the owner of a login set."""

    def __init__(
        self, core: Core, hook_url: Callable[[str], str], wanted: Callable[[str], Kept] = lambda login: Kept()
    ) -> None:
        self.core = core
        self._hook_url = hook_url
        self._wanted = wanted

    def answer(self, request: Request, now: float, wall_ms: int) -> Answer:
        """Answer one request below either prefix."""
        below = _below(request.path)
        method = request.method
        if below == "/device" and method == "POST":
            return self._register(request, now, wall_ms)
        if below == "/user/code" and method == "GET":
            return self._code(request, now, wall_ms)
        authorization = request.headers.get("authorization", "")
        if below == "/device" and method == "GET" and not authorization:
            return self._address(request)
        device = self._device(authorization)
        if device is None:
            self.core.counters["unauthorised"] += 1
            return UNAUTHORISED
        version = parse_agent(request.headers.get("user-agent", ""))
        if version != UNKNOWN:
            device.phone.version = version
        self.core.seen(device.phone, wall_ms)
        function = _ENDPOINTS.get((method, below))
        if function is None:
            return NOT_FOUND
        return function(self, request, device, now, wall_ms)

    def refuse(self, request: Request, is_barred: bool, now: float) -> Reply:
        """Somebody is not who he says, or says nothing; or he was not believed because he is barred."""
        core = self.core
        if is_barred:
            core.counters["barred"] += 1
            return BARRED
        credentials = request.headers.get("authorization", "")
        if credentials:
            core.guard.failed(self.client(request.headers, request.address), credentials, now)
        core.counters["unauthorised"] += 1
        return UNAUTHORISED

    def is_barred(self, request: Request, now: float) -> bool:
        """Is nothing that could be guessed believed of this address?"""
        return self.core.guard.is_barred(self.client(request.headers, request.address), now)

    def client(self, headers: Mapping[str, str], address: str) -> str:
        """``host:port`` of whoever asks; behind a proxy what that tells."""
        forwarded = headers.get("x-forwarded-for", "") if self.core.config.forwarded else ""
        last = forwarded.rpartition(",")[2].strip()
        return f"{last}:0" if last else address

    # -- who is it --------------------------------------------------------------------------------------------------

    def _device(self, authorization: str) -> Device | None:
        found = _bearer_digest(authorization) if len(authorization) <= _LONGEST_BEARER else None
        phone = self.core.registry.by_digest(found) if found is not None else None
        return None if phone is None else self.core.fleet.devices.get(phone.id)

    def _register(self, request: Request, now: float, wall_ms: int) -> Answer:
        core = self.core
        told = decode(request.body, Registration)
        if told is None or not told.name or len(told.name) > 128:
            core.counters["malformed"] += 1
            return MALFORMED
        credentials = parse_authorization(request.headers.get("authorization", ""))
        is_barred = self.is_barred(request, now)
        if core.registry.is_full and not core.registry.is_invitation(credentials):
            core.counters["full"] += 1
            return FULL
        found = core.registry.register(
            credentials, told.name, bool(told.push_token), told.sim_cards or (), wall_ms, is_barred
        )
        if found is None:
            return self.refuse(request, is_barred, now)
        registered, phone, old = found
        phone.version = parse_agent(request.headers.get("user-agent", ""))
        core.registry.changed(phone)
        core.registered(phone, old, now, wall_ms)
        return Remembering(Reply(201, msgspec.json.encode(registered)))

    def _code(self, request: Request, now: float, wall_ms: int) -> Reply:
        core = self.core
        credentials = parse_authorization(request.headers.get("authorization", ""))
        is_barred = self.is_barred(request, now)
        account = core.registry.account(credentials, is_barred) if credentials.scheme == "basic" else None
        if account is None:
            return self.refuse(request, is_barred, now)
        code, until_ms = core.registry.issue_code(account, wall_ms)
        return _json({"code": code, "validUntil": date_text(until_ms)})

    # -- endpoints --------------------------------------------------------------------------------------------------

    def _address(self, request: Request) -> Reply:
        return _json({"externalIp": host_of_client(self.client(request.headers, request.address))})

    def _own_address(self, request: Request, device: Device, now: float, wall_ms: int) -> Answer:
        return self._address(request)

    def _update(self, request: Request, device: Device, now: float, wall_ms: int) -> Answer:
        told = decode(request.body, Update)
        if told is None:
            self.core.counters["malformed"] += 1
            return MALFORMED
        phone = device.phone
        if told.id != phone.id:
            self.core.counters["foreign_devices"] += 1
            return FORBIDDEN
        phone.waits_for_push = bool(told.push_token)
        self.core.registry.changed(phone)
        if told.sim_cards is not None:
            self.core.told_sims(device, told.sim_cards, now, wall_ms)
        self.core.write()
        return NO_CONTENT

    def _pull(self, request: Request, device: Device, now: float, wall_ms: int) -> Answer:
        # App 1.46 and later say in which order; the others send the newest first whatever they are told.
        is_lifo = "order=lifo" in request.query.split("&")
        self.core.push.pulled(device.phone.id)
        fleet = self.core.fleet
        found = fleet.listing(device, is_lifo, now)
        if not device.streams:
            # A phone that only polls may have been given up on; being heard of, it has room again.
            fleet.measure(device, now, wall_ms)
        if not found:
            return NOTHING
        reply = Reply(200, msgspec.json.encode([listed(item) for item in found]))
        device_id = device.phone.id
        if device_id in fleet.leases_changed or device_id in self.core.settling:
            # After a crash nobody else may be given it: that it is with this phone is remembered before it knows.
            return Listing(reply, device_id)
        return reply

    def _report(self, request: Request, device: Device, now: float, wall_ms: int) -> Answer:
        found = decode_reports(request.body)
        if found is None:
            self.core.counters["malformed"] += 1
            return MALFORMED
        reports, unreadable = found
        merger = self.core.merger
        merger.unreadable(unreadable + max(0, len(reports) - REPORTS_AT_ONCE))
        for report in reports[:REPORTS_AT_ONCE]:
            merger.merge(device, report, now, wall_ms)
        return NO_CONTENT

    def _inbox(self, request: Request, device: Device, now: float, wall_ms: int) -> Answer:
        core = self.core
        if not core.config.inbox:
            return NOT_FOUND
        found = read_uploads(request.body)
        if found is None:
            core.counters["malformed"] += 1
            return TOO_MUCH if request.body.startswith(b"[") else MALFORMED
        uploads, unreadable = found
        core.counters["inbound_unreadable"] += unreadable
        return Uploading(uploads, device)

    def _events(self, request: Request, device: Device, now: float, wall_ms: int) -> Answer:
        return Streaming(device)

    def _webhooks(self, request: Request, device: Device, now: float, wall_ms: int) -> Answer:
        events = EVENTS + SENT_EVENTS if self.core.config.sent_events else EVENTS
        phone = device.phone
        entries = webhooks(phone, self._hook_url(phone.id), events)
        entries += [
            Webhook(hook.id or "", hook.url, hook.event)
            for hook in self._wanted(phone.login).hooks.values()
            if hook.device_id in (None, phone.id) and phone.version >= EVENTS_SINCE.get(hook.event, NEVER)
        ]
        return Reply(200, msgspec.json.encode(entries))

    def _settings(self, request: Request, device: Device, now: float, wall_ms: int) -> Answer:
        key = self.core.registry.derived("sign", device.phone.id)
        wanted = self._wanted(device.phone.login).settings
        return _json(settings(device.phone.version, key, int(self.core.config.ping_s), wanted))

    def _password(self, request: Request, device: Device, now: float, wall_ms: int) -> Answer:
        told = decode(request.body, PasswordChange)
        if told is None or not _NEW_PASSWORD <= len(told.new_password) <= 200:
            self.core.counters["malformed"] += 1
            return MALFORMED
        core, login, current = self.core, device.phone.login, told.current_password
        is_barred = self.is_barred(request, now)
        if not core.registry.change_password(login, current, told.new_password, is_barred):
            if is_barred:
                core.counters["barred"] += 1
                return BARRED
            address = self.client(request.headers, request.address)
            core.guard.failed(address, f"{login}:{current}", now)
            core.counters["unauthorised"] += 1
            return Reply(401, refusal("failed to change password"))
        return Remembering(NO_CONTENT)


_ENDPOINTS: Final[dict[tuple[str, str], Function]] = {
    ("GET", "/device"): API._own_address,
    ("PATCH", "/device"): API._update,
    ("GET", "/message"): API._pull,
    ("PATCH", "/message"): API._report,
    ("POST", "/inbox"): API._inbox,
    ("GET", "/events"): API._events,
    ("GET", "/webhooks"): API._webhooks,
    ("GET", "/settings"): API._settings,
    ("PATCH", "/user/password"): API._password,
}


@lru_cache(maxsize=256)
def _below(path: str) -> str:
    """The endpoint at a path below either prefix. All phones ask for the same few."""
    prefix = next((each for each in _PREFIXES if path.startswith(each)), "")
    return endpoint(path, prefix)


@lru_cache(maxsize=MAX_PHONES)
def _bearer_digest(authorization: str) -> bytes | None:
    """The digest of a bearer's token, None for another form. A phone says the same with each request."""
    credentials = parse_authorization(authorization)
    return digest(credentials.token) if credentials.scheme == "bearer" else None


def host_of_client(address: str) -> str:
    """The host alone."""
    return address.rpartition(":")[0].strip("[]")


def _json(value: object) -> Reply:
    return Reply(200, msgspec.json.encode(value))
