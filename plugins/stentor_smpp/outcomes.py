"""From what an SMSC answered to what the engine does: outcomes of submissions.

One row for each command_status decides: the class says what is done (``status``), the catalogue's code what was
wrong. A channel's own rows come first; an unlisted status is temporary at message scope.

A *throttle* counts no attempt of the message, however often it comes. "Too fast" (``throttled``) slows the lane
down. "The queue is full" (``carrier_busy``) does that too, and while nothing gets through any more it stops the
lane for a pause that doubles, since a slower pace alone would go on knocking. One full queue of one handset, with
other messages getting through, stops nothing.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from stentor.outcome import Deferred, Outcome, Refused, Scope, Sent, Submission
from stentor_smpp.rules import ClassWord, StatusRule
from stentor_smpp.status import StatusClass, StatusInfo, lookup, parse_status
from stentor_smpp.tlvs import ADDITIONAL_STATUS_INFO_TEXT, TLV, first

_CODES: Final = {
    0x01: "bad_content",
    0x0A: "bad_originator",
    0x0B: "bad_destination",
    0x14: "carrier_busy",
    0x34: "bad_destination",
    0x48: "bad_originator",
    0x49: "bad_originator",
    0x50: "bad_destination",
    0x51: "bad_destination",
    0x58: "throttled",
    0x100: "not_permitted",
    0x101: "not_permitted",
    0x103: "not_permitted",
    0x104: "bad_content",
    0x105: "bad_originator",
    0x106: "bad_destination",
}

_CODES_OF_CLASS: Final = {
    StatusClass.SUCCESS: "",
    StatusClass.THROTTLE: "throttled",
    StatusClass.TEMPORARY: "carrier_error",
    StatusClass.SESSION: "carrier_busy",
    StatusClass.BIND_FATAL: "carrier_busy",
    StatusClass.PERMANENT: "bad_request",
}

SESSION_PAUSE_S: Final = 1.0
BUSY_FIRST_S: Final = 1.0
BUSY_LONGEST_S: Final = 60.0
"""Pauses of a lane while every answer is "the queue is full", doubling from the first to the longest."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What one command_status means on one channel. ``pause_s`` 0 leaves the pause to the engine."""

    status_class: StatusClass
    code: str
    carrier_code: str
    name: str
    pause_s: float = 0.0


def carrier_code(status: int) -> str:
    """A command_status as carriers' manuals print it."""
    return f"0x{status:08X}"


class Verdicts:
    """The rows of one channel: its own, and behind them those of the books."""

    __slots__ = ("_own",)

    def __init__(self, statuses: Mapping[str, ClassWord | StatusRule] | None = None) -> None:
        self._own: dict[int, Verdict] = {}
        for name, rule in (statuses or {}).items():
            status = parse_status(name)
            assert status is not None, "checked with the configuration"
            self._own[status] = _own_verdict(status, rule)

    def of(self, status: int) -> Verdict:
        own = self._own.get(status)
        return own if own is not None else _verdict(lookup(status))


def _verdict(info: StatusInfo) -> Verdict:
    code = _CODES.get(info.code) or _CODES_OF_CLASS[info.status_class]
    in_session = info.status_class in (StatusClass.SESSION, StatusClass.BIND_FATAL)
    pause_s = SESSION_PAUSE_S if in_session else 0.0
    return Verdict(info.status_class, code, carrier_code(info.code), info.name, pause_s)


def _own_verdict(status: int, rule: ClassWord | StatusRule) -> Verdict:
    if not isinstance(rule, StatusRule):
        rule = StatusRule(status_class=rule)
    usual = _verdict(lookup(status))
    status_class = StatusClass(rule.status_class)
    # The usual code still says what was wrong, unless the class says it is something else.
    fits = status_class is usual.status_class or (status_class is StatusClass.PERMANENT and status in _CODES)
    code = rule.code or (usual.code if fits else _CODES_OF_CLASS[status_class])
    in_session = status_class in (StatusClass.SESSION, StatusClass.BIND_FATAL)
    pause_s = rule.pause_s or (SESSION_PAUSE_S if in_session else 0.0)
    return Verdict(status_class, code, usual.carrier_code, usual.name, pause_s)


class Judge:
    """Turns the answers of one session that are no plain success into outcomes; knows how long a full queue lasts."""

    __slots__ = ("_busy_until", "_cohorts", "_verdicts")

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self._cohorts = 0
        self._busy_until = 0.0

    def got_through(self) -> None:
        """The SMSC took something."""
        self._cohorts = 0
        self._busy_until = 0.0

    def outcome(self, submission: Submission, status: int, tlvs: tuple[TLV, ...], now: float) -> Outcome:
        """What a submit_sm_resp means that has an error, or success without an id to know it by."""
        if status == 0:
            return Sent(submission)
        verdict = self._verdicts.of(status)
        detail = _detail(verdict.name, tlvs)
        code, number, pause_s = verdict.code, verdict.carrier_code, verdict.pause_s
        match verdict.status_class:
            case StatusClass.SUCCESS:
                return Sent(submission)
            case StatusClass.PERMANENT:
                return Refused(submission, code, number, detail)
            case StatusClass.THROTTLE:
                if not pause_s and code == "carrier_busy":
                    pause_s = self._busy_s(now)
                return Deferred(submission, code, number, detail, Scope.LANE, pause_s, is_throttle=True)
            case StatusClass.SESSION | StatusClass.BIND_FATAL:
                # The session is not what we thought it was; the message is blameless and waits until that is mended.
                return Deferred(submission, code, number, detail, Scope.LANE, pause_s)
            case _:
                return Deferred(submission, code, number, detail, Scope.MESSAGE, pause_s)

    def _busy_s(self, now: float) -> float:
        """The rest of the pause that a full queue means. What left together fails together, and counts once."""
        if now >= self._busy_until:
            self._cohorts += 1
            doublings = min(self._cohorts - 2, 32)
            pause_s = min(BUSY_LONGEST_S, BUSY_FIRST_S * 2**doublings) if doublings >= 0 else 0.0
            self._busy_until = now + max(pause_s, BUSY_FIRST_S)
        return self._busy_until - now if self._cohorts > 1 else 0.0


def _detail(name: str, tlvs: tuple[TLV, ...]) -> str:
    """The name of the status, and what the carrier says about it if it says anything (SMPP 3.4 section 5.3.2.11)."""
    said = first(tlvs, ADDITIONAL_STATUS_INFO_TEXT) if tlvs else None
    text = said.rstrip(b"\0").decode("latin-1").strip() if said else ""
    return f"{name}: {text}"[:200] if text else name
