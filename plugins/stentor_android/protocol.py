"""The device API on the wire: bodies of requests and answers, paths, and the forms of Authorization.

Bodies are read as leniently as the app is various: unknown fields are ignored, null is absent, and one bad element of
a list does not spoil its neighbours. What is written is strict: lists and objects are never null.
"""

import base64
import binascii
import re
from typing import Any, Final, TypeVar

import msgspec

PREFIXES: Final = ("/api/mobile/v1", "/mobile/v1")
"""The documented one, and the one people also type."""

_SLASHES: Final = re.compile("/{2,}")
_ALIASES: Final = {"/messages": "/message", "/devices": "/device"}

T = TypeVar("T")


# -- requests -----------------------------------------------------------------------------------------------------


class SIMCard(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A SIM as the phone tells of it. ``sim_number`` counts from 1; the texts come masked by the phone."""

    slot_index: int = 0
    sim_number: int = 0
    phone_number: str | None = None
    carrier_name: str | None = None
    iccid: str | None = None

    @property
    def number(self) -> int:
        """The number that messages name it by."""
        return self.sim_number or self.slot_index + 1


class Registration(msgspec.Struct, frozen=True, rename="camel"):
    """``POST /device``. ``sim_cards`` is None for apps that do not tell."""

    name: str
    push_token: str | None = None
    sim_cards: tuple[SIMCard, ...] | None = None


class Update(msgspec.Struct, frozen=True, rename="camel"):
    """``PATCH /device``."""

    id: str
    push_token: str | None = None
    sim_cards: tuple[SIMCard, ...] | None = None


class RecipientReport(msgspec.Struct, frozen=True, rename="camel"):
    """One destination's state; ``phone_number`` is the very text we had listed."""

    phone_number: str
    state: str
    error: str | None = None


class Report(msgspec.Struct, frozen=True, rename="camel"):
    """One message's snapshot in ``PATCH /message``. ``states`` has the date of each state, as the phone wrote it."""

    id: str
    state: str
    recipients: tuple[RecipientReport, ...] = ()
    states: dict[str, Any] | None = None


class PasswordChange(msgspec.Struct, frozen=True, rename="camel"):
    """``PATCH /user/password``."""

    current_password: str
    new_password: str


# -- answers ------------------------------------------------------------------------------------------------------


class Registered(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a registration; ``password`` only where the account is new."""

    id: str
    token: str
    login: str
    password: str | None = None


class TextMessage(msgspec.Struct, frozen=True):
    text: str


class DataMessage(msgspec.Struct, frozen=True):
    """``data`` is base64."""

    data: str
    port: int


class Listed(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A message in the answer to a pull. ``message`` repeats the text for apps before 1.40."""

    id: str
    phone_numbers: tuple[str, ...]
    state: str
    message: str | None = None
    text_message: TextMessage | None = None
    data_message: DataMessage | None = None
    sim_number: int | None = None
    with_delivery_report: bool = True
    is_encrypted: bool = False
    priority: int = 0
    valid_until: str | None = None
    created_at: str | None = None


class Webhook(msgspec.Struct, frozen=True, rename="camel"):
    """What the phone is to call, and for which event."""

    id: str
    url: str
    event: str
    device_id: str | None = None


def refusal(text: str) -> bytes:
    """The body of an answer that is no success; phones ignore it, people read it."""
    return msgspec.json.encode({"message": text})


# -- reading ------------------------------------------------------------------------------------------------------


def decode(body: bytes, form: type[T]) -> T | None:
    """The body in that form, None for what is not."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, RecursionError):
        return None


_reports: Final = msgspec.json.Decoder(tuple[Report, ...])


def decode_reports(body: bytes) -> tuple[tuple[Report, ...], int] | None:
    """The reports of a body and how many of its elements were none; None for a body that is no list."""
    try:
        return _reports.decode(body), 0
    except (msgspec.DecodeError, RecursionError):
        pass  # one element of many may be at fault, which the slow way finds
    elements = decode(body, list[msgspec.Raw])
    if elements is None:
        return None
    found = tuple(report for each in elements if (report := decode(bytes(each), Report)) is not None)
    return found, len(elements) - len(found)


def endpoint(path: str, prefix: str) -> str:
    """The path below the prefix, doubled slashes collapsed, aliases resolved: ``/device``, ``/message``..."""
    below = _SLASHES.sub("/", path[len(prefix) :]) if path.startswith(prefix) else ""
    below = below.rstrip("/") if len(below) > 1 else below
    return _ALIASES.get(below, below)


class Credentials(msgspec.Struct, frozen=True):
    """What an Authorization field says. ``scheme`` is ``bearer``, ``basic``, ``code``, or empty for none."""

    scheme: str = ""
    token: str = ""
    login: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.scheme!r})"


_NONE: Final = Credentials()
_WRONG: Final = Credentials("wrong")


def parse_authorization(value: str) -> Credentials:
    """A form the app does not use is ``wrong``, which never is who it says."""
    if not value:
        return _NONE
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer" if rest:
            return Credentials("bearer", rest)
        case "code" if rest:
            return Credentials("code", rest)
        case "basic":
            try:
                login, colon, password = base64.b64decode(rest, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError, ValueError):
                return _WRONG
            return Credentials("basic", login=login, password=password) if colon else _WRONG
    return _WRONG
