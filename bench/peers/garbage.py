"""Octets that a client of the simulated SMSC must survive: no SMPP at all, or SMPP that makes no sense."""

from random import Random

from bench.peers.behaviour import Garbage
from stentor_smpp.fields import DELIVER_SM, SUBMIT_SM_RESP
from stentor_smpp.pdu import HEADER, HEADER_OCTETS, PDU, encode

_UNKNOWN_COMMAND = 0x00010299
_NOISE_OCTETS = 64


def make_garbage(kind: Garbage, random: Random) -> bytes:
    """``NOISE`` loses the framing; the others are whole PDUs behind which the stream goes on."""
    sequence = random.randrange(0x70000000, 0x7FFFFFFF)
    if kind is Garbage.NOISE:
        # A length beyond every limit, so that no client waits for the rest of it.
        return b"\xff" + random.randbytes(_NOISE_OCTETS)
    if kind is Garbage.UNKNOWN:
        return HEADER.pack(HEADER_OCTETS + 8, _UNKNOWN_COMMAND, 0, sequence) + random.randbytes(8)
    if kind is Garbage.STRAY:
        return encode(PDU(SUBMIT_SM_RESP, 0, sequence, {"message_id": "nobody"}))
    assert kind is Garbage.BROKEN
    return HEADER.pack(HEADER_OCTETS + 20, DELIVER_SM, 0, sequence) + b"A" * 20
