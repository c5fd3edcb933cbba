"""What carriers, pump and invariants know of the world around them."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Protocol

from stentor.dispatch.dispatcher import Dispatcher, Limits
from stentor.driver import Inbound, Receipt
from stentor.message import Status
from stentor.outcome import Outcome, Submission
from stentor.pacing.quiet import Quiet
from stentor.retry import RetryPolicy
from stentor.testing.simulator.fates import Fates, Peer
from stentor.testing.simulator.faults import Faults
from stentor.testing.simulator.journal import ModelJournal, Rows
from stentor.testing.simulator.lane import PeerLane


class Ticket:
    """Receipts and inbound messages that a carrier wants acknowledged; ``post`` brings one of them again."""

    def __init__(self, post: Callable[[Receipt | Inbound], None], items: Sequence[Receipt | Inbound]) -> None:
        self.post = post
        self.items = items


class Scene(Protocol):
    """A world. ``truth`` maps carrier ids to segments, ``said`` to what was taken under them; ``final_at`` and
    ``acknowledged`` say when that was; ``unnamed`` are the statuses that receipts without an id told of a segment;
    ``are_held``: somebody holds messages back, or did."""

    random: Random
    faults: Faults
    limits: Limits
    retry: RetryPolicy
    journal: ModelJournal
    flights: bytearray
    is_steady: bool
    are_held: bool
    quiet: Quiet | None
    """The hours that clients' messages are moved out of."""
    is_clock_set: bool
    now: float
    counts: dict[str, int]
    accepted: dict[int, None]
    refused: dict[tuple[int, int], None]
    cancelled: dict[int, None]
    truth: dict[str, int]
    unnamed: dict[int, dict[Status, None]]
    said: dict[str, Submission]
    acknowledged: dict[str, tuple[Status, float]]
    final_at: dict[int, float]

    @property
    def fates(self) -> Fates: ...

    @property
    def carriers(self) -> Mapping[str, Peer]: ...

    @property
    def wall_ms(self) -> int: ...

    @property
    def dispatcher(self) -> Dispatcher | None: ...

    def after(self, delay_s: float, action: Callable[..., None], *values: Any) -> None: ...

    def kick(self) -> None: ...

    def trace(self, what: str, *values: object) -> None: ...

    def apply(self, rows: Rows) -> None:
        """A commit is durable."""

    def hand_over(self, channel: str, lane_key: str, batch: list[Submission]) -> None:
        """The pump hands a batch to a driver."""

    def settle(self, ticket: object) -> None:
        """The carrier is told that we have all of it."""

    def new_ticket(
        self, post: Callable[[Receipt | Inbound], None], items: Sequence[Receipt | Inbound]
    ) -> Ticket: ...

    def way_for(self, carrier: str) -> str | None:
        """The channel that a carrier's receipts come over now."""

    def heard(self, items: Sequence[Receipt | Inbound]) -> None:
        """The engine is given these by a carrier."""

    def fresh_id(self) -> str: ...

    def note_late(self, outcome: Outcome) -> None:
        """A driver tells of what it has answered for already."""

    def note_outcome(self, lane: PeerLane, outcome: Outcome) -> None:
        """A driver answers for a submission."""
