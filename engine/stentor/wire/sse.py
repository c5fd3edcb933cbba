"""Server-sent events, both directions (WHATWG HTML, section 9.2 "Server-sent events")."""

import re
from collections.abc import Iterator

import msgspec

CONTENT_TYPE = "text/event-stream"
KEEP_ALIVE = b":\n\n"
"""A comment: tells the reader and every box on the way that the stream lives, and is no event."""

# The daemon's events are below 64 KiB of message each; a line that grows past this is not ours.
LINE_LIMIT = 1024 * 1024

_LINE_END = re.compile(rb"\r\n|\n|\r")


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as its reader sees it. ``id`` is the last id seen, which this event need not have carried."""

    data: str
    event: str = "message"
    id: str = ""


def encode_event(data: bytes, event: str = "", id: str = "") -> bytes:
    """The octets of one event. ``data`` is UTF-8 of one or more lines; ``event`` and ``id`` are one line."""
    assert "\n" not in event
    assert "\r" not in event
    assert "\n" not in id
    assert "\r" not in id
    assert "\0" not in id
    head = (f"id: {id}\n" if id else "") + (f"event: {event}\n" if event else "")
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return b"%bdata: %b\n\n" % (head.encode(), data)


class StreamTooLong(Exception):
    """A line or an event grew past the limit: what comes is not an event stream of ours."""


class EventReader:
    """Reads one stream. Held between two pieces: one unfinished line and the data of one unfinished event."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._partial = b""
        self._ended_in_cr = False
        self._is_first = True
        self._data: list[str] = []
        self._data_octets = 0
        self._event = ""
        self.last_id = ""
        """What to send as Last-Event-ID to go on from here."""
        self.retry_ms: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that ``data`` completed. Raises StreamTooLong."""
        events = []
        for line in self._lines(data):
            if line:
                self._take_field(line.decode("utf-8", "replace"))
            elif self._data:
                events.append(ServerSentEvent("\n".join(self._data), self._event or "message", self.last_id))
                self._begin_event()
            else:
                self._begin_event()
        return events

    def _begin_event(self) -> None:
        self._data, self._data_octets, self._event = [], 0, ""

    def _lines(self, data: bytes) -> Iterator[bytes]:
        if self._ended_in_cr and data:
            data = data.removeprefix(b"\n")  # the CR has already ended that line
            self._ended_in_cr = False
        if not data:
            return
        self._ended_in_cr = data.endswith(b"\r")
        lines = _LINE_END.split(self._partial + data)
        self._partial = lines.pop()
        if len(self._partial) > self._limit:
            raise StreamTooLong(f"a line of more than {self._limit} octets")
        for line in lines:
            yield line.removeprefix(b"\xef\xbb\xbf") if self._is_first else line
            self._is_first = False

    def _take_field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data_octets += len(value) + 1
                if self._data_octets > self._limit:
                    raise StreamTooLong(f"an event of more than {self._limit} octets")
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value)
            case _:
                pass  # comments and fields of later versions are to be ignored (section 9.2.6)
