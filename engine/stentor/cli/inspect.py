"""``stentor inspect``: how a text will be sent. Works without a daemon, but for questions about its channels."""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stentor.cli.errors import DONE, FAILED, CommandError
from stentor.cli.explain import answer_lines
from stentor.cli.parser import socket_of
from stentor.cli.screen import counted, paint, say, say_json
from stentor.errors import Refusal
from stentor.text.inspection import Inspection
from stentor.text.inspection import inspect as inspect_text

if TYPE_CHECKING:
    from stentor.cli.link import Link

_UNITS: Final = {"gsm7": "septets", "ucs2": "UTF-16 code units", "binary": "octets", "latin1": "octets"}

Look = Callable[[str], Inspection]
"""Looks at one text. Raises CommandError, whose code is FAILED for a text that is refused."""


def inspect(options: argparse.Namespace) -> int:
    """One text as a table or JSON, or each line of standard input as a line of JSON."""
    with ExitStack() as stack:
        look = _look(options, stack)
        if options.text == "-":
            return answer_lines(lambda line: _answer(line, look))
        try:
            found = look(options.text)
        except CommandError as error:
            if options.json and error.code == FAILED:
                say_json(_refused(error))
            raise
    if options.json:
        say_json(found)
    else:
        _show(found)
    return DONE


def _look(options: argparse.Namespace, stack: ExitStack) -> Look:
    if options.channel is None and options.to is None:
        return lambda text: _look_here(text, options)
    # Only now: a conversation costs more than the rest of the program.
    from stentor.cli.link import Link

    link = stack.enter_context(Link(socket_of(options)))
    return lambda text: _ask(link, text, options)


def _look_here(text: str, options: argparse.Namespace) -> Inspection:
    try:
        return inspect_text(text, options.encoding)
    except Refusal as error:
        failure = CommandError(error.detail[:1].upper() + error.detail[1:] + ".")
        raise failure from error


def _ask(link: "Link", text: str, options: argparse.Namespace) -> Inspection:
    wishes = {"encoding": options.encoding, "channel": options.channel, "to": options.to}
    given = {name: value for name, value in wishes.items() if value is not None}
    return msgspec.convert(link.post("inspect", body={"text": text} | given), Inspection)


def _answer(line: str, look: Look) -> Any:
    """As plain JSON values: what is malformed is told by the key ``error``."""
    try:
        return msgspec.to_builtins(look(line))
    except CommandError as error:
        if error.code != FAILED:
            raise
        return _refused(error)


def _refused(error: CommandError) -> dict[str, Any]:
    refusal = error.__cause__
    if isinstance(refusal, Refusal):
        return {"error": {"code": refusal.code, "detail": refusal.detail}}
    return {"error": {"code": "refused", "detail": str(error)}}


def _show(found: Inspection) -> None:
    unit = _UNITS[found.encoding.value]
    count = counted(found.segments, "segment")
    say(f"{paint(found.encoding.value, 'bold')}, {count}, {found.units} {unit} used, {found.units_left} left")
    for kind, language in (("single", found.single_shift), ("locking", found.locking_shift)):
        if language:
            say(f"  {language} {kind} shift table")
    if found.segments == 1:
        return
    width = len(str(max(segment.units for segment in found.segment_list)))
    for segment in found.segment_list:
        place = f"{segment.index:>{len(str(found.segments))}}"
        header = paint(f"header {segment.udh}", "dim")
        say(f"  {paint(place, 'dim')}  {segment.units:>{width}} {unit}  {header}")
