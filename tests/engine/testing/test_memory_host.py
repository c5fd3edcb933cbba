"""The host in memory knows every way of breaking the contract."""

import msgspec
import pytest

from stentor.clock import ManualClock
from stentor.message import Priority
from stentor.outcome import Refused, Returned, Sent, Submission, Unknown
from stentor.testing.host import MemoryHost
from stentor.text.segments import Encoding


class Quiet:
    """Takes everything and says nothing."""

    def submit(self, lane, batch):
        self.batch = batch


def submission(token: int) -> Submission:
    return Submission(token, 1, "+46700000001", "1", Encoding.GSM7, b"", b"", 1, 1, True, 60, Priority.NORMAL)


def handed(count: int = 2) -> tuple[MemoryHost, list[Submission]]:
    host = MemoryHost(ManualClock())
    host.lane("a", 5)
    batch = [submission(token) for token in range(1, count + 1)]
    host.submit(Quiet(), "a", batch)
    return host, batch


def test_a_driver_that_keeps_the_contract_leaves_no_breach():
    host, batch = handed()
    assert host.lanes["a"].free == 3
    host.resolve([Sent(batch[0], "x", "x")])
    host.resolve([Unknown(batch[1])])
    assert host.free == 5
    host.lane("a", 0)
    host.remove_lane("a")
    host.end()
    host.verify()


def test_an_answer_that_came_too_late_may_still_say_sent():
    host, batch = handed()
    host.resolve([Unknown(batch[0]), Sent(batch[1], "y", "y")])
    late = Sent(batch[0], "x", "x")
    host.resolve([late])
    assert host.late == {1: late}
    assert isinstance(host.outcomes[1], Unknown)
    assert host.free == 5
    host.end()
    host.verify()


def resolve_twice(host, batch):
    host.resolve([Sent(batch[0]), Unknown(batch[0])])


def resolve_late_twice(host, batch):
    host.resolve([Unknown(batch[0]), Sent(batch[0], "x", "x"), Sent(batch[0], "x", "x")])


def refuse_after_doubt(host, batch):
    host.resolve([Unknown(batch[0]), Refused(batch[0], "rejected")])


def doubt_twice(host, batch):
    host.resolve([Unknown(batch[0]), Unknown(batch[0])])


def send_after_return(host, batch):
    host.resolve([Returned(batch[0]), Sent(batch[0], "x", "x")])


def settle_doubt_for_a_copy(host, batch):
    host.resolve([Unknown(batch[0]), Sent(msgspec.structs.replace(batch[0]), "x", "x")])


def settle_doubt_after_the_end(host, batch):
    host.resolve([Unknown(each) for each in batch])
    host.end()
    host.resolve([Sent(batch[0], "x", "x")])


def resolve_a_stranger(host, batch):
    host.resolve([Returned(submission(99))])


def resolve_a_copy(host, batch):
    host.resolve([Returned(msgspec.structs.replace(batch[0]))])


def forget_one(host, batch):
    host.resolve([Returned(batch[0])])
    host.end()


def invent_a_code(host, batch):
    host.resolve([Refused(batch[0], "no_such_code")])


def name_nothing(host, batch):
    host.resolve([Sent(batch[0], None, "x")])


def remove_a_busy_lane(host, batch):
    host.remove_lane("a")


def remove_a_strange_lane(host, batch):
    host.remove_lane("b")


def open_a_negative_lane(host, batch):
    host.lane("a", -1)


def speak_after_the_end(host, batch):
    host.resolve([Returned(each) for each in batch])
    host.end()
    host.lane("a", 1)


def receive_after_the_end(host, batch):
    host.resolve([Returned(each) for each in batch])
    host.end()
    host.receive([], lambda is_durable: None)


@pytest.mark.parametrize(
    ("breach", "words"),
    [
        (resolve_twice, "got two outcomes: Sent, then Unknown"),
        (resolve_late_twice, "got two outcomes: Unknown, Sent, then Sent"),
        (refuse_after_doubt, "got two outcomes: Unknown, then Refused"),
        (doubt_twice, "got two outcomes: Unknown, then Unknown"),
        (send_after_return, "got two outcomes: Returned, then Sent"),
        (settle_doubt_for_a_copy, "in this form"),
        (settle_doubt_after_the_end, "after the driver had ended"),
        (resolve_a_stranger, "was not handed over"),
        (resolve_a_copy, "in this form"),
        (forget_one, "1 submissions got no outcome, first 2"),
        (invent_a_code, "not in the catalogue"),
        (name_nothing, "no carrier_id"),
        (remove_a_busy_lane, "2 submissions unresolved"),
        (remove_a_strange_lane, "never declared"),
        (open_a_negative_lane, "below 0"),
        (speak_after_the_end, "after the driver had ended"),
        (receive_after_the_end, "after the driver had ended"),
    ],
)
def test_each_breach_is_named(breach, words):
    host, batch = handed()
    breach(host, batch)
    with pytest.raises(AssertionError, match=words):
        host.verify()


def test_submit_that_raises_is_a_breach_and_not_an_error():
    class Raising:
        def submit(self, lane, batch):
            raise KeyError("nobody home")

    host = MemoryHost(ManualClock())
    host.lane("a", 1)
    host.submit(Raising(), "a", [submission(1)])
    assert host.breaches == ["submit raised KeyError: 'nobody home'"]


def test_the_test_itself_may_not_overfill_a_lane():
    host, _ = handed(5)
    with pytest.raises(AssertionError, match="overfills"):
        host.submit(Quiet(), "a", [submission(9)])


@pytest.mark.parametrize(
    ("settling", "before", "after"),
    [("at once", [True], [True]), ("refused", [False], [False]), ("held", [], [True])],
)
def test_settling_is_the_tests_decision(settling, before, after):
    host = MemoryHost(ManualClock())
    host.settling = settling
    told: list[bool] = []
    host.receive([], told.append)
    assert told == before
    host.settle()
    assert told == after
