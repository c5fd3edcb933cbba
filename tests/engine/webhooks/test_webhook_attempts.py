"""The log of attempts is complete as far back as it goes, however many come between two writes."""

import pytest

from stentor.webhooks.attempts import (
    BLOCK_ATTEMPTS,
    BLOCK_OCTETS,
    DELIVERED_RING,
    FAILED_RING,
    SLOTS,
    Attempt,
    AttemptLog,
    parse_block,
)
from stentor.webhooks.records import AttemptBlock
from stentor.webhooks.subscription import LONGEST_URL, MAX_FIELDS
from stentor.webhooks.verdict import ANSWER_OCTETS

RING = SLOTS * BLOCK_ATTEMPTS


def add(log: AttemptLog, count: int, *, status: int = 204, answer: bytes = b"") -> None:
    for _ in range(count):
        number = log.next_number()
        log.add(
            Attempt(
                number, f"{number}", "message.sent", 1, number, "https://x", (), 5, b"", 3, status, answer
            )
        )


def numbers(journal: dict[tuple[int, int], AttemptBlock], ring: int) -> list[int]:
    blocks = [block for (whose, _), block in journal.items() if whose == ring]
    return sorted(attempt.number for block in blocks for attempt in parse_block(block.octets))


def write(log: AttemptLog, journal: dict[tuple[int, int], AttemptBlock]) -> int:
    """Into the slots, as the journal does; how many octets."""
    blocks = log.take()
    journal |= {(block.ring, block.slot): block for block in blocks}
    return sum(len(block.octets) for block in blocks)


@pytest.mark.parametrize("at_a_time", [1, 100, BLOCK_ATTEMPTS, 4000, RING - 1, RING + 1, 3 * RING])
def test_the_newest_attempts_are_all_there_however_fast_they_come(at_a_time: int) -> None:
    log, journal = AttemptLog(1), {}
    times = 3 if at_a_time > 100 else 200
    for _ in range(times):
        add(log, at_a_time)
        write(log, journal)
    found = numbers(journal, DELIVERED_RING)
    last = times * at_a_time
    assert found == list(range(last - len(found) + 1, last + 1))
    assert len(found) >= min(last, RING - BLOCK_ATTEMPTS + 1)


def test_failures_are_not_pushed_out_by_what_succeeds_and_have_their_answers() -> None:
    log, journal = AttemptLog(1), {}
    add(log, 40, status=500, answer=bytes(2048))
    add(log, 2 * RING)
    assert write(log, journal) < 2 * SLOTS * (BLOCK_OCTETS + 4096)
    assert numbers(journal, FAILED_RING) == list(range(1, 41))


def test_a_block_spans_no_more_than_a_day_so_that_what_is_old_can_go() -> None:
    log, journal = AttemptLog(1), {}
    day_ms = 24 * 3600 * 1000
    for day in range(40):
        for hour in (0, 12):
            at_ms = day * day_ms + hour * 3_600_000
            log.add(
                Attempt(log.next_number(), "1", "message.sent", 1, at_ms, "https://x", (), 5, b"", 3, 204)
            )
        write(log, journal)
    for block in journal.values():
        attempts = parse_block(block.octets)
        assert block.at_ms - attempts[0].at_ms < day_ms
    assert numbers(journal, DELIVERED_RING) == list(range(1, 81)), "and 30 of them have room"


def test_what_was_written_is_not_written_again_when_its_block_is_over() -> None:
    log, journal = AttemptLog(1), {}
    add(log, BLOCK_ATTEMPTS)
    write(log, journal)
    add(log, 1)
    assert [block.number for block in log.take()] == [1]


def test_the_log_goes_on_where_the_journal_says_it_ended() -> None:
    log, journal = AttemptLog(1), {}
    add(log, 1000)
    write(log, journal)
    newest = max(block.number for block in journal.values())
    later = AttemptLog(1, (newest, -1), 1000)
    add(later, 1000)
    write(later, journal)
    assert numbers(journal, DELIVERED_RING) == list(range(1, 2001))


def test_no_block_is_larger_than_it_may_be_with_the_largest_attempts() -> None:
    log, journal = AttemptLog(1), {}
    names = tuple(f"{number:064}" for number in range(MAX_FIELDS))
    for number in range(1, 200):
        log.add(
            Attempt(
                number, f"{2**63}", "message.undelivered", 9, 2**42, "x" * LONGEST_URL, names, 2**20, bytes(32),
                10**6, 500, bytes(ANSWER_OCTETS), "€" * 500, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
            )
        )  # fmt: skip
    write(log, journal)
    assert numbers(journal, FAILED_RING) == list(range(1, 200))
    assert max(len(block.octets) for block in journal.values()) <= BLOCK_OCTETS
