"""What came to the webhook receiver: genuine or not, once or again, and in which order for each message.

An event counts as accepted when its 2xx was sent. Invariant: whoever delivers at least once and in order for each
message makes neither ``disordered`` nor ``overlapping`` grow, whatever the receiver does to it.
"""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

import msgspec

TOLERANCE_S: Final = 300
_FIELDS: Final = re.compile(
    rb"\r\n(webhook-id|webhook-timestamp|webhook-signature):[ \t]*([^\r\n]*)", re.IGNORECASE
)


class _Message(msgspec.Struct, frozen=True):
    id: str


class _Event(msgspec.Struct, frozen=True):
    id: str
    type: str
    message: _Message | None = None


_decode: Final = msgspec.json.Decoder(_Event).decode


class Counts(msgspec.Struct):
    """What was counted. Moments are those of the machine's monotonic clock."""

    connections: int = 0
    requests: int = 0
    accepted: int = 0
    duplicates: int = 0
    disordered: int = 0
    overlapping: int = 0
    forged: int = 0
    broken: int = 0
    abandoned: int = 0
    octets: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    types: dict[str, int] = {}
    statuses: dict[int, int] = {}
    faults: dict[str, int] = {}


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """One event that came. ``seq`` is 0 for one without a number, which is a test; ``subject`` is its message."""

    seq: int
    subject: str


class Refused(Exception):
    """The request is answered with ``status`` and counts as nothing."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Record:
    """Counts. In memory it has a bit for each event and a number for each message."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self.counts = Counts()
        self._keys = [b64decode(secret.removeprefix("whsec_")) for secret in secrets]
        self._accepted = bytearray(1 << 16)
        self._latest: dict[str, int] = {}
        self._under_way: dict[str, int] = {}

    @property
    def messages(self) -> int:
        """Messages that events were accepted of."""
        return len(self._latest)

    def arrive(self, head: bytes, body: bytes, now: float, wall_s: float) -> Arrived:
        """A whole request. Raises Refused. :meth:`accept` or :meth:`leave` follows."""
        counts = self.counts
        counts.requests += 1
        counts.octets += len(body)
        counts.first_at = counts.first_at or now
        counts.last_at = now
        fields = {name.lower(): value for name, value in _FIELDS.findall(head)}
        if self._keys and not self._is_genuine(fields, body, wall_s):
            counts.forged += 1
            raise Refused(401)
        try:
            event = _decode(body)
        except msgspec.DecodeError:
            counts.broken += 1
            raise Refused(400) from None
        if fields.get(b"webhook-id") != event.id.encode():
            counts.broken += 1
            raise Refused(400)
        counts.types[event.type] = counts.types.get(event.type, 0) + 1
        subject = event.message.id if event.message is not None else ""
        arrived = Arrived(int(event.id) if event.id.isdecimal() else 0, subject)
        if subject:
            self._order(arrived)
        return arrived

    def _is_genuine(self, fields: dict[bytes, bytes], body: bytes, wall_s: float) -> bool:
        timestamp = fields.get(b"webhook-timestamp", b"")
        if not timestamp.isdigit() or abs(int(timestamp) - wall_s) > TOLERANCE_S:
            return False
        content = b"%b.%b.%b" % (fields.get(b"webhook-id", b""), timestamp, body)
        given = fields.get(b"webhook-signature", b"").split(b" ")
        right = [b"v1," + b64encode(hmac.digest(key, content, "sha256")) for key in self._keys]
        return any(hmac.compare_digest(one, other) for one in given for other in right)

    def _order(self, arrived: Arrived) -> None:
        seq, subject = arrived.seq, arrived.subject
        if seq < self._latest.get(subject, 0) and not self._is_accepted(seq):
            self.counts.disordered += 1
        under_way = self._under_way.get(subject, 0)
        if under_way:
            self.counts.overlapping += 1
        self._under_way[subject] = under_way + 1

    def accept(self, arrived: Arrived) -> None:
        """It was answered with 2xx."""
        self.leave(arrived)
        counts, seq = self.counts, arrived.seq
        if not seq:
            return
        if self._is_accepted(seq):
            counts.duplicates += 1
            return
        counts.accepted += 1
        if seq >> 3 >= len(self._accepted):
            self._accepted += bytes(max(len(self._accepted), (seq >> 3) + 1))
        self._accepted[seq >> 3] |= 1 << (seq & 7)
        if arrived.subject and seq > self._latest.get(arrived.subject, 0):
            self._latest[arrived.subject] = seq

    def leave(self, arrived: Arrived) -> None:
        """Nothing is under way of it any more."""
        left = self._under_way.get(arrived.subject, 0) - 1
        if left > 0:
            self._under_way[arrived.subject] = left
        else:
            self._under_way.pop(arrived.subject, None)

    def _is_accepted(self, seq: int) -> bool:
        return seq >> 3 < len(self._accepted) and bool(self._accepted[seq >> 3] >> (seq & 7) & 1)
