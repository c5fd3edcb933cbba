"""Server-Sent Events as the app's parser reads them (HTML, "Server-sent events", §9.2.6), pure."""

from typing import Final, NamedTuple

LINE_OCTETS: Final = 64 * 1024


class StreamEvent(NamedTuple):
    """One event; ``name`` is empty when the stream gave none."""

    name: str
    data: str


class EventParser:
    """Takes the octets of a stream as they come."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self.comments = 0

    def feed(self, octets: bytes) -> list[StreamEvent]:
        """The events these octets complete. Raises ValueError for a line without end."""
        *lines, self._rest = (self._rest + octets).split(b"\n")
        if len(self._rest) > LINE_OCTETS:
            raise ValueError("a line of the event stream has no end")
        events: list[StreamEvent] = []
        for line in lines:
            self._take(line.removesuffix(b"\r").decode(errors="replace"), events)
        return events

    def _take(self, line: str, events: list[StreamEvent]) -> None:
        if not line:
            # An event without a line of data is dropped.
            if self._data:
                events.append(StreamEvent(self._name, "\n".join(self._data)))
            self._name, self._data = "", []
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "":
                self.comments += 1
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case _:
                pass  # id and retry mean nothing to the app
