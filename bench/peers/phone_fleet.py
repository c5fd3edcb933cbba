"""What the phones of one process share: counts, who was given which message, and the file of what was sent."""

from collections.abc import Callable

from bench.peers.histogram import Histogram
from bench.peers.phone_outbox import Entry
from bench.peers.phone_requests import Request
from bench.peers.phone_statistics import Statistics


class Fleet:
    """Ids are remembered for the life of the process: that is what tells a message given to two phones.

    ``write``: is given a line for every number a message was handed to Android for, as words between blanks:
    ``s``, microseconds of the monotonic clock, the phone, the message's id, the number, the text in hex.
    """

    def __init__(self, write: Callable[[bytes], object] | None = None) -> None:
        self.statistics = Statistics()
        self.answering = Histogram()
        self._write = write
        self._given: dict[str, int] = {}
        self._sent: set[tuple[str, str]] = set()

    def violated(self, what: str) -> None:
        """A server must not do that."""
        self.statistics.violations[what] += 1

    def accepted(self, now: float, phone: int, entry: Entry) -> None:
        """A phone stored a message it did not know."""
        count = self.statistics
        count.accepted += 1
        count.first_accepted_at = count.first_accepted_at or now
        count.last_accepted_at = now
        other = self._given.setdefault(entry.id, phone)
        if other != phone:
            self.violated("a message given to two phones")

    def handed(self, now: float, phone: int, entry: Entry) -> None:
        """A phone gave a message to Android. A text that goes to the same number again is counted, be it meant or
        not."""
        count = self.statistics
        count.handed += 1
        count.parts += entry.parts * len(entry.recipients)
        for recipient in entry.recipients:
            sent = (recipient.number, entry.text)
            if sent in self._sent:
                count.repeated_texts += 1
            self._sent.add(sent)
            if self._write is not None:
                text = entry.text.encode().hex() or "-"
                self._write(f"s {now * 1e6:.0f} {phone} {entry.id} {recipient.number} {text}\n".encode())

    def acknowledged(self, now: float, request: Request) -> None:
        """The server took a report."""
        entry = request.entry
        assert entry is not None
        count = self.statistics
        count.acknowledged += 1
        count.last_acknowledged_at = now
        if request.is_final and not entry.is_settled:
            entry.is_settled = True
            count.settled += 1
