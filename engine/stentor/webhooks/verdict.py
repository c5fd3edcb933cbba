"""What an attempt's outcome means: delivered, to be tried again, or that nobody is there any more.

Any 2xx is a delivery. A redirect is a failure: following it would carry signed events and fields to an address that
nobody checked. 410 says that the subscription is over (Standard Webhooks, "Responding to webhooks").
"""

import enum
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from stentor.wire.calls import HTTPFailure, HTTPReply

ANSWER_OCTETS: Final = 2048
"""Octets of an answer's body that are kept."""
_whole: Final = re.compile(r"[0-9]{1,9}", re.ASCII).fullmatch


class Ruling(enum.Enum):
    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """``hold_s``: the receiver asks for so much quiet, 0 for none. ``detail`` says what went wrong, for people."""

    ruling: Ruling
    hold_s: float = 0.0
    detail: str = ""


DELIVERED: Final = Verdict(Ruling.DELIVERED)


def judge(outcome: HTTPReply | HTTPFailure, wall_ms: int) -> Verdict:
    """The verdict on one attempt."""
    if isinstance(outcome, HTTPFailure):
        return Verdict(Ruling.FAILED, 0.0, outcome.detail)
    status = outcome.status
    if 200 <= status < 300:
        return DELIVERED
    if status == 410:
        return Verdict(Ruling.GONE, 0.0, "the receiver answered 410: it wants no more")
    if 300 <= status < 400:
        return Verdict(Ruling.FAILED, 0.0, f"the receiver answered {status}; redirects are not followed")
    hold_s = 0.0
    if status in (429, 503):
        hold_s = _retry_after_s(outcome.fields.get("retry-after", ""), wall_ms)
    return Verdict(Ruling.FAILED, hold_s, f"the receiver answered {status}")


def _retry_after_s(text: str, wall_ms: int) -> float:
    """Seconds, or a date (RFC 9110 §10.2.3); what is neither asks for nothing."""
    text = text.strip()
    if _whole(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(wall_ms / 1000, UTC)).total_seconds())
