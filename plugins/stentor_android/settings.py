"""The settings pushed to a phone: what the channel needs of it, and only values its version knows.

A value the app does not know aborts its import, which it then repeats for ever.
"""

from collections.abc import Mapping
from typing import Any

from stentor_android.versions import (
    CANCELLING,
    NOTIFICATION_CHANNEL,
    PROCESSING_ORDER,
    SIGNATURES,
    UNKNOWN,
    Version,
)

_SINCE = {
    ("gateway", "notification_channel"): NOTIFICATION_CHANNEL,
    ("messages", "processing_order"): PROCESSING_ORDER,
}


def settings(
    version: Version, signing_key: str, ping_s: int, wanted: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The answer to ``GET /settings``. Sections without a value are left out, none is null. ``wanted`` is what the
    phone's owner set over the third-party API; what the channel itself needs goes before it.

    FIFO, for messages are to leave in the order in which they were given; the phone's own limits stay as they are:
    the pace is kept here. ``cloud_url`` and ``private_token`` are the user's to set.
    """
    found = _known(version, wanted)
    if version >= NOTIFICATION_CHANNEL:
        found.setdefault("gateway", {})["notification_channel"] = "SSE_ONLY"
    if version >= PROCESSING_ORDER:
        found.setdefault("messages", {})["processing_order"] = "FIFO"
    if ping_s:
        found.setdefault("ping", {})["interval_seconds"] = ping_s
    if version >= SIGNATURES:
        found.setdefault("webhooks", {})["signing_key"] = signing_key
    return found


def _known(version: Version, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What of it this version understands."""
    found: dict[str, dict[str, Any]] = {}
    for name, section in wanted.items():
        for key, value in section.items():
            if version < _SINCE.get((name, key), UNKNOWN):
                continue
            if value == "Per30Minutes" and version < CANCELLING:
                continue
            found.setdefault(name, {})[key] = value
    return found
