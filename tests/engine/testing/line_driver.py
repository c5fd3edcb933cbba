"""A driver for peers that speak TELL, one line a sentence: LOGIN, SEND and BYE go out, OK, SENT, TEXT... come in.

One connection is one lane. Invariant: a submission is in ``in_flight`` from the moment its line is written until it
has its outcome.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from stentor.driver import (
    CONTRACT_VERSION,
    Capabilities,
    Driver,
    DriverSpec,
    DriverStatus,
    Host,
    Inbound,
    LaneStatus,
    Receipt,
)
from stentor.message import Status
from stentor.outcome import Deferred, Outcome, Refused, Returned, Scope, Sent, Submission, Unknown

LANE: Final = "line"
LINE_OCTETS: Final = 2_000
UNSETTLED_PAUSE: Final = 1_000
CONNECT_S: Final = 10.0
STEADY_S: Final = 60.0
STATES: Final = {b"DELIVERED": Status.DELIVERED, b"FAILED": Status.UNDELIVERED, b"ENROUTE": Status.SENT}


class TellConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One account at one peer."""

    host: Annotated[str, Meta(description="The peer's name or address.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="Its TCP port.")] = 4711
    name: Annotated[str, Meta(description="Login the peer gave.")]
    secret: Annotated[str, Meta(description="Password the peer gave.")] = ""
    window: Annotated[int, Meta(ge=1, le=1000, description="Submissions without an answer.")] = 10
    answer_s: Annotated[float, Meta(gt=0, description="Silence after which the link is dead.")] = 30.0


class LoginRefused(ValueError):
    """The peer does not want us."""


class TellDriver:
    """One channel."""

    def __init__(self, config: TellConfig, host: Host) -> None:
        self.config, self.host = config, host
        self.counters = {"links": 0, "unreadable_lines": 0}
        self.in_flight: dict[int, Submission] = {}
        self.writer: asyncio.StreamWriter | None = None  # while logged in
        self.scope: asyncio.Timeout | None = None  # while there is a link, or one is made
        self.is_draining = asyncio.Event()
        self.is_idle, self.may_read, self.is_down = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.unsettled = 0
        self.state, self.since_ms = "down", host.clock.wall_ms()
        self.last_error: str | None = None
        self.last_error_at_ms = 0

    async def run(self) -> None:
        """Connect, live, pause, again; until drained."""
        pause_s = 1.0
        while not self.is_draining.is_set():
            began = self.host.clock.now()
            try:
                await self.live()
            except (OSError, EOFError, ValueError) as error:
                if not self.is_draining.is_set():
                    self.fail(f"{type(error).__name__}: {error}")
                if isinstance(error, LoginRefused):
                    pause_s = 60.0  # hammering gets accounts locked
            pause_s = 1.0 if self.host.clock.now() - began > STEADY_S else min(60.0, pause_s * 2)
            await self.pause(pause_s * (0.5 + self.host.random()))

    async def pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self.is_draining.wait()
        except TimeoutError:
            return

    async def live(self) -> None:
        """One link from start to end. Its one timer is ``scope``; whatever ends it, nothing stays in flight."""
        self.is_down.clear()
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_S) as self.scope:
                reader, writer = await asyncio.open_connection(self.config.host, self.config.port)
                writer.write(f"LOGIN {self.config.name} {self.config.secret}\n".encode())
                if await reader.readuntil(b"\n") != b"OK\n":
                    raise LoginRefused("the login was refused")
                self.scope.reschedule(None)
                self.up(writer)
                await self.listen(reader, writer)
        finally:
            self.scope = None
            self.down(writer)

    def up(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.counters["links"] += 1
        self.unsettled = 0
        self.may_read.set()
        self.state, self.since_ms = "up", self.host.clock.wall_ms()
        if not self.is_draining.is_set():
            self.host.lane(LANE, self.config.window)

    def down(self, writer: asyncio.StreamWriter | None) -> None:
        if self.writer is not None:
            self.writer = None
            self.state, self.since_ms = "down", self.host.clock.wall_ms()
            self.host.lane(LANE, 0)
        self.host.resolve([Unknown(submission) for submission in self.in_flight.values()])
        self.in_flight.clear()
        self.is_idle.set()
        self.is_down.set()
        if writer is not None:
            writer.close()
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()  # octets the peer does not take must not keep the socket

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rest = b""
        while chunk := await reader.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            self.hear(lines, writer)
            if len(rest) > LINE_OCTETS:
                raise ValueError("a line without an end")
            await self.may_read.wait()  # what is not durable is bounded
            await writer.drain()  # and so is what the peer does not take
        raise EOFError("the peer closed the connection")

    def hear(self, lines: Sequence[bytes], writer: asyncio.StreamWriter) -> None:
        """All lines of one read: one call for their outcomes, one for what came in."""
        outcomes: list[Outcome] = []
        items: list[Receipt | Inbound] = []
        numbers: list[bytes] = []
        for line in lines:
            match line.split(b" "):
                case [b"SENT" | b"LATER" | b"NEVER" | b"SLOW" as word, number, *rest]:
                    submission = self.in_flight.pop(int(number), None) if number.isdigit() else None
                    if submission is not None:
                        outcomes.append(outcome(submission, word, rest))
                case [b"RCPT", number, match_id, state] if state in STATES:
                    numbers.append(number)
                    items.append(Receipt(match_id.decode("latin-1"), STATES[state]))
                case [b"TEXT", number, originator, to, text] if is_hex(text):
                    numbers.append(number)
                    decoded = bytes.fromhex(text.decode()).decode("utf-8", "replace")
                    items.append(Inbound(originator.decode("latin-1"), to.decode("latin-1"), decoded))
                case _:
                    self.counters["unreadable_lines"] += 1
                    writer.write(b"WHAT\n")
        if outcomes:
            self.host.resolve(outcomes)
            self.watch()
        if items:
            self.unsettled += len(items)
            if self.unsettled >= UNSETTLED_PAUSE:
                self.may_read.clear()
            self.host.receive(items, self.settler(numbers, writer))

    def settler(self, numbers: list[bytes], writer: asyncio.StreamWriter) -> Callable[[bool], None]:
        def settled(is_durable: bool) -> None:
            if writer is self.writer:  # a link that is gone hears nothing
                word = b"DONE" if is_durable else b"AGAIN"
                writer.write(b"".join(b"%b %b\n" % (word, number) for number in numbers))
                self.unsettled -= len(numbers)
                if self.unsettled < UNSETTLED_PAUSE:
                    self.may_read.set()

        return settled

    def watch(self) -> None:
        """Give the peer ``answer_s`` from now while it owes us an answer."""
        if not self.in_flight:
            self.is_idle.set()
        if self.scope is not None:
            now = asyncio.get_running_loop().time()
            self.scope.reschedule(now + self.config.answer_s if self.in_flight else None)

    def submit(self, lane: str, batch: Sequence[Submission]) -> None:
        if self.writer is None or self.is_draining.is_set():
            self.host.resolve([Returned(submission) for submission in batch])
            return
        if not batch:
            return
        was_idle = not self.in_flight
        self.is_idle.clear()
        self.in_flight.update((submission.token, submission) for submission in batch)
        self.writer.write(b"".join(map(send_line, batch)))
        if was_idle:
            self.watch()

    async def drain(self, deadline: float) -> None:
        self.is_draining.set()
        if self.writer is not None:
            self.host.lane(LANE, 0)
            try:
                async with asyncio.timeout(deadline - self.host.clock.now()):
                    while self.in_flight:
                        await self.is_idle.wait()
            except TimeoutError:
                self.host.log.warning("drain ran out of time", in_flight=len(self.in_flight))
            if self.writer is not None:
                self.writer.write(b"BYE\n")
        if self.scope is not None:
            self.scope.reschedule(0.0)  # ends the link whatever it waits for
            await self.is_down.wait()

    def fail(self, text: str) -> None:
        self.last_error, self.last_error_at_ms = text, self.host.clock.wall_ms()
        self.host.log.warning("link trouble", detail=text)

    def status(self) -> DriverStatus:
        peer = f"{self.config.host}:{self.config.port}"
        lanes = (LaneStatus(LANE, self.state, peer, self.since_ms),)
        return DriverStatus(lanes, dict(self.counters), self.last_error, self.last_error_at_ms)


def outcome(submission: Submission, word: bytes, rest: list[bytes]) -> Outcome:
    """What an answer means. A table would do the same for a protocol with more than four words."""
    match word:
        case b"SENT":
            carrier_id = rest[0].decode("latin-1") if rest else None
            return Sent(submission, carrier_id, carrier_id)
        case b"NEVER":
            return Refused(submission, "rejected")
        case b"SLOW":
            return Deferred(submission, "throttled", scope=Scope.LANE, is_throttle=True)
        case _:
            return Deferred(submission, "carrier_busy")


def send_line(submission: Submission) -> bytes:
    flags = ("F" if submission.flash else "") + ("R" if submission.wants_receipt else "")
    words = (str(submission.token), submission.to, submission.originator, submission.encoding.value, flags)
    return f"SEND {' '.join(words)} {submission.udh.hex()} {submission.data.hex()}\n".encode()


def is_hex(text: bytes) -> bool:
    try:
        return bool(bytes.fromhex(text.decode("ascii"))) or not text
    except ValueError:
        return False


def make(config: TellConfig, host: Host) -> Driver:
    return TellDriver(config, host)


SPEC = DriverSpec(
    name="tell",
    contract=CONTRACT_VERSION,
    config=TellConfig,
    capabilities=lambda config: Capabilities(honours_validity=False),
    make=make,
    secrets=frozenset({"secret"}),
)
