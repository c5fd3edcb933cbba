"""Where a key stands in a TOML text, for messages. Best effort: a scan for headers and ``key =``, not a
parser."""

import re
from collections.abc import Sequence
from typing import Final

Path = tuple[str | int, ...]
"""A key's full path; array elements by index: ("routes", 0, "channels", 1)."""

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY: Final = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_HEADER: Final = re.compile(rf"\s*(\[\[?)\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")
_PARTS: Final = re.compile(_PART)


def path_text(path: Sequence[str | int]) -> str:
    """``channels.alpha.window``, ``routes[0].channels[1]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def key_lines(text: str) -> dict[Path, int]:
    """The line, counted from 1, of each table header and key that the scan recognizes."""
    lines: dict[Path, int] = {}
    table: Path = ()
    lengths: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _names(header[2])
            if header[1] == "[[":
                index = lengths.get(table, 0)
                lengths[table] = index + 1
                lines.setdefault(table, number)
                table = (*table, index)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = table
            for name in _names(key[1]):
                path = (*path, name)
                lines.setdefault(path, number)
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of ``path`` or of its nearest ancestor that has one; 0 for none."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 0


def _names(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PARTS.findall(dotted))
