"""Who may tell us something: the checks of a description with one account's keys, compiled once.

All checks that have a key must hold. A check whose keys are all empty settings is left out, because the account has
not switched it on; a channel without any check must have a ``hook_token``.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from stentor_http import signatures
from stentor_http.description import (
    BasicCheck,
    Check,
    Ed25519Check,
    HeaderCheck,
    HMACCheck,
    JWTCheck,
    PlivoCheck,
    Texts,
    TwilioCheck,
    VonageCheck,
)
from stentor_http.extraction import form_pairs, read_json
from stentor_http.signatures import is_near, is_same


class Call(msgspec.Struct, frozen=True):
    """A request as far as checks look at it. ``url`` is the one the carrier was given, query and all."""

    method: str
    url: str
    query: str
    fields: Mapping[str, str]
    body: bytes
    wall_ms: int

    @property
    def is_json(self) -> bool:
        return "json" in self.fields.get("content-type", "")

    def pairs(self) -> list[tuple[str, str]]:
        """Fields of the form in the body."""
        return [] if self.is_json else form_pairs(self.body)


Test = Callable[[Call], str]
"""Empty when all is well, else the reason: ``signature`` or ``stale``."""

WRONG: Final = "signature"
STALE: Final = "stale"

Fill = Callable[[str], str]
"""From a template of settings alone to its text; empty when a setting in it is."""


def compile_check(check: Check, fill: Fill) -> Test | None:
    """The check with this account's keys; None when the account has none."""
    if isinstance(check, BasicCheck):
        return _basic(fill(check.user), fill(check.password))
    if isinstance(check, HeaderCheck):
        return _header(check.name.lower(), _keys(check.value, fill))
    keys = _keys(check.key, fill)
    if not keys:
        return None
    match check:
        case HMACCheck():
            return _hmac(check, keys)
        case TwilioCheck():
            return _twilio(check.header.lower(), keys)
        case PlivoCheck():
            return _plivo(keys)
        case VonageCheck():
            return _vonage(keys, check.method)
        case JWTCheck():
            return _jwt(check, keys, {name: fill(text) for name, text in check.claims.items()})
        case Ed25519Check():
            return _ed25519(check, keys)


def _keys(texts: Texts, fill: Fill) -> list[str]:
    return [key for text in ([texts] if isinstance(texts, str) else texts) if (key := fill(text))]


def _verdict(is_right: bool) -> str:
    return "" if is_right else WRONG


def _basic(user: str, password: str) -> Test | None:
    if not user and not password:
        return None
    wanted = "basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def test(call: Call) -> str:
        given = call.fields.get("authorization", "")
        return _verdict(is_same("basic " + given[6:].strip(), wanted) and given[:6].lower() == "basic ")

    return test


def _header(name: str, values: list[str]) -> Test | None:
    if not values:
        return None
    return lambda call: _verdict(any(is_same(call.fields.get(name, ""), value) for value in values))


_HOLE: Final = re.compile(r"\{([a-z0-9_.-]+)\}")


def message_of(template: str, call: Call) -> bytes:
    """The octets that were signed."""
    made, at = b"", 0
    for found in _HOLE.finditer(template):
        made += template[at : found.start()].encode()
        name = found[1]
        if name == "sha256":
            made += hashlib.sha256(call.body).digest()
        else:
            made += call.body if name == "body" else _text_of(name, call).encode()
        at = found.end()
    return made + template[at:].encode()


def _text_of(name: str, call: Call) -> str:
    return call.url if name == "url" else call.fields.get(name.removeprefix("header."), "")


def faults_of(template: str) -> str | None:
    """What is wrong with a template of what is signed; None when nothing is."""
    for name in _HOLE.findall(template):
        if name not in ("body", "sha256", "url") and not name.startswith("header."):
            return f"{{{name}}}: what is signed is made of {{body}}, {{sha256}}, {{url}} and {{header.NAME}}"
    return None


def _hmac(check: HMACCheck, keys: list[str]) -> Test:
    header, stamp = check.header.lower(), check.timestamp_header.lower()

    def test(call: Call) -> str:
        given = call.fields.get(header, "")
        message = message_of(check.message, call)
        wanted = [signatures.hmac_text(key, message, check.digest, check.encoding) for key in keys]
        if not any(is_same(given, check.prefix + one) for one in wanted):
            return WRONG
        return STALE if stamp and not is_near(call.fields.get(stamp, ""), call.wall_ms) else ""

    return test


def _twilio(header: str, keys: list[str]) -> Test:
    def test(call: Call) -> str:
        given = call.fields.get(header, "")
        pairs: list[tuple[str, str]] | None = None
        if call.is_json:
            digest = dict(form_pairs(call.query)).get("bodySHA256", "")
            if not is_same(digest, hashlib.sha256(call.body).hexdigest()):
                return WRONG
        elif call.method == "POST":
            pairs = call.pairs()
        urls = (signatures.without_port(call.url), signatures.with_port(call.url))
        return _verdict(
            any(is_same(given, signatures.twilio(key, url, pairs)) for key in keys for url in urls)
        )

    return test


def _plivo(keys: list[str]) -> Test:
    def test(call: Call) -> str:
        given = [one.strip() for one in call.fields.get("x-plivo-signature-v3", "").split(",")]
        nonce = call.fields.get("x-plivo-signature-v3-nonce", "")
        url = call.url.partition("?")[0]
        pairs = call.pairs() if call.method == "POST" else []
        wanted = [
            signatures.plivo(key, call.method, url, form_pairs(call.query), pairs, nonce) for key in keys
        ]
        return _verdict(any(is_same(one, right) for one in given for right in wanted))

    return test


def _vonage(keys: list[str], method: str) -> Test:
    def test(call: Call) -> str:
        pairs = _all_pairs(call)
        fields = dict(pairs)
        given = fields.get("sig", "").lower()
        if not any(is_same(given, signatures.vonage(key, pairs, method).lower()) for key in keys):
            return WRONG
        return "" if is_near(fields.get("timestamp", ""), call.wall_ms) else STALE

    return test


def _all_pairs(call: Call) -> list[tuple[str, str]]:
    """What a carrier signed that sends a form, a query or a flat JSON object, without what our own URL has."""
    own = {"token", "id"}
    if call.method == "GET":
        return [pair for pair in form_pairs(call.query) if pair[0] not in own]
    if not call.is_json:
        return call.pairs()
    document: Any = read_json(call.body)
    if not isinstance(document, dict):
        return []
    return [(name, value if isinstance(value, str) else str(value)) for name, value in document.items()]


def _jwt(check: JWTCheck, keys: list[str], wanted: dict[str, str]) -> Test:
    header = check.header.lower()

    def test(call: Call) -> str:
        claims = signatures.read_jwt(
            keys, token_of(call.fields.get(header, ""), check.bearer), check.algorithms
        )
        if claims is None:
            return WRONG
        for name, text in wanted.items():
            if name == "payload_hash" and not call.body and name not in claims:
                continue
            if text and not is_same(str(claims.get(name, "")), _claim(text, call)):
                return WRONG
        return _timely(claims, call.wall_ms)

    return test


def token_of(text: str, is_bearer: bool) -> str:
    """The token in a header field."""
    if not is_bearer:
        return text.strip()
    return text[7:].strip() if text[:7].lower() == "bearer " else ""


def _claim(text: str, call: Call) -> str:
    if text == "{sha256_body}":
        return hashlib.sha256(call.body).hexdigest()
    if text == "{sha256_url}":
        return hashlib.sha256(call.url.encode()).hexdigest()
    return text


def _timely(claims: Mapping[str, Any], wall_ms: int) -> str:
    """``nbf``, ``exp`` and ``iat``, those that are there (RFC 7519 §4.1), with a second's leeway and our tolerance."""
    now_s = wall_ms / 1000
    moments = {name: claims[name] for name in ("nbf", "exp", "iat") if name in claims}
    if not all(type(at) in (int, float) for at in moments.values()):
        return WRONG
    if now_s < moments.get("nbf", now_s) - 1 or now_s > moments.get("exp", now_s) + 1:
        return STALE
    return STALE if abs(moments.get("iat", now_s) - now_s) > signatures.TOLERANCE_S else ""


def _ed25519(check: Ed25519Check, keys: list[str]) -> Test:
    header, stamp = check.header.lower(), check.timestamp_header.lower()

    def test(call: Call) -> str:
        if stamp and not is_near(call.fields.get(stamp, ""), call.wall_ms):
            return STALE
        message = message_of(check.message, call)
        return _verdict(signatures.ed25519_is_right(keys, message, call.fields.get(header, "")))

    return test
