"""The messages a simulated phone was given: their states by recipient, their order, and snapshots of them."""

import re
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any, Final

import msgspec

_ESCAPED: Final = re.compile(rb"[&<>=']")
_FRACTION: Final = re.compile(r"\.(\d+)")


class State(Enum):
    """The words of reports."""

    PENDING = "Pending"
    PROCESSED = "Processed"
    SENT = "Sent"
    DELIVERED = "Delivered"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


FINAL: Final = frozenset({State.DELIVERED, State.FAILED, State.CANCELLED})


class Recipient(msgspec.Struct):
    """One number of a message, as the server wrote it."""

    number: str
    state: State = State.PENDING
    error: str = ""


class Entry(msgspec.Struct):
    """A message the phone holds. Times are wall milliseconds of the phone, 0 for none."""

    id: str
    recipients: list[Recipient]
    text: str = ""
    parts: int = 1
    sim: int = 0
    priority: int = 0
    wants_delivery: bool = True
    created_at_ms: int = 0
    valid_until_ms: int = 0
    scheduled_at_ms: int = 0
    reached: dict[State, int] = msgspec.field(default_factory=dict)
    is_settled: bool = False
    """A report of its final state was acknowledged."""

    @property
    def state(self) -> State:
        """The state of the message, from those of its recipients."""
        states = {recipient.state for recipient in self.recipients}
        for first in (State.PENDING, State.CANCELLED, State.PROCESSED):
            if first in states:
                return first
        return states.pop() if len(states) == 1 else State.SENT

    def note(self, wall_ms: int) -> None:
        """Remember when the present state was first reached."""
        self.reached.setdefault(self.state, wall_ms)


def date_text(wall_ms: int, offset_minutes: int = 120, *, is_old: bool = False) -> str:
    """A date as the app writes it; ``is_old``: as on Android 5, whose offset has no colon and a wrong sign."""
    zone = timezone(timedelta(minutes=offset_minutes))
    moment = datetime.fromtimestamp(wall_ms / 1000, zone)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{wall_ms % 1000:03d}"
    if not is_old:
        hours, minutes = divmod(abs(offset_minutes), 60)
        sign = "-" if offset_minutes < 0 else "+"
        return text + (f"{sign}{hours:02d}:{minutes:02d}" if offset_minutes else "Z")
    return text + ("+0000" if not offset_minutes else f"+{offset_minutes // 60}:00")


def read_date(text: str) -> int:
    """Wall milliseconds of a server's date. Raises ValueError, also for a fraction that the app would misread."""
    fraction = _FRACTION.search(text)
    if fraction is not None and len(fraction[1]) != 3:
        raise ValueError(f"{text!r} has {len(fraction[1])} digits of a second, the app reads three or none")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def snapshot(entry: Entry, offset_minutes: int = 120, *, is_old: bool = False) -> bytes:
    """The body of a report: the message as it is now."""
    recipients: list[dict[str, Any]] = []
    for recipient in entry.recipients:
        shown: dict[str, Any] = {"phoneNumber": recipient.number, "state": recipient.state}
        if recipient.error:
            shown["error"] = recipient.error
        recipients.append(shown)
    reached = {
        state.value: date_text(at_ms, offset_minutes, is_old=is_old) for state, at_ms in entry.reached.items()
    }
    report = {"id": entry.id, "state": entry.state, "recipients": recipients, "states": reached}
    return escape(msgspec.json.encode([report]))


def escape(octets: bytes) -> bytes:
    """JSON as the app's library writes it, safe inside HTML."""
    return _ESCAPED.sub(lambda found: b"\\u%04x" % found[0][0], octets)


class Outbox:
    """All messages by id, which survive a restart; those that wait to be sent, in the app's order."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.waiting: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self.entries[entry.id] = entry
        if entry.state is State.PENDING:
            self.waiting.append(entry)

    def clear(self) -> None:
        """The user cleared the app's data."""
        self.entries.clear()
        self.waiting.clear()

    def cancel(self, entry: Entry) -> bool:
        """Withdraw what is still pending."""
        if entry not in self.waiting:
            return False
        self.waiting.remove(entry)
        for recipient in entry.recipients:
            recipient.state = State.CANCELLED
        return True

    def take(self, wall_ms: int, *, is_fifo: bool) -> Entry | None:
        """The next to send, None while nothing is due."""
        due = [entry for entry in self.waiting if entry.scheduled_at_ms <= wall_ms]
        if not due:
            return None
        sign = -1 if is_fifo else 1
        # On a tie the list's order, in which they came.
        return max(due, key=lambda entry: (entry.priority, sign * entry.created_at_ms))

    def next_due_ms(self) -> int | None:
        """When the first of the scheduled messages may go."""
        return min((entry.scheduled_at_ms for entry in self.waiting), default=None)
