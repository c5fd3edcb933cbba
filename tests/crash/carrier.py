"""A small SMSC for the tests of crashes: a process of its own that keeps a record and kills on what it saw.

It speaks SMPP 3.4 with code of its own, so that a fault of the daemon's codec cannot hide in it. Everything it
sees and does goes to the record by one write(2) before the next thing happens: neither its own death nor the
daemon's can lose a line. Each line is a JSON object:

    bind     c connection, account, life: the daemon's life by number, from system_type
    submit   c, q sequence_number, m our message_id, to, esm, coding, hex, status we are going to answer
    answer   m: about to be sent
    deliver  c, m, state: a receipt is about to be sent
    ack      c, m, status: the receipt's acknowledgement
    lost     c: the connection is gone

Every line has ``e``, its kind, and ``t``, monotonic nanoseconds. Standard input takes ``arm WHAT COUNT PID``: at
the COUNT-th occurrence of WHAT (``half``, ``seen``, ``answered``, ``receipt``) PID is killed; ``disarm``; and
``stall``, from when on nothing is read, and ``go on``. The end of standard input ends the process.

A destination's last two digits say what becomes of it: 66 is refused for good, 77 is not delivered.
"""

import argparse
import json
import os
import signal
import struct
import time
from dataclasses import dataclass, field
from random import Random

import trio

BIND_TRANSCEIVER, SUBMIT, DELIVER, UNBIND, ENQUIRE = 0x09, 0x04, 0x05, 0x06, 0x15
RESPONSE = 0x80000000
OK, SYSTEM_ERROR, BAD_DESTINATION, THROTTLED = 0x00, 0x08, 0x0B, 0x58
HEADER = struct.Struct(">IIII")


@dataclass(eq=False)
class Link:
    """One connection. ``is_deaf``: what still comes is thrown away, as if it had not left the daemon."""

    number: int
    stream: trio.SocketStream
    account: str = ""
    is_deaf: bool = False
    sequence: int = 0
    unacknowledged: dict[int, tuple[str, str]] = field(default_factory=dict)
    lock: trio.Lock = field(default_factory=trio.Lock)


class Carrier:
    def __init__(self, record: str, seed: int, slowness: float) -> None:
        self.fd = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.random = Random(seed)
        self.slowness = slowness
        self.links: dict[str, list[Link]] = {}
        self.waiting: dict[str, list[tuple[str, str]]] = {}
        self.numbers = 0
        self.last_id = 0xC0000
        self.armed: tuple[str, int, int] | None = None
        self.stall = trio.Event()
        self.stall.set()

    def note(self, kind: str, **facts: object) -> None:
        line = json.dumps({"e": kind, "t": time.monotonic_ns(), **facts}, separators=(",", ":"))
        os.write(self.fd, line.encode() + b"\n")

    def occurs(self, what: str) -> bool:
        """True when this was the moment to kill, and it is done."""
        if self.armed is None or self.armed[0] != what:
            return False
        what, left, pid = self.armed
        if left > 1:
            self.armed = what, left - 1, pid
            return False
        self.armed = None
        os.kill(pid, signal.SIGKILL)
        return True

    # -- connections

    async def serve(self, stream: trio.SocketStream) -> None:
        self.numbers += 1
        link = Link(self.numbers, stream)
        buffer = b""
        try:
            async with trio.open_nursery() as nursery:
                while data := await stream.receive_some(65536):
                    await self.stall.wait()
                    buffer += data
                    while len(buffer) >= 16 and len(buffer) >= (length := HEADER.unpack_from(buffer)[0]):
                        pdu, buffer = buffer[:length], buffer[length:]
                        if not link.is_deaf:
                            await self.take(link, pdu, nursery)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the daemon was killed; the record says so below
        finally:
            self.lose(link)
            await trio.aclose_forcefully(stream)

    def lose(self, link: Link) -> None:
        """What was not acknowledged is delivered again over the account's next connection."""
        self.note("lost", c=link.number)
        if link in self.links.get(link.account, ()):
            self.links[link.account].remove(link)
        link.is_deaf = True
        for receipt in link.unacknowledged.values():
            self.background.start_soon(self.deliver_later, link.account, receipt, 0.0)
        link.unacknowledged.clear()

    async def send(self, link: Link, command: int, status: int, sequence: int, body: bytes = b"") -> None:
        async with link.lock:
            await link.stream.send_all(HEADER.pack(16 + len(body), command, status, sequence) + body)

    async def take(self, link: Link, pdu: bytes, nursery: trio.Nursery) -> None:
        _, command, status, sequence = HEADER.unpack_from(pdu)
        if command == SUBMIT:
            self.submit(link, pdu, sequence, nursery)
        elif command == DELIVER | RESPONSE:
            receipt = link.unacknowledged.pop(sequence)
            self.note("ack", c=link.number, m=receipt[0], status=status)
            if status:
                self.background.start_soon(self.deliver_later, link.account, receipt, 0.1)
        elif command == BIND_TRANSCEIVER:
            await self.bind(link, pdu, sequence)
        elif command == UNBIND:
            await self.send(link, UNBIND | RESPONSE, OK, sequence)
        elif command == ENQUIRE:
            await self.send(link, ENQUIRE | RESPONSE, OK, sequence)

    async def bind(self, link: Link, pdu: bytes, sequence: int) -> None:
        account, _, life = pdu[16:].split(b"\0", 3)[:3]
        link.account = account.decode()
        self.note("bind", c=link.number, account=link.account, life=int(life))
        await self.send(link, BIND_TRANSCEIVER | RESPONSE, OK, sequence, b"crash\0")
        self.links.setdefault(link.account, []).append(link)
        for receipt in self.waiting.pop(link.account, []):
            self.background.start_soon(self.deliver_later, link.account, receipt, 0.0)

    # -- submissions

    def submit(self, link: Link, pdu: bytes, sequence: int, nursery: trio.Nursery) -> None:
        if self.occurs("half"):
            link.is_deaf = True
            return
        to, esm, registered, coding, text = parse_submit(pdu)
        self.last_id += self.random.randint(1, 9)
        message_id = f"{self.last_id:x}"
        status = self.judge(to)
        self.note(
            "submit", c=link.number, q=sequence, m=message_id, to=to, esm=esm, coding=coding, hex=text.hex(),
            status=status,
        )  # fmt: skip
        if self.occurs("seen"):
            link.is_deaf = True
        nursery.start_soon(self.answer, link, sequence, message_id, status)
        if status == OK and registered & 1:
            # Some receipts overtake the answer.
            delay_s = self.random.choice((0.0, 0.01, 0.05, 0.15)) * self.slowness
            receipt = message_id, "UNDELIV" if to.endswith("77") else "DELIVRD"
            self.background.start_soon(self.deliver_later, link.account, receipt, delay_s)
            if self.random.random() < 0.03:
                self.background.start_soon(self.deliver_later, link.account, receipt, delay_s + 0.1)

    def judge(self, to: str) -> int:
        if to.endswith("66"):
            return BAD_DESTINATION
        chance = self.random.random()
        return THROTTLED if chance < 0.01 else SYSTEM_ERROR if chance < 0.02 else OK

    async def answer(self, link: Link, sequence: int, message_id: str, status: int) -> None:
        await trio.sleep(self.random.choice((0.0, 0.0, 0.005, 0.02, 0.06)) * self.slowness)
        if link.is_deaf:
            return
        self.note("answer", m=message_id)
        body = b"" if status else message_id.encode() + b"\0"
        await self.send(link, SUBMIT | RESPONSE, status, sequence, body)
        self.occurs("answered")

    # -- receipts

    background: trio.Nursery

    async def deliver_later(self, account: str, receipt: tuple[str, str], delay_s: float) -> None:
        await trio.sleep(delay_s)
        links = [link for link in self.links.get(account, []) if not link.is_deaf]
        if not links:
            self.waiting.setdefault(account, []).append(receipt)
            return
        link = self.random.choice(links)
        link.sequence += 1
        link.unacknowledged[link.sequence] = receipt
        self.note("deliver", c=link.number, m=receipt[0], state=receipt[1])
        dates = "submit date:2501010000 done date:2501010000"
        text = f"id:{receipt[0]} sub:001 dlvrd:001 {dates} stat:{receipt[1]} err:000 text:"
        body = b"\0\1\1" + b"40700\0" + b"\0\0" + b"100\0" + bytes((4, 0, 0, 0, 0, 0, 0, 0, 0, len(text)))
        try:
            await self.send(link, DELIVER, OK, link.sequence, body + text.encode())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # lose() has put the receipt among those that wait
        self.occurs("receipt")

    # -- life

    async def listen(self) -> None:
        async with trio.open_nursery() as self.background:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.background.start_soon(trio.serve_listeners, self.serve, listeners)
            print("port", listeners[0].socket.getsockname()[1], flush=True)
            await self.obey()
            self.background.cancel_scope.cancel()

    async def obey(self) -> None:
        commands = trio.lowlevel.FdStream(os.dup(0))
        buffer = b""
        while data := await commands.receive_some():
            buffer += data
            while b"\n" in buffer:
                line, _, buffer = buffer.partition(b"\n")
                command, *words = line.decode().split()
                if command == "arm":
                    self.armed = words[0], int(words[1]), int(words[2])
                elif command == "disarm":
                    self.armed = None
                elif command == "stall":
                    self.stall = trio.Event()
                elif command == "go":
                    self.stall.set()


def parse_submit(pdu: bytes) -> tuple[str, int, int, int, bytes]:
    """Destination, esm_class, registered_delivery, data_coding and short_message (SMPP 3.4 section 4.4.1)."""
    at = pdu.index(0, 16) + 3
    at = pdu.index(0, at) + 3
    end = pdu.index(0, at)
    to, at = pdu[at:end].decode(), end + 1
    esm = pdu[at]
    at = pdu.index(0, at + 3) + 1
    at = pdu.index(0, at) + 1
    registered, _, coding, _, length = pdu[at : at + 5]
    return to, esm, registered, coding, pdu[at + 5 : at + 5 + length]


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--record", required=True)
    arguments.add_argument("--seed", type=int, required=True)
    arguments.add_argument("--slowness", type=float, default=1.0)
    given = arguments.parse_args()
    trio.run(Carrier(given.record, given.seed, given.slowness).listen)
