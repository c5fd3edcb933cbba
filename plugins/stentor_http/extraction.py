"""Values out of what a carrier sends: paths in JSON and forms, patterns in texts, conditions. Compiled once.

Whatever a document looks like, a path leads to a value or to None; nothing here raises for a document.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from stentor_http.description import Condition, HTTPStatus, Path, Place, Taken

TEXT_OCTETS: Final = 8192
"""How much of a body patterns look at."""

Walk = Callable[["Document"], Any]


class Document(NamedTuple):
    """What is looked into: an entry, the root it stands in, and what came beside the body."""

    entry: Any
    root: Any
    text: str = ""
    status: int = 0
    fields: Mapping[str, str] = {}
    query: Mapping[str, str] = {}


class ExtractionFault(ValueError):
    """What is wrong with a path or a pattern; whoever knows its place adds it."""


_STEP: Final = re.compile(r"([^.\[\]#]+)|\[(-?\d+)\]|(#)$")
_NESTED: Final = re.compile(r"[*+}]\)+[*+{]")


def pattern(text: str) -> re.Pattern[str]:
    """Raises ExtractionFault, also for a repetition of a repetition, which some texts make endless."""
    try:
        compiled = re.compile(text, re.DOTALL)
    except re.error as error:
        raise ExtractionFault(f"is no regular expression: {error}") from None
    if _NESTED.search(text):
        raise ExtractionFault("repeats what repeats itself; that may take for ever")
    return compiled


def walk(path: Path) -> Walk:
    """What follows a path, or the first of several that leads anywhere. Raises ExtractionFault."""
    if isinstance(path, list):
        ways = [walk(one) for one in path]
        if not ways:
            raise ExtractionFault("a list of paths has at least one")
        return lambda document: next((value for way in ways if (value := way(document)) is not None), None)
    if path.startswith("?"):
        name = path[1:]
        return lambda document: document.query.get(name)
    if path.startswith("#"):
        field = path[1:].lower()
        return lambda document: document.fields.get(field)
    steps = _steps(path.removeprefix("^").removeprefix("."))
    if path.startswith("^"):
        return lambda document: _follow(document.root, steps)
    if len(steps) == 1 and isinstance(steps[0], str):
        return _only(steps[0])
    return lambda document: _follow(document.entry, steps)


def _only(key: str) -> Walk:
    def get(document: Document) -> Any:
        entry = document.entry
        return entry.get(key) if isinstance(entry, dict) else None

    return get


_COUNT: Final = object()


def _steps(path: str) -> tuple[Any, ...]:
    steps: list[Any] = []
    for piece in filter(None, re.split(r"\.|(?=\[)", path)):
        found = _STEP.fullmatch(piece)
        if found is None:
            raise ExtractionFault(
                f"{path!r} is no path: names joined by dots, [0] for an element, # at the end"
            )
        steps.append(found[1] if found[1] is not None else int(found[2]) if found[2] is not None else _COUNT)
    return tuple(steps)


def _follow(value: Any, steps: Sequence[Any]) -> Any:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list):
            if step is _COUNT:
                return len(value)
            value = value[step] if isinstance(step, int) and -len(value) <= step < len(value) else None
        else:
            return None
    return value


def taker(place: Place | None) -> Walk | None:
    """What takes a value at a place of a description; None for no place. Raises ExtractionFault."""
    if place is None:
        return None
    if not isinstance(place, Taken):
        return walk(place)
    if place.text:
        if place.path or place.regex:
            raise ExtractionFault("a text stands alone")
        return lambda document: place.text
    if not place.regex:
        return walk(place.path)
    search = pattern(place.regex).search
    follow = walk(place.path) if place.path else None

    def take(document: Document) -> str | None:
        found = search(text_of(follow(document)) if follow else document.text)
        return None if found is None else found[1] if found.re.groups else found[0]

    return take


def text_of(value: Any) -> str:
    """A scalar as text, "" for None, lists and tables."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def text_at(take: Walk | None, document: Document) -> str:
    """The value as text, "" when there is none."""
    return text_of(take(document)) if take is not None else ""


def count_at(take: Walk | None, document: Document) -> int:
    """A whole number from 0 to a million; 0 for anything else."""
    text = text_at(take, document)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0


def micros_at(take: Walk | None, document: Document, decimals: int) -> int:
    """A price in millionths, whatever its sign; 0 for anything that is none."""
    text = text_at(take, document)
    if not text:
        return 0
    try:
        price = abs(Decimal(text))
    except InvalidOperation:
        return 0
    if not price.is_finite() or price > 10_000_000_000:
        return 0
    return int(price.scaleb(6 - decimals))


def is_status(wanted: Sequence[HTTPStatus]) -> Callable[[int], bool]:
    """A test of an HTTP status against numbers and ``"4xx"``."""
    classes = {int(one[0]) for one in wanted if isinstance(one, str)}
    numbers = {one for one in wanted if isinstance(one, int)}
    return lambda status: status in numbers or status // 100 in classes


def condition(table: Condition | None) -> Callable[[Document], bool] | None:
    """A compiled condition; None for none. Raises ExtractionFault."""
    if table is None:
        return None
    tests: list[Callable[[Document], bool]] = []
    if table.http:
        holds = is_status(table.http)
        tests.append(lambda document: holds(document.status))
    follow = walk(table.path) if table.path else None
    if table.is_ is not None:
        if follow is None:
            raise ExtractionFault("is needs a path")
        known, at = {text_of(one) for one in table.is_}, follow
        tests.append(lambda document: text_of(at(document)) in known)
    if table.exists is not None:
        if follow is None:
            raise ExtractionFault("exists needs a path")
        wanted, place = table.exists, follow
        tests.append(lambda document: (place(document) is not None) is wanted)
    if table.matches:
        search, there = pattern(table.matches).search, follow
        tests.append(
            lambda document: search(text_of(there(document)) if there else document.text) is not None
        )
    if len(tests) == 1:
        return tests[0]
    return lambda document: all(test(document) for test in tests)


_decode: Final = msgspec.json.Decoder().decode


def read_json(body: bytes) -> Any:
    """The JSON value of a body; None for anything that is not JSON."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def read_form(body: bytes | str) -> dict[str, str]:
    """Fields of a form, blank ones too; the first of several by one name counts."""
    fields: dict[str, str] = {}
    for name, value in form_pairs(body):
        fields.setdefault(name, value)
    return fields


_BOUNDARY: Final = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;,]{1,70}))', re.IGNORECASE).search
_NAME: Final = re.compile(rb';\s*name="([^"\r\n]*)"', re.IGNORECASE).search
_PARTS: Final = 1000


def read_parts(body: bytes, content_type: str) -> dict[str, str]:
    """Fields of a form that comes as multipart/form-data (RFC 7578), the first of several by one name; none at all for
    what is no such form."""
    found = _BOUNDARY(content_type)
    if found is None:
        return {}
    mark = b"\r\n--" + (found[1] or found[2]).encode("utf-8", "replace")
    fields: dict[str, str] = {}
    for piece in (b"\r\n" + body).split(mark, _PARTS)[1:_PARTS]:
        head, _, value = piece.partition(b"\r\n\r\n")
        name = _NAME(head)
        if name is not None and not piece.startswith(b"--"):
            fields.setdefault(name[1].decode("utf-8", "replace"), value.decode("utf-8", "replace"))
    return fields


def form_pairs(body: bytes | str) -> list[tuple[str, str]]:
    """Every field of a form in order; none at all for what is no form."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        return []
