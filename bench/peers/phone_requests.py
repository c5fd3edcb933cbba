"""The requests of a simulated phone, and what it needs of whoever carries them."""

from enum import Enum
from typing import Protocol

import msgspec

from bench.peers.phone_outbox import Entry


class Kind(Enum):
    """What a request is for."""

    REGISTER = "register"
    UPDATE = "update"
    PULL = "pull"
    REPORT = "report"
    WEBHOOKS = "webhooks"
    SETTINGS = "settings"
    HOOK = "hook"


class Delivery(msgspec.Struct):
    """One event on its way to one URL. ``body`` stays the same over all attempts."""

    url: str
    body: bytes
    repeats: int = 0


class Request(msgspec.Struct, eq=False):
    """One request. ``path`` is relative to the API's URL, for a HOOK it is a whole URL. ``repeats`` counts those of
    the same thing before it; ``is_final``: it reports a state that will not change any more."""

    kind: Kind
    method: str
    path: str
    authorization: str = ""
    body: bytes = b""
    fields: tuple[tuple[str, str], ...] = ()
    repeats: int = 0
    begun_at: float = 0.0
    entry: Entry | None = None
    is_final: bool = False
    delivery: Delivery | None = None


class Port(Protocol):
    """Carries requests and streams. Everything is answered by a call of the phone's, later and never at once."""

    def request(self, request: Request) -> None:
        """``phone.answered`` or ``phone.failed`` follows, unless it is aborted."""

    def abort(self, request: Request) -> None:
        """Close its connection; nothing follows."""

    def open_stream(self, number: int, token: str) -> None:
        """``phone.stream_opened`` or not, ``phone.stream_event`` and in the end ``phone.stream_ended`` follow."""

    def close_stream(self, number: int) -> None:
        """Close it in good order; nothing follows."""

    def abandon_stream(self, number: int) -> None:
        """Leave it open and unread, as a phone without radio does; nothing follows."""
