"""``stentor inspect``: how a text will be sent. Works without a daemon."""

import argparse
from typing import Any

import msgspec

from stentor.cli.errors import DONE, CommandError
from stentor.cli.explain import answer_lines
from stentor.cli.screen import paint, say, say_json
from stentor.errors import Refusal
from stentor.text.segments import Inspection, Wanted
from stentor.text.segments import inspect as inspect_text

_UNITS = {"gsm7": "septets", "ucs2": "UTF-16 code units", "binary": "octets"}


def inspect(options: argparse.Namespace) -> int:
    """One text as a table or JSON, or each line of standard input as a line of JSON."""
    if options.text == "-":
        return answer_lines(lambda line: _answer(line, options.encoding))
    try:
        found = inspect_text(options.text, options.encoding)
    except Refusal as error:
        if options.json:
            say_json(_refused(error))
        raise CommandError(error.detail[:1].upper() + error.detail[1:] + ".") from None
    if options.json:
        say_json(found)
    else:
        _show(found)
    return DONE


def _answer(line: str, wanted: Wanted) -> Any:
    """As plain JSON values: what is malformed is told by the key ``error``."""
    try:
        return msgspec.to_builtins(inspect_text(line, wanted))
    except Refusal as error:
        return _refused(error)


def _refused(error: Refusal) -> dict[str, Any]:
    return {"error": {"code": error.code, "detail": error.detail}}


def _show(found: Inspection) -> None:
    unit = _UNITS[found.encoding.value]
    count = f"{found.segments} segment{'s' if found.segments != 1 else ''}"
    say(f"{paint(found.encoding.value, 'bold')}, {count}, {found.units} {unit} used, {found.units_left} left")
    if found.segments == 1:
        return
    width = len(str(max(segment.units for segment in found.segment_list)))
    for segment in found.segment_list:
        place = f"{segment.index:>{len(str(found.segments))}}"
        header = paint(f"header {segment.udh}", "dim")
        say(f"  {paint(place, 'dim')}  {segment.units:>{width}} {unit}  {header}")
