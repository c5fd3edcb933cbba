"""Requests that carriers send to us: receipts and messages that came in. Signatures first, then the content.

Invariant: nothing of a body is interpreted before what proves its origin has been compared in constant time; only a
form is taken apart for schemes that sign its fields.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from stentor.driver import HTTPHead, Inbound, Receipt
from stentor_http.carrier import Carrier
from stentor_http.parts import PartTally

Kind = Literal["receipt", "mo"]


class Accepted(msgspec.Struct, frozen=True):
    """Give the items to the host, and once they are durable answer with this. ``skipped`` is how many entries were
    neither: of other kinds, or without an id."""

    items: tuple[Receipt | Inbound, ...]
    status: int
    body: bytes
    content_type: str
    skipped: int = 0


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """Answer at once with this. ``reason`` is a word to count by: method, token, signature, stale, unreadable."""

    status: int
    body: bytes
    reason: str


def receive(
    carrier: Carrier, kind: Kind, head: HTTPHead, body: bytes, wall_ms: int, tally: PartTally
) -> Accepted | Rejected:
    """What a request to ``/in/CHANNEL/receipt`` or ``/mo`` says. Raises for nothing the client did.

    Answer 503 in place of ``Accepted.status`` when the items could not be stored: carriers then repeat.
    """
    raise NotImplementedError
