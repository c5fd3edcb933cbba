"""Submissions, and what a packer makes of them, for tests."""

from stentor.message import Priority
from stentor.outcome import Submission
from stentor.text.segments import Encoding
from stentor_smpp.config import SMPPConfig
from stentor_smpp.fields import SUBMIT_SM
from stentor_smpp.pdu import HEADER, HEADER_OCTETS, PDU, decode
from stentor_smpp.submitting import Packer

NOW_MS = 1_777_882_560_250  # 4 May 2026, 08:16:00.25 UTC


def config(**keys) -> SMPPConfig:
    return SMPPConfig(host="smsc.test", system_id="stentor", **keys)


def submission(**changes) -> Submission:
    fields = {
        "token": 0x0123_4567_8901,
        "attempt": 1,
        "to": "+46701234567",
        "originator": "Stentor",
        "encoding": Encoding.GSM7,
        "data": b"hello",
        "udh": b"",
        "index": 1,
        "segments": 1,
        "wants_receipt": True,
        "valid_for_s": 3600,
        "priority": Priority.NORMAL,
    }
    return Submission(**(fields | changes))


def packed(keys: dict, may_send_tlvs: bool = True, **changes) -> PDU:
    """The submit_sm that a channel with these keys makes of a submission with these changes."""
    body = Packer(config(**keys), may_send_tlvs).pack(submission(**changes), NOW_MS)
    found = decode(HEADER.pack(HEADER_OCTETS + len(body), SUBMIT_SM, 0, 1) + body)
    assert isinstance(found, PDU), found
    return found
