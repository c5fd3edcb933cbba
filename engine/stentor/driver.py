"""The plugin contract: what a driver must define and what it is given. Contract version 1.

A *driver* speaks to one kind of peer. A configured instance is a *channel*; a part of it with its own window and
rate is a *lane*. An entry point in the group ``stentor.drivers`` names a :class:`DriverSpec`; importing its module
must do nothing else. ``plugins/README.md`` is the author's guide, ``stentor.testing`` the conformance kit.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from stentor.clock import Clock
from stentor.message import Charge, Error, Status
from stentor.outcome import Outcome, Submission
from stentor.text.coding import DEFAULT, Coding
from stentor.text.segments import Encoding

CONTRACT_VERSION: Final = 1


class Capabilities(msgspec.Struct, frozen=True, gc=False):
    """What a channel can do; plain data that may depend on its configuration.

    ``unit`` is what one submission carries: ``"segment"`` or ``"message"``. ``is_idempotent``: the peer delivers one
    submission once however often it is handed over, so there is no doubt. ``receipts``: ``"none"``, ``"segment"`` or
    ``"message"``. ``receipt_family``: channels of the same family share the carrier's ids, so a receipt that comes
    over one may belong to a message sent over another; empty: the channel alone. ``coding``: how the peer takes
    texts; it decides how they are encoded and cut. Latin-1 comes only where ``coding`` wants it.

    ``echoes_reference``: receipts repeat ``Submission.reference``, so they can settle doubt. ``can_look_up``: the peer
    can be asked whether it has a submission whose answer was lost, also by a later life of the daemon: the driver
    heeds ``Submission.doubtful_since_ms``. ``query_after_s``: the
    driver is a :class:`Follower` and is asked about a segment whose receipt is so late, 0 for never. ``can_cancel``:
    it is a Follower and can take back what has left. ``can_recall``: it is a :class:`Recaller` and can give back what
    it was handed. ``can_send``: False for a channel that only receives.
    ``schedules_s``: the peer takes a message so long before ``Submission.send_at_ms`` and holds it until then; 0 for
    never: then nothing is handed over before its time. ``patience_s``: new messages for it may wait so long for what
    else is to be stored, where their clients go on meanwhile; for peers that take seconds to send one.
    """

    unit: str = "segment"
    encodings: frozenset[Encoding] = frozenset({Encoding.GSM7, Encoding.UCS2, Encoding.BINARY})
    coding: Coding = DEFAULT
    batch_limit: int = 500
    receipts: str = "segment"
    has_inbound: bool = True
    honours_validity: bool = True
    is_idempotent: bool = False
    receipt_family: str = ""
    echoes_reference: bool = False
    can_look_up: bool = False
    query_after_s: float = 0.0
    can_cancel: bool = False
    can_recall: bool = False
    can_send: bool = True
    schedules_s: float = 0.0
    patience_s: float = 0.0


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """A delivery receipt, as the driver read it.

    ``match_id`` names the submission in the form its Sent outcome announced. ``status`` is SENT for an intermediate
    state, else one of DELIVERED, UNDELIVERED, REJECTED, EXPIRED, UNKNOWN, and CANCELLED where we asked for it.
    ``done_at_ms`` is the peer's own time, 0 when it gave none. ``reference`` is the echoed ``Submission.reference``
    and ``to`` the destination it goes with; together they name an attempt whose answer was lost. ``charge`` is what the
    peer counted for the whole submission, where receipts say so; what it says replaces what the answer said.
    """

    match_id: str
    status: Status
    error: Error | None = None
    done_at_ms: int = 0
    reference: int | None = None
    to: str = ""
    charge: Charge | None = None


class Part(msgspec.Struct, frozen=True, gc=False):
    """Which part of a longer inbound message this is: ``index`` from 1 of ``total``, at most 255. Parts of one message
    have the same originator, destination, ``reference`` and total, and come over channels of one receipt family."""

    reference: int
    total: int
    index: int


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """A message that came in (MO): its ``text`` decoded, or None and ``data`` as it came.

    With ``part`` it is one segment of a longer message, which the engine joins: drivers forget nothing by crashing.
    A part in GSM 7-bit or UCS-2 is best given as ``data`` (unpacked septets, UTF-16) in that ``encoding``: the engine
    decodes it when it is joined, so that a character cut between two parts is whole again.
    """

    originator: str
    to: str
    text: str | None
    encoding: Encoding = Encoding.GSM7
    data: bytes | None = None
    segments: int = 1
    carrier_id: str | None = None
    part: Part | None = None


class Followed(msgspec.Struct, frozen=True, gc=False):
    """A segment the carrier has taken, named for a question about it."""

    token: int
    carrier_id: str
    match_id: str
    originator: str
    to: str


class LaneStatus(msgspec.Struct, frozen=True):
    """One lane as the driver sees it: its peer and the state of the link in a word.

    ``is_receiving``: what the peer sends comes in over it now, whatever may go out. A link that only receives is told
    of here and never offered to the host as a lane.
    """

    key: str
    state: str
    peer: str
    since_ms: int
    detail: str = ""
    is_receiving: bool = False


class DriverStatus(msgspec.Struct, frozen=True):
    """Immutable picture of a driver: lanes, counters, last error. Never holds a secret."""

    lanes: tuple[LaneStatus, ...] = ()
    counters: Mapping[str, int] = {}
    last_error: str | None = None
    last_error_at_ms: int = 0


class HTTPHead(Protocol):
    """What a request says before its body. ``path`` and ``query`` are as sent, percent-encoding and all; ``headers``
    has names in lower case, values of a repeated field joined by ", " (RFC 9110 §5.3)."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def query(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class HTTPExchange(Protocol):
    """One HTTP request to a path the driver serves, its body gathered, and its response, to give now or later.

    A response is given by :meth:`respond`, or by :meth:`start`, any number of :meth:`send`, and :meth:`end`. Once the
    client is gone (``is_closed``) every method is without effect. ``on_close`` is called once if that happens before
    the response is complete, ``on_drain`` when the channel or the server begins to stop: an endless response should
    end. What is open when the incarnation ends is answered 503 or broken off.
    """

    body: bytes
    on_close: Callable[[], None] | None
    on_drain: Callable[[], None] | None

    @property
    def head(self) -> HTTPHead: ...

    @property
    def address(self) -> str:
        """``host:port`` of the client; empty on the Unix socket."""

    @property
    def is_closed(self) -> bool: ...

    def respond(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        fields: Iterable[tuple[str, str]] = (),
    ) -> None: ...

    def start(self, status: int, content_type: str, fields: Iterable[tuple[str, str]] = ()) -> None: ...

    def send(self, data: bytes) -> None:
        """A client that leaves too much untaken is dropped."""

    def end(self) -> None: ...

    def drop(self) -> None: ...


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
        """Exactly one outcome for every submission, in any order. An answer that came too late may follow an Unknown
        as a Sent: it can still settle the doubt."""

    def receive(self, items: Sequence[Receipt | Inbound], settled: Callable[[bool], None]) -> None:
        """Take receipts and inbound messages. ``settled(True)`` is called once they are durable: acknowledge the
        peer then and not before. ``settled(False)`` means they were not stored: ask the peer to repeat them."""

    def random(self) -> float:
        """A number in [0, 1) for jitter."""

    def serve(self, prefix: str, handler: Callable[[HTTPExchange], None], body_limit: int = 65_536) -> None:
        """Give the driver every HTTP request to ``prefix`` and below, on all listeners, for as long as this
        incarnation lives. The handler must return at once and must not raise for anything the client did;
        credentials are the driver's to check. A prefix is ``/in/CHANNEL`` or one the driver's protocol fixes; the
        longest that fits wins. Until the next incarnation serves it, it answers 503. Raises ConfigError when another
        channel serves it, or when it is in stentor's own API."""

    def request(
        self,
        method: str,
        target: str,
        body: bytes,
        answered: Callable[[int, bytes], None],
        fields: Iterable[tuple[str, str]] = (),
        account: str = "",
    ) -> None:
        """Ask stentor's own HTTP API as the account (empty: ``default``), without a socket; ``answered`` is given the
        whole answer's status and body, once and possibly before this returns, unless the incarnation ends first.
        The account is no operator. At most 1,000 requests may wait for their answers; one more is answered 503. For
        drivers that speak an API of others."""

    def keep(self, name: str, value: bytes | None, durable: Callable[[], None] | None = None) -> None:
        """Remember up to 64 KiB under the channel and ``name`` (up to 255 octets) beyond restarts, None to forget;
        durable with the next commit. ``durable`` is called after that, unless the incarnation ends first. For what the
        peer cannot be asked again. Raises Overloaded beyond 100,000 names or 64 MiB of a channel, remembering
        nothing."""

    def kept(self) -> Mapping[str, bytes]:
        """All that is remembered for the channel, what was just kept included; a map of the caller's own."""

    def asked_back(self, tokens: Collection[int]) -> None:
        """What the driver holds under these tokens was recalled in an earlier life (:meth:`Recaller.recall`), and its
        peer is asked for it again: from now on it is as if recall had returned them."""


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


class Follower(Driver, Protocol):
    """A driver that can ask its peer about what has left. Both return at once and raise for nothing the peer did."""

    def query(self, segments: Sequence[Followed]) -> None:
        """Ask what became of them; answers are received as receipts. What cannot be asked now is left unasked."""

    def cancel(self, segments: Sequence[Followed]) -> None:
        """Ask the peer not to deliver them; what it took back is received as a receipt of status CANCELLED."""


class Recaller(Driver, Protocol):
    """A driver that holds submissions for a while before they leave, or whose peer does."""

    def recall(self, submissions: Sequence[Submission]) -> Collection[int]:
        """Their messages are cancelled. What has certainly not left is Returned before this returns; the tokens that
        the peer is asked to give back are returned, and each has its one outcome when that is known, Returned if it
        did. What is neither has left. Those that have their outcome already are passed over. Returns at once and
        raises for nothing the peer did."""


class DriverSpec(msgspec.Struct, frozen=True):
    """What an entry point names. ``config`` is a Struct type with ``forbid_unknown_fields``: the channel's keys
    beyond ``driver``, ``rate``, ``enabled``. ``secrets`` are the fields never shown, there and in lists of tables
    inside."""

    name: str
    contract: int
    config: type[msgspec.Struct]
    capabilities: Callable[[Any], Capabilities]
    make: Callable[[Any, Host], Driver]
    secrets: frozenset[str] = frozenset()
    check: Callable[[Any], None] | None = None
