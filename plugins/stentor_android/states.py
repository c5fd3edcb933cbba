"""What a phone reports: the states of a message there, how snapshots that come late or twice are merged, and what a
failure means.

Two tables decide. RANK makes reports monotone: a state of lower rank than the one known changes nothing. FAILURES says
what the text of a failure means for the message and for the SIM.
"""

import enum
import re
from typing import Final

import msgspec


class State(enum.IntEnum):
    """By rank. UNLISTED and LISTED are ours: the phone has told nothing yet. From SENT on the phone is done."""

    UNLISTED = 0
    LISTED = 1
    PENDING = 2
    CANCELLING = 3
    PROCESSED = 4
    SENT = 5
    DELIVERED = 6
    CANCELLED = 7
    FAILED = 8


WORDS: Final = {
    "Pending": State.PENDING,
    "Cancelling": State.CANCELLING,
    "Processed": State.PROCESSED,
    "Sent": State.SENT,
    "Delivered": State.DELIVERED,
    "Cancelled": State.CANCELLED,
    "Failed": State.FAILED,
}
"""What a phone may say. Failed outranks all: another part of a long message may fail after one was delivered."""


class Pause(enum.Enum):
    """What a failure says about where it happened, beyond the message."""

    NONE = "none"
    SIM = "sim"
    PHONE = "phone"


class Failure(msgspec.Struct, frozen=True, gc=False):
    """What a failure means. ``is_final``: no phone could do better. ``pause``: who should rest for ``pause_s``.
    ``counts``: it counts against the SIM when the next phone is chosen."""

    code: str
    is_final: bool = False
    pause: Pause = Pause.NONE
    pause_s: float = 0.0
    counts: bool = True


_SENT_RESULT: Final = re.compile(r"Send result: (?:Unknown error code: (\d+)|(\w+))")
_DELIVERY_RESULT: Final = re.compile(r"Delivery result(?: from SC [^:]*)?: (\d{1,3})")

_TRANSIENT: Final = Failure("carrier_busy", pause=Pause.SIM, pause_s=60.0)
_CONFIGURED: Final = Failure("not_permitted", pause=Pause.PHONE, pause_s=600.0)
_NUMBER: Final = Failure("bad_destination", counts=False)
_CONTENT: Final = Failure("bad_content", is_final=True, counts=False)
_OTHER: Final = Failure("carrier_error")

FAILURES: Final = {
    "RESULT_ERROR_GENERIC_FAILURE": _OTHER,
    "RESULT_ERROR_RADIO_OFF": _TRANSIENT,
    "RESULT_ERROR_NO_SERVICE": _TRANSIENT,
    "RESULT_RIL_RADIO_NOT_AVAILABLE": _TRANSIENT,
    "RESULT_ERROR_LIMIT_EXCEEDED": Failure("throttled", pause=Pause.PHONE, pause_s=60.0, counts=False),
    "RESULT_NO_DEFAULT_SMS_APP": _CONFIGURED,
    "RESULT_ERROR_FDN_CHECK_FAILURE": _CONFIGURED,
    "RESULT_UNEXPECTED_EVENT_STOP_SENDING": _CONFIGURED,
    "RESULT_ERROR_SHORT_CODE_NOT_ALLOWED": _NUMBER,
    "RESULT_ERROR_SHORT_CODE_NEVER_ALLOWED": _NUMBER,
    "RESULT_INVALID_ARGUMENTS": _CONTENT,
    "RESULT_INVALID_SMS_FORMAT": _CONTENT,
    "RESULT_ENCODING_ERROR": _CONTENT,
}
"""By Android's name of the result; what is not here is a failure of modem or network, and may go by another SIM."""

_TEXTS: Final = (
    ("TTL expired", Failure("carrier_busy", counts=False)),
    ("Can't send message: SIM", Failure("carrier_error", pause=Pause.SIM, pause_s=3600.0)),
    ("Can't send message:", Failure("not_permitted")),
    ("sendSMS:", _OTHER),
)


def failure(text: str) -> Failure:
    """What the error text of a report means."""
    found = _SENT_RESULT.match(text)
    if found is not None:
        return FAILURES.get(found[2] or "", _OTHER)
    return next((meaning for start, meaning in _TEXTS if text.startswith(start)), _OTHER)


def carrier_code(text: str) -> str | None:
    """The network's or Android's own code in an error text."""
    found = _SENT_RESULT.match(text) or _DELIVERY_RESULT.match(text)
    return next((group for group in found.groups() if group), None) if found else None


def left_the_phone(text: str) -> bool:
    """The network took it and failed to deliver it: this is no failure of the phone's."""
    return text.startswith("Delivery result")


class Presence(enum.Enum):
    """How a phone is in touch."""

    STREAMING = "streaming"
    POLLING = "polling"
    STALE = "stale"
    OFFLINE = "offline"


POLLING_MS: Final = 20 * 60_000
STALE_MS: Final = 60 * 60_000


def presence(streams: int, last_seen_ms: int, wall_ms: int) -> Presence:
    """Streaming: an event stream is open. Polling: heard of within 20 minutes; stale: within an hour."""
    if streams:
        return Presence.STREAMING
    silent_ms = wall_ms - last_seen_ms
    if silent_ms < POLLING_MS:
        return Presence.POLLING
    return Presence.STALE if silent_ms < STALE_MS else Presence.OFFLINE
