"""From what an SMSC answered to what the engine does: outcomes of submissions.

The class of a command_status decides (``status``); the catalogue's code says what was wrong. An unlisted status is
temporary at message scope.
"""

from typing import Final

from stentor.outcome import Deferred, Outcome, Refused, Scope, Sent, Submission
from stentor_smpp.matching import IdKey
from stentor_smpp.status import StatusClass, lookup

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
    StatusClass.THROTTLE: "throttled",
    StatusClass.TEMPORARY: "carrier_error",
    StatusClass.SESSION: "carrier_busy",
    StatusClass.BIND_FATAL: "carrier_busy",
    StatusClass.PERMANENT: "bad_request",
}

SESSION_PAUSE_S: Final = 1.0


def carrier_code(status: int) -> str:
    """A command_status as carriers' manuals print it."""
    return f"0x{status:08X}"


def outcome(submission: Submission, status: int, message_id: str | None, response_key: IdKey) -> Outcome:
    """What a submit_sm_resp means for its submission."""
    if status == 0:
        if not message_id:
            return Sent(submission)
        return Sent(submission, message_id, response_key(message_id))
    info = lookup(status)
    code = _CODES.get(status) or _CODES_OF_CLASS[info.status_class]
    number, name = carrier_code(status), info.name
    match info.status_class:
        case StatusClass.PERMANENT:
            return Refused(submission, code, number, name)
        case StatusClass.THROTTLE:
            return Deferred(submission, code, number, name, Scope.LANE, is_throttle=True)
        case StatusClass.SESSION | StatusClass.BIND_FATAL:
            # The session is not what we thought it was; the message is blameless and waits until that is mended.
            return Deferred(submission, code, number, name, Scope.LANE, SESSION_PAUSE_S)
        case _:
            return Deferred(submission, code, number, name)
