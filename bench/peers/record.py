"""The record of a simulated SMSC: one line a fact, for those who prove that nothing was lost or sent twice.

A line is words between single blanks; times are microseconds of the machine's monotonic clock::

    c TIME CONNECTION SYSTEM_ID KIND                            a bind was accepted
    s TIME CONNECTION SEQUENCE ID DESTINATION ESM CODING HEX    a submit_sm was read, HEX is its text or "-"
    r TIME CONNECTION SEQUENCE STATUS                           its answer is sent next; else it got none
    d TIME ID STATE                                             a receipt is sent next, perhaps once more
    a TIME ID STATUS                                            a receipt was acknowledged
    x TIME CONNECTION                                           the connection is gone

The lines of one read go to the file by one write(2) and before any answer leaves: no process's death can lose
one. Lines are appended, so a second SMSC may go on in the file of the first.
"""

import os
from collections.abc import Iterable

from bench.peers.fast import Seen
from bench.peers.receipts import Delivery


class Record:
    """Appends to one file."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lines: list[bytes] = []

    def bound(self, now: float, connection: int, system_id: str, kind: str) -> None:
        self._lines.append(b"c %d %d %b %b\n" % (now * 1e6, connection, system_id.encode(), kind.encode()))

    def seen(self, now: float, connection: int, seen: Iterable[Seen]) -> None:
        at = now * 1e6
        for sequence, message_id, destination, esm, coding, text in seen:
            shown = text.hex().encode() or b"-"
            line = b"s %d %d %d %b %b %d %d %b\n"
            self._lines.append(line % (at, connection, sequence, message_id, destination, esm, coding, shown))

    def answered(self, now: float, connection: int, answers: Iterable[tuple[int, int]]) -> None:
        """``answers``: pairs of sequence_number and command_status."""
        at = now * 1e6
        for sequence, status in answers:
            self._lines.append(b"r %d %d %d %d\n" % (at, connection, sequence, status))

    def delivered(self, now: float, deliveries: Iterable[Delivery]) -> None:
        at = now * 1e6
        for delivery in deliveries:
            if delivery.state:
                self._lines.append(b"d %d %b %b\n" % (at, delivery.message_id, delivery.state.encode()))

    def acknowledged(self, now: float, answers: Iterable[tuple[Delivery, int]]) -> None:
        at = now * 1e6
        for delivery, status in answers:
            if delivery.state:
                self._lines.append(b"a %d %b %d\n" % (at, delivery.message_id, status))

    def lost(self, now: float, connection: int) -> None:
        self._lines.append(b"x %d %d\n" % (now * 1e6, connection))

    def flush(self) -> None:
        """Hand everything to the kernel."""
        if self._lines:
            octets = b"".join(self._lines)
            self._lines.clear()
            while octets:
                octets = octets[os.write(self._fd, octets) :]

    def close(self) -> None:
        self.flush()
        os.close(self._fd)
