"""From requests of an SMSC (deliver_sm, data_sm) to receipts and inbound messages.

Nothing a carrier sends raises. Receipts are read by the channel's own rules (``reports``).
"""

from collections.abc import Iterable
from typing import Final

from stentor.driver import Inbound, Receipt
from stentor.text.segments import Encoding
from stentor_smpp.alphabets import Alphabet, read_body
from stentor_smpp.pdu import PDU
from stentor_smpp.reports import Reports

_INTERNATIONAL: Final = 1

_ENCODINGS: Final = {Alphabet.UCS2: Encoding.UCS2, Alphabet.BINARY: Encoding.BINARY}


def read(pdus: Iterable[PDU], reports: Reports) -> tuple[list[Receipt | Inbound], int]:
    """What the requests of one read bring, in order, and how many receipts among them name nothing."""
    items: list[Receipt | Inbound] = []
    unreadable = 0
    for pdu in pdus:
        receipt = reports.read(pdu)
        if receipt is None:
            items.append(_inbound(pdu))
            continue
        report = reports.report(receipt, pdu)
        if report is None:
            unreadable += 1
        else:
            items.append(report)
    return items, unreadable


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
