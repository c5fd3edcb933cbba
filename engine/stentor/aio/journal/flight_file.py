"""The file behind the record of flights (``stentor.journal.flight_record``): mapped memory that outlives the process.

What a process stored in a shared mapping stays in the kernel's pages when it is killed; nothing is synchronised, so a
power cut or a kernel's death may lose it. The file lies beside the journal and is guarded by the journal's lock. All of
it is written before it is mapped: a store to a page without a block on the disk could fail, and would end the process.
"""

import mmap
import os
from pathlib import Path
from typing import Final

from stentor.aio.journal.reader import Reader
from stentor.aio.journal.writer import Journal
from stentor.driver import Log
from stentor.errors import JournalError
from stentor.ids import message_key
from stentor.journal.flight_record import (
    HEADER_OCTETS,
    SLOT_OCTETS,
    SLOTS,
    FlightRecord,
    Noted,
    cells_of,
    fault_of,
    header,
)
from stentor.journal.records import Commit
from stentor.message import Status

NAME: Final = "flights"
IDENTITY: Final = "journal"
"""The setting that names a journal."""


class FlightFile:
    """The open file. ``record`` writes to it; ``noted`` is what stood in it when it was opened."""

    def __init__(self, path: Path, journal: bytes, log: Log) -> None:
        """Open the record of the journal that ``journal`` names, or make one. One that is not the journal's is told of
        in the log and emptied. Raises JournalError when there can be none."""
        self.path = path
        self._log = log
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise JournalError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            self._make_ready(journal)
            self.record = FlightRecord(self._map(), self._grow)
        except OSError as error:
            os.close(self._fd)
            raise JournalError(f"{path} cannot be used: {error.strerror}") from error
        self.noted: list[Noted] = self.record.noted

    def _make_ready(self, journal: bytes) -> None:
        octets = os.fstat(self._fd).st_size
        fault = fault_of(os.pread(self._fd, HEADER_OCTETS, 0), octets, journal)
        if fault is not None:
            if octets:
                self._log.warning("record of flights is not used", path=str(self.path), reason=fault)
            os.ftruncate(self._fd, 0)
            octets = 0
        slots = max(SLOTS, (octets - HEADER_OCTETS) // SLOT_OCTETS)
        self._fill(octets, slots)
        if fault is not None:
            # Last, so that a file that is not complete is not taken for a record.
            os.pwrite(self._fd, header(journal), 0)

    def _fill(self, octets: int, slots: int) -> None:
        """Lengthen the file from ``octets`` to so many slots, with zeros that stand on the disk."""
        end = HEADER_OCTETS + slots * SLOT_OCTETS
        while octets < end:
            octets += os.pwrite(self._fd, bytes(min(1 << 20, end - octets)), octets)

    def _map(self) -> memoryview:
        # The mapping lives as long as a view of it does.
        return cells_of(memoryview(mmap.mmap(self._fd, 0))[HEADER_OCTETS:])

    def _grow(self, slots: int) -> memoryview | None:
        """Cells for so many; those of before are the same pages."""
        try:
            self._fill(os.fstat(self._fd).st_size, slots)
            return self._map()
        except OSError as error:
            self._log.warning(
                "record of flights cannot grow", path=str(self.path), slots=slots, reason=error.strerror
            )
            return None

    def close(self) -> None:
        """The file is closed; the record is not to be used any more."""
        os.close(self._fd)


async def open_flights(journal: Journal, reader: Reader, log: Log) -> FlightFile:
    """The record beside a journal. What stands in it, and the messages it names, go into the journal's recovery.

    Raises JournalError when there can be none.
    """
    recovery = journal.recovery
    if IDENTITY not in recovery.settings:
        # Durable before anything is in flight, or the record would be nobody's after a crash.
        recovery.settings[IDENTITY] = os.urandom(16).hex()
        await journal.commit(Commit(0, settings={IDENTITY: recovery.settings[IDENTITY]}))
    file = FlightFile(journal.path.with_name(NAME), bytes.fromhex(recovery.settings[IDENTITY]), log)
    recovery.noted = file.noted
    found = await reader.messages(sorted({message_key(each.token) for each in file.noted}))
    recovery.departed = [message for message in found if message.status < Status.SENT]
    return file
