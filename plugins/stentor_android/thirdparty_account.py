"""What a login keeps by the third-party API for its phones: webhooks they are to call, and settings. Pure.

Webhooks made here are handed to the phones, which call them themselves in their own form: that is what clients of that
API expect. Invariants: only values the app knows are kept, for one it does not know makes it fail for ever; what moves
phones to another server cannot be set here.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from stentor_android.thirdparty_messages import Rejected

MOST_HOOKS: Final = 50
_URL_LENGTH: Final = 512
_id: Final = re.compile(r"[A-Za-z0-9_-]{1,36}", re.ASCII).fullmatch
EVENTS: Final = frozenset(
    {
        "sms:received",
        "sms:data-received",
        "sms:sent",
        "sms:delivered",
        "sms:failed",
        "sms:cancelled",
        "system:ping",
        "app:started",
        "mms:received",
        "mms:downloaded",
    }
)

Sections = dict[str, dict[str, Any]]


class Hook(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A webhook of the login's; with ``device_id`` for that phone alone."""

    url: str
    event: str
    id: str | None = None
    device_id: str | None = None


def _is_count(least: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 31


def _is_one_of(*words: str) -> Callable[[object], bool]:
    return lambda value: value in words


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 256


_KEYS: Final[Mapping[str, Mapping[str, Callable[[object], bool]]]] = {
    "messages": {
        "send_interval_min": _is_count(0),
        "send_interval_max": _is_count(0),
        "limit_period": _is_one_of("Disabled", "PerMinute", "Per30Minutes", "PerHour", "PerDay"),
        "limit_value": _is_count(0),
        "sim_selection_mode": _is_one_of("OSDefault", "RoundRobin", "Random"),
        "processing_order": _is_one_of("LIFO", "FIFO"),
        "log_lifetime_days": _is_count(1),
    },
    "ping": {"interval_seconds": _is_count(1)},
    "logs": {"lifetime_days": _is_count(1)},
    "webhooks": {
        "internet_required": lambda value: isinstance(value, bool),
        "retry_count": _is_count(1),
        "signing_key": _is_text,
    },
    "gateway": {"notification_channel": _is_one_of("AUTO", "SSE_ONLY")},
    "encryption": {"passphrase": _is_text},
}
_PRIVILEGED: Final = frozenset({"gateway.cloud_url", "gateway.private_token"})
_WRITE_ONLY: Final = frozenset({"webhooks.signing_key", "encryption.passphrase"})


def check_settings(body: bytes) -> Sections:
    """The sections of a request; unknown keys are left out, null stands for a key to be reset. Raises Rejected."""
    try:
        sections = msgspec.json.decode(body, type=dict[str, dict[str, Any] | None])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(400, str(error)) from None
    found: Sections = {}
    for name, section in sections.items():
        for key, value in (section or {}).items():
            path = f"{name}.{key}"
            if path in _PRIVILEGED:
                raise Rejected(403, f"{path} moves phones to another server and cannot be set here")
            is_known = _KEYS.get(name, {}).get(key)
            if is_known is None:
                continue
            if value is not None and not is_known(value):
                raise Rejected(400, f"{path} is not a value the app knows")
            found.setdefault(name, {})[key] = value
    return found


class Kept(msgspec.Struct):
    """All that is kept of one login, as it is kept."""

    hooks: dict[str, Hook] = msgspec.field(default_factory=dict)
    settings: Sections = msgspec.field(default_factory=dict)

    def add_hook(self, body: bytes, made_id: str) -> Hook:
        """The webhook of a request; one of the same id is replaced. Raises Rejected."""
        try:
            hook = msgspec.json.decode(body, type=Hook)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Rejected(400, str(error)) from None
        return self._add_hook(msgspec.structs.replace(hook, id=hook.id or made_id))

    def _add_hook(self, hook: Hook) -> Hook:
        assert hook.id is not None
        if not _id(hook.id):
            raise Rejected(400, "an id is 1 to 36 letters, digits, _ and -")
        if hook.event not in EVENTS:
            raise Rejected(400, f"event is one of {', '.join(sorted(EVENTS))}")
        if not _is_url(hook.url):
            raise Rejected(400, f"url is an absolute http or https URL of at most {_URL_LENGTH} characters")
        if hook.id not in self.hooks and len(self.hooks) >= MOST_HOOKS:
            raise Rejected(400, f"a login has at most {MOST_HOOKS} webhooks")
        self.hooks[hook.id] = hook
        return hook

    def change_settings(self, sections: Sections, *, is_whole: bool) -> None:
        """Take over some settings, or with ``is_whole`` these instead of all there were."""
        if is_whole:
            self.settings = {}
        for name, section in sections.items():
            kept = {**self.settings.get(name, {}), **section}
            kept = {key: value for key, value in kept.items() if value is not None}
            if kept:
                self.settings[name] = kept
            else:
                self.settings.pop(name, None)

    def shown_settings(self) -> Sections:
        """The settings without what may only be written."""
        shown = {
            name: {key: value for key, value in section.items() if f"{name}.{key}" not in _WRITE_ONLY}
            for name, section in self.settings.items()
        }
        return {name: section for name, section in shown.items() if section}


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= _URL_LENGTH
    except ValueError:
        return False
