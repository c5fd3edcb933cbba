"""What each version of the app understands: read from its User-Agent, asked before anything newer is said to it.

A version that is unknown (the event stream comes with the HTTP library's own agent) is taken for the oldest, so
that nothing is said that a phone could choke on.
"""

import re
from functools import lru_cache
from typing import Final

_AGENT: Final = re.compile(r"me\.capcom\.smsgateway/(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", re.ASCII)

Version = tuple[int, int, int]

UNKNOWN: Final[Version] = (0, 0, 0)
NEVER: Final[Version] = (10_000, 0, 0)
RECOMMENDED: Final[Version] = (1, 53, 1)
"""From here on a phone opens the event stream where the user chose SSE Only, and pulls when it stands."""

DATA_MESSAGES: Final[Version] = (1, 40, 0)
PROCESSING_ORDER: Final[Version] = (1, 46, 0)
NOTIFICATION_CHANNEL: Final[Version] = (1, 53, 0)
CANCELLING: Final[Version] = (1, 67, 0)
SIGNATURES: Final[Version] = (1, 33, 0)

EVENTS_SINCE: Final[dict[str, Version]] = {
    "sms:received": (1, 15, 0),
    "sms:data-received": (1, 41, 0),
    "mms:received": (1, 48, 0),
    "mms:downloaded": (1, 56, 0),
    "sms:sent": (1, 18, 0),
    "sms:delivered": (1, 19, 0),
    "sms:failed": (1, 19, 0),
    "sms:cancelled": CANCELLING,
    "system:ping": (1, 16, 0),
    "app:started": (1, 66, 0),
}
"""Webhook events and the version that knows them. One name too new makes a phone drop the whole list; where the
version is known only about, the one after it stands here."""


@lru_cache(maxsize=256)
def parse_agent(agent: str) -> Version:
    """The app's version from a User-Agent; UNKNOWN for any other program."""
    found = _AGENT.match(agent)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else UNKNOWN


def parse_version(text: str) -> Version:
    """``1.68.0``; UNKNOWN for what is none."""
    return parse_agent(f"me.capcom.smsgateway/{text}")


def version_text(version: Version) -> str:
    """``1.68.0``, empty for UNKNOWN."""
    return ".".join(map(str, version)) if version != UNKNOWN else ""
