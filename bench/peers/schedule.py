"""What schedule_delivery_time asks of the simulated SMSC: to hold a message until it is due (SMPP 3.4 sections 4.4.1
and 7.1.1).

A held message is SCHEDULED until then, which a client of SMPP 5.0 is told and an older one hears as ENROUTE. Everything
that becomes of it comes so much later. Its validity counts from the submission: what ends before the message is due
expires undelivered. Nothing here waits or reads a clock.
"""

from typing import Any, Final

from msgspec.structs import replace

from bench.peers.behaviour import OK, Verdict
from stentor_smpp import status as codes
from stentor_smpp.times import AbsoluteTime, RelativeTime, parse_time

HELD: Final = "SCHEDLD"
"""The state of a message that waits for its time."""


def hold(verdict: Verdict, fields: dict[str, Any], ahead_s: float, now_s: float) -> tuple[Verdict, float]:
    """What becomes of a submission that came at ``now_s``, seconds since 1970, and for how long it is held first. No
    message is held for longer than ``ahead_s``; such a one is refused, and so is a time that is none."""
    text = fields["schedule_delivery_time"]
    if not text or verdict.status != OK:
        return verdict, 0.0
    held_s = _seconds_until(text, now_s)
    if held_s is None or held_s > ahead_s:
        return replace(verdict, status=codes.RINVSCHED), 0.0
    if held_s <= 0:
        return verdict, 0.0
    valid_s = _seconds_until(fields["validity_period"], now_s)
    if valid_s is not None and valid_s < held_s + verdict.final_s:
        # It keeps its wish for a receipt, and loses what would have been told on the way.
        told = tuple((valid_s, "EXPIRED") for _, state in verdict.notices if state == verdict.state)
        return replace(
            verdict, is_receipt_first=False, state="EXPIRED", final_s=valid_s, notices=told
        ), held_s
    notices = tuple((0.0 if state == HELD else at + held_s, state) for at, state in verdict.notices)
    return replace(verdict, is_receipt_first=False, final_s=verdict.final_s + held_s, notices=notices), held_s


def _seconds_until(text: str, now_s: float) -> float | None:
    """How far ahead a time lies; None for none."""
    match parse_time(text):
        case AbsoluteTime() as time:
            return time.at_ms / 1000 - now_s
        case RelativeTime() as span:
            return span.after(int(now_s * 1000)) / 1000 - now_s
    return None
