"""The reverse of a description's paths, patterns and conditions: where to put a value so that it is found there.

What cannot be reversed is refused with ValueError when the simulated carrier starts.
"""

import re
from collections.abc import Iterable
from re import _constants as op  # type: ignore[attr-defined]  # the only parser of patterns there is
from re import _parser as parser  # type: ignore[attr-defined]  # and it is private
from typing import Any, Final

from stentor_http.description import Condition, Path, Place, Taken

_STEP: Final = re.compile(r"[^.\[\]#]+|\[-?\d+\]|#$")
_SAMPLES: Final = {op.CATEGORY_DIGIT: "7", op.CATEGORY_SPACE: " ", op.CATEGORY_WORD: "w"}


class Draft:
    """A document in the making: an entry, the root it stands in, header fields and fields of the URL's query."""

    def __init__(self) -> None:
        self.entry: Any = None
        self.root: Any = None
        self.fields: dict[str, str] = {}
        self.query: dict[str, str] = {}

    def put(self, place: Place | None, value: Any) -> None:
        """Put the value where the first of the paths looks; nothing for no place."""
        if place is None:
            return
        if isinstance(place, Taken):
            self._put(place.path, sample(place.regex, str(value)) if place.regex else value)
        else:
            self._put(place, value)

    def _put(self, path: Path, value: Any) -> None:
        if isinstance(path, list):
            path = path[0]
        if path.startswith("#"):
            self.fields[path[1:].lower()] = str(value)
        elif path.startswith("?"):
            self.query[path[1:]] = str(value)
        elif path.startswith("^"):
            self.root = grow(self.root, path[1:], value)
        else:
            self.entry = grow(self.entry, path, value)

    def satisfy(self, condition: Condition | None) -> None:
        """Make a condition true, as far as it is about content."""
        if condition is None or not condition.path:
            return
        if condition.is_ is not None:
            self.put(condition.path, condition.is_[0])
        elif condition.matches:
            self.put(condition.path, sample(condition.matches))
        elif condition.exists:
            self.put(condition.path, "yes")


def grow(tree: Any, path: str, value: Any) -> Any:
    """The tree with the value at the path; what is missing on the way is made."""
    return _grow(tree, _STEP.findall(path), value)


def _grow(tree: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step == "#":
        return tree if isinstance(tree, list) else [{}] * int(value)
    if step.startswith("["):
        index = max(0, int(step[1:-1]))
        found = list(tree) if isinstance(tree, list) else []
        found += [{}] * (index + 1 - len(found))
        found[index] = _grow(found[index], rest, value)
        return found
    table = dict(tree) if isinstance(tree, dict) else {}
    table[step] = _grow(table.get(step), rest, value)
    return table


def sample(pattern: str, captured: str = "") -> str:
    """A short text that the pattern finds; its first group holds ``captured``, if that is given."""
    text = _sample(parser.parse(pattern), captured)
    if captured and not re.compile(pattern).groups:
        text = captured
    if re.search(pattern, text) is None:
        raise ValueError(f"no text is known that {pattern!r} finds")
    return text


def _sample(items: Iterable[Any], captured: str) -> str:
    return "".join(_one(code, value, captured) for code, value in items)


def _one(code: Any, value: Any, captured: str) -> str:
    if code is op.LITERAL:
        return chr(value)
    if code is op.ANY or code is op.NOT_LITERAL:
        return "x"
    if code is op.IN:
        return _member(value)
    if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, _, items = value
        return _sample(items, captured) * int(least)
    if code is op.SUBPATTERN:
        group, _, _, items = value
        return captured if group == 1 and captured else _sample(items, captured)
    if code is op.BRANCH:
        return _sample(value[1][0], captured)
    if code is op.AT:
        return ""
    raise ValueError(f"a pattern with {code} is beyond the simulated carrier")


def _member(choices: list[Any]) -> str:
    code, value = choices[0]
    if code is op.NEGATE:
        return "x"
    if code is op.RANGE:
        return chr(value[0])
    return str(_SAMPLES.get(value, "x")) if code is op.CATEGORY else chr(value)
