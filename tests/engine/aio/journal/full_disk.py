"""A process of its own whose files may not grow: what test_journal_faults runs to fill up the disk.

Prints one JSON object: how each commit ended while the disk was full and after, and what is in the journal then.
"""

import asyncio
import json
import resource
import sys
from pathlib import Path

from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import Journal
from stentor.api.engine import Search
from stentor.errors import JournalError
from stentor.journal.records import Commit
from tests.engine.aio.journal.journal_helpers import message


def let_files_grow_to(octets: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))


async def ending(journal: Journal, commit: Commit) -> str:
    try:
        await journal.commit(commit)
    except JournalError as error:
        return type(error).__name__
    return "kept"


async def main(path: Path) -> None:
    journal = await Journal.open(path)
    commits = [Commit(n, accepted=[message(text="x" * 500) for _ in range(20)]) for n in range(30)]
    endings = [await ending(journal, commit) for commit in commits[:5]]
    let_files_grow_to(path.with_name(path.name + "-wal").stat().st_size + 50_000)
    endings += [await ending(journal, commit) for commit in commits[5:20]]
    state, detail = journal.snapshot().state, journal.snapshot().detail
    let_files_grow_to(resource.RLIM_INFINITY)
    endings += [await ending(journal, commit) for commit in commits[20:]]
    kept = [
        one for commit, how in zip(commits, endings, strict=True) if how == "kept" for one in commit.accepted
    ]
    reader = await Reader.open(path)
    found = await reader.search(Search("default", limit=1000))
    await reader.close()
    after = journal.snapshot().state
    await journal.close()
    said = {
        "endings": endings,
        "state": state,
        "detail": detail,
        "state after": after,
        "all kept found": {one.key for one in found} == {one.key for one in kept},
    }
    print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
