"""From requests of an SMSC (deliver_sm, data_sm) to receipts and inbound messages.

Nothing a carrier sends raises. A receipt without a usable id or state cannot be matched: it is counted and answered.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from stentor.driver import Inbound, Receipt
from stentor.message import Error, Status
from stentor.text.segments import Encoding
from stentor_smpp.alphabets import Alphabet, read_body
from stentor_smpp.dlr import MessageState, date_ms, read_receipt, state_of
from stentor_smpp.dlr import Receipt as CarrierReceipt
from stentor_smpp.hot import UsualReceipt
from stentor_smpp.matching import IdKey
from stentor_smpp.pdu import PDU

_INTERNATIONAL: Final = 1

_MEANINGS: Final = {
    MessageState.SCHEDULED: (Status.SENT, None),
    MessageState.ENROUTE: (Status.SENT, None),
    # For most carriers "handed on, more to come"; a final word follows or the horizon ends the wait.
    MessageState.ACCEPTED: (Status.SENT, None),
    MessageState.DELIVERED: (Status.DELIVERED, None),
    MessageState.EXPIRED: (Status.EXPIRED, "expired"),
    MessageState.DELETED: (Status.UNDELIVERED, "deleted"),
    MessageState.UNDELIVERABLE: (Status.UNDELIVERED, "not_delivered"),
    MessageState.SKIPPED: (Status.UNDELIVERED, "not_delivered"),
    MessageState.REJECTED: (Status.REJECTED, "rejected"),
    MessageState.UNKNOWN: (Status.UNKNOWN, "no_receipt"),
}
"""What a message_state means for a segment (SMPP 3.4 section 5.2.28)."""

_ENCODINGS: Final = {Alphabet.UCS2: Encoding.UCS2, Alphabet.BINARY: Encoding.BINARY}


def read(pdus: Iterable[PDU], receipt_key: IdKey) -> tuple[list[Receipt | Inbound], int]:
    """What the requests of one read bring, in order, and how many receipts among them name nothing."""
    items: list[Receipt | Inbound] = []
    unreadable = 0
    for pdu in pdus:
        receipt = read_receipt(pdu)
        if receipt is None:
            items.append(_inbound(pdu))
            continue
        match_id = receipt_key(receipt.id) if receipt.id else None
        if match_id is None or receipt.state is None:
            unreadable += 1
            continue
        items.append(_receipt(receipt, match_id, receipt.state))
    return items, unreadable


def read_usual(receipts: Iterable[UsualReceipt], receipt_key: IdKey) -> tuple[list[Receipt], int]:
    """The same for receipts of the usual shape."""
    items: list[Receipt] = []
    unreadable = 0
    for receipt in receipts:
        match_id = receipt_key(receipt.id.decode("latin-1"))
        if match_id is None:
            unreadable += 1
            continue
        status, error = _usual_meaning(receipt.stat, receipt.err)
        items.append(Receipt(match_id, status, error, _usual_date_ms(receipt.done_date)))
    return items, unreadable


@lru_cache(maxsize=4096)
def _usual_meaning(stat: bytes, err: bytes) -> tuple[Status, Error | None]:
    """Remembered: a carrier has few words and few codes."""
    word = stat.decode("ascii")
    state = state_of(word)
    status, code = _MEANINGS[state]
    return status, None if code is None else Error(code, err.decode("latin-1") or None, word[:200])


@lru_cache(maxsize=8192)
def _usual_date_ms(date: bytes) -> int:
    return date_ms(date.decode("ascii")) or 0


def _receipt(receipt: CarrierReceipt, match_id: str, state: MessageState) -> Receipt:
    status, code = _MEANINGS[state]
    if not receipt.is_final:
        status, code = Status.SENT, None
    error = None
    if code is not None:
        error = Error(code, _carrier_code(receipt), (receipt.stat or state.name)[:200])
    return Receipt(match_id, status, error, receipt.done_at_ms or 0)


def _carrier_code(receipt: CarrierReceipt) -> str | None:
    if receipt.network_error is not None:
        return str(receipt.network_error.code)
    return receipt.err or None


def _inbound(pdu: PDU) -> Inbound:
    fields = pdu.fields
    body = read_body(pdu)
    text = body.text
    return Inbound(
        originator=_address(fields["source_addr_ton"], fields["source_addr"]),
        to=_address(fields["dest_addr_ton"], fields["destination_addr"]),
        text=text,
        encoding=_ENCODINGS.get(body.alphabet, Encoding.GSM7) if text is not None else Encoding.BINARY,
        data=body.octets if text is None else None,
    )


def _address(ton: int, address: str) -> str:
    """An international number gets its plus; everything else stays as it came."""
    if ton == _INTERNATIONAL and address.isdigit():
        return "+" + address
    return address
