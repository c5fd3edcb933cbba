"""The settings pushed to a phone: what the channel needs of it, and only values its version knows.

A value the app does not know aborts its import, which it then repeats for ever.
"""

from typing import Any

from stentor_android.versions import NOTIFICATION_CHANNEL, PROCESSING_ORDER, SIGNATURES, Version


def settings(version: Version, signing_key: str, ping_s: int) -> dict[str, dict[str, Any]]:
    """The answer to ``GET /settings``. Sections without a value are left out, none is null.

    FIFO, for messages are to leave in the order in which they were given; the phone's own limits stay as they are:
    the pace is kept here. ``cloud_url`` and ``private_token`` are the user's to set.
    """
    found: dict[str, dict[str, Any]] = {}
    if version >= NOTIFICATION_CHANNEL:
        found["gateway"] = {"notification_channel": "SSE_ONLY"}
    if version >= PROCESSING_ORDER:
        found["messages"] = {"processing_order": "FIFO"}
    if ping_s:
        found["ping"] = {"interval_seconds": ping_s}
    if version >= SIGNATURES:
        found["webhooks"] = {"signing_key": signing_key}
    return found
