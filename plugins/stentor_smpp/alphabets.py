"""What a received text says: which octets are text, in which alphabet, and what they read.

Owns the meaning of data_coding (SMPP 3.4 section 5.2.19 and, for values carriers pass through, TS 23.038
section 4) and of the two places a text can stand in. Decoding never fails: what cannot be read becomes
U+FFFD, and what is no text at all is said to be binary.
"""

from enum import Enum
from typing import Final

import msgspec

from stentor.text import gsm0338, national
from stentor.text.coding import Alphabet as DefaultAlphabet
from stentor.text.national import Shift
from stentor.text.ucs2 import decode as decode_ucs2
from stentor_smpp.pdu import PDU
from stentor_smpp.tlvs import (
    MESSAGE_PAYLOAD,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    first,
    first_integer,
)
from stentor_smpp.udh import BrokenHeader, Concatenation, UserDataHeader, concatenate, read_udh

UDHI: Final = 0x40


class Alphabet(Enum):
    """What octets mean; the values of those that Python decodes are its names for them."""

    GSM = "gsm0338"
    GSM_PACKED = "gsm0338 packed"
    BINARY = "binary"
    UCS2 = "utf-16-be"
    ASCII = "ascii"
    LATIN1 = "latin-1"
    WINDOWS1252 = "cp1252"
    CYRILLIC = "iso8859-5"
    HEBREW = "iso8859-8"
    JIS = "shift_jis"
    ISO_2022_JP = "iso2022_jp"
    KSC_5601 = "euc_kr"


DEFAULTS: Final = {
    DefaultAlphabet.GSM7: Alphabet.GSM,
    DefaultAlphabet.GSM7_PACKED: Alphabet.GSM_PACKED,
    DefaultAlphabet.LATIN1: Alphabet.LATIN1,
    DefaultAlphabet.ASCII: Alphabet.ASCII,
    DefaultAlphabet.WINDOWS1252: Alphabet.WINDOWS1252,
    DefaultAlphabet.UCS2: Alphabet.UCS2,
}
"""What a channel's default alphabet means for what comes in."""

_DEFAULT: Final = None
_LOW: Final[dict[int, Alphabet | None]] = {
    0x00: _DEFAULT,
    0x01: Alphabet.ASCII,
    0x02: Alphabet.BINARY,
    0x03: Alphabet.LATIN1,
    0x04: Alphabet.BINARY,
    0x05: Alphabet.JIS,
    0x06: Alphabet.CYRILLIC,
    0x07: Alphabet.HEBREW,
    0x08: Alphabet.UCS2,
    0x09: Alphabet.BINARY,
    0x0A: Alphabet.ISO_2022_JP,
    0x0B: _DEFAULT,
    0x0C: _DEFAULT,
    0x0D: Alphabet.BINARY,
    0x0E: Alphabet.KSC_5601,
    0x0F: _DEFAULT,
}
# Bits 3 and 2 of the general group of TS 23.038; the fourth value is reserved.
_GENERAL: Final = (_DEFAULT, Alphabet.BINARY, Alphabet.UCS2, _DEFAULT)
_COMPRESSED: Final = 0x20


def alphabet_of(data_coding: int, default: Alphabet = Alphabet.GSM) -> Alphabet:
    """The alphabet of a data_coding; ``default`` is what the carrier means by 0 and by reserved values.

    A carrier whose default is packed packs every GSM 7-bit text.
    """
    found = _alphabet_of(data_coding, default)
    return default if found is Alphabet.GSM and default is Alphabet.GSM_PACKED else found


def _alphabet_of(data_coding: int, default: Alphabet) -> Alphabet:
    if data_coding < 0x10:
        return _LOW[data_coding] or default
    if data_coding < 0x80:
        # Compressed text is beyond every library; its octets are kept.
        return Alphabet.BINARY if data_coding & _COMPRESSED else _GENERAL[(data_coding >> 2) & 3] or default
    if data_coding < 0xC0:
        return default
    if data_coding < 0xE0:
        return Alphabet.GSM
    if data_coding < 0xF0:
        return Alphabet.UCS2
    return Alphabet.BINARY if data_coding & 0x04 else Alphabet.GSM


def decode_text(octets: bytes, alphabet: Alphabet, shift: Shift = national.DEFAULT) -> str | None:
    """The text, or None for binary. ``shift``: the language tables the header announced, for GSM 7-bit."""
    if alphabet is Alphabet.GSM_PACKED:
        alphabet, octets = Alphabet.GSM, unpack(octets)
    if alphabet is Alphabet.GSM:
        return gsm0338.decode(octets) if shift == national.DEFAULT else national.tables(shift).decode(octets)
    if alphabet is Alphabet.BINARY:
        return None
    if alphabet is Alphabet.UCS2:
        return decode_ucs2(octets)
    if alphabet is Alphabet.ASCII:
        # Eight-bit letters in "ASCII" are Latin-1 more often than anything else.
        return octets.decode("latin-1")
    return octets.decode(alphabet.value, "replace")


def unpack(octets: bytes, header_octets: int = 0) -> bytes:
    """The septets of packed octets. Their number is not told: seven spare bits that are zero are no ``@``."""
    fill_bits = -8 * header_octets % 7
    bits = 8 * len(octets) - fill_bits
    septets = gsm0338.unpack(octets, bits // 7, fill_bits)
    return septets[:-1] if bits % 7 == 0 and septets[-1:] == b"\0" else septets


class Body(msgspec.Struct, frozen=True, gc=False):
    """The text octets of a message without their header, and what the header or the SAR TLVs said.

    ``broken`` is set when a header was announced and is none: ``octets`` are then all there are, and binary.
    """

    octets: bytes
    alphabet: Alphabet
    header: UserDataHeader | None = None
    concatenation: Concatenation | None = None
    broken: BrokenHeader | None = None

    @property
    def text(self) -> str | None:
        """The text, or None for binary. Parts of a long text are joined as octets first."""
        shift = national.DEFAULT if self.header is None else self.header.shift
        return decode_text(self.octets, self.alphabet, shift)


def text_octets(pdu: PDU) -> bytes:
    """short_message, or message_payload when that is empty or the PDU has none; a header is still in
    front."""
    octets: bytes = pdu.fields.get("short_message", b"")
    return octets or first(pdu.tlvs, MESSAGE_PAYLOAD) or b""


def read_body(pdu: PDU, default: Alphabet = Alphabet.GSM) -> Body:
    """Take a submit_sm, deliver_sm or data_sm apart. Never raises."""
    octets = text_octets(pdu)
    alphabet = alphabet_of(pdu.fields["data_coding"], default)
    if not pdu.fields["esm_class"] & UDHI:
        return _body(octets, alphabet, None, sar_concatenation(pdu) if pdu.tlvs else None)
    header = read_udh(octets)
    if isinstance(header, BrokenHeader):
        return Body(octets, Alphabet.BINARY, broken=header)
    concatenation = header.concatenation or sar_concatenation(pdu)
    return _body(octets[header.octets :], alphabet, header, concatenation)


def _body(
    octets: bytes, alphabet: Alphabet, header: UserDataHeader | None, concatenation: Concatenation | None
) -> Body:
    """Packed septets are unpacked at once: only here is it known where they begin."""
    if alphabet is Alphabet.GSM_PACKED:
        octets, alphabet = unpack(octets, header.octets if header is not None else 0), Alphabet.GSM
    return Body(octets, alphabet, header, concatenation)


def sar_concatenation(pdu: PDU) -> Concatenation | None:
    """The concatenation of the sar TLVs (SMPP 3.4 section 5.3.2.22), when all three make sense."""
    reference = first_integer(pdu.tlvs, SAR_MSG_REF_NUM)
    total = first_integer(pdu.tlvs, SAR_TOTAL_SEGMENTS)
    number = first_integer(pdu.tlvs, SAR_SEGMENT_SEQNUM)
    if reference is None or total is None or number is None:
        return None
    return concatenate(reference, total, number, 16)
