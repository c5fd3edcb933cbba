"""The other end of TELL, scripted for the conformance kit."""

import asyncio

from stentor.driver import Inbound
from stentor.message import Status
from stentor.testing.peer import Answer, Login, Malformed, Peer, Seen
from stentor.text.segments import Encoding

ADDRESS = ("tell.test", 4711)
WORDS = {Answer.SENT: "SENT", Answer.REFUSED: "NEVER", Answer.DEFERRED: "LATER", Answer.THROTTLED: "SLOW"}
STATES = {Status.DELIVERED: "DELIVERED", Status.UNDELIVERED: "FAILED", Status.SENT: "ENROUTE"}


class LineLink(asyncio.Protocol):
    """One connection of the peer."""

    def __init__(self, peer: "LinePeer") -> None:
        self.peer = peer
        self.number = peer.links
        peer.links += 1
        self.rest = b""
        self.octets = 0
        self.in_flight = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.hear(line.decode(), self.octets)
            self.octets += len(line) + 1

    def say(self, line: str) -> None:
        if self.transport is not None:
            self.transport.write(line.encode() + b"\n")

    def hear(self, line: str, first_octet: int) -> None:
        word, *rest = line.split(" ")
        peer = self.peer
        match word:
            case "LOGIN":
                peer.logins += 1
                if peer.login is Login.ACCEPT:
                    self.say("OK")
                    peer.current = self
                elif peer.login is Login.REFUSE:
                    self.say("NO")
            case "SEND":
                self.take(rest, first_octet)
            case "DONE" | "AGAIN":
                peer.acknowledgements.setdefault(int(rest[0]), []).append(word == "DONE")
            case "BYE":
                peer.goodbyes += 1

    def take(self, words: list[str], first_octet: int) -> None:
        number, to, originator, encoding, flags, udh, data = words
        seen = Seen(
            to,
            originator,
            Encoding(encoding),
            bytes.fromhex(udh),
            bytes.fromhex(data),
            first_octet,
            self.number,
            (self, number),
            flash="F" in flags,
            wants_receipt="R" in flags,
        )
        peer = self.peer
        peer.seen.append(seen)
        self.in_flight += 1
        peer.most_in_flight = max(peer.most_in_flight, self.in_flight)
        if peer.answer is not Answer.HOLD:
            peer.reply(seen, peer.answer)


class LinePeer(Peer):
    """Listens at tell.test."""

    def __init__(self) -> None:
        super().__init__()
        self.links = 0
        self.handles = 0
        self.current: LineLink | None = None

    async def start(self, loop: asyncio.AbstractEventLoop) -> None:
        await loop.create_server(lambda: LineLink(self), *ADDRESS)

    def reply(self, seen: Seen, answer: Answer) -> None:
        link, number = seen.ticket
        if not seen.answers:
            link.in_flight -= 1
        seen.answers += 1
        if answer is Answer.SENT:
            seen.carrier_id = f"id{seen.to[-6:]}"
            link.say(f"SENT {number} {seen.carrier_id}")
        else:
            link.say(f"{WORDS[answer]} {number}")

    def reply_stray(self) -> None:
        assert self.current is not None
        self.current.say("SENT 999999 x")

    def send_receipt(self, seen: Seen, status: Status) -> int:
        return self._send(f"RCPT {{}} {seen.carrier_id} {STATES[status]}")

    def send_inbound(self, inbound: Inbound) -> int:
        text = (inbound.text or "").encode().hex()
        return self._send(f"TEXT {{}} {inbound.originator} {inbound.to} {text}")

    def _send(self, line: str) -> int:
        assert self.current is not None
        self.handles += 1
        self.current.say(line.format(self.handles))
        return self.handles

    def malformed(self) -> list[Malformed]:
        return [
            Malformed(b"NONSENSE\n", "an unknown word"),
            Malformed(b"TEXT 1 a b zz\n", "a text that is not hex"),
            Malformed(b"\xff\xfe\n", "no text at all"),
            Malformed(b"RCPT 1 x WHATEVER\n", "a state nobody knows"),
            Malformed(b"A" * 10_000, "a line without an end", is_answered=False),
        ]
