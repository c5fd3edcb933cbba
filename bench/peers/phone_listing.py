"""The answer to a pull as the app reads it, and the faults of an item that the app would stumble over. Pure."""

import base64
from typing import Any, Final

import msgspec

from bench.peers.phone_outbox import Entry, Recipient, read_date
from stentor.errors import Refusal
from stentor.text.segments import choose, count_segments

ID_LENGTH: Final = 36


class Item(msgspec.Struct, rename="camel"):
    """One message of a listing; unknown fields are ignored."""

    id: str
    phone_numbers: list[str]
    text_message: dict[str, Any] | None = None
    data_message: dict[str, Any] | None = None
    message: str | None = None
    sim_number: int | None = None
    with_delivery_report: bool | None = None
    is_encrypted: bool | None = None
    priority: int | None = None
    valid_until: str | None = None
    schedule_at: str | None = None
    created_at: str | None = None
    state: str | None = None

    def fault(self) -> str:
        """What a server must not do, in words; empty when there is nothing."""
        if not self.id or len(self.id) > ID_LENGTH or "|" in self.id:
            return "an id that is empty, longer than 36 or has a |"
        if not self.phone_numbers:
            return "a message without a number"
        if len(set(self.phone_numbers)) < len(self.phone_numbers):
            return "a number twice in one message"
        if self.text_message is None and self.data_message is None and self.message is None:
            return "a message without content"
        return ""

    def text(self) -> str:
        """The content by the app's precedence; data are shown in base64."""
        if self.data_message is not None:
            return str(self.data_message.get("data", ""))
        if self.text_message is not None:
            return str(self.text_message.get("text", ""))
        return self.message or ""

    def entry(self, wall_ms: int) -> Entry:
        """What the phone stores. Raises ValueError for a date or base64 that cannot be read."""
        text = self.text()
        return Entry(
            self.id,
            [Recipient(number) for number in self.phone_numbers],
            text,
            self._parts(text),
            self.sim_number or 0,
            self.priority or 0,
            self.with_delivery_report is not False,
            read_date(self.created_at) if self.created_at else wall_ms,
            read_date(self.valid_until) if self.valid_until else 0,
            read_date(self.schedule_at) if self.schedule_at else 0,
        )

    def _parts(self, text: str) -> int:
        if self.data_message is not None:
            return 1 if base64.b64decode(text, validate=True) else 0
        try:
            return count_segments(text, choose(text))
        except Refusal as error:
            raise ValueError(str(error)) from None


def read_items(body: bytes) -> list[Item]:
    """The listing. Raises ValueError for what is no array of messages."""
    return msgspec.json.decode(body, type=list[Item])
