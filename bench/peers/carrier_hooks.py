"""Receipts and messages as the simulated carrier posts them: ``[receipt]``, ``[mo]`` and ``[[verify]]``, turned round.

A request is signed as the real carrier signs it, with the keys of the account's settings. Contents are templates of
octets made when it starts, one for each state.
"""

import base64
import datetime
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec

from bench.peers.carrier_answers import ID, OWN, RESULTS, TO, Octets
from bench.peers.carrier_tree import Draft
from stentor_http import signatures
from stentor_http.carrier import Carrier
from stentor_http.carrier import basic as basic_value
from stentor_http.description import (
    BasicCheck,
    Check,
    Ed25519Check,
    HeaderCheck,
    HMACCheck,
    Hook,
    JWTCheck,
    PlivoCheck,
    ReceiptHook,
    TwilioCheck,
    VonageCheck,
)
from stentor_http.extraction import form_pairs
from stentor_http.verify import Call, message_of

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
_AT: Final = "9070605040302014"
_PART: Final = "9070605040302015"

Entry = tuple[bytes, bytes, bytes]
"""The carrier's id, the client's, and the destination."""


class Writer:
    """Writes requests to the hooks of one account. ``private_key``: for a carrier that signs with Ed25519."""

    def __init__(self, carrier: Carrier, private_key: bytes = bytes(32)) -> None:
        self._carrier = carrier
        self._private_key = private_key
        self._checks: list[tuple[Check, str]] = []
        for check in carrier.description.verify:
            key = self._key(check)
            if key:
                self._checks.append((check, key))
        self._nonces = 0
        self.receipt = carrier.description.receipt
        self.mo = carrier.description.mo
        if carrier.code.unwrap is not None:
            # What its hooks are wrapped in is code, which nothing can turn round.
            self.receipt = self.mo = None
        self.is_per_part = self.receipt is not None and self.receipt.is_per_part
        self.has_lists = self.receipt is not None and bool(self.receipt.items or self.receipt.split)
        self._templates: dict[tuple[str, int], _Template] = {}

    def word_of(self, word: str) -> str:
        """The carrier's own name for a state. Raises ValueError when it has none."""
        assert self.receipt is not None
        for table in (self.receipt.map, self.receipt.groups):
            for name, means in table.items():
                if means == word:
                    return name
        words = sorted(set(self.receipt.map.values()) | set(self.receipt.groups.values()))
        raise ValueError(f"{self._carrier.name} has no state that means {word}: there are {', '.join(words)}")

    def receipts(self, url: str, word: str, entries: Sequence[Entry], wall_ms: int, parts: int = 1) -> bytes:
        """One request with the receipts of these messages, all in the same state. ``parts``: for a carrier that
        reports each part, of how many this is one."""
        hook = self.receipt
        assert hook is not None
        template = self._templates.get((word, parts))
        if template is None:
            template = self._templates[word, parts] = self._receipt_template(hook, word, parts)
        return self._request(hook, url, template, entries, wall_ms)

    def inbound(self, url: str, number: int, to: str, sender: str, text: str, wall_ms: int) -> bytes:
        """One message that came in."""
        hook = self.mo
        assert hook is not None
        draft = Draft()
        draft.satisfy(hook.only)
        draft.put(hook.segments, 1)
        draft.put(hook.from_, self._number(sender))
        draft.put(hook.to, self._number(to))
        draft.put(hook.text, text)
        draft.put(hook.id, ID)
        template = _Template(hook, draft, "")
        return self._request(hook, url, template, [(b"%d" % number, b"", b"")], wall_ms)

    def _receipt_template(self, hook: ReceiptHook, word: str, parts: int) -> "_Template":
        name, draft = self.word_of(word), Draft()
        draft.satisfy(hook.only)
        if name in hook.map:
            draft.put(hook.status, name)
        else:
            draft.put(hook.group, name)
        draft.put(hook.at, _AT)
        draft.put(hook.id, ID)
        if hook.is_per_part:
            draft.put(hook.parts, parts)
            draft.put(hook.part, _PART)
        draft.put(hook.to, TO)
        draft.put(hook.own, OWN)
        return _Template(hook, draft, hook.at_format)

    def _number(self, text: str) -> str:
        return text if self._carrier.description.limits.numbers == "plus" else text.removeprefix("+")

    # ---- requests

    def _request(
        self, hook: Hook, url: str, template: "_Template", entries: Sequence[Entry], wall_ms: int
    ) -> bytes:
        url = url.partition("#")[0]
        method = hook.methods[0]
        self._nonces += 1
        body, pairs = template.content(entries, wall_ms, self._nonces)
        if pairs is not None:
            pairs = [*pairs, *self._vonage(pairs, wall_ms)]
            body = urlencode(pairs).encode()
        query = [(name, value) for name, value in template.query.items() if f"{name}=" not in url]
        if method == "GET" and pairs is not None:
            query, body, pairs = [*query, *pairs], b"", None
        if query:
            filled = Octets(urlencode(query).encode()).fill(_quoted(entries[0])).decode()
            url += ("&" if "?" in url else "?") + filled
        fields = {} if method == "GET" else {"content-type": JSON if pairs is None else FORM}
        url = self._sign(method, url, fields, body, pairs, wall_ms)
        return _octets(method, url, fields, body)

    def _sign(
        self,
        method: str,
        url: str,
        fields: dict[str, str],
        body: bytes,
        pairs: Sequence[tuple[str, str]] | None,
        wall_ms: int,
    ) -> str:
        """Add to the fields what proves who sends this; the URL, which some signatures add to."""
        for check, key in self._checks:
            match check:
                case BasicCheck():
                    fields["authorization"] = key
                case HeaderCheck():
                    fields[check.name.lower()] = key
                case HMACCheck():
                    self._stamp(check.message, check.timestamp_header, fields, wall_ms)
                    message = message_of(check.message, Call(method, url, "", fields, body, wall_ms))
                    made = signatures.hmac_text(key, message, check.digest, check.encoding)
                    fields[check.header.lower()] = check.prefix + made
                case TwilioCheck():
                    if pairs is None and method == "POST":
                        url += ("&" if "?" in url else "?") + f"bodySHA256={hashlib.sha256(body).hexdigest()}"
                    fields[check.header.lower()] = signatures.twilio(key, url, pairs)
                case PlivoCheck():
                    nonce, (base, _, query) = str(self._nonces), url.partition("?")
                    asked = form_pairs(query)
                    fields["x-plivo-signature-v3-nonce"] = nonce
                    made = signatures.plivo(key, method, base, asked, pairs or [], nonce)
                    fields["x-plivo-signature-v3"] = made
                case JWTCheck():
                    fields[check.header.lower()] = self._token(check, key, url, body, wall_ms)
                case Ed25519Check():
                    self._stamp(check.message, check.timestamp_header, fields, wall_ms)
                    message = message_of(check.message, Call(method, url, "", fields, body, wall_ms))
                    fields[check.header.lower()] = signatures.ed25519(self._private_key, message)
                case VonageCheck():
                    pass  # it is among the fields of the content
        return url

    def _stamp(self, message: str, header: str, fields: dict[str, str], wall_ms: int) -> None:
        """Header fields that are signed: the time, and a number used once."""
        for name in message.split("{header.")[1:]:
            fields.setdefault(name.partition("}")[0].lower(), f"n{self._nonces}")
        if header:
            fields[header.lower()] = str(wall_ms // 1000)

    def _token(self, check: JWTCheck, key: str, url: str, body: bytes, wall_ms: int) -> str:
        now_s = wall_ms // 1000
        claims: dict[str, Any] = {"iat": now_s, "nbf": now_s, "exp": now_s + 60, "jti": str(self._nonces)}
        if check.is_payload:
            claims |= msgspec.json.decode(body)
        for name, text in check.claims.items():
            if text == "{sha256_body}":
                if body:
                    claims[name] = hashlib.sha256(body).hexdigest()
            elif text == "{sha256_url}":
                claims[name] = hashlib.sha256(url.encode()).hexdigest()
            else:
                claims[name] = self._fill(text)
        token = signatures.jwt(key, claims, check.algorithms[0])
        return f"Bearer {token}" if check.bearer else token

    def _vonage(self, pairs: Sequence[tuple[str, str]], wall_ms: int) -> list[tuple[str, str]]:
        for check, key in self._checks:
            if isinstance(check, VonageCheck):
                stamp = ("timestamp", str(wall_ms // 1000))
                return [stamp, ("sig", signatures.vonage(key, [*pairs, stamp], check.method))]
        return []

    def _key(self, check: Check) -> str:
        """What this account signs with, empty if it does not."""
        if isinstance(check, BasicCheck):
            user, password = self._fill(check.user), self._fill(check.password)
            return basic_value(user, password) if user or password else ""
        texts = check.value if isinstance(check, HeaderCheck) else check.key
        return self._fill(texts if isinstance(texts, str) else texts[0])

    def _fill(self, text: str) -> str:
        for name, value in self._carrier.settings.items():
            text = text.replace(f"{{settings.{name}}}", value)
        return text


class _Template:
    """What a request says, ready to be filled for one message or several."""

    def __init__(self, hook: Hook, draft: Draft, at_format: str) -> None:
        self._hook, self._at_format = hook, at_format
        self.query = draft.query
        self.is_form = hook.format in ("form", "query", "any")
        entry = draft.entry if isinstance(draft.entry, dict) else {}
        self._pairs = [(name, str(value)) for name, value in entry.items()] if self.is_form else []
        self._entry = msgspec.json.encode(entry)
        self._before = self._after = b""
        if hook.items and not self.is_form:
            outer = Draft()
            outer.root = draft.root
            outer.put("^" + hook.items.removeprefix("^"), [int(RESULTS)])
            self._before, _, self._after = msgspec.json.encode(outer.root).partition(RESULTS.encode())
        self._filled: tuple[str, Octets] = ("", Octets(b""))

    def content(
        self, entries: Sequence[Entry], wall_ms: int, number: int
    ) -> tuple[bytes, list[tuple[str, str]] | None]:
        """The body, or the fields of a form."""
        at, part = _moment(self._at_format, wall_ms), str(number)
        if not self.is_form:
            key = at + part if _PART.encode() in self._entry else at
            if self._filled[0] != key:
                octets = self._entry.replace(_AT.encode(), at.encode()).replace(_PART.encode(), part.encode())
                self._filled = (key, Octets(octets))
            fill = self._filled[1].fill
            return self._before + b",".join(fill(entry) for entry in entries) + self._after, None
        pairs = []
        for name, text in self._pairs:
            text = text.replace(_AT, at).replace(_PART, part)
            fill = Octets(text.encode()).fill
            values = [fill(entry).decode() for entry in entries]
            pairs.append((name, self._hook.split.join(values) if self._hook.split else values[0]))
        return b"", pairs


def _moment(form: str, wall_ms: int) -> str:
    return str(wall_ms) if form == "unix_ms" else _second(form, wall_ms // 1000)


@lru_cache(8)
def _second(form: str, at_s: int) -> str:
    if form == "unix":
        return str(at_s)
    moment = datetime.datetime.fromtimestamp(at_s, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ" if form in ("iso", "") else form)


def _quoted(entry: Entry) -> Entry:
    one, own, to = (quote_plus(value.decode()).encode() for value in entry)
    return one, own, to


def _octets(method: str, url: str, fields: Mapping[str, str], body: bytes) -> bytes:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    length = f"content-length: {len(body)}\r\n" if body or method == "POST" else ""
    return f"{method} {target} HTTP/1.1\r\nhost: {parts.netloc}\r\n{lines}{length}\r\n".encode() + body


def public_key(private_key: bytes) -> str:
    """The Base64 of the key that proves signatures made with this one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
    return base64.b64encode(made).decode()
