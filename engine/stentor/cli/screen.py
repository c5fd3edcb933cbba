"""What commands write: JSON for programs, aligned columns for people, colour only where a terminal shows
it."""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status
    from rich.table import Table

PROGRESS_AFTER_S: Final = 1.0
_CODES: Final = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}
_COMMANDS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PIPE_WIDTH: Final = 10_000  # nothing is cut off where no screen ends

STATUS_STYLES: Final = {
    "delivered": "green",
    "sent": "green",
    "received": "green",
    "undelivered": "red",
    "rejected": "red",
    "failed": "red",
    "expired": "yellow",
    "cancelled": "yellow",
    "unknown": "yellow",
    "up": "green",
    "ready": "green",
    "receiving": "green",
    "down": "red",
    "paused": "yellow",
    "disabled": "dim",
    "throttled": "yellow",
    "suspended": "yellow",
    "dead": "red",
    "probing": "yellow",
    "open": "green",
    "full": "red",
    "busy": "red",
    "passed": "green",
    "chosen": "green",
    "skipped": "dim",
    "refused": "red",
}
"""Colours of words that say how something is."""


def is_terminal(stream: TextIO | None = None) -> bool:
    return (stream or sys.stdout).isatty()


def has_colour(stream: TextIO | None = None) -> bool:
    """https://no-color.org: any value but the empty one switches colour off."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """``text`` in a colour, or as it is."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and has_colour(stream) else text


def clean(text: str) -> str:
    """What others wrote, with everything escaped that is no text, would command a terminal or turn its line around."""
    return _COMMANDS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def say(text: str = "") -> None:
    """One or more lines to standard output. Characters its encoding lacks are escaped."""
    try:
        print(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        print(text.encode(encoding, "backslashreplace").decode(encoding))


def counted(number: int, noun: str) -> str:
    """ "1 message", "2,000 messages"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def flush() -> None:
    """Let what was said be read now, also by a program at the other end of a pipe."""
    sys.stdout.flush()


def complain(text: str) -> None:
    """A sentence to standard error."""
    print(f"{paint('stentor:', 'red', sys.stderr)} {text}", file=sys.stderr)


def warn(text: str) -> None:
    """A sentence to standard error about what is allowed but unwise."""
    print(f"{paint('warning:', 'yellow', sys.stderr)} {text}", file=sys.stderr)


def say_json(value: Any, is_indented: bool | None = None) -> None:
    """A value as JSON, indented on a terminal and on one line elsewhere."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        # Halves of surrogate pairs, as which stray octets of the command line arrive: JSON can escape them.
        encoded = json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()
    if is_terminal() if is_indented is None else is_indented:
        encoded = msgspec.json.format(encoded, indent=2)
    say(encoded.decode())


def fields(pairs: Sequence[tuple[str, str]], indent: str = "") -> None:
    """Names and values in two columns; empty values are left out."""
    width = max((len(name) for name, value in pairs if value), default=0)
    for name, value in pairs:
        if value:
            say(f"{indent}{paint(name.ljust(width), 'dim')}  {value}")


def console() -> "Console":
    from rich.console import Console

    if is_terminal():
        return Console(highlight=False, no_color=not has_colour())
    return Console(highlight=False, no_color=True, width=_PIPE_WIDTH)


def table(*columns: str, right: Sequence[str] = (), wrapped: Sequence[str] = ()) -> "Table":
    """A table without lines. Columns named in ``right`` hold numbers; where room is short, ``wrapped`` ones
    give it."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column not in wrapped)
    return made


def width() -> int | None:
    """Columns of the terminal; None where there is none, and so no end to a line."""
    return console().width if is_terminal() else None


def styled(text: object, style: str = "") -> Any:
    """A cell. Never markup: brackets in a text are brackets."""
    from rich.text import Text

    return Text(clean(str(text)), style=style)


def line(*parts: Any) -> Any:
    """Cells and texts beside each other."""
    from rich.text import Text

    return Text.assemble(*parts)


def word(text: str) -> Any:
    """A cell with a status or state in its colour."""
    return styled(text, STATUS_STYLES.get(text, ""))


def channel_word(text: str) -> Any:
    """As :func:`word` for a channel, whose circuit is open when it does not work."""
    return styled(text, "red") if text == "open" else word(text)


def show(*renderables: Any) -> None:
    """Tables and texts to standard output, without trailing blanks."""
    screen = console()
    with screen.capture() as captured:
        screen.print(*renderables, sep="\n")
    lines = captured.get().rstrip("\n").split("\n")
    say("\n".join(line.rstrip() for line in lines))


class Progress:
    """A moving line on standard error once something takes more than a second, where a terminal shows it."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._status: Status | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._status is not None:
            self._status.stop()

    def update(self, text: str) -> None:
        """What is going on now."""
        if self._status is not None:
            self._status.update(text)
        elif time.monotonic() - self._began > PROGRESS_AFTER_S and is_terminal(sys.stderr):
            from rich.console import Console

            self._status = Console(stderr=True, no_color=not has_colour(sys.stderr)).status(text)
            self._status.start()


def pause(seconds: float) -> None:
    """Wait between two looks at the daemon; it has no event for one message or one screen alone."""
    threading.Event().wait(seconds)
