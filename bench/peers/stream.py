"""Submits messages as one stream of lines and reads the results while it writes.

Bounded: never more than ``outstanding`` lines are without their result. Latency of a line is counted from the
write that carried it to the read that brought its result, by batches.
"""

import time
from collections import deque
from typing import Final

import trio

from bench.peers.answers import BadAnswer, ChunkedAnswer
from bench.peers.histogram import Histogram
from bench.peers.lines import MessageMaker
from bench.peers.report import LoadReport

READ_OCTETS: Final = 256 * 1024
PACE_S: Final = 0.01
_ERRORS_SHOWN: Final = 5


class Stream:
    """One stream over one connection."""

    def __init__(
        self, path: str, maker: MessageMaker, report: LoadReport, *, first: int, count: int, batch: int
    ) -> None:
        self._path = path
        self._maker = maker
        self._report = report
        self._first = first
        self._count = count
        self._batch = batch
        self.outstanding = 10_000
        self.rate = 0.0
        self.header_lines = ""
        self._sent = 0
        self._results = 0
        self._written: deque[tuple[int, float, int]] = deque()
        self._rest = b""
        self._room = trio.Event()
        self._answer = ChunkedAnswer()
        self._refusal = b""
        self._histogram: Histogram = report.latency

    async def run(self) -> None:
        """Until every line has its result, or the daemon ends it; then the report says why."""
        try:
            stream = await trio.open_unix_socket(self._path)
        except OSError as error:
            self._report.failed(f"cannot connect: {error}")
            return
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._write, stream)
            await self._read(stream)
            nursery.cancel_scope.cancel()
        if self._results < self._count:
            shown = self._refusal[:300].decode(errors="replace")
            self._report.failed(
                f"{self._results} of {self._count} results; status {self._answer.status} {shown}"
            )

    async def _write(self, stream: trio.SocketStream) -> None:
        head = (
            "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
            f"Transfer-Encoding: chunked\r\n{self.header_lines}\r\n"
        )
        try:
            await stream.send_all(head.encode())
            started = time.monotonic()
            while self._sent < self._count:
                size = await self._wait_for_room(started)
                body = b"\n".join(self._maker.make(self._first + self._sent, size)) + b"\n"
                self._sent += size
                now = time.monotonic()
                self._report.began(now)
                self._written.append((self._sent, now, size))
                await stream.send_all(b"%x\r\n%b\r\n" % (len(body), body))
            await stream.send_all(b"0\r\n\r\n")
        except trio.BrokenResourceError:
            pass  # the daemon has closed; what it still said is read, and the report tells what is missing

    async def _wait_for_room(self, started: float) -> int:
        """How many lines to send next."""
        while True:
            size = min(self._batch, self._count - self._sent, self.outstanding - self._sent + self._results)
            if self.rate:
                due = int((time.monotonic() - started) * self.rate) + 1 - self._sent
                size = min(size, due)
                if due <= 0:
                    await trio.sleep(PACE_S)
                    continue
            if size > 0 and (
                size * 2 >= min(self._batch, self.outstanding) or self._is_last(size) or self.rate
            ):
                return size
            self._room = trio.Event()
            await self._room.wait()

    def _is_last(self, size: int) -> bool:
        return self._sent + size >= self._count

    async def _read(self, stream: trio.SocketStream) -> None:
        answer = self._answer
        while not answer.is_over:
            try:
                data = await stream.receive_some(READ_OCTETS)
            except trio.BrokenResourceError:
                return
            if not data:
                return
            try:
                body = answer.feed(bytes(data))
            except (BadAnswer, ValueError) as error:
                self._refusal = str(error).encode()
                return
            if answer.status == 202:
                self._take(body)
            elif answer.status:
                self._refusal += body
                return

    def _take(self, body: bytes) -> None:
        """Count whole lines and keep the beginning of the next."""
        end = body.rfind(b"\n") + 1
        if not end:
            self._rest += body
            return
        lines = self._rest + body[:end]
        self._rest = body[end:]
        now = time.monotonic()
        report = self._report
        count = lines.count(b"\n")
        refused = lines.count(b'\n{"error"') + lines.startswith(b'{"error"')
        if refused:
            report.refused_lines(lines, refused)
        report.accepted += count - refused
        report.refused += refused
        report.last_result_at = now
        if report.acknowledged_fd is not None:
            report.keep(lines)
        self._results += count
        written = self._written
        while written and written[0][0] <= self._results:
            _, at, size = written.popleft()
            self._histogram.add(now - at, size)
        self._room.set()
