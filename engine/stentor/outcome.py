"""What is handed to a driver, and the closed union of what can become of it.

A submission gets exactly one outcome. Three facts are kept apart: how far a failure reaches (``Scope``), whether it
is permanent (Refused) or temporary (Deferred), and whether we know what happened at all (Unknown).
"""

import enum
from typing import Final

import msgspec

from stentor.message import Charge, Priority
from stentor.text.segments import Encoding


class Submission(msgspec.Struct, frozen=True, gc=False):
    """One attempt of one segment, or of one whole message for a driver whose unit is the message.

    ``token`` is the segment's key (``ids``); a whole message counts as its first segment. ``data`` are octets
    ready for the air: unpacked septets (GSM 7-bit), UTF-16BE (UCS-2), Latin-1 or binary; ``udh`` goes in front of them.
    ``to`` is E.164 with ``+``. ``valid_for_s`` counts from now. ``text`` is given only to drivers whose unit is the
    message. ``metadata`` is the client's JSON object, for what a channel's configuration takes from it.
    ``send_at_ms`` is the wall time before which the peer is not to deliver it, 0 for none; it lies ahead only for a
    channel that said so (``Capabilities.schedules_s``).

    ``doubtful_since_ms``, for channels that can look up (``Capabilities.can_look_up``): it may have left at this wall
    time or later, in a life of the daemon that was killed, and it MUST NOT be sent. The peer is asked whether it has
    it: Sent if so, Deferred if it certainly has not, Unknown when nobody can tell, Returned while it was not asked. 0
    for what is to be sent.
    """

    token: int
    attempt: int
    to: str
    originator: str
    encoding: Encoding
    data: bytes
    udh: bytes
    index: int
    segments: int
    wants_receipt: bool
    valid_for_s: int
    priority: Priority
    flash: bool = False
    text: str | None = None
    metadata: bytes | None = None
    send_at_ms: int = 0
    doubtful_since_ms: int = 0

    @property
    def reference(self) -> int:
        """16 bits that a peer may repeat in receipts; with the destination they name one attempt's submission."""
        return reference_of(self.token, self.attempt)


def reference_of(token: int, attempt: int) -> int:
    """:attr:`Submission.reference` of this attempt at a segment; attempts over several channels may cut it differently.

    Tokens differ in few bits, most of them those of the time: a product with 2^64 over the golden ratio spreads all of
    them into its upper bits (Knuth, The Art of Computer Programming 3, §6.4), and so it does with the attempt's.
    """
    return ((token + (attempt << 32)) * 0x9E37_79B9_7F4A_7C15 >> 48) & 0xFFFF


class Scope(enum.Enum):
    """How far a failure reaches."""

    MESSAGE = "message"
    DESTINATION = "destination"
    LANE = "lane"
    CHANNEL = "channel"


class Sent(msgspec.Struct, frozen=True, gc=False):
    """The peer took responsibility. ``match_id`` is the form in which a receipt will name ``carrier_id``; ``charge`` is
    what it counted, where its answer says so."""

    submission: Submission
    carrier_id: str | None = None
    match_id: str | None = None
    charge: Charge | None = None


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The peer will never take it."""

    submission: Submission
    code: str
    carrier_code: str | None = None
    detail: str = ""
    scope: Scope = Scope.MESSAGE


class Deferred(msgspec.Struct, frozen=True, gc=False):
    """The peer may take it later. ``is_throttle``: we were too fast; the lane slows down, no attempt is counted."""

    submission: Submission
    code: str
    carrier_code: str | None = None
    detail: str = ""
    scope: Scope = Scope.MESSAGE
    retry_after_s: float = 0.0
    is_throttle: bool = False


class Returned(msgspec.Struct, frozen=True, gc=False):
    """It provably never left us: rescheduled at once, no attempt counted."""

    submission: Submission


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """It may have left us and no answer was seen: doubt, settled by the message's delivery promise."""

    submission: Submission
    reason: str = "no_answer"


Outcome = Sent | Refused | Deferred | Returned | Unknown

CODES: Final = {
    "bad_destination": "the carrier does not accept the destination",
    "bad_originator": "the carrier does not accept the originator",
    "bad_content": "the carrier does not accept the text, its encoding or its length",
    "bad_request": "the carrier found the submission malformed",
    "not_permitted": "the carrier does not allow this account, service or destination",
    "no_credit": "the carrier's credit is used up",
    "throttled": "the carrier asked for a slower pace",
    "carrier_busy": "the carrier's queue is full or a part of it is down",
    "carrier_error": "the carrier failed without saying more",
    "unreachable_destination": "the handset could not be reached while the message was valid",
    "not_delivered": "the network or the handset reported failure",
    "rejected": "the carrier rejected the message after it had taken it",
    "deleted": "the carrier deleted the message",
    "expired": "the validity passed before delivery",
    "no_answer": "an attempt may have left and its answer was never seen",
    "no_route": "no channel is left that may carry the message",
    "begun_anew": "the channel cannot complete what others have sent of the message; it is sent once more, or ends",
    "attempts_exhausted": "every attempt allowed was used",
    "no_receipt": "the receipt did not come within the horizon",
    "cancelled": "the client cancelled it",
    "quiet_hours": "the destination has quiet hours, and the message leaves when they end",
    "too_early": "the channel takes no message so long before it is due, and it leaves later",
}
"""The catalogue of ``error.code``, the same for every driver."""
