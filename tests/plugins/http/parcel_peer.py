"""The made-up carrier of tests/data/http/parcel.toml, scripted for the conformance kit."""

import asyncio
import json
from pathlib import Path

from stentor.testing.peer import Answer, Can, Peer, Seen
from stentor.text.segments import Encoding

DESCRIPTION = str(Path(__file__).parents[2] / "data" / "http" / "parcel.toml")
HOOKS = {
    "public_url": "https://sms.example/in/channel",
    "secrets": [{"name": "hook_token", "secret": "t0ken"}],
}
ADDRESS = ("parcel.test", 80)
WORDS = {Answer.REFUSED: (400, "never"), Answer.DEFERRED: (503, "later"), Answer.THROTTLED: (429, "slow")}


class ParcelLink(asyncio.Protocol):
    """One connection of the peer."""

    def __init__(self, peer: "ParcelPeer") -> None:
        self.peer = peer
        self.number = peer.links
        peer.links += 1
        self.held = b""
        self.octets = 0
        self.in_flight = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport

    def connection_lost(self, error) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:end].decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0] or "0")
            whole = end + 4 + length
            if len(self.held) < whole:
                return
            body, self.held = self.held[end + 4 : whole], self.held[whole:]
            self.hear(head, json.loads(body), self.octets)
            self.octets += whole

    def hear(self, head: str, asked: dict[str, object], first_octet: int) -> None:
        is_known = "authorization: bearer can4ry-7" in head
        binary = bytes.fromhex(str(asked.get("data") or ""))
        is_binary = "data" in asked
        encoding = Encoding.BINARY if is_binary else Encoding.UCS2 if asked["unicode"] else Encoding.GSM7
        seen = Seen(
            str(asked["to"]),
            str(asked["from"]),
            encoding,
            bytes.fromhex(str(asked.get("udh") or "")),
            binary,
            first_octet,
            self.number,
            self,
            text=None if is_binary else str(asked["text"]),
            flash=bool(asked["flash"]),
            wants_receipt=bool(asked["receipt"]),
        )
        peer = self.peer
        peer.bodies.append(asked)
        if not is_known:
            self.say(401, {"error": "who"})
            return
        peer.seen.append(seen)
        self.in_flight += 1
        peer.most_in_flight = max(peer.most_in_flight, self.in_flight)
        if peer.answer is not Answer.HOLD:
            peer.reply(seen, peer.answer)

    def say(self, status: int, answer: dict[str, str]) -> None:
        if self.transport is not None:
            body = json.dumps(answer).encode()
            self.transport.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


class ParcelPeer(Peer):
    """Listens at parcel.test. An answer belongs to a connection: so does the order of submissions and answers."""

    can = frozenset({Can.LINK, Can.REFUSE, Can.THROTTLE, Can.HOLD, Can.STRAY, Can.SUBMITS, Can.ORDER})

    def __init__(self) -> None:
        super().__init__()
        self.links = 0
        self.last: ParcelLink | None = None
        self.bodies: list[dict[str, object]] = []

    async def start(self, loop: asyncio.AbstractEventLoop) -> None:
        await loop.create_server(lambda: ParcelLink(self), *ADDRESS)

    def reply(self, seen: Seen, answer: Answer) -> None:
        link = self.last = seen.ticket
        if not seen.answers:
            link.in_flight -= 1
        seen.answers += 1
        if answer is Answer.SENT:
            seen.carrier_id = f"id{seen.to[-6:]}"
            link.say(200, {"id": seen.carrier_id})
        else:
            status, word = WORDS[answer]
            link.say(status, {"error": word})

    def reply_stray(self) -> None:
        assert self.last is not None
        self.last.say(200, {"id": "stray"})


class ManyLinks(ParcelPeer):
    """The same, for a driver with several connections: there the kit cannot know which carries what."""

    can = ParcelPeer.can - {Can.LINK, Can.ORDER}
