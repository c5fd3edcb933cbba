"""Tools of plugins: ``stentor smpp decode``, ``stentor carriers try``.

An entry point in the group ``stentor.commands`` names a mapping from a tool's name to a function, or an object with
commands of its own (``stentor.cli.desk``). A function's docstring is the tool's help, its first parameter the argument,
a text; a tool may have none. Parameters after ``*`` are
options: ``to: str`` is ``--to TEXT``, with a default it may be left out, ``bool`` is a switch and
``tuple[str, ...]`` may be given several times. The function returns what JSON can hold and never raises. An answer
that is, or holds at its top, a mapping with the key ``error`` tells of malformed input. A tool with an argument and
without options also reads texts from standard input, one a line. A list from one without an argument is a table: of
mappings with the same keys, its columns. The last is left out where it does not fit.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

import msgspec

from stentor.cli import screen
from stentor.cli.errors import DONE, FAILED
from stentor.cli.screen import flush, is_terminal, paint, say, say_json, warn

GROUP: Final = "stentor.commands"
_LINE_LIMIT: Final = 1024 * 1024


class Option(msgspec.Struct, frozen=True):
    """One option of a tool; ``kind`` is str, bool or tuple."""

    name: str
    kind: type
    is_required: bool

    @property
    def place(self) -> str:
        """Where the parsed arguments hold it, apart from those of every command."""
        return f"tool_{self.name}"


class Tool(msgspec.Struct, frozen=True):
    """One tool of a plugin. ``argument`` is empty when it takes none."""

    help: str
    argument: str
    explain: Callable[..., Any]
    options: tuple[Option, ...] = ()


class Adds(Protocol):
    """A plugin's commands that are more than tools; ``add`` is given argparse's sub-parsers."""

    def add(self, commands: Any) -> None: ...


def plugin_commands() -> dict[str, dict[str, Tool] | Adds]:
    """By command its tools by name, or what adds its own parsers. A plugin that cannot be imported is told of and left
    out."""
    found: dict[str, dict[str, Tool] | Adds] = {}
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
            if hasattr(loaded, "add"):
                found[point.name] = loaded
                continue
            tools: Mapping[str, Callable[..., Any]] = loaded
            found[point.name] = {name: _tool(function) for name, function in tools.items()}
        except Exception as error:  # a stranger's module may raise anything while it is imported
            warn(f"the commands of {point.value} are left out: {type(error).__name__}: {error}")
    return found


def _tool(function: Callable[..., Any]) -> Tool:
    import inspect

    argument = ""
    options = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            argument = argument or name.upper()
            continue
        kind = bool if parameter.default is False else tuple if parameter.default == () else str
        options.append(Option(name, kind, parameter.default is parameter.empty))
    summary = (inspect.getdoc(function) or "").partition("\n")[0].rstrip(".")
    return Tool(summary[:1].lower() + summary[1:], argument, function, tuple(options))


def explain(options: argparse.Namespace) -> int:
    """Run one tool on its argument and options, or on each line of standard input."""
    tool: Tool = options.tool
    given = [options.argument] if tool.argument else []
    if given == ["-"] and not tool.options:
        return answer_lines(tool.explain)
    named = {option.name: getattr(options, option.place) for option in tool.options}
    answer = tool.explain(*given, **{name: value for name, value in named.items() if value is not None})
    if not tool.argument and isinstance(answer, list) and not is_malformed(answer):
        say_json(answer) if options.json else _show_table(answer)
    elif options.json or not is_terminal():
        # What reads us from a pipe is a program: a line for each thing that was found.
        for part in answer if isinstance(answer, list) else [answer]:
            say_json(part)
    else:
        say(
            "\n\n".join(
                "\n".join(_lines(part)) for part in (answer if isinstance(answer, list) else [answer])
            )
        )
    return FAILED if is_malformed(answer) else DONE


_GAP: Final = 2


def _show_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Columns as wide as they must be; where they are too wide, lists are folded and the last is left out."""
    names = [*rows[0]] if rows else []
    cells = [[_plain(row[name]) or "–" for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    room = screen.width()
    if room is not None and sum(widths) + _GAP * len(widths) > room:
        names.pop()
    lists = [name for name in names if any(isinstance(row[name], list) for row in rows)]
    numbers = [name for name in names if all(type(row[name]) is int for row in rows)]
    table = screen.table(*names, right=numbers, wrapped=lists)
    for row in cells:
        table.add_row(*map(screen.styled, row[: len(names)]))
    screen.show(table)


def answer_lines(function: Callable[[str], Any]) -> int:
    """One line of standard input, one JSON line of output, each before the next is read. 1 if any was
    malformed."""
    code = DONE
    while line := sys.stdin.buffer.readline(_LINE_LIMIT):
        answer = _answer_line(function, line)
        if is_malformed(answer):
            code = FAILED
        say_json(_unwrap(answer), is_indented=False)
        flush()
    return code


def _answer_line(function: Callable[[str], Any], line: bytes) -> Any:
    if len(line) == _LINE_LIMIT and not line.endswith(b"\n"):
        while (rest := sys.stdin.buffer.readline(_LINE_LIMIT)) and not rest.endswith(b"\n"):
            pass
        return {"error": {"octet": _LINE_LIMIT, "detail": "the line is longer than 1 MiB"}}
    try:
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        return {"error": {"octet": error.start, "detail": "the line is not UTF-8"}}
    return function(text)


def is_malformed(answer: Any) -> bool:
    parts = answer if isinstance(answer, list) else [answer]
    return any(isinstance(part, Mapping) and part.get("error") is not None for part in parts)


def _unwrap(answer: Any) -> Any:
    """What was asked for one thing is answered with one thing; a list stands only where there are several."""
    return answer[0] if isinstance(answer, list) and len(answer) == 1 else answer


def _lines(value: Any, indent: str = "") -> Iterator[str]:
    """A nested value as indented lines, for people."""
    if not isinstance(value, Mapping):
        yield indent + _plain(value)
        return
    width = max((len(str(key)) for key, inner in value.items() if not _is_nested(inner)), default=0)
    for key, inner in value.items():
        name = paint(str(key), "red" if key == "error" else "dim")
        if _is_nested(inner):
            yield f"{indent}{name}"
            for part in inner if isinstance(inner, list) else [inner]:
                yield from _lines(part, indent + "  ")
        else:
            yield f"{indent}{name}{' ' * (width - len(str(key)))}  {_plain(inner)}"


def _is_nested(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value)
    return isinstance(value, list) and any(isinstance(part, Mapping) for part in value)


def _plain(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case str():
            return value if value.isprintable() and value else repr(value)
        case list():
            return ", ".join(_plain(part) for part in value)
    return str(value) if not isinstance(value, Mapping) else "–"
