"""One table of the file into one Struct, key by key, so that every fault in it is found and named.

A fault is never raised here: it goes to ``Faults``, which knows the text's lines, and reading goes on.
"""

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec

from stentor.config.lines import Path, line_of, path_text
from stentor.config.values import duration_s, duration_text, octets
from stentor.errors import ConfigError

StructT = TypeVar("StructT", bound=msgspec.Struct)

_LISTED_NAMES: Final = 20
_TYPE_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
_EXPECTED: Final = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_RANGE: Final = re.compile(r"Expected `\w+` (>=|<=|>|<) (\S+)")
_LENGTH: Final = re.compile(r"Expected `(\w+)` of length (>=|<=) (\d+)")
_INSIDE: Final = re.compile(r" - at `\$(.*)`$")
_COMPARISONS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


class LocatedError(ConfigError):
    """One fault of a configuration, with the file and the line (0: not known) it stands in."""

    def __init__(
        self, path: str, detail: str, suggestion: str | None = None, source: str = "", line: int = 0
    ) -> None:
        super().__init__(path, detail, suggestion)
        self.source = source
        self.line = line

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}: " if self.line else f"{self.source}: " if self.source else ""
        return place + (super().__str__() if self.path else self.detail)


class Faults:
    """Collects what is wrong with one text."""

    def __init__(self, source: str, lines: Mapping[Path, int]) -> None:
        self.errors: list[LocatedError] = []
        self._source = source
        self._lines = dict(lines)

    def add(self, path: Path, detail: str, suggestion: str | None = None) -> None:
        line = line_of(self._lines, path)
        self.errors.append(LocatedError(path_text(path), detail, suggestion, self._source, line))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """``did you mean "window"?`` or None."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'did you mean "{matches[0]}"?' if matches else None


def what_there_is(known: Iterable[str]) -> str:
    """The suggestion where nothing resembles what was written."""
    names = sorted(known)
    if len(names) <= _LISTED_NAMES:
        return f"there are {', '.join(names)}"
    return "the reference in config/README.md has all there are"


def read_table(
    cls: type[StructT], table: object, path: Path, faults: Faults, elsewhere: Mapping[str, str] | None = None
) -> StructT | None:
    """The Struct a table holds, or None once every fault in it is in ``faults``.

    ``elsewhere`` names the section other keys belong to, for the suggestion of a key put in the wrong one.
    """
    if not isinstance(table, dict):
        faults.add(path, "must be a table", f"write [{path_text(path)}]")
        return None
    before = len(faults.errors)
    known = {item.encode_name: item for item in msgspec.structs.fields(cls)}
    refuse_unknown(table, known, path, faults, elsewhere or {})
    values: dict[str, Any] = {}
    for key, item in known.items():
        if key in table:
            values[item.name] = read_value(table[key], item, (*path, key), faults)
        elif item.required:
            faults.add((*path, key), "is missing")
    if len(faults.errors) > before:
        return None
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:  # a Struct's own __post_init__
        faults.add(path, str(error))
        return None


def refuse_unknown(
    table: Mapping[str, object],
    known: Collection[str],
    path: Path,
    faults: Faults,
    elsewhere: Mapping[str, str],
) -> None:
    for key in table:
        if key not in known:
            hint = nearest(key, known)
            if hint is None and key in elsewhere:
                hint = f"it belongs in [{elsewhere[key]}]"
            faults.add((*path, key), "unknown key", hint or what_there_is(known))


def read_value(value: object, item: msgspec.structs.FieldInfo, path: Path, faults: Faults) -> Any:
    """The value of one key, converted strictly; None and a fault if it cannot be."""
    try:
        if isinstance(value, str) and item.name.endswith("_s"):
            value = duration_s(value)
        elif isinstance(value, str) and item.name.endswith("_octets"):
            value = octets(value)
    except ValueError as error:
        faults.add(path, str(error))
        return None
    if isinstance(value, float) and not math.isfinite(value):
        faults.add(path, f"{value} is not a number to work with")
        return None
    return _convert(value, item.type, path, faults, is_duration=item.name.endswith("_s"))


def _convert(value: object, kind: Any, path: Path, faults: Faults, *, is_duration: bool = False) -> Any:
    """A value of this type. Tables inside it are read key by key, as their own section would be."""
    before = len(faults.errors)
    value = _with_inner(value, kind, path, faults)
    if len(faults.errors) > before:
        return None
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        inner, detail, suggestion = _explain(str(error), value, kind, is_duration=is_duration)
        faults.add((*path, *inner), detail, suggestion)
        return None


def _with_inner(value: object, kind: Any, path: Path, faults: Faults) -> object:
    if isinstance(value, dict) and holds_names(kind):
        inner = get_args(_bare(kind))[1]
        return {key: _convert(each, inner, (*path, key), faults) for key, each in value.items()}
    cls = inner_table(kind)
    if cls is None:
        return value
    if isinstance(value, list):
        inner = get_args(_bare(kind))[0]
        return [_convert(each, inner, (*path, index), faults) for index, each in enumerate(value)]
    return read_table(cls, value, path, faults) if isinstance(value, dict) else value


def inner_table(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct whose tables stand in a value of this type: alone, in a list, or by name."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next((inner for part in get_args(kind) if (inner := inner_table(part)) is not None), None)


def holds_names(kind: Any) -> bool:
    """Is a value of this type a table whose keys are the operator's?"""
    return get_origin(_bare(kind)) is dict


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def choices(kind: object) -> tuple[str, ...]:
    """The words a type allows, empty if it is open."""
    if get_origin(kind) is Literal:
        return tuple(str(word) for word in get_args(kind))
    if get_origin(kind) is Annotated:
        return choices(get_args(kind)[0])
    words: tuple[str, ...] = ()
    for part in get_args(kind):
        words += choices(part)
    return words


def _explain(error: str, value: object, kind: object, *, is_duration: bool) -> tuple[Path, str, str | None]:
    """msgspec's sentence in the words of someone who writes TOML: path inside the value, detail,
    suggestion."""
    inside: Path = ()
    if found := _INSIDE.search(error):
        inside = tuple(int(part) if part.isdigit() else part for part in re.findall(r"\w+", found[1]))
        error = error[: found.start()]
    if match := _EXPECTED.match(error):
        wanted = [_TYPE_WORDS.get(word, word) for word in match[1].split(" | ") if word != "null"]
        return inside, f"must be {' or '.join(wanted)}, not {_TYPE_WORDS.get(match[2], match[2])}", None
    if match := _RANGE.match(error):
        bound = float(match[2])
        text = duration_text(bound) if is_duration and bound else f"{bound:g}"
        return inside, f"must be {_COMPARISONS[match[1]]} {text}", None
    if match := _LENGTH.match(error):
        if match[3] == "1":
            return inside, "must not be empty", None
        unit = "characters" if match[1] == "str" else "elements"
        return inside, f"must have {_COMPARISONS[match[2]]} {match[3]} {unit}", None
    if words := choices(kind):
        listed = ", ".join(f'"{word}"' for word in words)
        return inside, f"must be one of {listed}", nearest(value, words) if isinstance(value, str) else None
    if form := _form(kind):
        return inside, f"must be {form}", None
    return inside, "has the wrong form", error[:1].lower() + error[1:]


def _form(kind: Any) -> str | None:
    """What a text with a pattern looks like: the title of its Meta."""
    if get_origin(kind) is Annotated:
        for meta in get_args(kind)[1:]:
            if isinstance(meta, msgspec.Meta) and meta.title:
                return meta.title
    return next((form for part in get_args(kind) if (form := _form(part))), None)
