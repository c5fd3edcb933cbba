"""What the load generator submits: the JSON of messages, made at the price of one formatting each."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

NUMBER: Final = "{n}"
"""In a text or a ref: the message's number."""
STAMP: Final = "{t}"
"""In a text: the moment of submission, nanoseconds of the machine's monotonic clock."""

_NUMBER_MARK: Final = "\ue000"


class MessageMaker:
    """Makes the JSON of message 0, 1, 2, …: texts in turn, destinations ``prefix`` and eight digits."""

    def __init__(
        self,
        texts: Sequence[str],
        prefix: str,
        fields: dict[str, Any],
        priorities: Sequence[str] = (),
        stride: int = 1,
    ) -> None:
        """``fields`` stand in every message; a ``ref`` may hold ``{n}``. ``priorities`` are taken in turn. The digits
        of destinations are ``stride`` apart."""
        self._stride = stride
        self._templates = []
        self._takes_stamp = any(STAMP in text for text in texts)
        for number in range(len(texts) * max(1, len(priorities))):
            message = {"to": f"{prefix}{_NUMBER_MARK}", "text": texts[number % len(texts)], **fields}
            if priorities:
                message["priority"] = priorities[number % len(priorities)]
            self._templates.append(self._template(message))

    @staticmethod
    def _template(message: dict[str, Any]) -> tuple[bytes, int]:
        """A format with the destination's digits first, and how many further numbers it wants."""
        to = message.pop("to")
        text = msgspec.json.encode(message).decode()
        text = text.replace("%", "%%")
        wanted = text.count(NUMBER)
        text = text.replace(NUMBER, "%d")
        head = f'{{"to":"{to.replace(_NUMBER_MARK, "%08d")}",'
        return (head + text[1:]).encode(), wanted

    def make(self, first: int, count: int) -> list[bytes]:
        """The JSON of ``count`` messages from number ``first`` on."""
        templates, stride = self._templates, self._stride
        size = len(templates)
        made = []
        for number in range(first, first + count):
            template, wanted = templates[number % size]
            digits = number * stride % 100_000_000
            made.append(template % ((digits,) if not wanted else (digits,) + (number,) * wanted))
        if self._takes_stamp:
            stamp = b"%d" % time.monotonic_ns()
            made = [message.replace(b"{t}", stamp) for message in made]
        return made


def read_texts(path: Path) -> list[str]:
    """The texts of an NDJSON file of objects with a member ``text``. Raises OSError, msgspec.DecodeError."""
    lines = path.read_bytes().splitlines()
    return [msgspec.json.decode(line)["text"] for line in lines if line.strip()]
