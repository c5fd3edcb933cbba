"""What can become of a submission."""

import re
import typing
from pathlib import Path

import pytest

from stentor.message import Priority
from stentor.outcome import CODES, Deferred, Outcome, Refused, Returned, Scope, Sent, Submission, Unknown
from stentor.text.segments import Encoding

SUBMISSION = Submission(257, 1, "+1", "1", Encoding.GSM7, b"x", b"", 1, 1, True, 60, Priority.NORMAL)
ENGINE = Path(__file__).parents[2] / "engine" / "stentor"


def test_the_union_is_closed() -> None:
    assert set(typing.get_args(Outcome)) == {Sent, Refused, Deferred, Returned, Unknown}


@pytest.mark.parametrize("kind", typing.get_args(Outcome))
def test_every_outcome_begins_with_its_submission(kind: type) -> None:
    assert kind.__struct_fields__[0] == "submission"


def test_a_failure_reaches_no_further_than_said() -> None:
    assert Refused(SUBMISSION, "bad_destination").scope is Scope.MESSAGE
    assert Deferred(SUBMISSION, "carrier_busy").scope is Scope.MESSAGE
    assert not Deferred(SUBMISSION, "carrier_busy").is_throttle


def test_outcomes_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Sent(SUBMISSION).carrier_id = "other"  # type: ignore[misc]  # it must refuse


@pytest.mark.parametrize("name", ["dispatch/dispatcher.py", "settling/settle.py", "dispatch/reading.py"])
def test_the_engine_gives_only_codes_of_the_catalogue(name: str) -> None:
    used = set(re.findall(r'Error\("([a-z_]+)"', (ENGINE / name).read_text()))
    assert used <= CODES.keys()
