"""Pages of events for webhooks that are behind: whatever their size, they are what one look at everything finds."""

from pathlib import Path

import pytest

from stentor.journal.records import Commit
from stentor.message import Event
from tests.engine.aio.journal.journal_helpers import Opened, accept, events, message, run


@pytest.mark.parametrize("limit", [1, 3, 7, 12, 1000])
def test_pages_follow_each_other_without_gap_or_repetition_however_commits_lie(
    tmp_path: Path, limit: int
) -> None:
    one, other = message(), message(account="other")
    told = events(1, *([one, other, one, one] * 15))

    def wants(event: Event) -> bool:
        return event.account == "default"

    async def work() -> None:
        async with Opened(tmp_path / "journal.db") as (journal, reader):
            await accept(journal, one, other)
            for start, end in ((0, 1), (1, 20), (20, 21), (21, 60)):
                await journal.commit(Commit(1, events=told[start:end]))
            position, found, pages = 0, [], 0
            while True:
                page = await reader.told(position, limit, wants)
                found += [event for event, _ in page.pairs]
                assert [shown for _, shown in page.pairs] == [one] * len(page.pairs)
                position, pages = page.last_seq, pages + 1
                if page.is_end:
                    break
                assert len(page.pairs) == limit
            assert found == [event for event in told if wants(event)]
            assert position == told[-1].seq

    run(work)


def test_a_page_from_elsewhere_is_not_mixed_up_with_what_the_last_one_left(tmp_path: Path) -> None:
    one = message()
    told = events(1, *([one] * 40))

    async def work() -> None:
        async with Opened(tmp_path / "journal.db") as (journal, reader):
            await journal.commit(Commit(1, events=told))
            for after in (0, 10, 5, 8, 8, 30, 33, 36, 39, 0):
                page = await reader.told(after, 3, lambda event: True)
                assert [event for event, _ in page.pairs] == told[after : after + 3]
            # Another asks in between for none of the same events.
            page = await reader.told(3, 3, lambda event: event.seq > 20)
            assert [event for event, _ in page.pairs] == told[20:23]
            page = await reader.told(23, 3, lambda event: event.seq % 2 == 0)
            assert [event.seq for event, _ in page.pairs] == [24, 26, 28]

    run(work)
