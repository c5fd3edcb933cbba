"""The file of the record of flights: what a killed process stored is there, and nobody else's file is believed."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stentor.aio.journal.flight_file import IDENTITY, NAME, FlightFile, open_flights
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import Journal
from stentor.errors import JournalError
from stentor.journal.flight_record import HEADER_OCTETS, SLOT_OCTETS, SLOTS, Noted, channel_mark
from stentor.journal.records import Commit
from stentor.message import Priority, Status
from stentor.outcome import Submission
from stentor.text.segments import Encoding
from tests.engine.aio.journal.journal_helpers import message, run

OURS = bytes(range(16))

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.engine.aio.journal.test_flight_file import OURS, Heard, submission
from stentor.aio.journal.flight_file import FlightFile
record = FlightFile(Path(sys.argv[1]), OURS, Heard()).record
slots = record.depart("a", [submission(257), submission(513, 2), submission(769)])
record.strike(slots[:1])
os.kill(os.getpid(), signal.SIGKILL)
"""


def submission(token: int, attempt: int = 1) -> Submission:
    return Submission(
        token, attempt, "+40700000001", "1234", Encoding.GSM7, b"", b"", 1, 1, True, 60, Priority.NORMAL
    )


class Heard:
    """A log that remembers its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, event: str, **values: object) -> None:
        self.warnings.append(f"{event}: {values['reason']}")

    debug = info = error = warning


def opened(path: Path, journal: bytes = OURS) -> tuple[FlightFile, list[str]]:
    log = Heard()
    file = FlightFile(path, journal, log)
    file.close()
    return file, log.warnings


def test_what_a_killed_process_had_in_flight_is_found(tmp_path: Path) -> None:
    path = tmp_path / NAME
    ended = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert ended.returncode == -signal.SIGKILL
    file, warnings = opened(path)
    mark = channel_mark("a")
    assert sorted(file.noted, key=lambda each: each.token) == [Noted(513, 2, mark), Noted(769, 1, mark)]
    assert not warnings
    file.record.strike(file.record.taken)
    assert opened(path)[0].noted == []


def test_a_new_file_is_whole_on_the_disk_and_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / NAME
    file, warnings = opened(path)
    found = path.stat()
    assert found.st_size == HEADER_OCTETS + SLOTS * SLOT_OCTETS
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_blocks * 512 >= SLOTS * SLOT_OCTETS, "a hole could not be stored to on a full disk"
    assert (file.noted, warnings) == ([], [])


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"x", "no record has that size"),
        (b"x" * 5000, "it is none, or damaged"),
        (bytes(HEADER_OCTETS), "it is none, or damaged"),
    ],
)
def test_a_garbled_file_is_told_of_and_emptied(tmp_path: Path, octets: bytes, reason: str) -> None:
    path = tmp_path / NAME
    path.write_bytes(octets)
    file, warnings = opened(path)
    assert (file.noted, warnings) == ([], [f"record of flights is not used: {reason}"])
    assert opened(path)[1] == []


def test_the_record_of_another_journal_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / NAME
    opened(path)[0].record.depart("a", [submission(257)])
    file, warnings = opened(path, bytes(16))
    assert (file.noted, warnings) == ([], ["record of flights is not used: it belongs to another journal"])
    assert opened(path, bytes(16))[1] == []


def test_a_file_cut_off_in_the_middle_of_a_slot_is_completed(tmp_path: Path) -> None:
    path = tmp_path / NAME
    opened(path)[0].record.depart("a", [submission(257)])
    os.truncate(path, HEADER_OCTETS + SLOT_OCTETS + 5)
    file, warnings = opened(path)
    assert [each.token for each in file.noted] == [257]
    assert not warnings
    assert path.stat().st_size == HEADER_OCTETS + SLOTS * SLOT_OCTETS


def test_it_grows_with_all_that_stands_in_it(tmp_path: Path) -> None:
    path = tmp_path / NAME
    file = FlightFile(path, OURS, Heard())
    first = file.record.depart("a", [submission(257)])
    many = [submission(1 + (number << 8)) for number in range(2, SLOTS + 500)]
    assert file.record.room(len(many)) == len(many)
    file.record.depart("b", many)
    assert {each.token for each in opened(path)[0].noted} == {257, *(each.token for each in many)}
    file.record.strike(first)
    assert len(opened(path)[0].noted) == len(many)
    file.close()


def test_a_file_that_cannot_grow_takes_no_more_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Heard()
    file = FlightFile(tmp_path / NAME, OURS, log)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert file.record.room(SLOTS + 5) == SLOTS
    assert log.warnings == ["record of flights cannot grow: No space left on device"]
    file.close()


def test_where_no_file_can_be_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        FlightFile(tmp_path / "missing" / NAME, OURS, Heard())
    (tmp_path / "elsewhere").touch()
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="cannot be opened"):
        FlightFile(tmp_path / NAME, OURS, Heard())


def test_a_journal_is_named_once_and_what_was_in_flight_is_read_from_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    queued, sent = message(1), message(2, status=Status.SENT)

    async def live(commit: Commit | None = None) -> tuple[str, list[int], list[int]]:
        journal = await Journal.open(path)
        reader = await Reader.open(path)
        file = await open_flights(journal, reader, Heard())
        if commit is not None:
            await journal.commit(commit)
            file.record.depart("a", [submission(each.key + 1) for each in (queued, sent)])
        recovery = journal.recovery
        found = recovery.settings[IDENTITY], [each.token for each in recovery.noted], [
            each.key for each in recovery.departed
        ]  # fmt: skip
        file.close()
        await reader.close()
        await journal.close()
        return found

    async def work() -> None:
        name, *nothing = await live(Commit(1, accepted=[queued, sent]))
        assert nothing == [[], []]
        again, tokens, keys = await live()
        assert (again, sorted(tokens), keys) == (name, [queued.key + 1, sent.key + 1], [queued.key])

    run(work)
