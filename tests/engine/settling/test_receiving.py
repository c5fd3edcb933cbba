"""Parts of inbound messages from carrier to journal: what is written when, and what is acknowledged after it."""

import copy

from stentor.dispatch.dispatcher import Limits
from stentor.driver import Capabilities, Inbound, Part, Receipt
from stentor.journal.records import Commit, ReceiptRead, Recovery
from stentor.message import EventKind, Status
from stentor.outcome import Sent
from stentor.text.segments import Encoding
from tests.engine.dispatch.dispatch_engine import Engine, message


def part(index: int, text: str = "", total: int = 3) -> Inbound:
    return Inbound("+40711000001", "1234", text or f"<{index}>", part=Part(7, total, index))


def receive(engine: Engine, *items: Inbound | Receipt, ticket: str = "ticket", channel: str = "a") -> None:
    engine.dispatcher.receive(channel, items, ticket, engine.wall)


def write(engine: Engine) -> Commit:
    commit = engine.begin()
    assert commit is not None
    engine.committed()
    return commit


def held(commit: Commit) -> list[str | None]:
    return [each.item.text for each in commit.parts.values()]


def test_each_part_is_acknowledged_after_the_commit_that_holds_it() -> None:
    engine = Engine()
    receive(engine, part(3), ticket="first")
    assert engine.tickets == []
    commit = write(engine)
    assert (held(commit), commit.received, commit.events) == (["<3>"], [], [])
    assert engine.tickets == ["first"]
    assert engine.dispatcher.queue_lengths()["parts"][0] == 1


def test_the_commit_that_has_the_message_has_its_parts_no_longer() -> None:
    engine = Engine()
    receive(engine, part(3))
    receive(engine, part(1))
    parts = [*write(engine).parts]
    receive(engine, part(2), ticket="last")
    commit = write(engine)
    (received,) = commit.received
    assert (received.text, received.segments, received.status) == ("<1><2><3>", 3, Status.RECEIVED)
    assert (commit.parts, sorted(commit.dropped), [*commit.joined]) == ({}, sorted(parts), [received.key])
    assert [kind for _, kind in engine.events] == [EventKind.RECEIVED]
    assert engine.tickets[-1] == "last"
    assert engine.dispatcher.queue_lengths()["parts"][0] == 0


def test_parts_that_come_together_are_written_as_the_message_alone() -> None:
    engine = Engine()
    receive(engine, part(2), part(1), part(3))
    commit = write(engine)
    assert ([each.text for each in commit.received], commit.parts, commit.dropped) == (["<1><2><3>"], {}, [])


def test_a_part_joined_while_its_own_commit_is_written_is_dropped_by_the_next() -> None:
    engine = Engine()
    receive(engine, part(1, total=2))
    first = engine.begin()
    assert first is not None
    receive(engine, part(2, total=2))
    engine.committed()
    assert write(engine).dropped == [*first.parts]


def test_a_commit_that_failed_leaves_its_parts_to_the_next() -> None:
    engine = Engine()
    receive(engine, part(1, total=2), ticket="one")
    engine.begin()
    receive(engine, part(2, total=2), ticket="two")
    engine.dispatcher.commit_failed()
    commit = write(engine)
    assert set(commit.dropped) == {*commit.parts}
    assert [each.text for each in commit.received] == ["<1><2>"]
    assert engine.tickets == ["one", "two"]


def test_a_repeated_part_is_acknowledged_and_not_written() -> None:
    engine = Engine()
    receive(engine, part(1))
    write(engine)
    receive(engine, part(1), ticket="again")
    commit = write(engine)
    assert commit.is_void
    assert engine.tickets[-1] == "again"
    assert engine.dispatcher.channels["a"].counters["repeated_parts"] == 1


def test_parts_come_over_all_channels_of_a_family() -> None:
    engine = Engine(receipt_family="carrier")
    receive(engine, part(1, total=2), channel="a")
    receive(engine, part(2, total=2), channel="b")
    (received,) = write(engine).received
    assert (received.text, received.channel) == ("<1><2>", "b")


def test_a_restart_between_parts_changes_nothing() -> None:
    engine = Engine()
    receive(engine, part(3), part(1))
    before = write(engine)
    engine = Engine(Recovery(parts=[*before.parts.values()], last_key=max(before.parts)))
    receive(engine, part(1), part(2))
    commit = write(engine)
    assert [each.text for each in commit.received] == ["<1><2><3>"]
    assert sorted(commit.dropped) == sorted(before.parts)
    engine = Engine(Recovery(joined=[*commit.joined.values()]))
    receive(engine, part(2))
    assert write(engine).is_void


def test_after_the_time_out_what_came_is_a_message() -> None:
    engine = Engine(limits=Limits(join_timeout_ms=5_000))
    receive(engine, part(1), part(3))
    write(engine)
    assert engine.dispatcher.next_wake(engine.now, engine.wall) <= engine.now + 5.0
    engine.wait(5)
    engine.turn()
    commit = write(engine)
    (received,) = commit.received
    assert (received.text, received.segments) == ("<1>[…]<3>", 2)
    assert len(commit.dropped) == 2


def test_a_joined_message_is_forgotten_by_the_journal_in_time() -> None:
    engine = Engine(limits=Limits(join_timeout_ms=5_000))
    receive(engine, part(1, total=2), part(2, total=2))
    key = [*write(engine).joined]
    engine.wait(1000)
    engine.turn()
    assert write(engine).dropped == key


def test_when_too_many_parts_wait_the_oldest_message_makes_room() -> None:
    engine = Engine(limits=Limits(parts=2))
    receive(engine, part(1), part(2))
    receive(engine, part(1, "other", total=2))
    (received,) = write(engine).received
    assert received.text == "<1><2>[…]"
    assert engine.dispatcher.receiver.joiner.incomplete == 1


def test_a_smaller_bound_after_a_restart_is_kept_to() -> None:
    engine = Engine()
    receive(engine, part(1), part(2))
    before = write(engine)
    engine = Engine(Recovery(parts=[*before.parts.values()]), Limits(parts=1))
    engine.turn()
    assert [each.text for each in write(engine).received] == ["<1><2>[…]"]


def test_a_part_whose_numbers_cannot_be_is_a_message_of_its_own() -> None:
    engine = Engine()
    only = Inbound("+40711000001", "1234", None, Encoding.UCS2, "я".encode("utf-16-be"), part=Part(7, 1, 1))
    receive(engine, only, part(4, total=3))
    first, second = write(engine).received
    assert (first.text, first.data, first.encoding, first.segments) == ("я", None, Encoding.UCS2, 1)
    assert (second.text, second.segments) == ("<4>", 1)


def test_two_final_receipts_of_one_read_behind_an_intermediate_one_end_the_message_once() -> None:
    engine = Engine()
    engine.lane()
    sent = message(1)
    engine.accept(sent)
    (submission,) = engine.turn()
    engine.resolve(Sent(submission, "c1", "c1"))
    engine.commit()
    engine.dispatcher.settler.awaited.take("a", "c1")
    stored = copy.deepcopy(sent)
    receive(engine, Receipt("c1", Status.SENT), ticket="first")
    receive(engine, Receipt("c1", Status.DELIVERED), Receipt("c1", Status.DELIVERED), ticket="second")
    first, second = engine.reads(ReceiptRead)
    engine.answer(first, stored)
    engine.answer(second, stored)
    engine.commit()
    assert [kind for _, kind in engine.events] == [EventKind.QUEUED, EventKind.SENT, EventKind.DELIVERED]


def test_a_channel_that_is_configured_anew_has_the_family_and_receipts_it_says_now() -> None:
    engine = Engine()
    for name in ("a", "b"):
        engine.dispatcher.add_channel(name, "test", Capabilities(receipts="none"), 0.0, engine.now)
    engine.lane()
    sent = message(1)
    engine.accept(sent)
    (submission,) = engine.turn()
    for name in ("a", "b"):
        engine.dispatcher.add_channel(name, "test", Capabilities(receipt_family="f"), 0.0, engine.now)
    engine.resolve(Sent(submission, "c1", "c1"))
    receive(engine, Receipt("c1", Status.DELIVERED), channel="b")
    assert sent.status is Status.DELIVERED
