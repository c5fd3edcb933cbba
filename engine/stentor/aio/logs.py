"""Log lines: JSON for machines, columns for people, and nothing in them that is nobody's business.

Invariants: a line below the level costs a call and nothing more. At every level, unless revealed, a phone
number is cut to its prefix and last two digits and a text to its length; a secret is never written. A
warning or error that repeats is written once and then counted, once in ten seconds, so that no peer's
misbehaviour can fill a disk; one logged with ``each_time`` is written each time, for an operator caused it.
"""

import enum
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from stentor.address import mask_number
from stentor.config import MASK

LEVELS: Final = ("debug", "info", "warning", "error")
REPEAT_INTERVAL_S: Final = 10.0
REPEAT_KEYS: Final = 1000  # different repeated events remembered at once; the oldest makes room

_SECRET_KEY: Final = re.compile(
    r"passw|secret|token|authori[sz]ation|api_?key|credential|cookie|private_?key|signature", re.IGNORECASE
)
_NUMBER_KEYS: Final = frozenset(
    {"to", "from", "from_", "originator", "destination", "sender", "recipient", "msisdn", "number", "phone"}
    | {"source", "source_addr", "destination_addr", "dest"}
)
_TEXT_KEYS: Final = frozenset(
    {"text", "texts", "body", "data", "short_message", "message_payload", "payload", "udh", "metadata"}
    | {"content", "raw", "pdu", "octets", "hex"}
)
_PLAIN_KEYS: Final = frozenset(
    {"id", "ids", "key", "carrier_id", "match_id", "seq", "version", "commit", "digest"}
)
"""Their values are ours or a carrier's names for things; digits in them are no phone number."""

# Ids of ours and a carrier's status codes are no numbers of people.
_NUMBER: Final = re.compile(
    r"(?P<plain>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b0x0000[0-9A-Fa-f]{4}\b)"
    r"|\+\d[\d ().-]{5,}\d|\d{7,}|\b0\d{2,4}[ -]\d{3}[ -]\d{3,4}\b"
)
_NUMBER_DIGITS: Final = 6  # fewer is a short code, which is no person's number
_STRING_LIMIT: Final = 2000
_DEPTH_LIMIT: Final = 4


class Masker:
    """Turns any value into one that may be written. ``reveal`` shows numbers and texts, never secrets."""

    __slots__ = ("reveal",)

    def __init__(self, reveal: bool = False) -> None:
        self.reveal = reveal

    def values(self, values: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
        return {str(key): self.value(str(key), value, depth) for key, value in values.items()}

    def value(self, key: str, value: Any, depth: int = 0) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if _SECRET_KEY.search(key):
            return MASK
        name = key.lower()
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(key, item, depth + 1) for item in value] if depth < _DEPTH_LIMIT else "[…]"
        if not self.reveal:
            if name in _TEXT_KEYS:
                return value if isinstance(value, (int, float)) else _measure(value)
            if name in _NUMBER_KEYS and isinstance(value, (str, int)):
                return _mask_whole(str(value))
        if isinstance(value, str) and not isinstance(value, enum.Enum):
            return value[:_STRING_LIMIT] if name in _PLAIN_KEYS else self.text(value)
        if isinstance(value, (int, float)) and not isinstance(value, enum.Enum):
            return value
        if isinstance(value, Mapping):
            return self.values(value, depth + 1) if depth < _DEPTH_LIMIT else "{…}"
        return self._other(value)

    def text(self, text: str) -> str:
        """Free text: whatever looks like a phone number is masked."""
        text = text[:_STRING_LIMIT]
        return text if self.reveal else _NUMBER.sub(_mask_match, text)

    def _other(self, value: object) -> str:
        if isinstance(value, enum.Enum):
            return value.name.lower()
        if isinstance(value, BaseException):
            return self.text(f"{type(value).__name__}: {value}")
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value[:_STRING_LIMIT]).hex() if self.reveal else _measure(value)
        if type(value).__module__ in ("pathlib", "uuid", "ipaddress", "datetime"):
            return str(value)
        # An object's own words may hold anything, a message its text first of all.
        return f"<{type(value).__name__}>"


def _measure(value: object) -> str:
    if isinstance(value, str):
        return f"[{len(value)} characters]"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} octets]"
    return "[masked]"


def _mask_whole(number: str) -> str:
    digits = sum(character.isdigit() for character in number)
    return mask_number(number) if digits >= _NUMBER_DIGITS else number[:_STRING_LIMIT]


def _mask_match(match: re.Match[str]) -> str:
    return match[0] if match["plain"] else mask_number(match[0])


class Repeats:
    """Which warnings repeat: the first of an (event, channel) passes, the next are counted."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._seen: dict[tuple[str, str, str], list[Any]] = {}  # key -> [last written at, counted since]

    def check(self, level: str, event: str, channel: str) -> int | None:
        """None: do not write. Else how many were counted since the last line."""
        now = self._now()
        key = (level, event, channel)
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= REPEAT_KEYS:
                self._seen.pop(next(iter(self._seen)))
            self._seen[key] = [now, 0]
            return 0
        if now - seen[0] < REPEAT_INTERVAL_S:
            seen[1] += 1
            return None
        counted = int(seen[1])
        seen[:] = [now, 0]
        return counted

    def due(self, everything: bool = False) -> list[tuple[str, str, str, int]]:
        """(level, event, channel, count) of what was counted and not told; what fell silent is forgotten."""
        now = self._now()
        told: list[tuple[str, str, str, int]] = []
        for key, seen in list(self._seen.items()):
            if everything or now - seen[0] >= REPEAT_INTERVAL_S:
                if seen[1]:
                    told.append((*key, int(seen[1])))
                    self._seen[key] = [now, 0]
                else:
                    del self._seen[key]
        return told


class Output:
    """Writes lines to a stream. One that cannot be written is counted, and told of as soon as one can."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.lost = 0

    def msg(self, line: bytes) -> None:
        try:
            if self.lost:
                self._stream.write(b'{"event":"log lines lost","level":"error","count":%d}\n' % self.lost)
                self.lost = 0
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed. There is nowhere left to tell it.
            self.lost += 1

    debug = info = warning = error = msg


class Logger(structlog.BoundLoggerBase):
    """A bound logger with the four levels of the plugin contract; below the level a method does nothing."""

    def debug(self, event: str, **values: object) -> None:
        self._proxy_to_logger("debug", event, **values)

    def info(self, event: str, **values: object) -> None:
        self._proxy_to_logger("info", event, **values)

    def warning(self, event: str, **values: object) -> None:
        self._proxy_to_logger("warning", event, **values)

    def error(self, event: str, **values: object) -> None:
        self._proxy_to_logger("error", event, **values)


def _nothing(self: Logger, event: str, **values: object) -> None:
    return None


class Logs:
    """The log of one process. ``level`` and ``reveal`` may change while it runs; every logger follows at
    once.

    ``style`` is "json", "console", or "auto", which is "console" on a terminal. ``flush`` is to be called
    every few seconds so that counted repetitions are told even when nothing else is written.
    """

    def __init__(
        self,
        level: str = "info",
        style: str = "auto",
        reveal: bool = False,
        stream: BinaryIO | None = None,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        stream = sys.stderr.buffer if stream is None else stream
        self._masker = Masker(reveal)
        self._repeats = Repeats(now)
        self._wall = wall
        if style == "console" or (style == "auto" and stream.isatty()):
            self._render = _console(colors=_has_colours(stream))
        else:
            self._render = _json
        # A class of its own, so that its methods can be exchanged for all loggers there are.
        self._class: type[Logger] = type("Logger", (Logger,), {})
        self._root = self._class(Output(stream), [self._process], {})
        self.set_level(level)

    def logger(self, **values: object) -> Logger:
        """A logger whose lines carry ``values``."""
        return self._root.bind(**values)

    def set_level(self, level: str) -> None:
        threshold = LEVELS.index(level)
        for rank, name in enumerate(LEVELS):
            setattr(self._class, name, getattr(Logger, name) if rank >= threshold else _nothing)

    def set_reveal(self, reveal: bool) -> None:
        self._masker.reveal = reveal

    def flush(self, everything: bool = False) -> None:
        """Tell of repetitions counted for ten seconds; of all of them at the end."""
        for level, event, channel, count in self._repeats.due(everything):
            values: dict[str, Any] = {"channel": channel} if channel else {}
            self._root._logger.msg(self._line(level, event, values | {"repeated": count}))

    def take_standard(self) -> logging.Handler:
        """Let warnings of the standard library's logging (asyncio's above all) appear here. Returns the
        handler.

        Nothing below WARNING is taken: libraries print arguments there, and those hold texts.
        """
        handler = _StandardHandler(self._root)
        logging.getLogger().addHandler(handler)
        return handler

    def _process(self, logger: WrappedLogger, level: str, values: EventDict) -> bytes:
        event = str(values.pop("event"))
        each_time = values.pop("each_time", False)
        if level in ("warning", "error") and not each_time:
            counted = self._repeats.check(level, event, str(values.get("channel", "")))
            if counted is None:
                raise structlog.DropEvent
            if counted:
                values["repeated"] = counted
        return self._line(level, event, values)

    def _line(self, level: str, event: str, values: Mapping[str, Any]) -> bytes:
        at = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds")
        trace = _trace(values["exc_info"]) if "exc_info" in values else None
        line = {"time": at.replace("+00:00", "Z"), "level": level, "event": self._masker.text(event)}
        for key, value in values.items():
            if key != "exc_info":
                # A value may not pass itself off as the line's own time, level or event.
                line[f"{key}_" if key in line else key] = self._masker.value(key, value)
        if trace is not None:
            line["exception"] = trace if self._masker.reveal else _NUMBER.sub(_mask_match, trace)
        return self._render(line)


class _StandardHandler(logging.Handler):
    """From the standard library's logging to ours."""

    def __init__(self, logger: Logger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        values: dict[str, object] = {"logger": record.name}
        if record.exc_info:
            values["exc_info"] = record.exc_info[1]
        write = self._logger.error if record.levelno >= logging.ERROR else self._logger.warning
        write(record.getMessage(), **values)


def _trace(exc_info: Any) -> str | None:
    """A traceback without the values of locals; its end if it is long, for that is where it happened."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
    if error is None:
        return None
    return "".join(traceback.format_exception(error))[-4 * _STRING_LIMIT :]


def _json(line: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(line) + b"\n"
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(line)) + b"\n"


def _without_surrogates(value: Any) -> Any:
    """The value with lone surrogates escaped; a name of a file that is not UTF-8 holds them (PEP 383)."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


def _has_colours(stream: BinaryIO) -> bool:
    """https://no-color.org: any value but the empty one switches colour off."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _console(colors: bool) -> Callable[[dict[str, Any]], bytes]:
    from structlog.dev import ConsoleRenderer, plain_traceback  # only a terminal needs it

    renderer = ConsoleRenderer(
        colors=colors, sort_keys=False, exception_formatter=plain_traceback, timestamp_key="time"
    )

    def render(line: dict[str, Any]) -> bytes:
        line["time"] = line["time"][11:-1]
        return (renderer(None, line["level"], line) + "\n").encode(errors="backslashreplace")

    return render
