"""From a message to the submissions a driver is handed: text to octets, long texts to segments.

What the client was told when the message was accepted holds for the preferred channel. Another may take texts in
another way; then the message follows what is really sent. Segments that a carrier already took are left out, and
the others are cut as those were: a message that was half sent, before a crash or over another channel, is completed
and not repeated.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from stentor.driver import Capabilities
from stentor.message import Message, Status
from stentor.outcome import Submission
from stentor.text import gsm0338
from stentor.text.coding import Alphabet, Coding, Plan, replan
from stentor.text.gsm0338 import NotGSM
from stentor.text.languages import Language
from stentor.text.segments import Encoding, SegmentData, count_segments, split

_GSM7: Final = Alphabet.GSM7


def expand_usual(message: Message, capabilities: Capabilities, wall_ms: int) -> Submission | None:
    """The submission of a message that is plainly one segment wherever it goes; None where there is more to it."""
    if message.segments != 1 or capabilities.unit == "message" or message.segment_list:
        return None
    encoding = message.encoding
    if encoding is Encoding.GSM7:
        text = message.text or ""
        coding = capabilities.coding
        if coding.alphabet is not _GSM7 and not coding.carries(text):
            return None
        try:
            data = gsm0338.encode(text)
        except NotGSM:
            return None
        udh = b""
    elif encoding is Encoding.UCS2:
        udh, data = b"", (message.text or "").encode("utf-16-be")
    elif encoding is Encoding.BINARY:
        udh, data = message.udh or b"", message.data or b""
    else:
        return None
    return _submission(message, udh, data, 1, _valid_for_s(message, wall_ms), None)


def expand(message: Message, capabilities: Capabilities, wall_ms: int) -> list[Submission]:
    """The submissions of the message's next attempt over a channel that cuts it as it says, in order."""
    usual = expand_usual(message, capabilities, wall_ms)
    if usual is not None:
        return [usual]
    if capabilities.unit == "message":
        return expand_whole(message, wall_ms)
    return expand_rest(message, plan_for(message, capabilities.coding), capabilities.coding, wall_ms)


def expand_whole(message: Message, wall_ms: int) -> list[Submission]:
    """One submission of the whole message, for a driver whose unit it is."""
    valid_for_s = _valid_for_s(message, wall_ms)
    return [_submission(message, message.udh or b"", message.data or b"", 1, valid_for_s, message.text)]


def expand_rest(message: Message, plan: Plan, coding: Coding, wall_ms: int) -> list[Submission]:
    """The submissions of what is not sent yet, cut by the plan. Raises Refusal for what ``split`` refuses."""
    valid_for_s = _valid_for_s(message, wall_ms)
    done = {segment.index for segment in message.segment_list if segment.status >= Status.SENT}
    return [
        _submission(message, segment.udh, segment.data, index, valid_for_s, None)
        for index, segment in enumerate(_cut(message, plan, coding), 1)
        if index not in done
    ]


def plan_for(message: Message, coding: Coding) -> Plan:
    """How the message goes over a channel of this coding. Raises Refusal."""
    if message.encoding is Encoding.BINARY:
        udh, wide = message.udh or b"", coding.wide_reference
        count = count_segments(message.data or b"", Encoding.BINARY, wide_reference=wide, udh=udh)
        return Plan(Encoding.BINARY, count)
    return replan(message.text or "", message.encoding, coding, is_flash=message.flash)


def plan_begun(message: Message, codings: Iterable[Coding]) -> tuple[Plan, Coding] | None:
    """How a message was cut of which segments are sent: the first of the codings by which it has the encoding and
    the number of segments it has. None when there is none; then it cannot be completed."""
    for coding in (*codings, *_every_coding()):
        plan = plan_for(message, coding)
        if plan.encoding is message.encoding and plan.segments == message.segments:
            return plan, coding
    return None


def _every_coding() -> Iterator[Coding]:
    """For what was begun by a channel that is gone, or is not what it was."""
    for languages in ((), tuple(Language)):
        for wide in (False, True):
            yield Coding(languages=languages, is_latin1_wanted=True, wide_reference=wide)


def _cut(message: Message, plan: Plan, coding: Coding) -> list[SegmentData]:
    body = message.data if plan.encoding is Encoding.BINARY else message.text
    return split(
        body or "",
        plan.encoding,
        message.reference or _own_reference(message),
        wide_reference=coding.wide_reference,
        udh=message.udh or b"",
        shift=plan.shift,
    )


def _own_reference(message: Message) -> int:
    """For what was accepted as one segment, and given no reference: from the time and the counter of its key."""
    return (message.key >> 20) + (message.key >> 8 & 0xFFF)


def _valid_for_s(message: Message, wall_ms: int) -> int:
    return max(1, (message.expires_at_ms - wall_ms) // 1000)


def _submission(
    message: Message, udh: bytes, data: bytes, index: int, valid_for_s: int, text: str | None
) -> Submission:
    return Submission(
        message.key + index,
        message.attempts + 1,
        message.to,
        message.originator,
        message.encoding,
        data,
        udh,
        index,
        message.segments,
        message.wants_receipt,
        valid_for_s,
        message.priority,
        message.flash,
        text,
        message.metadata,
        message.send_at_ms,
    )
