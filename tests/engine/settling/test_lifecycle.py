"""The table of a message's life, row by row."""

import pytest

from stentor.message import Message, Status
from stentor.settling.lifecycle import CHANGE_OF_RECEIPT, TABLE, Change, advance, finish
from stentor.text.segments import Encoding

S, C = Status, Change
RECEIPTS = {
    C.DELIVER: S.DELIVERED,
    C.NOT_DELIVER: S.UNDELIVERED,
    C.REJECT: S.REJECTED,
    C.EXPIRE_THERE: S.EXPIRED,
    C.LOSE_SIGHT: S.UNKNOWN,
    C.WITHDRAW: S.CANCELLED,
}
LEGAL = {
    S.SCHEDULED: {C.FALL_DUE: S.QUEUED, C.EXPIRE: S.EXPIRED, C.CANCEL: S.CANCELLED, C.GIVE_UP: S.FAILED},
    S.QUEUED: {
        C.TAKE: S.SENDING,
        C.SEND: S.SENT,
        C.POSTPONE: S.SCHEDULED,
        C.EXPIRE: S.EXPIRED,
        C.CANCEL: S.CANCELLED,
        C.GIVE_UP: S.FAILED,
    },
    S.SENDING: {
        C.GIVE_BACK: S.QUEUED,
        C.SEND: S.SENT,
        C.REFUSE: S.REJECTED,
        C.GIVE_UP: S.FAILED,
        C.EXPIRE: S.EXPIRED,
        C.DOUBT: S.UNKNOWN,
    },
    S.SENT: RECEIPTS,
}


def message(status: Status) -> Message:
    return Message(256, 0, "a", "+1", "1", "x", Encoding.GSM7, 1, 0, 0, 0, ("alpha",), status=status)


@pytest.mark.parametrize("change", Change)
@pytest.mark.parametrize("status", Status)
def test_each_change_leads_where_the_table_says_or_is_refused(status: Status, change: Change) -> None:
    after = LEGAL.get(status, {}).get(change)
    changed = message(status)
    if after is None:
        with pytest.raises(AssertionError, match=f"{status.word} message cannot {change.name}"):
            advance(changed, change)
        assert changed.status is status
    else:
        assert advance(changed, change) is after
        assert changed.status is after


def test_every_status_has_a_row() -> None:
    assert set(TABLE) == set(Status)


def test_final_statuses_have_no_way_out() -> None:
    assert {status for status, changes in TABLE.items() if not changes} == set(Status) - set(LEGAL)


def test_every_open_status_reaches_a_final_one() -> None:
    for status, changes in TABLE.items():
        assert not changes or any(not TABLE[after] for after in changes.values()), status


def test_to_finish_notes_the_time() -> None:
    done = message(Status.QUEUED)
    assert finish(done, Change.CANCEL, 77) is Status.CANCELLED
    assert (done.final_at_ms, done.is_final) == (77, True)


def test_a_receipt_of_a_status_makes_the_change_that_leads_there() -> None:
    assert {change: status for status, change in CHANGE_OF_RECEIPT.items()} == RECEIPTS
