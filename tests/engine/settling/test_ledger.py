"""The commit that is filled, the one that is written, and what becomes true with it."""

from itertools import product

import pytest

from stentor.journal.records import History, Idempotency, ParkedReceipt
from stentor.message import EventKind, Message, Segment, Status
from stentor.settling.ledger import Effects, Ledger
from stentor.text.segments import Encoding


def message(key: int = 1, segments: int = 1) -> Message:
    return Message(key << 8, 0, "x", "+1", "1", "x", Encoding.GSM7, segments, 0, 0, 0, ("a",))


def receipt(match_id: str = "m", status: Status = Status.DELIVERED) -> ParkedReceipt:
    return ParkedReceipt("a", match_id, status, 1)


FILLINGS = {
    "accepted": lambda ledger: ledger.commit.accepted.append(message()),
    "changed": lambda ledger: ledger.changed(message()),
    "segment": lambda ledger: ledger.segment(message(), Segment(1)),
    "event": lambda ledger: ledger.event(EventKind.QUEUED, message(), 1),
    "channel event": lambda ledger: ledger.channel_event(EventKind.CHANNEL_UP, "a", 1, ""),
    "received": lambda ledger: ledger.commit.received.append(message()),
    "history": lambda ledger: ledger.commit.history.append(History(256, 1, Status.QUEUED)),
    "parked": lambda ledger: ledger.park(receipt()),
    "forgotten": lambda ledger: ledger.forget("a", "m"),
    "setting": lambda ledger: ledger.commit.settings.update(x="1"),
    "idempotency": lambda ledger: ledger.commit.idempotency.append(Idempotency("x", "k", -1, b"", 1, b"")),
    "memory": lambda ledger: ledger.commit.memory.update({("a", "n"): None}),
    "slot": lambda ledger: ledger.effects.slots.update({None: 1}),
    "ticket": lambda ledger: ledger.effects.tickets.append("t"),
    "lease": lambda ledger: ledger.effects.leases.append((None, message(), None)),
}


@pytest.mark.parametrize("fill", FILLINGS.values(), ids=FILLINGS)
def test_whatever_is_decided_is_reason_to_commit(fill) -> None:
    ledger = Ledger(0)
    assert ledger.is_empty
    fill(ledger)
    assert not ledger.is_empty
    ledger.take()
    assert ledger.is_empty
    assert not ledger.is_settled, "it is being written"
    ledger.committed()
    assert ledger.is_settled


def test_only_waiting_for_durability_writes_nothing() -> None:
    ledger = Ledger(0)
    ledger.effects.leases.append((None, message(), None))  # type: ignore[arg-type]  # any key will do
    ledger.effects.tickets.append("t")
    assert ledger.take().is_void


def test_events_are_numbered_on_from_the_journal_s_last() -> None:
    ledger = Ledger(41)
    ledger.event(EventKind.QUEUED, message(), 5)
    ledger.channel_event(EventKind.CHANNEL_DOWN, "a", 6, "lost")
    assert [(event.seq, event.key, event.channel) for event in ledger.commit.events] == [
        (42, 256, ""),
        (43, 0, "a"),
    ]


def test_a_message_that_ends_is_told_of() -> None:
    ledger = Ledger(0)
    ended = message()
    ended.status = Status.CANCELLED
    ledger.ended(ended, 9)
    assert ledger.commit.changed == {256: ended}
    assert ledger.commit.events[0].kind is EventKind.CANCELLED


def test_one_commit_is_written_at_a_time() -> None:
    ledger = Ledger(0)
    ledger.take()
    with pytest.raises(AssertionError, match="one commit at a time"):
        ledger.take()


def test_effects_travel_with_their_commit() -> None:
    ledger = Ledger(0)
    ledger.effects.tickets.append("first")
    ledger.take()
    ledger.effects.tickets.append("second")
    assert ledger.committed()[1].tickets == ["first"]
    ledger.take()
    assert ledger.committed()[1].tickets == ["second"]


def test_a_failed_commit_drops_what_is_new_and_keeps_the_rest_before_what_came_later() -> None:
    ledger = Ledger(0)
    new, old, later = message(1), message(2), message(3)
    ledger.commit.accepted.append(new)
    ledger.event(EventKind.QUEUED, new, 1)
    ledger.ended(_sent(old), 1)
    ledger.effects.slots[None] = 2  # type: ignore[index]  # any key will do
    ledger.effects.queued[old.key] = old
    ledger.take()
    ledger.commit.accepted.append(later)
    ledger.event(EventKind.QUEUED, later, 2)
    ledger.effects.slots[None] = 1  # type: ignore[index]  # any key will do
    dropped = ledger.failed()
    assert (dropped.accepted, dropped.changed) == ([new], {})
    assert ledger.commit.accepted == [later]
    assert ledger.commit.changed == {old.key: old}
    assert [event.seq for event in ledger.commit.events] == [2, 3]
    assert ledger.effects == Effects({None: 3}, {old.key: old})  # type: ignore[dict-item]  # any key will do
    assert ledger.writing is None


def _sent(sent: Message) -> Message:
    sent.status = Status.SENT
    return sent


def test_of_two_changes_the_later_is_kept_over_a_failed_commit() -> None:
    ledger = Ledger(0)
    first, second = Segment(1), Segment(1, Status.SENT)
    ledger.segment(message(), first)
    ledger.take()
    ledger.segment(message(), second)
    ledger.failed()
    assert ledger.commit.segments[257][1] is second


def test_a_receipt_parked_again_is_not_forgotten_with_its_former_self() -> None:
    ledger = Ledger(0)
    ledger.forget("a", "m")
    ledger.park(receipt())
    assert ledger.commit.parked == {("a", "m"): receipt()}


def test_nor_is_it_over_a_failed_commit() -> None:
    ledger = Ledger(0)
    ledger.forget("a", "m")
    ledger.forget("a", "n")
    ledger.take()
    ledger.park(receipt())
    ledger.failed()
    assert ledger.commit.parked == {("a", "m"): receipt(), ("a", "n"): None}


def test_a_receipt_parked_and_then_matched_is_forgotten_in_the_end() -> None:
    ledger = Ledger(0)
    ledger.park(receipt())
    ledger.take()
    ledger.forget("a", "m")
    ledger.failed()
    assert ledger.commit.parked == {("a", "m"): None}


def test_a_change_is_unseen_until_the_reads_that_began_before_it_ended() -> None:
    ledger = Ledger(0)
    changed = message()
    mark = ledger.begin_read()
    ledger.changed(changed)
    assert ledger.unseen(256) is changed
    ledger.take()
    assert ledger.unseen(256) is changed
    ledger.committed()
    assert ledger.unseen(256) is changed
    ledger.end_read(mark)
    assert ledger.unseen(256) is None


def test_a_receipt_of_one_of_several_segments_is_unseen_too() -> None:
    ledger = Ledger(0)
    long = message(1, segments=3)
    ledger.segment(long, Segment(2))
    assert ledger.unseen(256, 3) is long
    assert ledger.unseen(256) is None


def test_segments_that_a_read_cannot_have_seen_are_found_by_their_ids() -> None:
    ledger = Ledger(0)
    mine, other = Segment(1, match_id="m"), Segment(1, match_id="n")
    ledger.segment(message(1), mine)
    ledger.segment(message(2), other)
    ledger.take()
    assert [segment for _, segment in ledger.unseen_segments({"m", "x"})] == [mine]


def test_what_is_to_be_queued_is_known_while_it_is_written() -> None:
    ledger = Ledger(0)
    accepted, due = message(1), message(2)
    ledger.commit.accepted.append(accepted)
    assert ledger.to_be_queued(256) is None, "no read can show it yet"
    ledger.effects.queued[due.key] = due
    ledger.take()
    assert ledger.to_be_queued(256) is accepted
    assert ledger.to_be_queued(512) is due
    ledger.committed()
    assert ledger.to_be_queued(256) is ledger.to_be_queued(512) is None


def test_of_parking_and_forgetting_one_receipt_the_last_wins_however_often_commits_fail() -> None:
    """Every order of four steps, with and without a failed commit between any two of them."""
    for steps in product(("park", "forget"), ("", "fail"), repeat=4):
        ledger = Ledger(0)
        for step in steps:
            if step == "park":
                ledger.park(receipt())
            elif step == "forget":
                ledger.forget("a", "m")
            elif step == "fail":
                ledger.take()
                ledger.failed()
        last = [step for step in steps if step in ("park", "forget")][-1]
        assert ledger.commit.parked == {("a", "m"): receipt() if last == "park" else None}, steps


def test_while_a_read_is_under_way_what_changed_is_kept_at_hand_and_what_is_new_is_not() -> None:
    ledger = Ledger(0)
    mark = ledger.begin_read()
    new, changed = message(1), message(2)
    ledger.commit.accepted.append(new)
    ledger.changed(changed)
    ledger.take()
    ledger.committed()
    assert ledger.unseen(changed.key) is changed
    assert not any(commit.accepted for commit in ledger._recent)
    ledger.end_read(mark)
    assert ledger.unseen(changed.key) is None
