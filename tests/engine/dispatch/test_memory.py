"""What drivers keep: at once in memory, with the next commit in the journal, within bounds."""

import pytest

from stentor.dispatch import memory
from stentor.dispatch.memory import Memory
from stentor.errors import Overloaded
from stentor.settling.ledger import Ledger


def test_what_is_kept_is_there_at_once_and_in_the_commit_being_filled() -> None:
    ledger = Ledger(0)
    kept = Memory(ledger, {"alpha": {"old": b"1"}})
    kept.keep("alpha", "new", b"2")
    kept.keep("alpha", "old", None)
    assert kept.kept("alpha") == {"new": b"2"}
    assert kept.kept("beta") == {}
    assert ledger.commit.memory == {("alpha", "new"): b"2", ("alpha", "old"): None}


def test_many_changes_of_a_name_are_one_row_of_a_commit() -> None:
    ledger = Ledger(0)
    kept = Memory(ledger, {})
    for number in range(10):
        kept.keep("alpha", "n", b"%d" % number)
    assert ledger.commit.memory == {("alpha", "n"): b"9"}


def test_what_changes_nothing_is_not_written() -> None:
    ledger = Ledger(0)
    kept = Memory(ledger, {"alpha": {"n": b"1"}})
    kept.keep("alpha", "n", b"1")
    kept.keep("alpha", "never kept", None)
    assert ledger.is_empty


def test_a_failed_commit_goes_with_the_next_and_the_later_value_counts() -> None:
    ledger = Ledger(0)
    kept = Memory(ledger, {})
    kept.keep("alpha", "a", b"1")
    kept.keep("alpha", "b", b"1")
    ledger.take()
    kept.keep("alpha", "b", None)
    ledger.failed()
    assert ledger.commit.memory == {("alpha", "a"): b"1", ("alpha", "b"): None}


def test_a_map_that_was_given_does_not_change_afterwards() -> None:
    kept = Memory(Ledger(0), {})
    before = kept.kept("alpha")
    kept.keep("alpha", "n", b"1")
    assert before == {}


def test_a_channel_keeps_so_many_names_and_what_it_forgets_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "NAMES", 2)
    kept = Memory(Ledger(0), {"alpha": {"a": b""}})
    kept.keep("alpha", "b", b"")
    with pytest.raises(Overloaded, match="2 names"):
        kept.keep("alpha", "c", b"")
    kept.keep("alpha", "b", b"changed")
    kept.keep("beta", "c", b"another channel has room of its own")
    kept.keep("alpha", "a", None)
    kept.keep("alpha", "c", b"")
    assert kept.kept("alpha") == {"b": b"changed", "c": b""}


def test_a_channel_keeps_so_many_octets_and_a_smaller_value_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "OCTETS", 10)
    kept = Memory(Ledger(0), {"alpha": {"a": b"12345"}})
    with pytest.raises(Overloaded, match="10 octets"):
        kept.keep("alpha", "b", b"1234")
    assert kept.kept("alpha") == {"a": b"12345"}
    kept.keep("alpha", "a", b"1")
    kept.keep("alpha", "b", b"1234567")
    with pytest.raises(Overloaded):
        kept.keep("alpha", "b", b"12345678")
    assert kept.kept("alpha") == {"a": b"1", "b": b"1234567"}


@pytest.mark.parametrize(("name", "value"), [("", b""), ("x" * 256, b""), ("n", b"x" * 65_537)])
def test_a_name_or_value_beyond_its_length_is_a_fault_of_the_driver(name: str, value: bytes) -> None:
    with pytest.raises(AssertionError):
        Memory(Ledger(0), {}).keep("alpha", name, value)
