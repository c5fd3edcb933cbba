"""A client for the tests of crashes: a process of its own that submits, without end, to a daemon that keeps dying.

It keeps a record: each line goes to the file by one write(2) before the next thing is done, so what it was
answered stands there whatever happens next. Each line is a JSON object:

    try      to, text, delivery, receipt, key, line: about to be submitted, for the first or a later time
    ack      to, id: accepted by a 202 or by a line of results
    refused  to, status: answered with an error; of: the status of the whole answer; retry_after: its header
    cancel   id, status: the answer to a DELETE; 0 when none came
    event    seq, type, id: from the event stream

Every line has ``e``, its kind, and ``t``, monotonic nanoseconds. Each message has a destination of its own, by
which all records know it. Standard input ``finish`` ends it once every idempotent submit has its answer and every
event up to the last is read; the end of standard input ends it at once.
"""

import argparse
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import h11
import trio

LOST = (
    OSError, EOFError, h11.RemoteProtocolError,
    trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError,
)  # fmt: skip
PATIENCE_S = 10.0
"""How long an answer may take; the daemon may be stopped for a while."""


@dataclass(frozen=True)
class Submit:
    """One message as the client means it."""

    to: str
    text: str
    delivery: str
    receipt: bool
    send_in_s: float = 0.0
    priority: str = "normal"

    def body(self) -> bytes:
        fields: dict[str, object] = {
            "to": self.to,
            "text": self.text,
            "from": "4455",
            "priority": self.priority,
        }
        if self.delivery != "at_least_once":
            fields["delivery"] = self.delivery
        if not self.receipt:
            fields["receipt"] = False
        if self.send_in_s:
            at = datetime.now(UTC) + timedelta(seconds=self.send_in_s)
            fields["send_at"] = at.isoformat(timespec="milliseconds")
        return json.dumps(fields, ensure_ascii=False).encode()


class Connection:
    """One HTTP connection over a Unix socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.http = h11.Connection(h11.CLIENT)
        self.retry_after: str | None = None

    @classmethod
    async def open(cls, path: str) -> "Connection":
        return cls(await trio.open_unix_socket(path))

    async def send(self, event: h11.Event) -> None:
        data = self.http.send(event)
        if data:
            await self.stream.send_all(data)

    async def event(self) -> h11.Event:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.stream.receive_some(65536))
        if isinstance(event, h11.ConnectionClosed):
            raise EOFError
        return event

    async def request(
        self, method: str, target: str, body: bytes = b"", key: str | None = None
    ) -> tuple[int, bytes]:
        fields = [("Host", "stentor"), ("Content-Length", str(len(body)))]
        if body:
            fields.append(("Content-Type", "application/json"))
        if key:
            fields.append(("Idempotency-Key", key))
        await self.send(h11.Request(method=method, target=target, headers=fields))
        if body:
            await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())
        status, octets = 0, b""
        while not isinstance(event := await self.event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
                self.retry_after = dict(event.headers).get(b"retry-after", b"").decode() or None
            elif isinstance(event, h11.Data):
                octets += event.data
        if self.http.our_state is h11.MUST_CLOSE:
            raise EOFError
        self.http.start_next_cycle()
        return status, octets


class Client:
    def __init__(self, socket: str, record: str, seed: int, pace: float) -> None:
        self.socket = socket
        self.fd = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.random = Random(seed)
        self.pace = pace
        self.numbers = 0
        self.is_finishing = False
        self.last_seq = 0
        self.answered: list[tuple[Submit, str]] = []

    def note(self, kind: str, **facts: object) -> None:
        line = json.dumps(
            {"e": kind, "t": time.monotonic_ns(), **facts}, separators=(",", ":"), ensure_ascii=False
        )
        os.write(self.fd, line.encode() + b"\n")

    def note_try(self, submit: Submit, key: str | None, line: int) -> None:
        self.note(
            "try", to=submit.to, text=submit.text, delivery=submit.delivery, receipt=submit.receipt, key=key, line=line
        )  # fmt: skip

    def note_result(
        self, submit: Submit, result: dict[str, object], status: int = 202, retry_after: str | None = None
    ) -> bool:
        """Record one answer; True when it is final for the submit."""
        if "id" in result:
            self.note("ack", to=submit.to, id=result["id"])
            return True
        error = result.get("error", result)
        assert isinstance(error, dict)
        code = error.get("status", status)
        self.note(
            "refused", to=submit.to, of=status, status=code, detail=error.get("detail"), retry_after=retry_after
        )  # fmt: skip
        return code != 503

    def make(self) -> Submit:
        """The next message: of one to four segments, in two encodings, to a destination of its own."""
        self.numbers += 1
        number, random = self.numbers, self.random
        prefix = random.choice(("+40", "+36"))
        kind = random.random()
        if kind < 0.7:
            text = f"Message {number}: the usual greetings."
        elif kind < 0.85:
            text = "".join(f"{number} part {i}, " for i in range(random.randint(12, 40)))
        else:
            text = f"Сообщение {number}: " + "привет, " * random.randint(1, 20)
        return Submit(
            f"{prefix}7{number:08d}",
            text,
            "at_most_once" if random.random() < 0.2 else "at_least_once",
            random.random() < 0.95,
            random.choice((0.3, 1.0, 2.5)) if random.random() < 0.03 else 0.0,
            random.choice(("urgent", "high", "normal", "normal", "bulk")),
        )

    async def rest(self, seconds: float) -> None:
        await trio.sleep(seconds * self.pace * self.random.uniform(0.5, 1.5))

    # -- one message a request

    async def single(self) -> None:
        """Objects and arrays, with and without a key, some again, some cancelled."""
        connection: Connection | None = None
        while not self.is_finishing:
            key = f"single-{self.numbers}" if self.random.random() < 0.4 else None
            submits = [self.make()] if self.random.random() < 0.8 else [self.make() for _ in range(8)]
            connection = await self.submit(connection, submits, key)
            if key and len(submits) == 1 and not submits[0].send_in_s:
                self.answered.append((submits[0], key))
            await self.rest(0.03)

    async def submit(
        self, connection: Connection | None, submits: list[Submit], key: str | None
    ) -> Connection | None:
        """Submit once without a key, until there is an answer with one."""
        bodies = [submit.body() for submit in submits]
        body = bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"
        while True:
            try:
                with trio.fail_after(PATIENCE_S):
                    connection = connection or await Connection.open(self.socket)
                    for line, submit in enumerate(submits):
                        self.note_try(submit, key, line)
                    status, octets = await connection.request("POST", "/v1/messages", body, key)
                answer = json.loads(octets)
                results = [answer] if len(submits) == 1 or status != 202 else answer["results"]
                pairs = zip(submits, results * len(submits) if len(results) == 1 else results, strict=True)
                done = [
                    self.note_result(submit, result, status, connection.retry_after)
                    for submit, result in pairs
                ]
                if "id" in results[0] and (submits[0].send_in_s > 1 or self.random.random() < 0.05):
                    await self.cancel(connection, results[0]["id"])
                if all(done) or not key:
                    return connection
            except LOST:
                connection = None
                if not key:
                    await self.rest(0.02)
                    return None
            await self.rest(0.03)

    async def cancel(self, connection: Connection, message_id: str) -> None:
        status = 0
        try:
            status, _ = await connection.request("DELETE", f"/v1/messages/{message_id}")
        finally:
            self.note("cancel", id=message_id, status=status)

    async def repeat(self) -> None:
        """Submit again what was answered long ago: the same key, the same body."""
        connection: Connection | None = None
        while not self.is_finishing:
            await self.rest(0.1)
            if self.answered:
                submit, key = self.random.choice(self.answered)
                connection = await self.submit(connection, [submit], key)

    # -- streams

    async def stream(self, name: str) -> None:
        number = 0
        while not self.is_finishing:
            number += 1
            key = f"stream-{name}-{number}" if self.random.random() < 0.5 else None
            submits = [self.make() for _ in range(self.random.randint(20, 150))]
            bodies = [submit.body() for submit in submits]
            while not await self.stream_once(submits, bodies, key) and key:
                await self.rest(0.05)
            await self.rest(0.02)

    async def stream_once(self, submits: list[Submit], bodies: list[bytes], key: str | None) -> bool:
        """One request; True when every line has its final answer."""
        fields = [
            ("Host", "stentor"),
            ("Content-Type", "application/x-ndjson"),
            ("Transfer-Encoding", "chunked"),
        ]
        if key:
            fields.append(("Idempotency-Key", key))
        finals: list[bool] = []
        try:
            connection = await Connection.open(self.socket)
            await connection.send(h11.Request(method="POST", target="/v1/messages", headers=fields))
            async with connection.stream, trio.open_nursery() as nursery:
                nursery.start_soon(self.send_lines, connection, submits, bodies, key)
                async for status, line in self.result_lines(connection):
                    place = len(finals)
                    if status != 202 or place >= len(submits):
                        self.note_result(submits[0], json.loads(line), status)
                        break
                    finals.append(self.note_result(submits[place], json.loads(line)))
                nursery.cancel_scope.cancel()
        except* LOST:
            finals.append(False)
        return len(finals) == len(submits) and all(finals)

    async def send_lines(
        self, connection: Connection, submits: list[Submit], bodies: list[bytes], key: str | None
    ) -> None:
        for start in range(0, len(submits), 10):
            for line, submit in enumerate(submits[start : start + 10], start):
                self.note_try(submit, key, line)
            await connection.send(h11.Data(data=b"\n".join(bodies[start : start + 10]) + b"\n"))
            await self.rest(0.04)
        await connection.send(h11.EndOfMessage())

    async def result_lines(self, connection: Connection) -> AsyncIterator[tuple[int, bytes]]:
        status, buffer = 0, b""
        while True:
            with trio.fail_after(PATIENCE_S):
                event = await connection.event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                buffer += event.data
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    yield status, line
            elif isinstance(event, h11.EndOfMessage):
                if buffer:
                    yield status, buffer
                return

    # -- events

    async def watch(self) -> None:
        """The event stream from the first event on, taken up again wherever it broke."""
        while True:
            try:
                connection = await Connection.open(self.socket)
                fields = [("Host", "stentor"), ("Last-Event-ID", str(self.last_seq))]
                await connection.send(h11.Request(method="GET", target="/v1/events", headers=fields))
                await connection.send(h11.EndOfMessage())
                buffer = b""
                while not isinstance(event := await connection.event(), h11.EndOfMessage):
                    if isinstance(event, h11.Data):
                        *blocks, buffer = (buffer + event.data).split(b"\n\n")
                        for block in blocks:
                            self.note_event(block)
            except LOST:
                await self.rest(0.05)

    def note_event(self, block: bytes) -> None:
        fields = dict(split_fields(block))
        if "data" not in fields:
            return  # a sign of life
        data = json.loads(fields["data"])
        self.last_seq = int(fields["id"])
        self.note("event", seq=self.last_seq, type=data["type"], id=(data.get("message") or {}).get("id"))

    # -- life

    async def live(self) -> None:
        async with trio.open_nursery() as watching:
            watching.start_soon(self.watch)
            watching.start_soon(self.obey, watching.cancel_scope)
            async with trio.open_nursery() as working:
                for name in "ab":
                    working.start_soon(self.stream, name)
                for _ in range(3):
                    working.start_soon(self.single)
                working.start_soon(self.repeat)
            print("finished", flush=True)

    async def obey(self, scope: trio.CancelScope) -> None:
        commands = trio.lowlevel.FdStream(os.dup(0))
        while await commands.receive_some():
            self.is_finishing = True
        scope.cancel()


def split_fields(block: bytes) -> Iterator[tuple[str, str]]:
    """The fields of one event of the stream (WHATWG HTML section 9.2)."""
    for line in block.decode().splitlines():
        name, _, value = line.partition(": ")
        yield name, value


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--socket", required=True)
    arguments.add_argument("--record", required=True)
    arguments.add_argument("--seed", type=int, required=True)
    arguments.add_argument("--pace", type=float, default=1.0)
    given = arguments.parse_args()
    trio.run(Client(given.socket, given.record, given.seed, given.pace).live)
