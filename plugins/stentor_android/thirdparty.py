"""The app family's third-party API on top of our own: clients of that app's servers work unchanged against us.

Owns the paths, who may use them, and what each does; messages go through the host's API as every other submission,
phones are the driver's. Nothing here waits: answers are given when the host answers. Invariant: a login sees its own
webhooks, settings and phones, and its account's messages.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

import stentor
from stentor.driver import Host, HTTPExchange
from stentor.errors import Overloaded
from stentor_android.dates import date_text
from stentor_android.encryption import Encryption
from stentor_android.thirdparty_account import Kept, Sections, check_settings
from stentor_android.thirdparty_calls import ANY, Call, give, refuse, shape, split
from stentor_android.thirdparty_desk import Desk, Offload
from stentor_android.thirdparty_inbox import Refresh, read_refresh
from stentor_android.thirdparty_messages import Rejected
from stentor_android.thirdparty_tokens import Logins, Tokens

BODY_LIMIT: Final = 256 * 1024
_HOUR_MS: Final = 3_600_000


class PhoneBody(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A phone as that API shows it; times are RFC 3339."""

    id: str
    name: str
    created_at: str
    updated_at: str
    last_seen: str
    sim_cards: Sequence[Any] | None = None


class Phones(Protocol):
    """What is asked of the driver about the phones of a login."""

    def listed(self, login: str) -> Sequence[PhoneBody]: ...

    def remove(self, login: str, device_id: str) -> bool:
        """False when the login has no such phone."""

    def hooks_changed(self, login: str) -> None:
        """Tell its phones to ask for their webhooks (:meth:`ThirdParty.kept`)."""

    def settings_changed(self, login: str) -> None: ...

    def refresh_inbox(self, login: str, refresh: Refresh) -> bool:
        """Ask phones for what came in meanwhile; False when the login has no such phone."""


class ThirdParty:
    """Takes the requests to ``thirdparty_calls.PREFIXES``. To be made and used on the driver's loop.

    ``entropy`` gives octets that nobody can guess. ``encryption`` reads messages that clients encrypted, which cannot
    be routed otherwise; deriving their keys is slow and goes to ``offload``. ``suspect`` is told what somebody came
    with that is nobody's; False when that one is barred and was not believed.
    """

    def __init__(
        self,
        host: Host,
        logins: Logins,
        phones: Phones,
        entropy: Callable[[int], bytes],
        encryption: Encryption | None = None,
        offload: Offload = lambda work, done: done(work()),
        suspect: Callable[[str], bool] = lambda authorization: True,
    ) -> None:
        self._host = host
        self._phones = phones
        self._entropy = entropy
        self._suspect = suspect
        self.desk = Desk(host, self._check_phones, entropy, encryption, offload)
        self._kept: dict[str, Kept] = {}
        kept = host.kept()
        for name, value in kept.items():
            if name.startswith("3p/login/"):
                self._kept[name.removeprefix("3p/login/")] = msgspec.json.decode(value, type=Kept)
        key = kept.get("3p/key") or entropy(32)
        if "3p/key" not in kept:
            try:
                host.keep("3p/key", key)
            except Overloaded:
                host.log.warning("no room to remember the key of tokens: they end with this process")
        revoked = msgspec.json.decode(kept.get("3p/revoked", b"{}"), type=dict[str, int])
        self.tokens = Tokens(logins, key, entropy, revoked)

    def kept(self, login: str) -> Kept:
        """Webhooks and settings of a login, for its phones."""
        return self._kept.get(login) or Kept()

    def forget(self, login: str) -> None:
        """The login is gone."""
        self.tokens.forget_passwords()
        if self._kept.pop(login, None) is not None:
            self._host.keep(f"3p/login/{login}", None)

    # -- the way to an operation -----------------------------------------------------------------------------------

    def handle(self, exchange: HTTPExchange) -> None:
        """Take one request."""
        try:
            self._handle(exchange)
        except Rejected as error:
            refuse(exchange, error)
        except Overloaded:
            refuse(exchange, Rejected(503, "no more can be remembered now"))

    def _handle(self, exchange: HTTPExchange) -> None:
        base, path = split(exchange.head.path)
        if path == ("health",) and exchange.head.method == "GET":
            self._health(exchange)
            return
        authorization = exchange.head.headers.get("authorization", "")
        caller = self.tokens.caller(authorization, self._now_s())
        if caller is None:
            if authorization and not self._suspect(authorization):
                raise Rejected(429, "Too many failures, try again later")
            raise Rejected(401, "Unauthorized")
        call = Call(exchange, caller, base, path)
        kind = shape(path)
        found = _OPERATIONS.get((exchange.head.method, *kind))
        if found is None:
            is_known = any(tuple(others) == kind for _, *others in _OPERATIONS)
            raise Rejected(405 if is_known else 404, "Method not allowed" if is_known else "Not found")
        operate, scope = found
        if not caller.may(scope):
            raise Rejected(403, f"the token does not allow {scope}")
        operate(self, call)

    def _check_phones(self, login: str, device_id: str, active_h: int) -> None:
        """Raises Rejected where the login has no such phone, or none of those meant was seen within so many hours."""
        if not device_id and not active_h:
            return
        meant = [phone for phone in self._phones.listed(login) if device_id in ("", phone.id)]
        if device_id and not meant:
            raise Rejected(400, "there is no such device")
        # In UTC with milliseconds, times sort as text.
        since = date_text(self._host.clock.wall_ms() - active_h * _HOUR_MS) if active_h else ""
        if not any(phone.last_seen >= since for phone in meant):
            raise Rejected(400, f"no device was active within {active_h} hours")

    def _now_s(self) -> float:
        return self._host.clock.wall_ms() / 1000

    # -- phones ----------------------------------------------------------------------------------------------------

    def phones(self, call: Call) -> None:
        give(call.exchange, 200, [*self._phones.listed(call.login.login)])

    def remove_phone(self, call: Call) -> None:
        if not self._phones.remove(call.login.login, call.path[1]):
            raise Rejected(404, "there is no such device")
        call.exchange.respond(204, b"")

    def refresh_inbox(self, call: Call) -> None:
        refresh = read_refresh(call.exchange.body)
        if not self._phones.refresh_inbox(call.login.login, refresh):
            raise Rejected(404, "there is no such device")
        give(call.exchange, 202, {})

    # -- webhooks and settings -------------------------------------------------------------------------------------

    def hooks(self, call: Call) -> None:
        give(call.exchange, 200, [*self.kept(call.login.login).hooks.values()])

    def add_hook(self, call: Call) -> None:
        login = call.login.login
        kept = self._draft(login)
        hook = kept.add_hook(call.exchange.body, self._entropy(10).hex())
        self._keep(login, kept)
        self._phones.hooks_changed(login)
        give(call.exchange, 201, hook)

    def remove_hook(self, call: Call) -> None:
        """One that is not there is removed already."""
        login = call.login.login
        kept = self._draft(login)
        if kept.hooks.pop(call.path[1], None) is not None:
            self._keep(login, kept)
            self._phones.hooks_changed(login)
        call.exchange.respond(204, b"")

    def settings(self, call: Call) -> None:
        give(call.exchange, 200, self.kept(call.login.login).shown_settings())

    def replace_settings(self, call: Call) -> None:
        self._change_settings(call, is_whole=True)

    def change_settings(self, call: Call) -> None:
        self._change_settings(call, is_whole=False)

    def _change_settings(self, call: Call, *, is_whole: bool) -> None:
        login = call.login.login
        sections: Sections = check_settings(call.exchange.body)
        kept = self._draft(login)
        kept.change_settings(sections, is_whole=is_whole)
        self._keep(login, kept)
        self._phones.settings_changed(login)
        give(call.exchange, 200, kept.shown_settings())

    def _draft(self, login: str) -> Kept:
        """What is kept, to be changed: it holds once it is kept."""
        return msgspec.json.decode(msgspec.json.encode(self.kept(login)), type=Kept)

    def _keep(self, login: str, kept: Kept) -> None:
        self._host.keep(f"3p/login/{login}", msgspec.json.encode(kept))
        self._kept[login] = kept

    # -- tokens and health -----------------------------------------------------------------------------------------

    def grant(self, call: Call) -> None:
        wish = _wish(call.exchange.body)
        if not wish.scopes:
            raise Rejected(400, "scopes are needed")
        if not all(call.caller.may(scope) for scope in wish.scopes):
            raise Rejected(403, "a token cannot allow more than its maker may")
        grant = self.tokens.grant(call.login, wish.scopes, wish.ttl, self._now_s())
        call.exchange.respond(201, grant.body())

    def renew(self, call: Call) -> None:
        grant = self.tokens.renew(call.caller, _wish(call.exchange.body or b"{}").ttl, self._now_s())
        if grant is None:
            raise Rejected(401, "that is no token to renew with")
        self._host.keep("3p/revoked", msgspec.json.encode(self.tokens.revoked))
        call.exchange.respond(201, grant.body())

    def revoke(self, call: Call) -> None:
        if not self.tokens.revoke(call.path[2], self._now_s()):
            raise Rejected(503, "too many tokens were revoked lately")
        self._host.keep("3p/revoked", msgspec.json.encode(self.tokens.revoked))
        call.exchange.respond(204, b"")

    def _health(self, exchange: HTTPExchange) -> None:
        def answered(status: int, octets: bytes) -> None:
            is_ready = status == 200
            word = "pass" if is_ready else "fail"
            check = {"status": word, "observedValue": int(is_ready), "observedUnit": "boolean"}
            checks = {"daemon:ready": {**check, "description": "can take work"}}
            health = {"status": word, "version": stentor.__version__, "releaseId": 1, "checks": checks}
            give(exchange, 200 if is_ready else 503, health)

        self._host.request("GET", "/readyz", b"", answered)


class _Wish(msgspec.Struct, frozen=True):
    """A request for a token; ``ttl`` in seconds, 0 for the usual."""

    scopes: list[str] = []
    ttl: int = 0


def _wish(body: bytes) -> _Wish:
    try:
        return msgspec.json.decode(body, type=_Wish)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(400, str(error)) from None


Operate = Callable[[ThirdParty, Call], None]
_OPERATIONS: Final[dict[tuple[str, ...], tuple[Operate, str]]] = {
    ("POST", "messages"): (lambda api, call: api.desk.submit(call), "messages:send"),
    ("GET", "messages"): (lambda api, call: api.desk.list_messages(call), "messages:list"),
    ("GET", "messages", ANY): (lambda api, call: api.desk.show(call), "messages:read"),
    ("DELETE", "messages", ANY): (lambda api, call: api.desk.cancel(call), "messages:cancel"),
    ("GET", "devices"): (ThirdParty.phones, "devices:list"),
    ("DELETE", "devices", ANY): (ThirdParty.remove_phone, "devices:delete"),
    ("GET", "webhooks"): (ThirdParty.hooks, "webhooks:list"),
    ("POST", "webhooks"): (ThirdParty.add_hook, "webhooks:write"),
    ("DELETE", "webhooks", ANY): (ThirdParty.remove_hook, "webhooks:delete"),
    ("GET", "settings"): (ThirdParty.settings, "settings:read"),
    ("PUT", "settings"): (ThirdParty.replace_settings, "settings:write"),
    ("PATCH", "settings"): (ThirdParty.change_settings, "settings:write"),
    ("POST", "inbox", "refresh"): (ThirdParty.refresh_inbox, "inbox:refresh"),
    ("POST", "messages", "inbox", "export"): (ThirdParty.refresh_inbox, "messages:export"),
    ("POST", "auth", "token"): (ThirdParty.grant, "tokens:manage"),
    ("POST", "auth", "token", "refresh"): (ThirdParty.renew, "tokens:refresh"),
    ("DELETE", "auth", "token", ANY): (ThirdParty.revoke, "tokens:manage"),
}
"""What is done, and the scope a token needs for it; a password allows everything."""
