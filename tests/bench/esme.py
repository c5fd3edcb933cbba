"""A client for tests of the simulated SMSC: the session core in the ESME's role on trio, in the test's own process."""

import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from bench.peers.options import parse_options
from bench.peers.smsc import SMSC
from stentor_smpp.dlr import read_receipt
from stentor_smpp.events import (
    Alert,
    Answers,
    Ended,
    Event,
    Faults,
    Outbound,
    Requests,
    Responses,
    Unexpected,
)
from stentor_smpp.fields import BIND_TRANSCEIVER, SUBMIT_SM
from stentor_smpp.hot import pack_submit_sm, submit_head, submit_tail
from stentor_smpp.link import SessionSettings
from stentor_smpp.pdu import PDU, encode_body, encode_tlvs
from stentor_smpp.session import Session
from stentor_smpp.states import Role
from tests.support.waiting import WITHIN_S


class Esme:
    """One session. What came is gathered: ``answers`` by number, ``receipts`` as (id, state), ``texts`` of the rest,
    ``replies`` to other requests by token, and the names of ``other`` events."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.session = Session(SessionSettings(Role.ESME, window=10_000), time.monotonic())
        self.answers: dict[int, tuple[int, str | None]] = {}
        self.order: list[str] = []
        self.receipts: list[tuple[str, str]] = []
        self.texts: list[bytes] = []
        self.delivery_status = 0
        self.ended: Ended | None = None
        self.rest = b""
        self.deliveries: list[PDU] = []
        self.replies: dict[object, PDU] = {}
        self.tlvs: list[object] = []
        self.other: list[str] = []

    async def bind(
        self,
        system_id: str = "test",
        password: str = "test",
        command: int = BIND_TRANSCEIVER,
        version: int = 0x34,
    ) -> None:
        fields = {"system_id": system_id, "password": password, "system_type": ""}
        fields |= {"interface_version": version, "addr_ton": 0, "addr_npi": 0, "address_range": ""}
        self.session.bind(command, fields, time.monotonic())
        await self._flush()
        await self.until(lambda: self.session.is_bound or self.ended)

    async def submit(
        self,
        count: int,
        first: int = 0,
        *,
        registered: int = 1,
        tlvs: tuple[tuple[int, bytes], ...] = (),
        schedule: str = "",
        validity: str = "",
    ) -> None:
        head = submit_head("", 5, 0, "stentor", 1, 1)
        tail = submit_tail(0, 0, registered, validity, schedule)
        batch = [
            (n, pack_submit_sm(head, f"4070{n:07d}", tail, b"hello", encode_tlvs(tlvs)))
            for n in range(first, first + count)
        ]
        self.session.submit(batch, time.monotonic())
        await self._flush()

    async def ask(self, command_id: int, **fields: Any) -> PDU:
        """Send any request and wait for its answer."""
        token = object()
        self.session.submit([(token, encode_body(command_id, fields))], time.monotonic(), command_id)
        assert command_id != SUBMIT_SM
        await self._flush()
        await self.until(lambda: token in self.replies)
        return self.replies[token]

    async def until(self, condition: Callable[[], object]) -> None:
        """Read until the condition holds or the session has ended."""
        with trio.fail_after(WITHIN_S):
            while not condition() and self.ended is None:
                await self._read()

    async def listen(self, seconds: float) -> None:
        """Read for so long."""
        with trio.move_on_after(seconds):
            while self.ended is None:
                await self._read()

    async def _read(self) -> None:
        try:
            data = bytes(await self.stream.receive_some())
        except (trio.BrokenResourceError, ConnectionError):
            data = b""
        now = time.monotonic()
        if data:
            self.session.receive(data, now)
        else:
            self.session.connection_lost()
        for event in self.session.drain_events():
            self._take(event)
        await self._flush()

    def _take(self, event: Event) -> None:
        match event:
            case Responses():
                for token, status, message_id, tlvs in event.responses:
                    self.tlvs.append(tlvs)
                    self.answers[token] = (status, message_id)
                    self.order.append("answer")
            case Requests():
                for pdu in event.pdus:
                    self._take_delivery(pdu)
                self.session.respond([(pdu, self.delivery_status) for pdu in event.pdus])
            case Answers():
                self.replies.update(event.answers)
            case Alert() | Outbound() | Faults() | Unexpected():
                self.other.append(type(event).__name__)
            case Ended():
                self.ended = event

    def _take_delivery(self, pdu: PDU) -> None:
        self.deliveries.append(pdu)
        receipt = read_receipt(pdu)
        if receipt is None:
            self.texts.append(pdu.fields["short_message"])
            return
        assert receipt.id is not None
        assert receipt.state is not None
        self.receipts.append((receipt.id, receipt.state.name))
        self.order.append("receipt")

    async def _flush(self) -> None:
        octets = self.session.drain_output()
        if octets:
            await self.stream.send_all(octets)


@asynccontextmanager
async def running(
    *options: str, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[SMSC, Callable[[], Awaitable[Esme]]]]:
    """A simulated SMSC in this process, and what connects a new client to it, with ``context`` over TLS."""
    smsc = SMSC(parse_options(options))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]

    sockets: list[trio.socket.SocketType] = []

    async def connect() -> Esme:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        sockets.append(stream.socket)
        if context is None:
            return Esme(stream)
        return Esme(trio.SSLStream(stream, context, server_hostname="localhost"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(smsc.run, listener)
        try:
            yield smsc, connect
        finally:
            nursery.cancel_scope.cancel()
            for each in sockets:
                each.close()
            listener.close()
    if smsc.record is not None:
        smsc.record.close()


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for something of the SMSC's that sends no event."""
    with trio.fail_after(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - a counter has no event to wait for
            await trio.sleep(0.001)


def statuses(client: Esme) -> Sequence[int]:
    """The answers' statuses in the order of the submissions."""
    return [client.answers[number][0] for number in sorted(client.answers)]
