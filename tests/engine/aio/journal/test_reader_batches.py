"""Reads of batches: by strand and key, without looking at other messages, and their counts."""

from pathlib import Path

import pytest

from stentor.aio.journal import reader as reader_module
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import Journal
from stentor.dispatch.overview import queue_shape
from stentor.journal.records import BatchRead, Commit
from stentor.message import Direction, Status
from stentor.pacing.strands import HELD
from tests.engine.aio.journal.journal_helpers import WALL_MS, accept, key_of, message, run


def read(after: tuple[int, int], status: Status = Status.QUEUED, limit: int = 100) -> BatchRead:
    return BatchRead("default", "b", status, after, limit, 1)


def test_a_batch_is_read_in_the_order_of_strand_and_key(tmp_path: Path) -> None:
    async def work() -> None:
        journal = await Journal.open(tmp_path / "j")
        reader = await Reader.open(tmp_path / "j")
        mine = [message(number, batch="b", strand=5) for number in range(1, 6)]
        await accept(
            journal,
            *mine,
            message(6, batch="other", strand=5),
            message(7),
            message(8, batch="b", account="else"),
            message(9, batch="b", status=Status.SCHEDULED),
        )
        mine[0].strand = mine[3].strand = HELD
        await journal.commit(Commit(2, changed={mine[0].key: mine[0], mine[3].key: mine[3]}))
        everything = [key_of(number) for number in (1, 4, 2, 3, 5)]
        found = await reader.batch(read((HELD - 1, 0)))
        assert [one.key for one in found] == everything
        assert [one.strand for one in found] == [HELD, HELD, 5, 5, 5]
        third = await reader.batch(read((5, key_of(2)), limit=1))
        assert [one.key for one in third] == [key_of(3)]
        assert [one.key for one in await reader.batch(read((HELD - 1, 0), Status.SCHEDULED))] == [key_of(9)]
        assert await reader.batch_counts("default", "b") == {
            (Status.SCHEDULED, False): 1,
            (Status.QUEUED, False): 3,
            (Status.QUEUED, True): 2,
        }
        assert await reader.batch_counts("default", "none") == {}
        await reader.close()
        await journal.close()

    run(work)


def test_both_reads_use_the_index_alone_to_find_their_messages(tmp_path: Path) -> None:
    async def work() -> None:
        journal = await Journal.open(tmp_path / "j")
        reader = await Reader.open(tmp_path / "j")
        parameters = {"account": "a", "batch": "b", "status": 1, "strand": 0, "key": 0, "limit": 1}
        counts = await reader._rows("EXPLAIN QUERY PLAN " + reader_module._BATCH_COUNTS, parameters)
        assert any("COVERING INDEX message_batch (account=? AND batch=?)" in row[3] for row in counts)
        block = await reader._rows("EXPLAIN QUERY PLAN " + reader_module._BATCH, parameters)
        lines = [row[3] for row in block]
        wanted = "COVERING INDEX message_batch (account=? AND batch=? AND status=? AND strand>?)"
        assert any(wanted in line for line in lines), lines
        assert not any("TEMP B-TREE" in line for line in lines)
        await reader.close()
        await journal.close()

    run(work)


def test_what_was_admitted_lately_is_told_oldest_first(tmp_path: Path) -> None:
    async def work() -> None:
        journal = await Journal.open(tmp_path / "j")
        reader = await Reader.open(tmp_path / "j")
        data = message(3, text=None, data=b"\0\xff")
        await accept(journal, message(1), message(2), data)
        await journal.commit(Commit(2, received=[message(4, status=Status.RECEIVED, direction=Direction.MO)]))
        found = await reader.admitted(0, 2)
        assert [(one.account, one.to, one.body, one.at_ms) for one in found] == [
            ("default", "+40711000001", "text 2", WALL_MS + 2),
            ("default", "+40711000001", b"\0\xff", WALL_MS + 3),
        ]
        assert await reader.admitted(WALL_MS + 4, 9) == []
        await reader.close()
        await journal.close()

    run(work)


def test_the_queue_is_counted_by_country_and_age_as_far_as_asked(tmp_path: Path) -> None:
    """Page by page, each of three rows here."""

    async def work() -> None:
        journal = await Journal.open(tmp_path / "j")
        reader = await Reader.open(tmp_path / "j")
        ages_s = (10, 70, 400, 400, 90_000, 10, 10)
        now_ms = WALL_MS + 100_000_000
        queued = [
            message(number, to=f"+{40 if number % 2 else 36}7{number}", submitted_at_ms=now_ms - age_s * 1000)
            for number, age_s in enumerate(ages_s, 1)
        ]
        await accept(journal, *queued, message(50, status=Status.DELIVERED, final_at_ms=1))
        counts, is_whole = await reader.shape(now_ms, 100)
        assert is_whole
        shape = queue_shape(counts, (60, 300, 900, 3600, 21_600, 86_400), is_whole=is_whole)
        assert [(line.prefix, line.counts) for line in shape.lines] == [
            ("+40", (2, 0, 1, 0, 0, 0, 1)),
            ("+36", (1, 1, 1, 0, 0, 0, 0)),
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader_module, "PAGE_ROWS", 3)
            counts, is_whole = await reader.shape(now_ms, 100)
            assert (sum(counts.values()), is_whole) == (7, True)
            counts, is_whole = await reader.shape(now_ms, 3)
            assert (sum(counts.values()), is_whole) == (4, False)
        await reader.close()
        await journal.close()

    run(work)
