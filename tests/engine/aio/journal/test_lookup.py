"""Messages are found by destination and by reference: in a block, late in one, or after the last one."""

import random
from pathlib import Path

import pytest

from stentor.aio.journal import lookup
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import BLOCKS_A_CALL, Journal
from stentor.api.engine import Search
from stentor.message import Message
from tests.engine.aio.journal.journal_helpers import accept, crash, message, reopened, run

BLOCK = 8
DESTINATIONS = ("+40711000001", "+40711000002", "+3670")
REFS = (None, None, "r1", "r2\0'")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "BLOCK_ROWS", BLOCK)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def any_message(chance: random.Random, number: int) -> Message:
    return message(number, to=chance.choice(DESTINATIONS), ref=chance.choice(REFS))


async def compare(reader: Reader, stored: list[Message], chance: random.Random) -> None:
    """Searches by every word, whole and from a cursor on, find what looking at all messages finds."""
    newest_first = sorted(stored, key=lambda one: -one.key)
    for before in (None, chance.choice(stored).key):
        within = [one for one in newest_first if before is None or one.key < before]
        for limit in (3, 1000):
            for to in DESTINATIONS:
                found = await reader.search(Search("default", to=to, before_key=before, limit=limit))
                assert found == [one for one in within if one.to == to][:limit]
            for ref in REFS[2:]:
                found = await reader.search(Search("default", ref=ref, before_key=before, limit=limit))
                assert found == [one for one in within if one.ref == ref][:limit]
            both = Search("default", ref="r1", to="+3670", before_key=before, limit=limit)
            meant = [one for one in within if (one.ref, one.to) == ("r1", "+3670")]
            assert await reader.search(both) == meant[:limit]


async def indexed(journal: Journal) -> int:
    ((blocks,),) = await journal._disk.execute_fetchall("SELECT count(DISTINCT block) FROM lookup")
    return blocks


@pytest.mark.parametrize("seed", range(6))
def test_a_search_finds_the_same_whatever_is_indexed_and_whenever_it_was_committed(
    path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    waiting = [any_message(chance, number) for number in range(1, 120)]
    stored: list[Message] = []

    async def work() -> None:
        journal = await reopened(path)
        reader = await Reader.open(path)
        now = 0.0
        while waiting:
            # Not quite in the order of their keys: some are late by more than a block.
            batch = [
                waiting.pop(min(len(waiting) - 1, chance.choice((0, 0, 0, 30)))) for _ in range(4) if waiting
            ]
            await accept(journal, *batch)
            stored.extend(batch)
            if chance.random() < 0.4:
                await journal.maintain(now := now + 1)
            await compare(reader, stored, chance)
        assert await indexed(journal) >= 3
        await reader.close()
        await journal.close()

    run(work)


def test_only_full_blocks_are_indexed_and_so_many_in_one_call(path: Path) -> None:
    async def work() -> None:
        journal = await reopened(path)
        await accept(journal, *(message(number) for number in range(1, BLOCK)))
        await journal.maintain(1.0)
        assert await indexed(journal) == 0
        await accept(journal, *(message(number) for number in range(BLOCK, BLOCK * (BLOCKS_A_CALL + 5))))
        await journal.maintain(2.0)
        assert await indexed(journal) == BLOCKS_A_CALL
        await journal.maintain(3.0)
        assert await indexed(journal) == BLOCKS_A_CALL + 4
        await journal.close()

    run(work)


def test_after_a_crash_indexing_goes_on_where_it_was(path: Path, tmp_path: Path) -> None:
    chance = random.Random(7)
    stored = [any_message(chance, number) for number in range(1, 60)]

    async def work() -> None:
        journal = await reopened(path)
        await accept(journal, *stored[:30])
        await journal.maintain(1.0)
        after = await reopened(crash(path, tmp_path / "after"))
        await journal.close()
        reader = await Reader.open(after.path)
        late, stored[5] = stored[5], message(5, key=stored[5].key + 256)
        await accept(after, *stored[30:], stored[5])
        await after.maintain(1.0)
        await compare(reader, [*stored, late], chance)
        await reader.close()
        await after.close()

    run(work)


def test_a_message_whose_number_was_erased_is_found_by_it_no_more(path: Path) -> None:
    one = message(1)

    async def work() -> None:
        journal = await reopened(path)
        reader = await Reader.open(path)
        await accept(journal, one)
        await journal._disk.execute_fetchall("UPDATE message SET destination = NULL")
        await accept(journal, *(message(number, to="+3670") for number in range(2, BLOCK + 2)))
        await journal.maintain(1.0)
        assert await reader.search(Search("default", to=one.to)) == []
        assert len(await reader.search(Search("default", to="+3670"))) == BLOCK
        await reader.close()
        await journal.close()

    run(work)


@pytest.mark.parametrize("statement", [lookup.BY_DESTINATION, lookup.BY_REF])
def test_a_search_looks_up_blocks_and_scans_only_what_follows_the_last(path: Path, statement: str) -> None:
    parameters = dict.fromkeys(("to", "ref", "before", "since", "page"), 1)

    async def work() -> None:
        journal = await reopened(path)
        rows = await journal._disk.execute_fetchall("EXPLAIN QUERY PLAN " + statement, parameters)
        looked = {row[3] for row in rows if "message" in row[3] or "found" in row[3]}
        assert looked == {
            "SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
            "SEARCH found USING PRIMARY KEY (block=? AND kind=? AND word=? AND key>? AND key<?)",
        }
        await journal.close()

    run(work)
