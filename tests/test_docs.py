"""What the documents say about the repository is so."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import stentor
from tests.support.modules import ARCHITECTURE, HEADING, module_list
from tests.support.source import ROOT, text_files

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
TARGET = re.compile(r"\bmake ([a-z][a-z-]+)\b")


def documents() -> list[Path]:
    return [path for path in text_files() if path.suffix == ".md"]


def code_in(text: str) -> Iterator[str]:
    """Everything set as code: fenced blocks and backticks. "make sure" in prose is no command."""
    yield from re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere_and_make_targets_exist(document: Path) -> None:
    text = document.read_text()
    assert [link for link in LINK.findall(text) if not (document.parent / link).exists()] == []
    named = {target for code in code_in(text) for target in TARGET.findall(code)}
    assert named - targets() == set()


def test_the_checks_would_find_a_dead_link_and_an_unknown_target() -> None:
    assert LINK.findall("[a](gone.md#x) [b](https://example.com) [c](#here)") == ["gone.md"]
    assert [TARGET.findall(code) for code in code_in("make sure of `make lunch`")] == [["lunch"]]


def test_the_version_is_the_same_everywhere() -> None:
    assert stentor.__version__ == PYPROJECT["project"]["version"]


def test_the_changelog_has_an_entry_for_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0].startswith("Unreleased") or stentor.__version__ in headings[0]
    assert any(stentor.__version__ in heading for heading in headings)


def test_the_license_is_the_one_the_metadata_names() -> None:
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    assert (ROOT / "LICENSE").read_text().split()[:4] == ["Apache", "License", "Version", "2.0,"]


def test_every_dependency_says_why_it_is_there() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    assert [line for line in lines if re.match(r'\s+"[\w-]+>=', line) and "#" not in line] == []


def test_help_lists_exactly_the_targets_there_are() -> None:
    described = re.findall(r"^([a-z][a-z-]*):.*## \S", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(described) == sorted(targets())


def test_the_architecture_lists_every_module_in_its_own_words() -> None:
    """Mend with ``python -m tests.support.modules``."""
    assert ARCHITECTURE.read_text().partition(HEADING)[2] == module_list()
