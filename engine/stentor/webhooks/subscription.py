"""What a webhook is: where its account wants which events posted, and what is let in as such.

Owns the rules for addresses, fields, filters and secrets. Values of fields and secrets leave by requests to the
webhook's own address alone; whatever shows a webhook shows the names of its fields.
"""

import enum
import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec

from stentor.errors import Refusal
from stentor.guard import AddressGuard
from stentor.ids import id_text
from stentor.message import EVENT_WORDS, Event, EventKind, Message
from stentor.wire.asking import read_url
from stentor.wire.calls import InvalidRequest

ALL: Final = "*"
LONGEST_URL: Final = 2048
MAX_FIELDS: Final = 20
MAX_FIELD_OCTETS: Final = 4096
MAX_CHANNELS: Final = 64
OVERLAP_MS: Final = 24 * 3600 * 1000
"""How long the secret before the present one goes on signing."""

GROUPS: Final = tuple(dict.fromkeys(f"{word.partition('.')[0]}.{ALL}" for word in EVENT_WORDS.values()))
FILTER_WORDS: Final = (ALL, *GROUPS, *EVENT_WORDS.values())
"""What ``events`` may name: all, a group of them, or one."""

_GUARD: Final = AddressGuard()
_KIND_OF_WORD: Final = {word: kind for kind, word in EVENT_WORDS.items()}
_field_name: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}").fullmatch
_field_value: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_host_name: Final = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?").fullmatch
# C libraries take 2130706433, 0x7f.1 and 0177.0.0.1 for addresses; no name ends in a number (URL Standard, "ends in a
# number checker").
_odd_address: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?").fullmatch
_url_characters: Final = re.compile(r"[\x21-\x7e]+").fullmatch
_OURS: Final = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


class Reach(enum.Enum):
    """Which addresses may be posted to, as the configuration says."""

    TLS = "https:// in public networks"
    PUBLIC = "http:// too"
    ANYWHERE = "inside this host and private networks too: a test system"


class Webhook(msgspec.Struct, frozen=True):
    """One webhook as it is kept. ``key`` and ``tail`` are its id, as a message's are.

    ``secret`` is empty only for callbacks, which an account's oldest webhook lends its own. ``previous_secret`` signs
    too until ``previous_until_ms``. ``reason``: why it was disabled by itself, "" otherwise. ``is_callback``: not a
    subscription but where messages of the account want to be told of that named an address of this origin.
    """

    key: int
    tail: int
    account: str
    url: str
    created_at_ms: int
    events: tuple[str, ...] = (ALL,)
    channels: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    secret: bytes = b""
    previous_secret: bytes = b""
    previous_until_ms: int = 0
    is_enabled: bool = True
    reason: str = ""
    is_callback: bool = False

    def __repr__(self) -> str:
        return f"Webhook(id={self.id!r}, account={self.account!r})"

    @property
    def id(self) -> str:
        return id_text(self.key, self.tail)

    def secrets(self, wall_ms: int) -> tuple[bytes, ...]:
        """Those that sign at this time, the present one first."""
        found = (self.secret,) if self.secret else ()
        return (*found, self.previous_secret) if wall_ms < self.previous_until_ms else found

    def with_secret(self, secret: bytes, wall_ms: int) -> "Webhook":
        """With another secret; the one it had signs on for a while."""
        return msgspec.structs.replace(
            self, secret=secret, previous_secret=self.secret, previous_until_ms=wall_ms + OVERLAP_MS
        )


class Filter:
    """Which events concern a webhook. By kind first, which needs no message."""

    __slots__ = ("_channels", "_kinds", "_origin")

    def __init__(self, webhook: Webhook) -> None:
        self._kinds = kinds_of(webhook.events)
        self._channels = frozenset(webhook.channels)
        self._origin = origin(webhook.url) if webhook.is_callback else ""

    @property
    def needs_message(self) -> bool:
        """Whether the message itself has to be looked at to know what concerns the webhook, or where it goes."""
        return bool(self._channels or self._origin)

    def url(self, message: Message | None) -> str:
        """Where an event of a message that concerns it goes; "" for the webhook's own address."""
        return message.callback_url or "" if self._origin and message is not None else ""

    def may_concern(self, event: Event) -> bool:
        """By its kind, and whether it tells of a message, as callbacks want."""
        return event.kind in self._kinds and (event.key != 0 or not self._origin)

    def concerns(self, event: Event, message: Message | None) -> bool:
        """Of an event that may. ``message`` is the event's, None for one of a channel or of a webhook."""
        if message is None:
            return not self._channels or event.channel in self._channels
        if self._origin and (message.callback_url is None or origin(message.callback_url) != self._origin):
            return False
        if not self._channels:
            return True
        if message.channel:
            return message.channel in self._channels
        # It has not left by any channel: those that may carry it count.
        return not self._channels.isdisjoint(message.route)


def kinds_of(words: Sequence[str]) -> frozenset[EventKind]:
    """The kinds that a filter's words name."""
    found: set[EventKind] = set()
    for word in words:
        if word in _KIND_OF_WORD:
            found.add(_KIND_OF_WORD[word])
        else:
            found |= {
                kind for kind, other in EVENT_WORDS.items() if word in (ALL, other.partition(".")[0] + ".*")
            }
    return frozenset(found)


def checked_events(words: Sequence[str]) -> tuple[str, ...]:
    """The filter by type. Raises Refusal for a word that is none, and for none at all."""
    for index, word in enumerate(words):
        if word not in FILTER_WORDS:
            known = ", ".join(FILTER_WORDS)
            raise Refusal("bad_event_type", f"no type of event; there are {known}", f"$.events[{index}]")
    if not words:
        raise Refusal("bad_event_type", f"the list is empty; {ALL!r} is all of them", "$.events")
    return tuple(dict.fromkeys(words))


def checked_url(text: str, path: str = "$.url", *, reach: Reach) -> str:
    """An address that may be posted to, as far as it tells by itself. Raises Refusal, which never quotes it.

    Names are looked at again whenever they are resolved: what they lead to is not known before.
    """

    def refuse(detail: str, code: str = "bad_url") -> Refusal:
        return Refusal(code, detail, path)

    if not 1 <= len(text) <= LONGEST_URL or not _url_characters(text):
        raise refuse(f"an address has 1 to {LONGEST_URL} ASCII characters, all others percent-encoded")
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise refuse("this is no address") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise refuse("an address begins with https:// or http:// and a host")
    if not _is_host(host):
        raise refuse("the host is neither a name nor an address in its usual form")
    if parts.username is not None or parts.password is not None:
        raise refuse("an address holds no user or password; use a header")
    if "#" in text:
        raise refuse("an address has no fragment")
    try:
        read_url(text)  # by which it is posted to
    except InvalidRequest as error:
        raise refuse(str(error)) from None
    if reach is not Reach.ANYWHERE and _is_inside(host):
        raise refuse(
            "the address is inside this host or a private network; webhooks.allow_private is for test systems",
            "private_address",
        )
    if reach is Reach.TLS and parts.scheme != "https":
        detail = (
            "an address begins with https://, for http:// is readable by everybody on the way;"
            " webhooks.allow_http allows it"
        )
        raise refuse(detail, "insecure_address")
    return text


def checked_fields(fields: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Fields to send along. Raises Refusal, which never quotes a value."""
    if len(fields) > MAX_FIELDS:
        raise Refusal("bad_header", f"a webhook has at most {MAX_FIELDS} headers", "$.headers")
    for name, value in fields.items():
        path = f"$.headers.{name}"
        if not _field_name(name):
            raise Refusal("bad_header", "this is no name of a header", "$.headers")
        if name.lower() in _OURS or name.lower().startswith("webhook-"):
            raise Refusal("bad_header", "this header is set by the request itself", path)
        if len(value) > MAX_FIELD_OCTETS or not _field_value(value) or value != value.strip():
            raise Refusal(
                "bad_header", "the value has a character that headers cannot have, or is too long", path
            )
    if len({name.lower() for name in fields}) < len(fields):
        raise Refusal("bad_header", "a header is named twice", "$.headers")
    return tuple(fields.items())


def origin(url: str) -> str:
    """Scheme, host and port of an address that was checked: what one server answers for."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return _host_name(host) is not None and _odd_address(host) is None
    return True


def _is_inside(host: str) -> bool:
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return _GUARD.refusal(name) is not None
    except ValueError:
        return False  # a name: whoever connects looks at what it leads to
