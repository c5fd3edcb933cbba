"""Templates of requests: texts with places for a message's values, and whole bodies of them. Compiled once.

    "{to}" "App {settings.api_key}" "{valid_for_s|minutes}" "{flash?1:0}" "{binary?binary:unicode?unicode:text}"

A text that is one place alone keeps the value's type. A text with a place whose value is absent is absent itself, and
so is a table in which every place is absent. Templates hold no code; what encodes a body escapes the values.
"""

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from stentor.address import OriginatorKind, parse_originator
from stentor.errors import Refusal
from stentor.outcome import Submission
from stentor.text.segments import Encoding

Value = str | int | bool | None
Render = Callable[[Any, int], Value]
"""From what is submitted or asked about, and a wall time, to the value; None when it is absent."""

Constants = Mapping[str, str | None]
"""``settings.NAME`` and the URLs of ours, known when the channel is loaded."""


class TemplateFault(ValueError):
    """What is wrong with a template; whoever knows its place adds it."""


def own_id(submission: Submission) -> str:
    """``{id}``: names this attempt to the carrier, at most 20 characters of ``0-9a-f-``.

    A new attempt has another: a carrier that knows ids again must not take it for the one it refused.
    """
    return f"{submission.token:x}{submission.segments & 255:02x}-{submission.attempt:x}"


_OWN_ID: Final = re.compile(r"([0-9a-f]{1,16})([0-9a-f]{2})-([0-9a-f]{1,4})").fullmatch


def parse_own_id(text: str) -> tuple[int, int, int] | None:
    """Token, attempt and segments of an ``{id}``; None for what we did not make."""
    found = _OWN_ID(text)
    return (int(found[1], 16), int(found[3], 16), int(found[2], 16)) if found else None


def _is_name(submission: Submission) -> bool:
    try:
        return parse_originator(submission.originator).kind is OriginatorKind.NAME
    except Refusal:
        return False


def _data(submission: Submission, _: int) -> Value:
    return submission.data.hex() if submission.encoding is Encoding.BINARY else None


VARIABLES: Final[dict[str, Render]] = {
    "id": lambda submission, _: own_id(submission),
    "to": lambda submission, _: submission.to,
    "from": lambda submission, _: submission.originator or None,
    "text": lambda submission, _: None if submission.encoding is Encoding.BINARY else submission.text,
    "data": _data,
    "udh": lambda submission, _: submission.udh.hex() or None,
    "binary": lambda submission, _: submission.encoding is Encoding.BINARY,
    "unicode": lambda submission, _: submission.encoding is Encoding.UCS2,
    "flash": lambda submission, _: submission.flash,
    "named": lambda submission, _: _is_name(submission),
    "wants_receipt": lambda submission, _: submission.wants_receipt,
    "segments": lambda submission, _: submission.segments,
    "valid_for_s": lambda submission, _: submission.valid_for_s,
    "expires_at_ms": lambda submission, wall_ms: wall_ms + submission.valid_for_s * 1000,
    "now_ms": lambda _, wall_ms: wall_ms,
}
"""Everything a template may say beside ``settings.NAME``, ``receipt_url``, ``receipt_url_with_id`` and ``mo_url``."""

CONDITIONS: Final = frozenset({"binary", "unicode", "flash", "named", "wants_receipt"})
URLS: Final = frozenset({"receipt_url", "receipt_url_with_id", "mo_url"})
KNOWN: Final = URLS | VARIABLES.keys()
"""Every name in a request to send, beside the settings."""


def digits(text: str) -> str:
    return text.removeprefix("+")


def _plus(text: str) -> str:
    return text if text.startswith("+") or not text.isdigit() else f"+{text}"


def _instant(at_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC)


FILTERS: Final[dict[str, Callable[[Any], Value]]] = {
    "digits": lambda value: digits(str(value)),
    "plus": lambda value: _plus(str(value)),
    "int": lambda value: int(digits(str(value))),
    "str": str,
    "upper": lambda value: str(value).upper(),
    "lower": lambda value: str(value).lower(),
    "ms": lambda value: int(value) * 1000,
    "minutes": lambda value: -(-int(value) // 60),
    "hours": lambda value: -(-int(value) // 3600),
    "unix": lambda value: int(value) // 1000,
    "iso": lambda value: _instant(int(value)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "day": lambda value: _instant(int(value)).strftime("%Y-%m-%d"),
}
_OF_NUMBERS: Final = frozenset({"ms", "minutes", "hours", "unix", "iso", "day"})
_NUMBERS: Final = frozenset({"segments", "valid_for_s", "expires_at_ms", "now_ms", "since_ms"})

_HOLE: Final = re.compile(r"\{([^{}]*)\}")
_PLAIN: Final = re.compile(r"(?P<name>[a-z_]+(?:\.[a-z0-9_]+)?)(?P<filters>(?:\|[a-z_]+)*)").fullmatch


class Hole:
    """One place of a template: a variable with filters, or words chosen by conditions."""

    __slots__ = ("choices", "filters", "name")

    def __init__(self, source: str) -> None:
        self.name, self.filters = "", []  # type: tuple[str, list[str]]
        self.choices: list[tuple[str, str]] = []  # condition ("" for the last), word
        if "?" in source:
            self._read_choices(source)
            return
        found = _PLAIN(source)
        if found is None:
            raise TemplateFault(f"{{{source}}} is neither a variable with filters nor a choice")
        self.name, self.filters = found["name"], [word for word in found["filters"].split("|") if word]
        for word in self.filters:
            if word not in FILTERS:
                raise TemplateFault(f"unknown filter {word}: there are {', '.join(sorted(FILTERS))}")
            if word in _OF_NUMBERS and self.name not in _NUMBERS:
                raise TemplateFault(f"{word} is for {', '.join(sorted(_NUMBERS))}")
            if word == "int" and self.name not in _NUMBERS | {"to"}:
                raise TemplateFault("int is for numbers and {to}")

    def _read_choices(self, source: str) -> None:
        for choice in source.split(":"):
            condition, mark, word = choice.rpartition("?")
            if self.choices and not self.choices[-1][0]:
                raise TemplateFault(f"{{{source}}}: nothing may follow the last choice")
            if mark and condition not in CONDITIONS:
                raise TemplateFault(
                    f"unknown condition {condition}: there are {', '.join(sorted(CONDITIONS))}"
                )
            self.choices.append((condition, word))

    @property
    def variables(self) -> set[str]:
        return {self.name} if self.name else {condition for condition, _ in self.choices if condition}

    def bind(self, constants: Constants, variables: Mapping[str, Render]) -> "Render | str | None":
        """The place with this account's constants: what renders it, or a constant; None for an absent one."""
        if self.choices:
            return _chooser(
                [(variables[name] if name else None, word or None) for name, word in self.choices]
            )
        if self.name in constants:
            value: Value = constants[self.name]
            for word in self.filters:
                value = FILTERS[word](value) if value is not None else None
            return None if value is None else str(value)
        render = variables[self.name]
        for word in self.filters:
            render = _filtered(render, FILTERS[word])
        return render


def _chooser(choices: list[tuple[Render | None, str | None]]) -> Render:
    def choose(submission: Submission, wall_ms: int) -> Value:
        for holds, word in choices:
            if holds is None or holds(submission, wall_ms):
                return word
        return None

    return choose


def _filtered(render: Render, change: Callable[[Any], Value]) -> Render:
    def filtered(submission: Submission, wall_ms: int) -> Value:
        value = render(submission, wall_ms)
        return None if value is None else change(value)

    return filtered


class Template:
    """A text with places. ``{{`` and ``}}`` are braces."""

    __slots__ = ("parts",)

    def __init__(self, text: str, settings: frozenset[str], known: frozenset[str] = KNOWN) -> None:
        """Raises TemplateFault. ``settings`` and ``known``: the names there are."""
        self.parts: list[str | Hole] = []
        at = 0
        text = text.replace("{{", "\0").replace("}}", "\1")
        for found in _HOLE.finditer(text):
            self._add_text(text[at : found.start()])
            hole = Hole(found[1])
            for name in hole.variables:
                _check_name(name, settings, known)
            self.parts.append(hole)
            at = found.end()
        self._add_text(text[at:])

    def _add_text(self, text: str) -> None:
        if "{" in text or "}" in text:
            raise TemplateFault("a brace without its partner; write {{ and }} for braces themselves")
        if text:
            self.parts.append(text.replace("\0", "{").replace("\1", "}"))

    @property
    def variables(self) -> set[str]:
        return {name for part in self.parts if isinstance(part, Hole) for name in part.variables}

    def bind(
        self,
        constants: Constants,
        variables: Mapping[str, Render] = VARIABLES,
        escape: Callable[[str], str] = str,
    ) -> "Render | str | None":
        """What renders it, or the constant it is; None for an absent constant. ``escape``: for every value."""
        bound: list[Render | str] = []
        for part in self.parts:
            if isinstance(part, str):
                bound.append(part)
                continue
            value = part.bind(constants, variables)
            if value is None:
                return None
            bound.append(escape(value) if isinstance(value, str) else value)
        if all(isinstance(part, str) for part in bound):
            return "".join(str(part) for part in bound)
        if len(bound) == 1:
            alone = bound[0]
            assert not isinstance(alone, str)
            return alone if escape is str else _escaped(alone, escape)
        return _joined(bound, escape)


def _escaped(render: Render, escape: Callable[[str], str]) -> Render:
    def escaped(submission: Submission, wall_ms: int) -> Value:
        value = render(submission, wall_ms)
        return None if value is None else escape(as_text(value))

    return escaped


def _joined(parts: list[Render | str], escape: Callable[[str], str]) -> Render:
    def join(submission: Submission, wall_ms: int) -> Value:
        texts = []
        for part in parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            value = part(submission, wall_ms)
            if value is None:
                return None
            texts.append(escape(as_text(value)))
        return "".join(texts)

    return join


def as_text(value: Value) -> str:
    """A value as forms and URLs have it."""
    return (
        value
        if type(value) is str
        else "true"
        if value is True
        else "false"
        if value is False
        else str(value)
    )


def _check_name(name: str, settings: frozenset[str], known: frozenset[str]) -> None:
    if name.startswith("settings."):
        if name.removeprefix("settings.") not in settings:
            raise TemplateFault(f"there is no setting {name.removeprefix('settings.')}")
    elif name not in known:
        raise TemplateFault(f"unknown variable {name}: there are settings.NAME, {', '.join(sorted(known))}")
