"""Pages of the log of attempts: the newest that are wanted, whatever rings and blocks they stand in."""

import asyncio
from random import Random

import pytest

from stentor.aio.webhooks.pages import Pages
from stentor.clock import ManualClock
from stentor.webhooks.attempts import BLOCK_ATTEMPTS, KEPT_MS, Attempt, AttemptLog, Wanted
from stentor.webhooks.records import AttemptBlock

WALL_MS = 1_800_000_000_000
COUNT = 10 * BLOCK_ATTEMPTS


class Blocks:
    """The journal's part."""

    def __init__(self, blocks: list[AttemptBlock]) -> None:
        self.blocks = sorted(((block.last_attempt, block.octets) for block in blocks), reverse=True)

    async def attempts(self, webhook: int) -> list[tuple[int, bytes]]:
        return self.blocks


def logged(statuses: list[int], at_ms: int = WALL_MS) -> tuple[Pages, list[Attempt]]:
    log, attempts = AttemptLog(1), []
    for status in statuses:
        number = log.next_number()
        attempts.append(
            Attempt(number, "1", "message.sent", 1, at_ms + number, "https://x", (), 5, b"", 3, status)
        )
        log.add(attempts[-1])
    clock = ManualClock(wall_at_ms=WALL_MS)
    return Pages(Blocks(log.take()), clock), attempts[::-1]  # type: ignore[arg-type]  # attempts are all it reads


def read(pages: Pages, wanted: Wanted) -> list[Attempt]:
    return asyncio.run(pages.attempts(1, wanted))


@pytest.mark.parametrize("is_delivered", [None, True, False])
@pytest.mark.parametrize("failing", [0.02, 0.5, 0.98])
def test_a_page_has_the_newest_that_are_wanted(is_delivered: bool | None, failing: float) -> None:
    random = Random(7)
    pages, attempts = logged([500 if random.random() < failing else 204 for _ in range(COUNT)])
    for before in (10**9, COUNT // 2, 3, 1):
        for limit in (1, 51, COUNT):
            wanted = Wanted(before, limit, is_delivered)
            all_of_them = [each for each in attempts if wanted.has(each)]
            assert read(pages, wanted)[:limit] == all_of_them[:limit]


def test_no_more_blocks_are_read_than_a_page_needs() -> None:
    pages, _ = logged([204] * COUNT)
    assert len(read(pages, Wanted(10**9, 51))) <= 2 * BLOCK_ATTEMPTS


def test_what_is_older_than_the_log_is_kept_is_not_shown() -> None:
    pages, attempts = logged([204] * 100, WALL_MS - KEPT_MS - 50)
    assert read(pages, Wanted(10**9, 1000)) == [each for each in attempts if each.at_ms >= WALL_MS - KEPT_MS]
