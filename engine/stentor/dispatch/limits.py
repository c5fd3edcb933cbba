"""The dispatcher's own bounds, in one place."""

from typing import Final

import msgspec

from stentor.journal.backlog import FLOOR

READ_LIMIT: Final = 1000


class Limits(msgspec.Struct, frozen=True):
    """The dispatcher's own bounds.

    ``receipt_horizon_ms``: how long a receipt is waited for after the message was sent; then it is UNKNOWN, or stays
    SENT if ``missing_receipt_is_unknown`` is false. ``floor``: what a queue may always have in memory. ``block``:
    messages that one read of the journal finds at most. ``parts``: parts of inbound messages that wait, and joined
    messages that are remembered; ``join_timeout_ms``: for how long. ``doubt_horizon_ms``: how long something may yet
    tell of a submission whose answer was never seen; ``doubts``: of how many.
    """

    active: int = 50_000
    parked: int = 50_000
    parked_age_ms: int = 24 * 3600 * 1000
    receipt_horizon_ms: int = 72 * 3600 * 1000
    missing_receipt_is_unknown: bool = True
    floor: int = FLOOR
    block: int = READ_LIMIT
    parts: int = 50_000
    join_timeout_ms: int = 3600 * 1000
    doubts: int = 10_000
    doubt_horizon_ms: int = 600 * 1000
