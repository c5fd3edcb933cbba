"""From submissions to requests, and from answers to outcomes. Pure: time and tokens are arguments.

Invariants: every submission is in exactly one exchange or has its outcome already, and every exchange that is read
gives each of its submissions exactly one outcome, whatever came back.
"""

from collections.abc import Sequence

import msgspec

from stentor.outcome import Outcome, Submission
from stentor.wire.calls import HTTPFailure, HTTPReply, HTTPRequest
from stentor_http.carrier import Carrier


class Exchange(msgspec.Struct, frozen=True):
    """One request and what it carries, in the order of the request."""

    request: HTTPRequest
    submissions: tuple[Submission, ...]


class Built(msgspec.Struct, frozen=True):
    """What is to be sent, and the outcomes of what cannot be said to this carrier."""

    exchanges: list[Exchange]
    outcomes: list[Outcome]


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What the carrier counted for a submission: segments (0: it did not say) and millionths of ``currency``."""

    token: int
    segments: int
    price_micros: int
    currency: str


class Reading(msgspec.Struct, frozen=True):
    """An answer as understood: one outcome for each submission of the exchange.

    ``fault`` is a sentence for the channel's last error, secrets masked, None when the carrier took everything.
    ``is_unreachable``: nothing left; close the lane for a while, for what is returned comes again at once.
    ``is_unauthorised``: the login was refused; a token that was fetched is worth nothing any more.
    """

    outcomes: list[Outcome]
    charges: list[Charge] = []
    fault: str | None = None
    is_unreachable: bool = False
    is_unauthorised: bool = False


class Token(msgspec.Struct, frozen=True, gc=False):
    """A login's token and until when it may be used."""

    value: str
    expires_at_ms: int


def build(carrier: Carrier, submissions: Sequence[Submission], wall_ms: int, token: str = "") -> Built:
    """The requests for a batch. ``token`` is the value of the last :class:`Token`, for a carrier that
    ``needs_token``."""
    raise NotImplementedError


def read(
    carrier: Carrier, exchange: Exchange, answer: HTTPReply | HTTPFailure, wall_ms: int
) -> Reading:
    """What became of an exchange. Raises for nothing the carrier says."""
    raise NotImplementedError


def token_request(carrier: Carrier, wall_ms: int) -> HTTPRequest:
    """The request for a new token; only for a carrier that ``needs_token``."""
    raise NotImplementedError


def read_token(carrier: Carrier, answer: HTTPReply | HTTPFailure, wall_ms: int) -> Token | str:
    """The token, or why there is none (a sentence, secrets masked)."""
    raise NotImplementedError
