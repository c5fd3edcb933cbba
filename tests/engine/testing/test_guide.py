"""The author's guide says what the code says."""

import asyncio
import re

import msgspec
import pytest

from stentor import driver, outcome
from stentor.testing.checks import CHECKS
from stentor.testing.conformance import Subject
from tests.engine.testing.line_driver import SPEC
from tests.engine.testing.line_peer import LinePeer
from tests.support.source import ROOT

GUIDE = (ROOT / "plugins" / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
LINES = (ROOT / "tests/engine/testing/line_driver.py").read_text()


def test_the_driver_in_the_guide_is_the_one_that_passes_the_kit():
    assert BLOCKS[0] == LINES


def members(contract: type) -> list[str]:
    annotated = list(getattr(contract, "__annotations__", ()))
    return annotated + [
        name for name in vars(contract) if not name.startswith("_") and callable(vars(contract)[name])
    ]


@pytest.mark.parametrize("contract", [driver.Host, driver.Driver, driver.Capabilities, driver.DriverSpec])
def test_every_member_of_the_contract_is_explained(contract):
    code = " ".join(re.findall(r"`([^`\n]+)`", GUIDE.replace(BLOCKS[0], "")))
    assert [name for name in members(contract) if not re.search(rf"\b{name}\b", code)] == []


@pytest.mark.parametrize(
    "kind", [outcome.Sent, outcome.Refused, outcome.Deferred, outcome.Returned, outcome.Unknown]
)
def test_every_outcome_is_explained_with_its_first_fields(kind):
    shown = re.search(rf"`{kind.__name__}\(([^)]*)\)`", GUIDE)
    assert shown, kind.__name__
    named = [name for name in shown[1].split(", ") if name != "..."]
    assert named == [item.name for item in msgspec.structs.fields(kind)][: len(named)]


def test_the_groups_of_the_kit_are_listed_in_their_order():
    listed = re.search(r"\| group \| asks \|\n\| --- \| --- \|\n((?:\|.*\n)+)", GUIDE)
    assert listed
    assert re.findall(r"^\| (\w+) ", listed[1], re.MULTILINE) == list(
        dict.fromkeys(each.group for each in CHECKS)
    )


def test_the_test_in_the_guide_passes():
    table = {"host": "tell.test", "name": "stentor"}
    names = {"asyncio": asyncio, "subject": Subject(spec=SPEC, peer=LinePeer, table=table)}
    exec(BLOCKS[2], names)
    names["test_an_unanswered_submission_is_in_doubt_after_thirty_seconds"]()
