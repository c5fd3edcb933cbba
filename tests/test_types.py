"""The sources satisfy the type checker, the linter and the formatter, as pyproject.toml configures them."""

import subprocess
import sys

import pytest

from tests.support.source import ROOT


@pytest.mark.parametrize(
    "arguments",
    [
        ["mypy", "--no-error-summary", "--show-error-codes"],
        ["ruff", "check", "--quiet", "."],
        ["ruff", "format", "--check", "--quiet", "."],
    ],
    ids=["mypy", "ruff check", "ruff format"],
)
def test_nothing_is_found(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
