"""The plugin contract: what a driver must define and what it is given. Contract version 1.

A *driver* speaks to one kind of peer. A configured instance is a *channel*; a part of it with its own window and
rate is a *lane*. An entry point in the group ``stentor.drivers`` names a :class:`DriverSpec`; importing its module
must do nothing else. ``plugins/README.md`` is the author's guide, ``stentor.testing`` the conformance kit.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from stentor.clock import Clock
from stentor.message import Error, Status
from stentor.outcome import Outcome, Submission
from stentor.text.segments import Encoding

CONTRACT_VERSION: Final = 1


class Capabilities(msgspec.Struct, frozen=True, gc=False):
    """What a channel can do; plain data that may depend on its configuration.

    ``unit`` is what one submission carries: ``"segment"`` or ``"message"``. ``is_idempotent``: the peer delivers one
    submission once however often it is handed over, so there is no doubt. ``receipts``: ``"none"``, ``"segment"`` or
    ``"message"``. ``receipt_family``: channels of the same family share the carrier's ids, so a receipt that comes
    over one may belong to a message sent over another; empty: the channel alone.
    """

    unit: str = "segment"
    encodings: frozenset[Encoding] = frozenset(Encoding)
    wide_reference: bool = False
    batch_limit: int = 500
    receipts: str = "segment"
    has_inbound: bool = True
    honours_validity: bool = True
    is_idempotent: bool = False
    receipt_family: str = ""


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """A delivery receipt, as the driver read it.

    ``match_id`` names the submission in the form its Sent outcome announced. ``status`` is SENT for an intermediate
    state, else one of DELIVERED, UNDELIVERED, REJECTED, EXPIRED, UNKNOWN. ``done_at_ms`` is the peer's own time, 0
    when it gave none.
    """

    match_id: str
    status: Status
    error: Error | None = None
    done_at_ms: int = 0


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """A message that came in (MO), whole: its segments joined, its text decoded, or binary ``data``."""

    originator: str
    to: str
    text: str | None
    encoding: Encoding = Encoding.GSM7
    data: bytes | None = None
    segments: int = 1
    carrier_id: str | None = None


class LaneStatus(msgspec.Struct, frozen=True):
    """One lane as the driver sees it: its peer and the state of the link in a word."""

    key: str
    state: str
    peer: str
    since_ms: int
    detail: str = ""


class DriverStatus(msgspec.Struct, frozen=True):
    """Immutable picture of a driver: lanes, counters, last error. Never holds a secret."""

    lanes: tuple[LaneStatus, ...] = ()
    counters: Mapping[str, int] = {}
    last_error: str | None = None
    last_error_at_ms: int = 0


class Log(Protocol):
    """A bound structured logger; numbers and texts given as values are masked by the shell."""

    def debug(self, event: str, **values: object) -> None: ...

    def info(self, event: str, **values: object) -> None: ...

    def warning(self, event: str, **values: object) -> None: ...

    def error(self, event: str, **values: object) -> None: ...


class Host(Protocol):
    """What a driver is given. All members are to be called on the loop that runs the driver."""

    channel: str
    clock: Clock
    log: Log

    def lane(self, key: str, window: int, rate: float | None = None) -> None:
        """Declare a lane or change it. ``window`` 0 means "not now"; ``rate`` is segments a second."""

    def remove_lane(self, key: str) -> None:
        """The lane is gone. Every submission it was handed must have its outcome already."""

    def resolve(self, outcomes: Sequence[Outcome]) -> None:
        """Exactly one outcome for every submission, in any order."""

    def receive(self, items: Sequence[Receipt | Inbound], settled: Callable[[bool], None]) -> None:
        """Take receipts and inbound messages. ``settled(True)`` is called once they are durable: acknowledge the
        peer then and not before. ``settled(False)`` means they were not stored: ask the peer to repeat them."""

    def random(self) -> float:
        """A number in [0, 1) for jitter."""


class Driver(Protocol):
    """A running channel. :meth:`submit` and :meth:`status` are synchronous and return at once."""

    async def run(self) -> None:
        """Live as long as the channel; own connections and tasks. Returning or raising ends this incarnation: every
        submission still held is resolved first, then the engine starts a new one after a pause."""

    def submit(self, lane: str, batch: Sequence[Submission]) -> None:
        """Take a batch that fits the lane's free window. MUST NOT block or raise for anything the peer did; every
        item gets exactly one outcome through the host, possibly before this returns."""

    async def drain(self, deadline: float) -> None:
        """Take nothing new; finish or give back every submission before ``deadline`` (monotonic seconds), close in
        good order, and let :meth:`run` return."""

    def status(self) -> DriverStatus: ...


class DriverSpec(msgspec.Struct, frozen=True):
    """What an entry point names. ``config`` is a Struct type with ``forbid_unknown_fields``: the channel's keys
    beyond ``driver``, ``rate``, ``enabled``. ``secrets`` are the fields never shown."""

    name: str
    contract: int
    config: type[msgspec.Struct]
    capabilities: Callable[[Any], Capabilities]
    make: Callable[[Any, Host], Driver]
    secrets: frozenset[str] = frozenset()
    check: Callable[[Any], None] | None = None
