"""The tests' own helpers keep their word."""

import asyncio
from pathlib import Path

import pytest

from tests.support.scale import NAMES, VARIABLE, Scale, chosen_scale
from tests.support.source import Module, imported
from tests.support.waiting import eventually, eventually_async


@pytest.mark.parametrize(("name", "size"), list(zip(NAMES, (1, 2, 3), strict=True)))
def test_a_scale_chooses_its_own_size(name: str, size: int) -> None:
    assert Scale(name)(gate=1, nightly=2, release=3) == size


def test_the_scale_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert chosen_scale() == Scale("gate")
    monkeypatch.setenv(VARIABLE, "weekly")
    with pytest.raises(ValueError, match="'weekly': one of gate, nightly, release"):
        chosen_scale()


def test_eventually_returns_once_true_and_names_what_did_not_come() -> None:
    eventually(iter([False, False, True]).__next__)
    with pytest.raises(AssertionError, match="the daemon to answer"):
        eventually(lambda: False, within_s=0.01, what="the daemon to answer")


def test_its_asynchronous_twin_does_the_same() -> None:
    asyncio.run(eventually_async(iter([False, True]).__next__))
    with pytest.raises(AssertionError, match="the link to close"):
        asyncio.run(eventually_async(lambda: False, within_s=0.01, what="the link to close"))


def test_a_socket_can_be_bound_in_the_socket_dir(socket_dir: Path) -> None:
    assert len(bytes(socket_dir / "with-quite-a-long-name-of-its-own.sock")) < 108
    assert list(socket_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import a.b, c", ["a.b", "c"]),
        ("from a import b as x, c", ["a.b", "a.c"]),
        ("from . import pump", ["stentor.aio.pump"]),
        ("from .pump import run", ["stentor.aio.pump.run"]),
        ("from ..rate import Bucket", ["stentor.rate.Bucket"]),
        ("def f():\n  if x:\n    import late", ["late"]),
    ],
)
def test_imports_are_seen_wherever_and_however_they_stand(source: str, names: list[str]) -> None:
    module = Module("stentor.aio.journal", "engine/stentor/aio/journal.py", source)
    assert [name for _, name in imported(module)] == names


def test_a_package_is_its_own_parent() -> None:
    package = Module(
        "stentor.aio", "engine/stentor/aio/__init__.py", "from .pump import run", is_package=True
    )
    assert list(imported(package)) == [(1, "stentor.aio.pump.run")]
