"""The fast way of the simulated SMSC: submissions answered at once, receipts in the same write, no object per
PDU.

Only for a behaviour without faults. It reads what carries the volume, submit_sm and deliver_sm_resp; every
other PDU is handed out whole, for the session core. Invariant: a delivery stands in ``outstanding`` from the
write that carries it to its acknowledgement.
"""

from collections.abc import Iterator
from struct import Struct as Packer
from typing import Final

from bench.peers.behaviour import ReceiptForm
from bench.peers.receipts import ID_OCTETS, Delivery, Template, pack_receipt, receipt_template
from stentor_smpp.fields import DELIVER_SM, DELIVER_SM_RESP, SUBMIT_SM, SUBMIT_SM_RESP
from stentor_smpp.pdu import HEADER, HEADER_OCTETS, SERVER_PDU_OCTETS

_SUBMIT_RESPONSE: Final = Packer(f">IIII{ID_OCTETS}sx")
_RESPONSE_OCTETS: Final = _SUBMIT_RESPONSE.size

Seen = tuple[int, bytes, bytes, int, int, bytes]
"""One submit_sm for the record: sequence, id, destination, esm_class, data_coding, short_message."""


class FramingLost(Exception):
    """The stream cannot be followed; the session core is to say how."""


class FastReader:
    """Reads the octets of one connection. ``output`` is what to send, ``others`` are PDUs for the session
    core.
    """

    def __init__(self, ids: Iterator[int], form: ReceiptForm, state: str, window: int) -> None:
        self.is_bound = False
        self.is_receiver = False
        self._ids = ids
        self._form = form
        self._state = state
        self._window = window
        self._sequence = 0
        self._head = b"\xff"  # no head begins so
        self._tail = b"\xff"
        self._is_scheduled = False
        self._wants_receipt = False
        self._template: Template = (b"", b"", b"")
        self._date = b""
        self._rest = b""
        self.outstanding: dict[int, Delivery] = {}
        self.output: list[bytes] = []
        self.others: list[bytes] = []
        self.overflow: list[Delivery] = []
        self.acknowledged: list[tuple[Delivery, int]] | None = None
        self.seen: list[Seen] | None = None
        self.sent: list[Delivery] | None = None
        self.submits = 0
        self.receipts = 0
        self.acknowledgements = 0
        self.inbound_acknowledgements = 0
        self.refused: list[tuple[Delivery, int]] = []

    def keep_record(self) -> None:
        """Gather in ``seen``, ``sent`` and ``acknowledged`` what the record wants to know."""
        self.seen, self.sent, self.acknowledged = [], [], []

    @property
    def room(self) -> int:
        """Deliveries that may be sent now."""
        return self._window - len(self.outstanding)

    def read(self, data: bytes, date: bytes) -> None:
        """Take octets in any pieces. ``date`` stands in the receipts. Raises FramingLost."""
        if date != self._date:
            self._date, self._head = date, b"\xff"
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        header = HEADER.unpack_from
        take, outstanding = self._take_submit, self.outstanding
        while size - at >= HEADER_OCTETS:
            length, command_id, status, sequence = header(data, at)
            end = at + length
            if not HEADER_OCTETS <= length <= SERVER_PDU_OCTETS:
                self._rest = data[at:]
                raise FramingLost
            if end > size:
                break
            if command_id == SUBMIT_SM and self.is_bound:
                try:
                    is_taken = take(data, at, end, sequence)
                except ValueError:
                    is_taken = False  # a string without its end
                if not is_taken:
                    self.others.append(data[at:end])
            elif command_id == DELIVER_SM_RESP and sequence in outstanding:
                delivery = outstanding.pop(sequence)
                if status:
                    self.refused.append((delivery, status))
                elif delivery.state:
                    self.acknowledgements += 1
                else:
                    self.inbound_acknowledgements += 1
                if self.acknowledged is not None:
                    self.acknowledged.append((delivery, status))
            else:
                self.others.append(data[at:end])
            at = end
        self._rest = data[at:]

    @property
    def rest(self) -> bytes:
        """Octets of a PDU that is not whole, or that cannot be."""
        return self._rest

    def deliver(self, deliveries: list[Delivery]) -> None:
        """Send these; there must be room."""
        pack, sequence = HEADER.pack, self._sequence
        for delivery in deliveries:
            sequence = sequence % 0x7FFFFFFF + 1
            self.outstanding[sequence] = delivery
            self.output += (
                pack(HEADER_OCTETS + len(delivery.body), DELIVER_SM, 0, sequence),
                delivery.body,
            )
        self._sequence = sequence
        if self.sent is not None:
            self.sent += deliveries

    def _take_submit(self, data: bytes, at: int, end: int, sequence: int) -> bool:
        head = self._head
        start = at + HEADER_OCTETS
        if not data.startswith(head, start):
            head = self._learn_head(data, start)
        number_at = start + len(head)
        tail_at = data.index(0, number_at)
        if not data.startswith(self._tail, tail_at):
            self._learn_tail(data, tail_at)
        if self._is_scheduled or tail_at + len(self._tail) >= end:
            return False
        message_id = b"%013x" % next(self._ids)
        output = self.output
        output.append(_SUBMIT_RESPONSE.pack(_RESPONSE_OCTETS, SUBMIT_SM_RESP, 0, sequence, message_id))
        self.submits += 1
        if self.seen is not None:
            self._see(data, tail_at, sequence, message_id, data[number_at:tail_at])
        if not self._wants_receipt:
            return True
        form = self._form
        if form is ReceiptForm.TEXT:
            left, middle, right = self._template
            body = b"".join((left, data[number_at:tail_at], middle, message_id, right))
        else:
            body = pack_receipt(self._template, data[number_at:tail_at], message_id, form)
        self.receipts += 1
        delivery = Delivery(body, message_id, self._state)
        outstanding = self.outstanding
        if not self.is_receiver or len(outstanding) >= self._window or self.overflow:
            self.overflow.append(delivery)
            return True
        number = self._sequence = self._sequence % 0x7FFFFFFF + 1
        outstanding[number] = delivery
        output.append(HEADER.pack(HEADER_OCTETS + len(body), DELIVER_SM, 0, number))
        output.append(body)
        if self.sent is not None:
            self.sent.append(delivery)
        return True

    def _learn_head(self, data: bytes, start: int) -> bytes:
        """Channels send the same addresses again and again: parse them once."""
        service_end = data.index(0, start)
        source_end = data.index(0, service_end + 3)
        head = self._head = data[start : source_end + 3]
        self._template = receipt_template(head, self._state, self._date, self._form)
        return head

    def _learn_tail(self, data: bytes, tail_at: int) -> None:
        registered_at = _registered_at(data, tail_at)
        self._tail = data[tail_at : registered_at + 1]
        self._is_scheduled = data[tail_at + 4] != 0
        wanted = (1, 3) if self._state == "DELIVRD" else (1, 2)
        self._wants_receipt = self._form is not ReceiptForm.NONE and data[registered_at] & 3 in wanted

    def _see(self, data: bytes, tail_at: int, sequence: int, message_id: bytes, number: bytes) -> None:
        assert self.seen is not None
        at = tail_at + len(self._tail)
        coding, size = data[at + 1], data[at + 3]
        self.seen.append(
            (sequence, message_id, number, data[tail_at + 1], coding, data[at + 4 : at + 4 + size])
        )


def _registered_at(data: bytes, tail_at: int) -> int:
    """Where registered_delivery stands: behind esm_class, protocol_id, priority_flag and two times."""
    schedule_end = data.index(0, tail_at + 4)
    return data.index(0, schedule_end + 1) + 1
