"""From submissions to the bodies of submit_sm PDUs (SMPP 3.4 section 4.4.1). Everything that repeats is remembered."""

from functools import lru_cache
from typing import Final

from stentor.address import OriginatorKind, parse_originator
from stentor.outcome import Submission
from stentor.text.segments import Encoding
from stentor_smpp.config import SMPPConfig
from stentor_smpp.hot import pack_submit_sm, submit_head, submit_tail
from stentor_smpp.times import encode_relative

_UDHI: Final = 0x40
_INTERNATIONAL: Final = (1, 1)
_ALPHANUMERIC: Final = (5, 0)
_CODINGS: Final = {
    (Encoding.GSM7, False): 0x00,
    (Encoding.UCS2, False): 0x08,
    (Encoding.BINARY, False): 0x04,
    (Encoding.GSM7, True): 0xF0,
    (Encoding.UCS2, True): 0x18,
    (Encoding.BINARY, True): 0xF4,
}
"""data_coding by encoding and flash (SMPP 3.4 section 5.2.19; TS 23.038 section 4)."""
_LONGEST_VALIDITY_S: Final = 99 * 86_400
"""What a relative time can say in days (SMPP 3.4 section 7.1.1.2); a longer validity ends with our own expiry."""


class Packer:
    """Packs for one channel."""

    __slots__ = ("_config", "_heads")

    def __init__(self, config: SMPPConfig) -> None:
        self._config = config
        self._heads: dict[str, bytes] = {}

    def pack(self, submission: Submission) -> bytes:
        """The body of a submit_sm. Raises pdu.EncodeError for what the protocol cannot carry, Refusal
        ``bad_originator`` for what is no originator at all."""
        head = self._heads.get(submission.originator)
        if head is None:
            head = self._head(submission.originator)
        udh = submission.udh
        tail = _tail(
            _UDHI if udh else 0,
            _CODINGS[submission.encoding, submission.flash],
            submission.wants_receipt,
            min(submission.valid_for_s, _LONGEST_VALIDITY_S) if self._config.validity else 0,
        )
        return pack_submit_sm(
            head, submission.to[1:], tail, udh + submission.data if udh else submission.data
        )

    def _head(self, originator: str) -> bytes:
        if len(self._heads) > 4096:
            self._heads.clear()
        ton, npi, address = self._source(originator)
        head = submit_head(self._config.service_type, ton, npi, address, *_INTERNATIONAL)
        self._heads[originator] = head
        return head

    def _source(self, originator: str) -> tuple[int, int, str]:
        if not originator:
            return 0, 0, ""
        match parse_originator(originator).kind:
            case OriginatorKind.INTERNATIONAL:
                return *_INTERNATIONAL, originator[1:]
            case OriginatorKind.SHORT_CODE:
                return self._config.short_code_ton, self._config.short_code_npi, originator
            case _:
                return *_ALPHANUMERIC, originator


@lru_cache(maxsize=4096)
def _tail(esm_class: int, data_coding: int, wants_receipt: bool, valid_for_s: int) -> bytes:
    validity = encode_relative(valid_for_s) if valid_for_s else ""
    return submit_tail(esm_class, data_coding, int(wants_receipt), validity)
