"""From requests of an SMSC (deliver_sm, data_sm) to receipts and inbound messages.

Nothing a carrier sends raises. Receipts are read by the channel's own rules (``reports``).
"""

from collections.abc import Iterable
from typing import Final

from stentor.driver import Inbound, Part, Receipt
from stentor.text.segments import Encoding
from stentor_smpp.alphabets import Alphabet, Body, read_body
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
            items.append(_inbound(pdu, reports.default))
            continue
        report = reports.report(receipt, pdu)
        if report is None:
            unreadable += 1
        else:
            items.append(report)
    return items, unreadable


def _inbound(pdu: PDU, default: Alphabet) -> Inbound:
    fields = pdu.fields
    body = read_body(pdu, default)
    part = _part(body)
    text = None if part is not None and _may_be_cut(body) else body.text
    return Inbound(
        originator=_address(fields["source_addr_ton"], fields["source_addr"]),
        to=_address(fields["dest_addr_ton"], fields["destination_addr"]),
        text=text,
        encoding=_ENCODINGS.get(body.alphabet, Encoding.GSM7),
        data=body.octets if text is None else None,
        part=part,
    )


def _part(body: Body) -> Part | None:
    """References of 8 and of 16 bits are different even when their numbers are the same."""
    found = body.concatenation
    if found is None:
        return None
    return Part(found.bits << 16 | found.reference, found.total, found.number)


def _may_be_cut(body: Body) -> bool:
    """A character of the text may have its rest in the next part, so the engine decodes both together. It knows no
    national tables: a text in one is decoded here."""
    header = body.header
    if body.alphabet is Alphabet.GSM:
        return header is None or (header.single_shift is None and header.locking_shift is None)
    return body.alphabet is Alphabet.UCS2


def _address(ton: int, address: str) -> str:
    """An international number gets its plus; everything else stays as it came."""
    if ton == _INTERNATIONAL and address.isdigit():
        return "+" + address
    return address
