"""An SMSC in the test's own process and by its own hand, for tests in which the moment of an answer matters."""

import socket
import struct

from tests.contract.contract_world import START_S

HEADER = struct.Struct(">IIII")
SUBMIT_SM, DELIVER_SM, UNBIND, BIND_TRANSCEIVER, RESPONSE = 4, 5, 6, 9, 0x8000_0000


class HandSmsc:
    """An SMSC that does nothing by itself: takes binds, answers a submit_sm when it is told to (SMPP 3.4 §4.4), and
    sends the deliver_sm it is told to (§4.6.1).
    """

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(START_S)
        self.port = int(self._server.getsockname()[1])
        self._link: socket.socket | None = None
        self._sequence = 0

    def accept(self) -> None:
        """Take the next link, and its bind."""
        self.hang_up()
        self._link, _ = self._server.accept()
        self._link.settimeout(START_S)
        sequence = self._until(BIND_TRANSCEIVER)
        self._send(BIND_TRANSCEIVER | RESPONSE, sequence, b"smsc\0")

    def taken(self) -> int:
        """The sequence number of the next submit_sm."""
        return self._until(SUBMIT_SM)

    def answer(self, sequence: int) -> None:
        """Accept a submit_sm."""
        self._send(SUBMIT_SM | RESPONSE, sequence, b"%d\0" % sequence)

    def let_go(self) -> None:
        """Answer the unbind, before which no other submit_sm may come."""
        self._send(UNBIND | RESPONSE, self._until(UNBIND, never=SUBMIT_SM), b"")
        self.hang_up()

    def deliver(
        self, originator: str, to: str, octets: bytes, esm_class: int = 0, data_coding: int = 0
    ) -> None:
        """Send a message and wait until it is acknowledged."""
        self.send(originator, to, octets, esm_class, data_coding)
        assert self._until(DELIVER_SM | RESPONSE) == self._sequence

    def send(self, originator: str, to: str, octets: bytes, esm_class: int, data_coding: int) -> None:
        self._sequence += 1
        body = b"\0\1\1" + originator.encode() + b"\0\3\0" + to.encode() + b"\0"
        body += bytes((esm_class, 0, 0, 0, 0, 0, 0, data_coding, 0, len(octets))) + octets
        self._send(DELIVER_SM, self._sequence, body)

    def _send(self, command_id: int, sequence: int, body: bytes) -> None:
        assert self._link is not None
        self._link.sendall(HEADER.pack(16 + len(body), command_id, 0, sequence) + body)

    def _until(self, wanted: int, never: int = 0) -> int:
        """Read PDUs up to the first of this command; its sequence number."""
        while True:
            length, command_id, status, sequence = HEADER.unpack(self._read(16))
            self._read(length - 16)
            assert command_id != never
            if command_id == wanted:
                assert status == 0
                return sequence

    def _read(self, count: int) -> bytes:
        assert self._link is not None
        found = b""
        while len(found) < count:
            octets = self._link.recv(count - len(found))
            assert octets, "the link was closed"
            found += octets
        return found

    def hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def close(self) -> None:
        self.hang_up()
        self._server.close()
