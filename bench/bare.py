"""The bare path: nothing but the skeleton of the daemon's work, as the limit the engine is measured against.

It takes lines of JSON over the same Unix socket from the same load generator, writes each message to an
SQLite journal (WAL, synchronous=FULL, group commit, one statement a batch, through aiosqlite), answers after
the commit, packs submit_sm into one TCP session with the same window, journals the carrier's id from each
response and each receipt, and acknowledges receipts after their commit. No routing, no validation, no
priorities, rates, retries, segments, events, timeline, metrics or restart. Of stentor it uses the functions
that pack and scan PDUs.

    python -m bench.bare --socket PATH --journal FILE --smsc PORT --messages N

prints ``ready`` and, once every receipt is journalled, one JSON object.
"""

import argparse
import asyncio
import os
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, cast

import aiosqlite
import msgspec
import uvloop

from bench.peers.answers import Chunks
from bench.peers.usage import usage
from stentor_smpp.fields import BIND_TRANSCEIVER, DELIVER_SM, SUBMIT_SM, SUBMIT_SM_RESP
from stentor_smpp.hot import pack_deliver_sm_resp, pack_submit_sm, submit_head, submit_tail
from stentor_smpp.pdu import HEADER, HEADER_OCTETS, encode_body

SWITCH_INTERVAL_S: Final = 0.0005
ACCEPTING: Final = 4000
"""Lines without their commit at which reading stops."""

_SCHEMA: Final = """
CREATE TABLE message (key INTEGER PRIMARY KEY, tail INTEGER NOT NULL, destination TEXT NOT NULL, text TEXT NOT NULL,
    status INTEGER NOT NULL, submitted_at_ms INTEGER NOT NULL, carrier_id TEXT, sent_at_ms INTEGER,
    final_at_ms INTEGER) STRICT;
CREATE INDEX message_destination ON message (destination);
CREATE INDEX message_awaited ON message (carrier_id) WHERE status = 3;
"""
_INSERT: Final = """INSERT INTO message (key, tail, destination, text, status, submitted_at_ms)
    SELECT column1, column2, column3, column4, 1, column5 FROM (VALUES {rows}) WHERE column1 <> 0"""
_SENT: Final = """UPDATE message SET status = 3, carrier_id = new.column2, sent_at_ms = new.column3
    FROM (VALUES {rows}) AS new WHERE message.key = new.column1"""
_FINAL: Final = """UPDATE message SET status = 4, final_at_ms = new.column2
    FROM (VALUES {rows}) AS new WHERE message.key = new.column1"""
STATEMENT_ROWS: Final = 512


class Submit(msgspec.Struct, gc=False):
    """What is read of a line."""

    to: str
    text: str


class Result(msgspec.Struct, gc=False):
    """What is answered for it."""

    id: str
    to: str
    status: str
    encoding: str
    segments: int


Accepted = tuple[int, int, str, str, int]
"""Key, tail, destination, text, time: the row of a new message."""

_decode: Final = msgspec.json.Decoder(Submit).decode
_encode: Final = msgspec.json.Encoder().encode


class Bare:
    """Everything: the queues between the two protocols and the writer."""

    def __init__(self, db: aiosqlite.Connection, window: int, expected: int) -> None:
        self._db = db
        self._window = window
        self._expected = expected
        self._wake = asyncio.Event()
        self._accepted: list[Accepted] = []
        self._accepting = 0
        self._sent: list[tuple[int, str, int]] = []
        self._final: list[tuple[int, int]] = []
        self._acknowledgements: list[int] = []
        self._queue: deque[Accepted] = deque()
        self._awaited: dict[bytes, int] = {}
        self._finished = 0
        self.commits = 0
        self.intake: Intake
        self.link: Link

    # -- from the client -----------------------------------------------------------------------------------

    def accept(self, lines: Sequence[bytes]) -> None:
        """Take lines that came together."""
        now_ms = time.time_ns() // 1_000_000
        tails = os.urandom(8 * len(lines))
        key = self._accepted[-1][0] if self._accepted else self._last_key
        accepted = self._accepted
        for number, line in enumerate(lines):
            submit = _decode(line)
            key += 256
            tail = int.from_bytes(tails[8 * number : 8 * number + 8], "big") >> 2
            accepted.append((key, tail, submit.to, submit.text, now_ms))
        self._last_key = key
        self._accepting += len(lines)
        if self._accepting >= ACCEPTING:
            self.intake.pause()
        self._wake.set()

    _last_key = 0

    def _answer(self, accepted: Sequence[Accepted]) -> None:
        lines = [
            _encode(Result(f"{key:016x}-{tail:016x}", to, "queued", "gsm7", 1))
            for key, tail, to, _, _ in accepted
        ]
        self.intake.answer(b"\n".join(lines) + b"\n")
        self._accepting -= len(accepted)
        if self._accepting < ACCEPTING:
            self.intake.resume()

    # -- to the SMSC ---------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what the window allows."""
        room = min(self._window - len(self.link.outstanding), len(self._queue))
        if room > 0:
            take = self._queue.popleft
            self.link.submit([take() for _ in range(room)])

    def answered(self, responses: Sequence[tuple[int, bytes]]) -> None:
        """Responses of one read: key and carrier's id."""
        now_ms = time.time_ns() // 1_000_000
        awaited = self._awaited
        for key, carrier_id in responses:
            awaited[carrier_id] = key
            self._sent.append((key, carrier_id.decode("ascii"), now_ms))

    def delivered(self, receipts: Sequence[tuple[int, bytes]]) -> None:
        """Receipts of one read: sequence_number and carrier's id."""
        now_ms = time.time_ns() // 1_000_000
        awaited = self._awaited
        for sequence, carrier_id in receipts:
            self._final.append((awaited.pop(carrier_id), now_ms))
            self._acknowledgements.append(sequence)

    def turned(self) -> None:
        """A read of the SMSC's octets is over."""
        self.flush()
        self._wake.set()

    # -- the journal ---------------------------------------------------------------------------------------

    async def write(self) -> None:
        """One commit after the other, each with everything that came during the one before."""
        while self._finished < self._expected:
            await self._wake.wait()
            self._wake.clear()
            accepted, self._accepted = self._accepted, []
            sent, self._sent = self._sent, []
            final, self._final = self._final, []
            acknowledgements, self._acknowledgements = self._acknowledgements, []
            calls = [*_calls(_INSERT, accepted, 5), *_calls(_SENT, sent, 3), *_calls(_FINAL, final, 2)]
            if not calls:
                continue
            # One hop to the connection's thread for the whole transaction, which the public methods cannot do.
            await self._db._execute(_transact, self._db._conn, calls)  # type: ignore[no-untyped-call]
            self.commits += 1
            self._queue += accepted
            if accepted:
                self._answer(accepted)
            self.link.acknowledge(acknowledgements)
            self._finished += len(final)
            self.flush()


Call = tuple[str, list[Any]]
"""One statement and its parameters."""


@cache
def _statement(sql: str, width: int, rows: int) -> str:
    return sql.replace("{rows}", ",".join(["(" + ",".join("?" * width) + ")"] * rows))


def _calls(sql: str, rows: Sequence[tuple[Any, ...]], width: int) -> Iterator[Call]:
    """Few statements, each with many rows; powers of two, so that few have to be prepared. A key of 0 is no
    row.
    """
    for start in range(0, len(rows), STATEMENT_ROWS):
        values = list(chain.from_iterable(rows[start : start + STATEMENT_ROWS]))
        count = 1 << (len(values) // width - 1).bit_length()
        values += (0,) * (count * width - len(values))
        yield _statement(sql, width, count), values


def _transact(db: sqlite3.Connection, calls: Sequence[Call]) -> None:
    db.execute("BEGIN IMMEDIATE")
    for sql, values in calls:
        db.execute(sql, values)
    db.execute("COMMIT")


class Intake(asyncio.Protocol):
    """The client's side: one request, a stream of lines."""

    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._head = b""
        self._is_in_body = False
        self._is_paused = False
        self._rest = b""
        self._chunks = Chunks()
        self._count = 0
        self._answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._bare.intake = self

    def data_received(self, data: bytes) -> None:
        if not self._is_in_body:
            self._head += data
            head_end = self._head.find(b"\r\n\r\n")
            if head_end < 0:
                return
            self._is_in_body = True
            data = self._head[head_end + 4 :]
            self._transport.write(
                b"HTTP/1.1 202 Accepted\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
            )
        *lines, self._rest = (self._rest + self._chunks.feed(data)).split(b"\n")
        if lines:
            self._count += len(lines)
            self._bare.accept(lines)

    def answer(self, lines: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(lines), lines))
        self._answered += lines.count(b"\n")
        if self._chunks.is_over and self._answered == self._count:
            self._transport.write(b"0\r\n\r\n")

    def pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()


class Link(asyncio.Protocol):
    """The SMSC's side: one session."""

    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._rest = b""
        self._sequence = 1
        self._head = submit_head("", 5, 0, "stentor", 1, 1)
        self._tail = submit_tail(registered_delivery=1)
        self.outstanding: dict[int, int] = {}
        self.bound = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._bare.link = self
        fields = {"system_id": "bench", "password": "bench", "system_type": "", "interface_version": 0x34}
        fields |= {"addr_ton": 0, "addr_npi": 0, "address_range": ""}
        body = encode_body(BIND_TRANSCEIVER, fields)
        self._transport.write(HEADER.pack(HEADER_OCTETS + len(body), BIND_TRANSCEIVER, 0, 1) + body)

    def submit(self, messages: Sequence[Accepted]) -> None:
        output: list[bytes] = []
        head, tail, sequence, outstanding = self._head, self._tail, self._sequence, self.outstanding
        for key, _, to, text, _ in messages:
            body = pack_submit_sm(head, to[1:], tail, text.encode("ascii"))
            sequence += 1
            outstanding[sequence] = key
            output.append(HEADER.pack(HEADER_OCTETS + len(body), SUBMIT_SM, 0, sequence))
            output.append(body)
        self._sequence = sequence
        self._transport.write(b"".join(output))

    def acknowledge(self, sequences: Sequence[int]) -> None:
        if sequences:
            self._transport.write(b"".join(map(pack_deliver_sm_resp, sequences)))

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        header, find, take = HEADER.unpack_from, data.find, self.outstanding.pop
        responses: list[tuple[int, bytes]] = []
        receipts: list[tuple[int, bytes]] = []
        while size - at >= HEADER_OCTETS:
            length, command_id, status, sequence = header(data, at)
            end = at + length
            if end > size:
                break
            if command_id == SUBMIT_SM_RESP:
                assert status == 0, f"the SMSC refused with {status:#x}"
                responses.append((take(sequence), data[at + HEADER_OCTETS : end - 1]))
            elif command_id == DELIVER_SM:
                start = find(b"id:", at, end) + 3
                receipts.append((sequence, data[start : find(b" ", start, end)]))
            elif not self.bound.done():
                assert status == 0, f"the SMSC refused the bind with {status:#x}"
                self.bound.set_result(None)
            at = end
        self._rest = data[at:]
        if responses:
            self._bare.answered(responses)
        if receipts:
            self._bare.delivered(receipts)
        self._bare.turned()


async def _run(options: argparse.Namespace) -> None:
    db = await aiosqlite.connect(options.journal, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 4000"):
        await db.execute(f"PRAGMA {pragma}")
    await db.executescript(_SCHEMA)
    loop = asyncio.get_running_loop()
    bare = Bare(db, options.window, options.messages)
    transport, link = await loop.create_connection(lambda: Link(bare), "127.0.0.1", options.smsc)
    await link.bound
    server = await loop.create_unix_server(lambda: Intake(bare), options.socket)
    print("ready", options.socket, flush=True)
    await bare.write()
    finished_at = time.monotonic()
    async with db.execute(
        "SELECT count(*) FROM message WHERE status = 4 AND carrier_id IS NOT NULL"
    ) as cursor:
        row = await cursor.fetchone()
    assert row is not None
    assert row[0] == options.messages, f"{row[0]} of {options.messages} messages are in the journal"
    print(
        msgspec.json.encode({"finished_at": finished_at, "commits": bare.commits, **usage()}).decode(),
        flush=True,
    )
    await asyncio.sleep(0.2)  # the last acknowledgements are still to be sent
    transport.close()
    server.close()
    await db.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Run until every receipt is journalled."""
    parser = argparse.ArgumentParser(
        "python -m bench.bare", description="The limit the engine is measured against."
    )
    parser.add_argument("--socket", required=True)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--smsc", type=int, required=True)
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--window", type=int, default=2000)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    uvloop.run(_run(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
