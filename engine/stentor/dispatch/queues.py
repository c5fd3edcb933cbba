"""Every queue of the dispatcher by name: how long it is, its bound, and what happens when it is full."""

from collections.abc import Mapping

from stentor.dispatch.limits import Limits
from stentor.dispatch.reading import Reading
from stentor.journal.flight_record import MOST_SLOTS
from stentor.settling.following import Following
from stentor.settling.receiving import Receiver
from stentor.settling.settle import Settler

Length = tuple[int, int, str]
"""Length, bound (0 for one that follows from other bounds), policy when full."""


def queue_lengths(
    limits: Limits,
    active: int,
    settler: Settler,
    reading: Reading,
    receiver: Receiver,
    following: Following,
) -> Mapping[str, Length]:
    """As they are now; ``active`` messages are in memory."""
    expiries = reading.expiries
    return {
        "active set": (active, limits.active, "new messages wait in the journal"),
        "awaited receipts": (
            len(settler.awaited),
            limits.active,
            "the oldest are looked up in the journal",
        ),
        "parked receipts": (len(settler.parked), limits.parked, "the oldest are dropped and counted"),
        "parts": (
            len(receiver.joiner),
            limits.parts,
            "the oldest incomplete message is delivered as it is",
        ),
        "doubts": (
            len(settler.holding.doubts),
            limits.doubts,
            "the oldest can be settled no more; at most once, it ends as unknown",
        ),
        "record of flights": (len(settler.record), MOST_SLOTS, "lanes are given nothing more"),
        "open questions": (len(following.asked), following.limit, "overdue receipts are asked for later"),
        "expiries": (
            len(expiries),
            expiries.limit,
            "the latest are dropped, and the journal is asked again by then",
        ),
        "lookups": (len(receiver.lookups), 0, "bounded by the carriers' windows towards us"),
    }
