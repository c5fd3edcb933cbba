"""The loopback driver keeps the contract and does what its configuration says."""

import asyncio

import msgspec
import pytest

from stentor.driver import Inbound, Receipt
from stentor.message import Priority, Status
from stentor.outcome import Submission
from stentor.testing.conformance import Subject, conformance_tests
from stentor.testing.host import LoopClock, MemoryHost
from stentor.testing.loopback import LOOPBACK, LoopbackConfig, LoopbackDriver
from stentor.testing.peer import Can, Peer, Seen
from stentor.testing.vloop import run_virtual
from stentor.text.segments import Encoding


class NoPeer(Peer):
    """There is no other end; what the driver was handed is what it would have seen."""

    can = frozenset({Can.SUBMITS, Can.ORDER})
    window = 100
    newest: "NoPeer"

    async def start(self, loop):
        NoPeer.newest = self

    def reply(self, seen, answer):
        raise AssertionError("nobody to reply")


class Watched(LoopbackDriver):
    def submit(self, lane, batch):
        for each in batch:
            seen = Seen(each.to, each.originator, each.encoding, each.udh, each.data, text=each.text)
            seen.flash, seen.wants_receipt = each.flash, each.wants_receipt
            NoPeer.newest.seen.append(seen)
        super().submit(lane, batch)


def subject(**table) -> Subject:
    entry = "stentor.testing.loopback:LOOPBACK"
    return Subject(
        spec=msgspec.structs.replace(LOOPBACK, make=Watched), peer=NoPeer, table=table, entry=entry
    )


@conformance_tests(subject())
def test_answering_at_once_it_keeps_the_contract(check):
    check()


@conformance_tests(subject(delay_s=0.5, receipt_delay_s=2.0, lanes=3, unit="message"))
def test_answering_late_it_keeps_the_contract(check):
    check()


def submission(token: int, **changes) -> Submission:
    made = Submission(
        token, 1, "+46700000001", "12345", Encoding.GSM7, b"hi", b"", 1, 1, True, 60, Priority.NORMAL
    )
    return msgspec.structs.replace(made, **changes)


def played(config: LoopbackConfig, count: int, wait_s: float = 10.0, **changes) -> MemoryHost:
    """A channel that was handed ``count`` submissions, ran ``wait_s`` and was drained."""

    async def main(loop) -> MemoryHost:
        host = MemoryHost(LoopClock(loop))
        driver = LoopbackDriver(config, host)
        async with asyncio.TaskGroup() as group:
            group.create_task(driver.run())
            await asyncio.sleep(0)
            host.submit(driver, "loop-1", [submission(token, **changes) for token in range(1, count + 1)])
            await asyncio.sleep(wait_s)
            await driver.drain(host.clock.now() + 5)
        host.end()
        host.verify()
        assert not loop.pending_timers()
        return host

    return run_virtual(main)


def test_outcomes_are_dealt_out_in_turn():
    answers = ("sent", "refused", "deferred", "throttled", "returned", "unknown")
    host = played(LoopbackConfig(answers=answers, receipts=()), 8)
    names = ["Sent", "Refused", "Deferred", "Deferred", "Returned", "Unknown", "Sent", "Refused"]
    assert [type(outcome).__name__ for outcome in host.order] == names
    assert [getattr(outcome, "is_throttle", False) for outcome in host.order].count(True) == 1


def test_what_is_never_answered_is_in_doubt_at_the_end():
    host = played(LoopbackConfig(answers=("never", "sent")), 4)
    assert [type(host.outcomes[token]).__name__ for token in (1, 2, 3, 4)] == ["Unknown", "Sent"] * 2


def test_receipts_name_what_was_sent_and_come_after_their_delay():
    config = LoopbackConfig(receipts=("delivered", "none", "undelivered"), delay_s=1.0, receipt_delay_s=2.0)
    assert played(config, 3, wait_s=2.9).items == []
    items = played(config, 3, wait_s=3.1).items
    assert [(item.match_id, item.status) for item in items if isinstance(item, Receipt)] == [
        ("1.1", Status.DELIVERED),
        ("3.1", Status.UNDELIVERED),
    ]


@pytest.mark.parametrize(
    ("config", "changes"), [(LoopbackConfig(receipts=()), {}), (LoopbackConfig(), {"wants_receipt": False})]
)
def test_no_receipt_where_none_is_wanted(config, changes):
    assert played(config, 3, **changes).items == []


def test_messages_can_be_injected():
    async def main(loop):
        host = MemoryHost(LoopClock(loop))
        driver = LoopbackDriver(LoopbackConfig(), host)
        told = []
        driver.inject([Inbound("+46700000001", "12345", "STOP")], told.append)
        assert (len(host.items), told) == (1, [True])

    run_virtual(main)
