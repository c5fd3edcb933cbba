"""From a message to the submissions a driver is handed: text to octets, long texts to segments.

Segments that a carrier already took are left out, and the concatenation reference is the message's own, so a message
that was half sent before a crash is completed, not repeated.
"""

from collections.abc import Sequence

from stentor.driver import Capabilities
from stentor.message import Message, Status
from stentor.outcome import Submission
from stentor.text import gsm0338
from stentor.text.segments import Encoding, SegmentData, split


def octets(message: Message, capabilities: Capabilities) -> Sequence[SegmentData]:
    """The message's segments, ready for the air."""
    if message.segments == 1:
        if message.encoding is Encoding.GSM7:
            return (SegmentData(b"", gsm0338.encode(message.text or "")),)
        if message.encoding is Encoding.UCS2:
            return (SegmentData(b"", (message.text or "").encode("utf-16-be")),)
        return (SegmentData(message.udh or b"", message.data or b""),)
    body = message.data if message.encoding is Encoding.BINARY else message.text
    return split(
        body or "",
        message.encoding,
        message.reference,
        wide_reference=capabilities.wide_reference,
        udh=message.udh or b"",
    )


def expand(message: Message, capabilities: Capabilities, wall_ms: int) -> list[Submission]:
    """The submissions of the message's next attempt, in order."""
    valid_for_s = max(1, (message.expires_at_ms - wall_ms) // 1000)
    if capabilities.unit == "message":
        whole = SegmentData(message.udh or b"", message.data or b"")
        return [_submission(message, whole, 1, valid_for_s, message.text)]
    if message.segments == 1:
        return [_submission(message, octets(message, capabilities)[0], 1, valid_for_s, None)]
    done = {segment.index for segment in message.segment_list if segment.status >= Status.SENT}
    return [
        _submission(message, segment, index, valid_for_s, None)
        for index, segment in enumerate(octets(message, capabilities), 1)
        if index not in done
    ]


def _submission(
    message: Message, segment: SegmentData, index: int, valid_for_s: int, text: str | None
) -> Submission:
    return Submission(
        message.key + index,
        message.attempts + 1,
        message.to,
        message.originator,
        message.encoding,
        segment.data,
        segment.udh,
        index,
        message.segments,
        message.wants_receipt,
        valid_for_s,
        message.priority,
        message.flash,
        text,
        message.metadata,
    )
