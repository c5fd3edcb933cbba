"""An SMSC for the driver's tests: the session in the role of the MC, scripted as the conformance kit asks.

It runs on any asyncio loop, in memory or over TCP. It starts no timer and no task.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from stentor.driver import Inbound
from stentor.message import Status
from stentor.testing.peer import Answer, Login, Malformed, Peer, Seen
from stentor.text import gsm0338
from stentor.text.segments import Encoding
from stentor_smpp import pdu as codec
from stentor_smpp import status
from stentor_smpp.alphabets import decode_ucs2, sar_concatenation, text_octets
from stentor_smpp.events import BindRequested, Ended, EndReason, Requests, Responses
from stentor_smpp.fields import BIND_TRANSMITTER, DELIVER_SM, QUERY_SM, SUBMIT_SM, SUBMIT_SM_RESP
from stentor_smpp.link import SessionSettings
from stentor_smpp.pdu import PDU
from stentor_smpp.session import Session
from stentor_smpp.states import Role, State
from stentor_smpp.tlvs import CONGESTION_STATE

HOST, PORT = "smsc.test", 2775
CODES = {
    Answer.SENT: status.ROK,
    Answer.REFUSED: status.RINVDSTADR,
    Answer.DEFERRED: status.RSYSERR,
    Answer.THROTTLED: status.RTHROTTLED,
}
STATES = {Status.DELIVERED: "DELIVRD", Status.UNDELIVERED: "UNDELIV", Status.SENT: "ENROUTE"}
ENCODINGS = {0: Encoding.GSM7, 8: Encoding.UCS2, 4: Encoding.BINARY, 3: Encoding.LATIN1}
FLASH = {0xF0: Encoding.GSM7, 0x18: Encoding.UCS2, 0xF4: Encoding.BINARY}
DECODERS: dict[Encoding, Callable[[bytes], str | None]] = {
    Encoding.GSM7: gsm0338.decode,
    Encoding.UCS2: decode_ucs2,
    Encoding.BINARY: lambda _: None,
    Encoding.LATIN1: lambda octets: octets.decode("latin-1"),
}
SETTINGS = SessionSettings(role=Role.MC, window=100_000, peer_window=100_000, strays_per_minute=1_000_000)


class SMSCLink(asyncio.Protocol):
    """One connection of the SMSC. ``received`` are all PDUs in order, by name."""

    def __init__(self, peer: "SMSCPeer") -> None:
        self.peer = peer
        self.number = len(peer.links)
        peer.links.append(self)
        self.session = Session(SETTINGS, 0.0)
        self.in_flight = 0
        self.received: list[str] = []
        self.bind: PDU | None = None
        self.starts: dict[int, int] = {}
        self.octets = 0
        self.rest = b""
        self.transport: asyncio.Transport | None = None

    # -- asyncio ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have this interface without being of the class.
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.session.connection_lost()

    def data_received(self, data: bytes) -> None:
        self._frame(data)
        if self.peer.is_deaf:
            return
        self.session.receive(data, 0.0)
        self.settle()

    def _frame(self, data: bytes) -> None:
        """Where each submit_sm begins, and the names of all PDUs."""
        self.rest += data
        while len(self.rest) >= 16 and len(self.rest) >= (length := int.from_bytes(self.rest[:4], "big")):
            _, command_id, _, sequence = codec.HEADER.unpack_from(self.rest)
            if command_id == SUBMIT_SM:
                self.starts[sequence] = self.octets
            self.received.append(PDU(command_id, 0, sequence).command)
            self.rest = self.rest[length:]
            self.octets += length

    # -- the session ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        for event in self.session.drain_events():
            match event:
                case BindRequested():
                    self._let_in(event.pdu)
                case Requests():
                    for pdu in event.pdus:
                        if pdu.command_id == SUBMIT_SM:
                            self._take(pdu)
                        else:
                            self.peer.take_question(pdu, self)
                case Responses():
                    for token, code, _, _ in event.responses:
                        self.peer.acknowledgements.setdefault(token, []).append(code == 0)
                case Ended():
                    self.peer.goodbyes += event.reason is EndReason.PEER_UNBOUND
                    self.flush()
                    if self.transport is not None:
                        self.transport.close()
                case _:
                    self.peer.others.append(event)
        self.flush()

    def flush(self) -> None:
        output = self.session.drain_output()
        if output and self.transport is not None:
            self.transport.write(output)

    def _let_in(self, pdu: PDU) -> None:
        peer = self.peer
        peer.logins += 1
        self.bind = pdu
        if peer.login is Login.ACCEPT and peer.let_in():
            self.session.accept_bind(pdu, "SMSC", 0.0)
        elif peer.login is not Login.IGNORE:
            self.session.refuse_bind(pdu, peer.bind_status)

    def _take(self, pdu: PDU) -> None:
        fields = pdu.fields
        octets = text_octets(pdu)
        udh_octets = 1 + octets[0] if fields["esm_class"] & 0x40 else 0
        udh, data = octets[:udh_octets], octets[udh_octets:]
        coding = fields["data_coding"]
        encoding = {**ENCODINGS, **FLASH}[coding]
        number = fields["source_addr"]
        seen = Seen(
            "+" + fields["destination_addr"],
            "+" + number if fields["source_addr_ton"] == 1 else number,
            encoding,
            _with_concatenation(udh, pdu),
            data,
            self.starts[pdu.sequence],
            self.number,
            (self, pdu),
            text=DECODERS[encoding](data),
            flash=coding in FLASH,
            wants_receipt=bool(fields["registered_delivery"] & 1),
        )
        peer = self.peer
        peer.seen.append(seen)
        self.in_flight += 1
        peer.most_in_flight = max(peer.most_in_flight, self.in_flight)
        if peer.answer is not Answer.HOLD:
            peer.reply(seen, peer.answer)

    def unbind(self) -> None:
        self.session.unbind(0.0)
        self.flush()


class SMSCPeer(Peer):
    """``bind_status`` is what a refused bind is told; ``is_deaf``: it reads and never answers anything.

    ``let_in`` is asked about each bind it would accept. ``code``: the status of every answer that would say
    SENT. ``congestion``: what every answer that says SENT tells in congestion_state. ``questions`` are the
    query_sm and cancel_sm that came, ``asked`` those without an answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.links: list[SMSCLink] = []
        self.handles = 0
        self.bind_status = status.RINVPASWD
        self.is_deaf = False
        self.let_in: Callable[[], bool] = lambda: True
        self.code: int | None = None
        self.congestion: int | None = None
        self.questions: list[PDU] = []
        self._asked: dict[int, SMSCLink] = {}
        self.others: list[Any] = []

    async def start(self, loop: asyncio.AbstractEventLoop) -> None:
        await loop.create_server(lambda: SMSCLink(self), HOST, PORT)

    @property
    def receiving(self) -> SMSCLink:
        """The newest link that takes deliver_sm."""
        bound = (State.BOUND_RX, State.BOUND_TRX)
        return next(link for link in reversed(self.links) if link.session.state in bound)

    @property
    def sending(self) -> SMSCLink:
        """The newest link that takes submit_sm."""
        bound = (State.BOUND_TX, State.BOUND_TRX)
        return next(link for link in reversed(self.links) if link.session.state in bound)

    def reply(self, seen: Seen, answer: Answer) -> None:
        link, pdu = seen.ticket
        is_first = not seen.answers
        seen.answers += 1
        if is_first:
            link.in_flight -= 1
        if not link.session.is_bound:
            return
        if answer is Answer.SENT:
            seen.carrier_id = seen.carrier_id or f"{int(seen.to[1:]):X}"
        if is_first and self.code is not None and answer is Answer.SENT:
            link.session.respond([(pdu, self.code)])
            link.flush()
        elif is_first and answer is Answer.SENT and self.congestion is not None:
            tlvs = ((CONGESTION_STATE, bytes((self.congestion,))),)
            link.session.reply(pdu, {"message_id": seen.carrier_id}, tlvs)
            link.flush()
        elif is_first and answer is Answer.SENT:
            link.session.respond_ids([(pdu, seen.carrier_id)])
            link.flush()
        elif is_first:
            link.session.respond([(pdu, CODES[answer])])
            link.flush()
        else:
            link.transport.write(response(pdu.sequence, CODES[answer], seen.carrier_id))

    @property
    def asked(self) -> list[PDU]:
        return [pdu for pdu in self.questions if id(pdu) in self._asked]

    def take_question(self, pdu: PDU, link: SMSCLink) -> None:
        self.questions.append(pdu)
        self._asked[id(pdu)] = link

    def reply_question(self, pdu: PDU, code: int = 0, **fields: Any) -> None:
        link = self._asked.pop(id(pdu))
        if pdu.command_id == QUERY_SM:
            fields["message_id"] = pdu.fields["message_id"]
        link.session.reply(pdu, {} if code else fields, (), code)
        link.flush()

    def reply_stray(self) -> None:
        link = self.sending
        assert link.transport is not None
        link.transport.write(response(123_456, 0, "x"))
        link.transport.write(codec.encode(PDU(0x80000000, 3, 77)))

    def send_receipt(self, seen: Seen, status: Status) -> int:
        done = "id:{} sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:{} err:000 text:x"
        text = done.format(seen.carrier_id, STATES[status]).encode()
        return self.deliver(
            esm_class=4, source_addr=seen.to[1:], destination_addr="12345", short_message=text
        )

    def send_inbound(self, inbound: Inbound) -> int:
        is_ucs2 = inbound.encoding is Encoding.UCS2
        text = inbound.text or ""
        return self.deliver(
            source_addr=inbound.originator[1:],
            source_addr_ton=1,
            source_addr_npi=1,
            dest_addr_ton=int(inbound.to.startswith("+")),
            destination_addr=inbound.to.removeprefix("+"),
            data_coding=8 if is_ucs2 else 0,
            short_message=text.encode("utf-16-be") if is_ucs2 else gsm0338.encode(text),
        )

    def deliver(self, **fields: Any) -> int:
        """Send a deliver_sm; returns its handle."""
        self.handles += 1
        link = self.receiving
        body = codec.encode_body(DELIVER_SM, fields)
        link.session.submit([(self.handles, body)], 0.0, DELIVER_SM)
        link.flush()
        return self.handles

    def malformed(self) -> list[Malformed]:
        header = codec.HEADER.pack
        return [
            Malformed(header(16, 0x00000099, 0, 5), "an unknown command"),
            Malformed(header(20, DELIVER_SM, 0, 6) + b"abcd", "a deliver_sm without an end"),
            Malformed(header(16, SUBMIT_SM, 0, 7), "a submit_sm the wrong way"),
            Malformed(header(16, BIND_TRANSMITTER, 0, 8), "a bind the wrong way"),
            Malformed(header(4, 0, 0, 9), "a length below the header's", is_answered=False),
            Malformed(header(0x7FFFFFFF, DELIVER_SM, 0, 9), "a length of two gigabytes", is_answered=False),
            Malformed(b"HTTP/1.1 400 Bad Request\r\n\r\n", "another protocol", is_answered=False),
        ]


def _with_concatenation(udh: bytes, pdu: PDU) -> bytes:
    """The header the network would make of the sar TLVs."""
    joined = sar_concatenation(pdu)
    if joined is None:
        return udh
    element = bytes((0, 3, joined.reference, joined.total, joined.number))
    return bytes((len(element) + len(udh[1:]),)) + element + udh[1:]


def response(sequence: int, status: int, message_id: str) -> bytes:
    """A submit_sm_resp outside the session's book."""
    return codec.encode(PDU(SUBMIT_SM_RESP, status, sequence, {} if status else {"message_id": message_id}))
