"""The exceptions that are raised on purpose, and what they say."""

import re

import pytest

from stentor import errors
from stentor.errors import (
    ConfigError,
    JournalBusy,
    JournalDamaged,
    JournalError,
    JournalFull,
    Overloaded,
    Refusal,
    StentorError,
    SyncFailed,
)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    lines = re.findall(r"^( +)([A-Z]\w+)", errors.__doc__, re.MULTILINE)
    parents: dict[int, str] = {}
    for indent, name in lines:
        depth = len(indent)
        parents[depth] = name
        above = [parents[other] for other in sorted(parents) if other < depth]
        base = getattr(errors, name).__bases__[0]
        assert base.__name__ == (above[-1] if above else "Exception")
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined == {name for _, name in lines}


@pytest.mark.parametrize("kind", [JournalFull, JournalBusy, JournalDamaged, SyncFailed])
def test_journal_errors_are_caught_as_one(kind: type[JournalError]) -> None:
    assert issubclass(kind, JournalError)
    assert issubclass(kind, StentorError)


def test_a_refusal_names_the_place() -> None:
    refusal = Refusal("bad_destination", "no such number", "$.to", 422)
    assert (str(refusal), refusal.code, refusal.status) == ("$.to: no such number", "bad_destination", 422)


def test_a_configuration_error_suggests_what_would_be_right() -> None:
    assert str(ConfigError("limits.activ", "unknown key", "did you mean active?")) == (
        "limits.activ: unknown key (did you mean active?)"
    )
    assert str(ConfigError("a.toml", "not TOML")) == "a.toml: not TOML"


def test_an_overload_says_when_to_come_again() -> None:
    overloaded = Overloaded("backlog_full", "the backlog is full", 10)
    assert (str(overloaded), overloaded.retry_after_s) == ("the backlog is full", 10)
