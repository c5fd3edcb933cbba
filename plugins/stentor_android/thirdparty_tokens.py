"""Who asks the third-party API: logins with their passwords, and the tokens (JWT, RFC 7519) they are given. Pure.

Tokens are signed with HMAC-SHA-256 (RFC 7518 §3.2) and name the login, what they are for, and what they allow. Checking
a password is slow on purpose, so who had the right one is remembered for a minute, by a digest under a key of this
process. Invariants: a revoked token is remembered until it would have expired; both memories are bounded.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

DAY_S: Final = 86_400
LONGEST_S: Final = 30 * DAY_S
MOST_REVOKED: Final = 1_000
_MOST_REMEMBERED: Final = 256
_REMEMBERED_S: Final = 60.0
_TOKEN_OCTETS: Final = 8_192
ALL: Final = "all:any"
REFRESH: Final = "tokens:refresh"
_HEADER: Final = {"alg": "HS256", "typ": "JWT"}


class Login(msgspec.Struct, frozen=True):
    """Who is known; ``account`` is the one of ours it submits for, empty for the default."""

    login: str
    account: str = ""


class Logins(Protocol):
    """The logins there are."""

    def check(self, login: str, password: str) -> Login | None:
        """Who that is; None for a login nobody has or a wrong password."""

    def find(self, login: str) -> Login | None:
        """Who a token was given to, None once it is gone."""


class Claims(msgspec.Struct, frozen=True):
    """What a token says. Times are seconds since 1970. ``renews``: it allows nothing but to be exchanged for a token
    of these scopes."""

    sub: str
    jti: str
    iat: int
    exp: int
    scopes: list[str]
    renews: list[str] = []


class Caller(msgspec.Struct, frozen=True):
    """Who asks, and what it may do."""

    login: Login
    scopes: frozenset[str]
    claims: Claims | None = None

    def may(self, scope: str) -> bool:
        return ALL in self.scopes or scope in self.scopes


class Grant(msgspec.Struct, frozen=True):
    """The answer to a request for a token. Documents of that API write the names in one way, its servers and the
    published clients in the other: both are given."""

    id: str
    token_type: str
    access_token: str
    refresh_token: str
    expires_at: str

    def body(self) -> bytes:
        fields: dict[str, Any] = msgspec.to_builtins(self)
        for name in tuple(fields):
            first, *others = name.split("_")
            fields[first + "".join(word.title() for word in others)] = fields[name]
        return msgspec.json.encode(fields)


class Tokens:
    """Makes, checks and revokes them. ``key`` signs and outlives restarts; ``revoked`` are ids and when they expire."""

    def __init__(
        self,
        logins: Logins,
        key: bytes,
        entropy: Callable[[int], bytes],
        revoked: dict[str, int] | None = None,
    ) -> None:
        self._logins = logins
        self._key = key
        self._entropy = entropy
        self._pepper = entropy(32)
        self._remembered: dict[bytes, tuple[float, Login]] = {}
        self.revoked = revoked or {}

    # -- who asks --------------------------------------------------------------------------------------------------

    def caller(self, authorization: str, now_s: float) -> Caller | None:
        """Who an Authorization field names; None for nobody we know."""
        scheme, _, rest = authorization.partition(" ")
        match scheme.lower():
            case "basic":
                login = self._by_password(rest.strip(), now_s)
                return None if login is None else Caller(login, frozenset({ALL}))
            case "bearer":
                return self._by_token(rest.strip(), now_s)
        return None

    def forget_passwords(self) -> None:
        """A password changed, or a login is gone."""
        self._remembered.clear()

    def _by_password(self, credentials: str, now_s: float) -> Login | None:
        mark = hmac.digest(self._pepper, credentials.encode(), "sha256")
        until_s, login = self._remembered.get(mark, (0.0, None))
        if login is not None and now_s < until_s:
            return login
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        found = self._logins.check(name, password) if colon else None
        if found is not None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[mark] = (now_s + _REMEMBERED_S, found)
        return found

    def _by_token(self, token: str, now_s: float) -> Caller | None:
        claims = self._read(token, now_s)
        if claims is None:
            return None
        login = self._logins.find(claims.sub)
        return None if login is None else Caller(login, frozenset(claims.scopes), claims)

    # -- tokens ----------------------------------------------------------------------------------------------------

    def grant(self, login: Login, scopes: Iterable[str], ttl_s: int, now_s: float) -> Grant:
        """A token and another to renew it with."""
        expires_s = int(now_s) + max(1, min(ttl_s or DAY_S, LONGEST_S))
        token_id = self._entropy(12).hex()
        access = Claims(login.login, token_id, int(now_s), expires_s, sorted(scopes))
        renewal = msgspec.structs.replace(
            access,
            jti=self._renewal(token_id),
            exp=int(now_s) + LONGEST_S,
            scopes=[REFRESH],
            renews=access.scopes,
        )
        return Grant(token_id, "Bearer", self._sign(access), self._sign(renewal), _date(expires_s))

    def renew(self, caller: Caller, ttl_s: int, now_s: float) -> Grant | None:
        """New tokens for a renewal token, which is used up; None for any other."""
        claims = caller.claims
        if claims is None or not claims.renews or not self._revoke(claims.jti, claims.exp, now_s):
            return None
        return self.grant(caller.login, claims.renews, ttl_s, now_s)

    def revoke(self, token_id: str, now_s: float) -> bool:
        """Neither token of that id is good any more. False when too many are remembered already."""
        expires_s = int(now_s) + LONGEST_S
        return self._revoke(token_id, expires_s, now_s) and self._revoke(
            self._renewal(token_id), expires_s, now_s
        )

    def _renewal(self, token_id: str) -> str:
        """The id of the renewal token that goes with a token; nobody else can tell it."""
        return hmac.digest(self._key, b"renewal " + token_id.encode(), "sha256").hex()[:24]

    def _revoke(self, token_id: str, expires_s: int, now_s: float) -> bool:
        self.revoked = {each: until_s for each, until_s in self.revoked.items() if until_s > now_s}
        if len(self.revoked) >= MOST_REVOKED:
            return False
        self.revoked[token_id] = expires_s
        return True

    def _sign(self, claims: Claims) -> str:
        text = f"{_encode(msgspec.json.encode(_HEADER))}.{_encode(msgspec.json.encode(claims))}"
        return f"{text}.{_encode(self._signature(text))}"

    def _signature(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(), "sha256")

    def _read(self, token: str, now_s: float) -> Claims | None:
        """What a token says that we signed and that is still good."""
        if len(token) > _TOKEN_OCTETS or not token.isascii():
            return None
        text, _, signature = token.rpartition(".")
        try:
            # Only what we signed is looked into, so its header is ours.
            if not hmac.compare_digest(self._signature(text), _decode(signature)):
                return None
            claims = msgspec.json.decode(_decode(text.partition(".")[2]), type=Claims)
        except (binascii.Error, ValueError):
            return None
        return claims if claims.exp > now_s and claims.jti not in self.revoked else None


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
