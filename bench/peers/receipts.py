"""Bodies of deliver_sm of the usual kind: receipts packed from templates (SMPP 3.4 section 4.6.1, appendix B).

Everything that repeats between receipts is packed once; what changes is the number, the id and, each minute,
the date. Receipts of unusual shapes are made by ``dialect``.
"""

from functools import lru_cache
from struct import Struct as Packer
from typing import Final

import msgspec

from bench.peers.behaviour import ReceiptForm
from bench.peers.dialect import STATES
from stentor_smpp.fields import DELIVER_SM
from stentor_smpp.tlvs import MESSAGE_STATE, RECEIPTED_MESSAGE_ID

ID_OCTETS: Final = 13
"""Length of every message_id: hexadecimal with leading zeros."""

_RECEIPT_CLASS: Final = 0x04
_TLV: Final = Packer(">HH")


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A deliver_sm or data_sm to be sent until it is acknowledged. ``state`` is empty for a message from a handset;
    ``message_id`` is the one the response gave, however the receipt writes it."""

    body: bytes
    message_id: bytes
    state: str
    command_id: int = DELIVER_SM


Template = tuple[bytes, bytes, bytes]
"""What stands before the destination's number, between it and the id, and behind the id."""


@lru_cache(maxsize=4096)
def receipt_template(head: bytes, state: str, date: bytes, form: ReceiptForm) -> Template:
    """``head``: the submit_sm's octets from service_type to dest_addr_npi; ``date`` as ``YYMMDDhhmm``."""
    source = head[head.index(0) + 1 : -2]
    text = b""
    if form is not ReceiptForm.TLV:
        word = state.encode("ascii")
        dlvrd = b"001" if state == "DELIVRD" else b"000"
        text = b" sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:000 text:" % (
            dlvrd,
            date,
            date,
            word,
        )
    size = 3 + ID_OCTETS + len(text) if text else 0
    flags = bytes((_RECEIPT_CLASS, 0, 0, 0, 0, 0, 0, 0, 0, size))
    left = b"\0" + head[-2:]
    middle = b"\0" + source + flags + (b"id:" if text else b"")
    state_tlv = _TLV.pack(MESSAGE_STATE, 1) + bytes((STATES.get(state, 7),))
    id_head = _TLV.pack(RECEIPTED_MESSAGE_ID, ID_OCTETS + 1)
    if form is ReceiptForm.TEXT:
        return left, middle, text
    if form is ReceiptForm.TLV:
        return left, middle + state_tlv + id_head, b"\0"
    return left, middle, text + state_tlv + id_head


def pack_receipt(template: Template, destination: bytes, id_octets: bytes, form: ReceiptForm) -> bytes:
    """The whole body of a receipt."""
    left, middle, right = template
    if form is ReceiptForm.BOTH:
        return b"".join((left, destination, middle, id_octets, right, id_octets, b"\0"))
    return b"".join((left, destination, middle, id_octets, right))
