"""Parts of inbound messages: what ends a collection, what is a repetition, and what joined octets read."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from stentor.driver import Inbound, Part
from stentor.journal.records import HeldPart, JoinedParts, PartsName
from stentor.settling.joining import Collection, Joiner, is_joinable, join
from stentor.text import gsm0338
from stentor.text.segments import Encoding
from tests.conftest import SCALE

TIMEOUT_MS = 10_000
GSM, UCS2, BINARY = Encoding.GSM7, Encoding.UCS2, Encoding.BINARY

_keys = itertools.count(1)


def part(
    index: int, text: str = "", total: int = 3, at_ms: int = 0, reference: int = 7, **fields: str
) -> HeldPart:
    known = {"originator": "+40711000001", "to": "1234", "text": text or f"<{index}>"} | fields
    family = known.pop("family", "alpha")
    item = Inbound(**known, part=Part(reference, total, index))  # type: ignore[arg-type]  # texts alone
    return HeldPart(next(_keys), family, known.get("channel", "alpha"), at_ms, item)


class Desk:
    """A joiner, used as the receiver uses it; ``out`` is what was delivered."""

    def __init__(self, limit: int = 100, timeout_ms: int = TIMEOUT_MS) -> None:
        self.joiner = Joiner(limit, timeout_ms)
        self.out: list[str] = []
        self.repeated = 0

    def take(self, *parts: HeldPart) -> "Desk":
        for each in parts:
            if self.joiner.is_repeated(each):
                self.repeated += 1
            else:
                self.deliver(self.joiner.add(each), each.at_ms)
        return self

    def wait(self, wall_ms: int) -> "Desk":
        self.deliver(self.joiner.overdue(wall_ms), wall_ms)
        return self

    def deliver(self, ended: Sequence[Collection], at_ms: int) -> None:
        for collection in ended:
            whole = join(collection.items, collection.total)
            self.out.append(whole.text or "")
            assert whole.segments == len(collection.parts)
            self.joiner.remember(collection.joined(next(_keys), at_ms))


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_parts_in_any_order_make_the_message(order: Sequence[int]) -> None:
    desk = Desk().take(*map(part, order))
    assert desk.out == ["<1><2><3>"]
    assert len(desk.joiner) == 0
    assert desk.joiner.due_at_ms == 0


def test_a_repeated_part_is_dropped_while_the_message_is_open_and_after_it() -> None:
    desk = Desk().take(part(1), part(1), part(2), part(3), part(3), part(1))
    assert (desk.out, desk.repeated) == (["<1><2><3>"], 3)


@pytest.mark.parametrize(
    "other",
    [
        part(2, total=2),
        part(2, reference=8),
        part(2, originator="+40711000002"),
        part(2, to="4321"),
        part(2, family="beta"),
    ],
    ids=["total", "reference", "originator", "destination", "family"],
)
def test_parts_of_different_messages_are_not_joined(other: HeldPart) -> None:
    desk = Desk().take(part(1), other, part(2), part(3))
    assert desk.out == ["<1><2><3>"]
    assert len(desk.joiner) == 1


def test_after_the_time_out_what_came_is_delivered_with_an_ellipsis_for_each_gap() -> None:
    desk = Desk().take(part(2, total=6), part(3, total=6), part(6, total=6))
    assert desk.joiner.due_at_ms == TIMEOUT_MS
    assert desk.wait(TIMEOUT_MS - 1).out == []
    assert desk.wait(TIMEOUT_MS).out == ["[…]<2><3>[…]<6>"]
    assert desk.joiner.incomplete == 1


def test_a_gap_at_the_end_is_marked_too() -> None:
    assert Desk().take(part(1)).wait(TIMEOUT_MS).out == ["<1>[…]"]


def test_the_time_out_counts_from_the_first_part_that_came() -> None:
    desk = Desk().take(part(1, at_ms=0), part(2, at_ms=TIMEOUT_MS - 1))
    assert desk.wait(TIMEOUT_MS).out == ["<1><2>[…]"]


def test_a_part_that_comes_after_the_time_out_is_not_lost() -> None:
    desk = Desk().take(part(1), part(3)).wait(TIMEOUT_MS).take(part(2, at_ms=TIMEOUT_MS))
    assert desk.wait(2 * TIMEOUT_MS).out == ["<1>[…]<3>", "[…]<2>[…]"]


def test_another_text_for_a_part_begins_another_message() -> None:
    desk = Desk().take(part(1, "A"), part(2, "B"), part(1, "C"), part(2, "D"), part(3, "E"))
    assert desk.out == ["AB[…]", "CDE"]


def test_a_part_repeated_from_the_message_before_does_not_disturb_the_next() -> None:
    desk = Desk().take(part(1, "A"), part(2, "B"), part(1, "C"), part(2, "B"), part(1, "A"))
    assert desk.out == ["AB[…]"]
    assert desk.repeated == 2


def test_the_same_reference_and_text_are_a_new_message_after_the_time_out() -> None:
    desk = Desk().take(part(1, total=2), part(2, total=2))
    desk.take(part(1, total=2, at_ms=TIMEOUT_MS), part(2, total=2, at_ms=TIMEOUT_MS))
    assert desk.out == ["<1><2>", "<1><2>"]


def test_when_too_many_parts_wait_the_oldest_message_is_delivered_as_it_is() -> None:
    desk = Desk(limit=3).take(part(1), part(1, reference=8), part(2), part(2, reference=8))
    assert desk.out == ["<1><2>[…]"]
    assert len(desk.joiner) == 2


def test_no_more_messages_are_remembered_than_parts_may_wait() -> None:
    joiner = Joiner(2, TIMEOUT_MS)
    joined = [JoinedParts(n, "f", "+4", "1", n, 2, 0, bytes(16)) for n in range(3)]
    assert [joiner.remember(each) for each in joined] == [[], [], [joined[0]]]


def test_what_is_remembered_again_replaces_what_was() -> None:
    joiner = Joiner(2, TIMEOUT_MS)
    first, again = (JoinedParts(n, "f", "+4", "1", 7, 2, n, bytes(16)) for n in (1, 2))
    assert joiner.remember(first) == []
    assert joiner.remember(again) == [first]
    assert joiner.forget(TIMEOUT_MS + 1) == []
    assert joiner.forget(TIMEOUT_MS + 2) == [again]


def test_what_the_journal_held_is_gone_on_with() -> None:
    joiner = Joiner(100, TIMEOUT_MS, [part(1), part(3)], [JoinedParts(9, "f", "+4", "1", 7, 2, 0, bytes(16))])
    assert len(joiner) == 2
    (collection,) = joiner.add(part(2))
    assert join(collection.items, 3).text == "<1><2><3>"


def test_a_smaller_bound_is_kept_to_at_once() -> None:
    desk = Desk().take(part(1), part(1, reference=8))
    desk.joiner.adjust(1, TIMEOUT_MS)
    assert desk.wait(0).out == ["<1>[…]"]


@pytest.mark.parametrize(
    ("index", "total", "wanted"),
    [
        (1, 2, True),
        (2, 2, True),
        (255, 255, True),
        (1, 1, False),
        (0, 2, False),
        (3, 2, False),
        (1, 256, False),
    ],
)
def test_only_numbers_that_can_be_are_waited_for(index: int, total: int, wanted: bool) -> None:
    assert is_joinable(Part(1, total, index)) is wanted


# -- bodies


def cut(octets: bytes, places: Sequence[int], encoding: Encoding) -> list[Inbound]:
    """Octets in pieces, one a part."""
    bounds = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    pieces = [octets[start:end] for start, end in itertools.pairwise(bounds)]
    return [
        Inbound("+4", "1", None, encoding, piece, part=Part(1, len(pieces), index))
        for index, piece in enumerate(pieces, 1)
    ]


@given(st.text(st.sampled_from("a@€[{é😀я")), st.lists(st.integers(0, 1000), max_size=5))
def test_a_ucs2_text_cut_at_any_octet_is_joined_whole(text: str, places: list[int]) -> None:
    whole = join(cut(text.encode("utf-16-be"), places, UCS2), len(places) + 1)
    assert (whole.text, whole.data, whole.encoding, whole.segments) == (text, None, UCS2, len(places) + 1)


@given(st.text(st.sampled_from("a@€[{é]|")), st.lists(st.integers(0, 1000), max_size=5))
def test_a_gsm_text_cut_at_any_septet_is_joined_whole(text: str, places: list[int]) -> None:
    whole = join(cut(gsm0338.encode(text), places, GSM), len(places) + 1)
    assert (whole.text, whole.data, whole.encoding) == (text, None, GSM)


@given(st.binary(), st.lists(st.integers(0, 1000), max_size=5))
def test_binary_parts_are_their_octets_in_order(octets: bytes, places: list[int]) -> None:
    whole = join(cut(octets, places, BINARY), len(places) + 1)
    assert (whole.text, whole.data, whole.encoding) == (None, octets, BINARY)


def test_what_is_cut_at_a_gap_is_not_joined_over_it() -> None:
    first, _, last = cut("😀".encode("utf-16-be") * 2, (2, 6), UCS2)
    assert join([first, last], 3).text == "\ufffd[…]\ufffd"


def test_parts_in_several_alphabets_are_decoded_each_for_itself() -> None:
    items = [
        Inbound("+4", "1", None, GSM, b"\x1b", part=Part(1, 4, 1)),
        Inbound("+4", "1", None, UCS2, "я".encode("utf-16-be"), part=Part(1, 4, 2)),
        Inbound("+4", "1", "née", GSM, part=Part(1, 4, 3)),
        Inbound("+4", "1", None, GSM, b"\x1b\x65", part=Part(1, 4, 4)),
    ]
    whole = join(items, 4)
    assert (whole.text, whole.encoding) == (" яnée€", UCS2)


def test_one_binary_part_makes_the_message_binary() -> None:
    items = [
        Inbound("+4", "1", "é", GSM, part=Part(1, 3, 1)),
        Inbound("+4", "1", None, BINARY, b"\0\xff", part=Part(1, 3, 3)),
    ]
    whole = join(items, 3)
    assert (whole.text, whole.data, whole.encoding) == (None, b"\xc3\xa9\0\xff", BINARY)


# -- against a slow obvious joiner


class SlowJoiner:
    """Lists, looked through from end to end each time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting: list[HeldPart] = []
        self.ended: list[tuple[PartsName, int, dict[int, str | None]]] = []
        self.out: list[str] = []

    def take(self, new: HeldPart) -> None:
        mine = self.of(new.name)
        index, text = number(new), new.item.text
        if mine.get(index) == text:
            return
        known = self.ended[-self.limit :]
        if any(
            name == new.name and at_ms + TIMEOUT_MS > new.at_ms and parts.get(index) == text
            for name, at_ms, parts in known
        ):
            return
        if index in mine:
            self.end(new.name, new.at_ms)
        self.waiting.append(new)
        if len(self.of(new.name)) == new.name[-1]:
            self.end(new.name, new.at_ms)
        while len(self.waiting) > self.limit:
            self.end(self.waiting[0].name, new.at_ms)

    def of(self, name: PartsName) -> dict[int, str | None]:
        return {number(each): each.item.text for each in self.waiting if each.name == name}

    def end(self, name: PartsName, at_ms: int) -> None:
        mine = self.of(name)
        text, is_gap = "", False
        for index in range(1, name[-1] + 1):
            if index in mine:
                text += mine[index] or ""
            elif not is_gap:
                text += "[…]"
            is_gap = index not in mine
        self.out.append(text)
        self.waiting = [each for each in self.waiting if each.name != name]
        self.ended = [each for each in self.ended if each[0] != name] + [(name, at_ms, mine)]

    def pass_to(self, wall_ms: int) -> None:
        while self.waiting and self.waiting[0].at_ms + TIMEOUT_MS <= wall_ms:
            self.end(self.waiting[0].name, wall_ms)


def number(held: HeldPart) -> int:
    assert held.item.part is not None
    return held.item.part.index


class JoiningMachine(RuleBasedStateMachine):
    """Few references, few texts, a small bound: whatever can collide does."""

    @initialize(limit=st.integers(1, 8))
    def begin(self, limit: int) -> None:
        self.desk, self.slow, self.wall_ms = Desk(limit), SlowJoiner(limit), 1_000_000

    @rule(
        index=st.integers(1, 3),
        total=st.sampled_from((2, 3)),
        text=st.sampled_from("ab"),
        reference=st.integers(0, 3),
    )
    def come(self, index: int, total: int, text: str, reference: int) -> None:
        new = part(min(index, total), text, total, self.wall_ms, reference)
        self.desk.take(new)
        self.slow.take(new)
        self.compare()

    @rule(passed_ms=st.sampled_from((1, 1000, TIMEOUT_MS)))
    def wait(self, passed_ms: int) -> None:
        self.wall_ms += passed_ms
        self.desk.wait(self.wall_ms)
        self.slow.pass_to(self.wall_ms)
        self.compare()

    @rule()
    def crash(self) -> None:
        """A new joiner of what the journal held."""
        old = self.desk.joiner
        parts = sorted(
            (each for one in old._open.values() for each in one.parts.values()), key=lambda p: p.key
        )
        self.desk.joiner = Joiner(old.limit, TIMEOUT_MS, parts, old._joined.values())

    def compare(self) -> None:
        assert self.desk.out == self.slow.out
        assert len(self.desk.joiner) == len(self.slow.waiting)


JoiningMachine.TestCase.settings = settings(
    max_examples=SCALE(gate=60, nightly=5_000, release=50_000), stateful_step_count=40
)
TestJoinerAgainstModel = JoiningMachine.TestCase
