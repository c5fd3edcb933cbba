"""What the author of a driver supplies: the other end of his protocol, scripted.

A :class:`Peer` listens (or connects) on the running loop, lets the driver in, records what it sees and answers as it
is told. It speaks the protocol correctly except where a check tells it not to. Link faults (refused connections,
resets at an octet, small pieces) are the network's affair, not the peer's.
"""

import asyncio
import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec

from stentor.driver import Inbound
from stentor.message import Status
from stentor.text.segments import Encoding


class Login(enum.Enum):
    """What the peer does about a login."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    IGNORE = "never answer"


class Answer(enum.Enum):
    """What the peer says to a submission. HOLD: nothing until :meth:`Peer.reply`."""

    SENT = "sent"
    REFUSED = "refused for good"
    DEFERRED = "not now"
    THROTTLED = "too fast"
    HOLD = "nothing yet"


class Can(enum.Enum):
    """What a peer can be told to do. Checks that need more are skipped, and the report says so."""

    LINK = "it is reached over the loop's network"
    LOGIN = "it can refuse and ignore logins"
    REFUSE = "it can refuse and defer submissions"
    THROTTLE = "it can ask for a slower pace"
    HOLD = "it can answer late, in any order, twice, or never"
    STRAY = "it can answer what was never sent"
    RECEIPTS = "it sends receipts"
    INBOUND = "it sends messages"
    ACKNOWLEDGED = "it sees acknowledgements of what it sends"
    GOODBYE = "the protocol has a goodbye, and it counts them"
    MALFORMED = "it can send what its protocol forbids"
    ORDER = "the driver promises order within a lane"
    SUBMITS = "it records submissions"
    ENCODING = "it is told the encoding of texts"
    ORIGINATOR = "it is told the originator"
    FLASH = "it is told which messages are flash messages"


class Seen(msgspec.Struct, eq=False):
    """A submission as the peer read it.

    ``first_octet``: how many octets of its connection came before it. ``link`` numbers connections from 0. ``ticket``
    is the adapter's own, to answer by. ``text`` is for drivers whose unit is the message.
    """

    to: str
    originator: str
    encoding: Encoding
    udh: bytes
    data: bytes
    first_octet: int = 0
    link: int = 0
    ticket: Any = None
    text: str | None = None
    flash: bool = False
    wants_receipt: bool = True
    carrier_id: str = ""
    answers: int = 0


class Malformed(msgspec.Struct, frozen=True):
    """Octets the protocol forbids. ``is_answered``: a driver must answer them, on this link."""

    octets: bytes
    name: str
    is_answered: bool = True


class Peer(ABC):
    """The base of an adapter: records, and what the adapter must define.

    ``window`` is what the peer grants one lane; ``login`` and ``answer`` what it does from now on. ``logins`` counts
    attempts to log in, ``goodbyes`` goodbyes seen. ``acknowledgements[handle]`` lists the answers to one item it sent:
    True for taken, False for "try again" or refused. ``most_in_flight`` is the highest number of submissions that ever
    waited for an answer on one link.
    """

    can: frozenset[Can] = frozenset(Can)
    window: int = 10
    is_dialling = False

    def __init__(self) -> None:
        self.login = Login.ACCEPT
        self.answer = Answer.SENT
        self.seen: list[Seen] = []
        self.logins = 0
        self.goodbyes = 0
        self.most_in_flight = 0
        self.acknowledgements: dict[int, list[bool]] = {}

    @property
    def held(self) -> list[Seen]:
        """Submissions that got no answer yet."""
        return [seen for seen in self.seen if not seen.answers]

    @abstractmethod
    async def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen with ``loop.create_server``, or be ready in whatever way."""

    @abstractmethod
    def reply(self, seen: Seen, answer: Answer) -> None:
        """Answer a submission, for the first time or once more; sets ``carrier_id`` and counts ``answers``. A link that
        is gone takes no answer."""

    def reply_stray(self) -> None:
        """Answer something that was never sent (Can.STRAY)."""
        raise NotImplementedError

    def send_receipt(self, seen: Seen, status: Status) -> int:
        """Send a receipt for a submission that was answered SENT; returns a handle (Can.RECEIPTS)."""
        raise NotImplementedError

    def send_inbound(self, inbound: Inbound) -> int:
        """Send a message; returns a handle (Can.INBOUND)."""
        raise NotImplementedError

    def malformed(self) -> Sequence[Malformed]:
        """One of each kind of mistake a real peer makes (Can.MALFORMED)."""
        raise NotImplementedError

    def delivered(self, to: str) -> int:
        """How often a submission reached its destination; matters to idempotent drivers."""
        return sum(seen.to == to for seen in self.seen)
