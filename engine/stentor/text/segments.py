"""How a text or binary data travel: encoding, segments, concatenation headers (TS 23.040 §9.2.3.24).

Owns the sizes of a segment and the cutting. Invariants: filling is greedy, so segments are as few as can be;
no character is cut (neither ESC from its code nor a surrogate pair); a message of one segment carries no
header of ours; joined data of the segments are the octets of the whole.
"""

import enum
from codecs import utf_16_be_encode
from typing import Final, Literal

import msgspec

from stentor.errors import Refusal
from stentor.text import gsm0338, national
from stentor.text.national import Shift

SEGMENT_OCTETS: Final = 140
MAX_SEGMENTS: Final = 255

Wanted = Literal["auto", "gsm7", "ucs2"]

_BY_ITS_OWN: Final = national.DEFAULT
_CONCATENATION_8_BIT: Final = 0x00
_CONCATENATION_16_BIT: Final = 0x08


class Encoding(enum.Enum):
    """What the octets of a segment are: unpacked septets, UTF-16BE, whatever the client says, or ISO 8859-1."""

    # A member is one object; hashing its name, as Enum does, is four times slower.
    __hash__ = object.__hash__

    GSM7 = "gsm7"
    UCS2 = "ucs2"
    BINARY = "binary"
    LATIN1 = "latin1"


class SegmentData(msgspec.Struct, frozen=True, gc=False):
    """One segment. ``udh`` is the whole user data header with its length octet, empty when there is none.

    ``data`` are unpacked septets (GSM 7-bit), UTF-16BE (UCS-2) or octets (binary, Latin-1).
    """

    udh: bytes
    data: bytes


def choose(text: str, wanted: Wanted = "auto") -> Encoding:
    """GSM 7-bit when it carries every character, else UCS-2.

    Raises Refusal ``not_gsm7`` when GSM 7-bit is wanted and cannot be, ``bad_text`` for a lone surrogate.
    """
    if wanted != "ucs2" and gsm0338.is_encodable(text):
        return Encoding.GSM7
    if wanted == "gsm7":
        raise not_gsm7(text)
    if not text.isascii():
        _utf16(text)
    return Encoding.UCS2


def count_segments(
    content: str | bytes,
    encoding: Encoding,
    *,
    wide_reference: bool = False,
    udh: bytes = b"",
    shift: Shift = _BY_ITS_OWN,
) -> int:
    """How many segments :func:`split` makes; may exceed what :func:`split` takes. ``content`` as there."""
    if not udh and shift is _BY_ITS_OWN:
        # A character takes two septets or two code units at most, so a short text needs no closer look.
        length = len(content)
        if length <= 35 or (length <= 80 and encoding is not Encoding.UCS2):
            return 1
        if encoding is Encoding.GSM7 and length <= 160:
            assert isinstance(content, str)
            if gsm0338.septet_count(content) <= 160:
                return 1
        elif encoding is Encoding.UCS2 and length <= 70:
            assert isinstance(content, str)
            if len(_utf16(content)) <= SEGMENT_OCTETS:
                return 1
    return len(cut(content, encoding, wide_reference=wide_reference, udh=udh, shift=shift))


def cut(
    content: str | bytes,
    encoding: Encoding,
    *,
    wide_reference: bool = False,
    udh: bytes = b"",
    shift: Shift = _BY_ITS_OWN,
) -> list[bytes]:
    """Data of each segment without headers; room is kept for ``udh`` and, between several, concatenation.

    This is what a driver needs that lets the peer make the header (SAR TLVs). ``content`` is a text, or octets
    for binary. ``shift``: the tables of GSM 7-bit, whose header stands where a client's ``udh`` would. Raises
    NotGSM for a text GSM 7-bit cannot carry, UnicodeEncodeError for one Latin-1 cannot, Refusal ``bad_text`` for a
    lone surrogate, ``bad_data`` when ``udh`` leaves no room.
    """
    udh = udh or shift.header
    octets = _octets(content, encoding, shift)
    unit_octets = 2 if encoding is Encoding.UCS2 else 1
    if len(octets) <= room(encoding, len(udh)) * unit_octets:
        return [octets]
    units = room(encoding, (len(udh) or 1) + (6 if wide_reference else 5))
    if units < 2:
        raise Refusal("bad_data", f"a user data header of {len(udh)} octets leaves no room for data", "$.udh")
    return _cut(octets, encoding, units * unit_octets)


def split(
    content: str | bytes,
    encoding: Encoding,
    reference: int,
    *,
    wide_reference: bool = False,
    udh: bytes = b"",
    shift: Shift = _BY_ITS_OWN,
) -> list[SegmentData]:
    """The segments, in order, ready for the air. Empty content is one empty segment.

    ``reference`` is shared by the segments of the message; its low 8 (``wide_reference``: 16) bits are sent.
    ``udh`` is a complete header of the client's own; several segments each carry its elements, or those of
    ``shift``, after the concatenation. Raises what :func:`cut` raises, Refusal ``too_many_segments`` beyond 255,
    ``bad_data`` for a ``udh`` whose elements cannot be told apart or that has a concatenation already.
    """
    udh = udh or shift.header
    pieces = cut(content, encoding, wide_reference=wide_reference, udh=udh, shift=shift)
    total = len(pieces)
    if total == 1:
        return [SegmentData(udh, pieces[0])]
    if total > MAX_SEGMENTS:
        path = "$.data" if encoding is Encoding.BINARY else "$.text"
        raise Refusal("too_many_segments", f"{total} segments, a message has at most {MAX_SEGMENTS}", path)
    if wide_reference:
        head = bytes((_CONCATENATION_16_BIT, 4, reference >> 8 & 0xFF, reference & 0xFF, total))
    else:
        head = bytes((_CONCATENATION_8_BIT, 3, reference & 0xFF, total))
    elements = _elements(udh)
    head = bytes((len(head) + 1 + len(elements),)) + head
    return [
        SegmentData(b"%b%c%b" % (head, number, elements), piece) for number, piece in enumerate(pieces, 1)
    ]


def room(encoding: Encoding, header_octets: int) -> int:
    """Units beside a header, its length octet included. Septets start at the next septet boundary."""
    octets = SEGMENT_OCTETS - header_octets
    if encoding is Encoding.GSM7:
        return octets * 8 // 7
    return octets // 2 if encoding is Encoding.UCS2 else octets


def _octets(content: str | bytes, encoding: Encoding, shift: Shift) -> bytes:
    if encoding is Encoding.BINARY:
        assert isinstance(content, bytes), "binary content is octets"
        return content
    assert isinstance(content, str), "the content of a text encoding is a text"
    if encoding is Encoding.UCS2:
        return _utf16(content)
    if encoding is Encoding.LATIN1:
        return content.encode("latin-1")
    return gsm0338.encode(content) if shift is _BY_ITS_OWN else national.tables(shift).encode(content)


def _utf16(text: str) -> bytes:
    try:
        return utf_16_be_encode(text)[0]
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        detail = f"character {error.start + 1} (U+{code:04X}) is half of a surrogate pair, not a character"
        raise Refusal("bad_text", detail, "$.text") from None


def _cut(octets: bytes, encoding: Encoding, step: int) -> list[bytes]:
    """Pieces of at most ``step`` octets, at least four for UCS-2 and two for GSM 7-bit, no character cut."""
    pieces = []
    start = 0
    while len(octets) - start > step:
        end = start + step
        if encoding is Encoding.GSM7:
            end -= octets[end - 1] == gsm0338.ESC
        elif encoding is Encoding.UCS2 and 0xD8 <= octets[end - 2] <= 0xDB:
            end -= 2
        pieces.append(octets[start:end])
        start = end
    pieces.append(octets[start:])
    return pieces


def _elements(udh: bytes) -> bytes:
    """What stands behind the length octet of a client's header, fit to stand behind a concatenation."""
    if not udh:
        return b""
    if udh[0] != len(udh) - 1:
        detail = "the first octet of a user data header is the number of those after it"
        raise Refusal("bad_data", detail, "$.udh")
    at = 1
    while at < len(udh):
        if udh[at] in (_CONCATENATION_8_BIT, _CONCATENATION_16_BIT):
            raise Refusal(
                "bad_data", "data with a concatenation of their own must fit in one segment", "$.udh"
            )
        if at + 1 >= len(udh) or at + 2 + udh[at + 1] > len(udh):
            raise Refusal(
                "bad_data", f"the header's element at octet {at} reaches beyond the header", "$.udh"
            )
        at += 2 + udh[at + 1]
    return udh[1:]


def not_gsm7(text: str) -> Refusal:
    """The refusal of a text that GSM 7-bit cannot carry."""
    found = gsm0338.first_foreign(text)
    assert found is not None
    return foreign(*found, "GSM 7-bit alphabet")


def foreign(character: str, position: int, alphabet: str) -> Refusal:
    """The refusal of a text because of the character at ``position``, counted from 0."""
    # A lone surrogate or a control character would spoil the answer it is quoted in.
    quoted = f'"{character}", ' if character.isprintable() else ""
    detail = f"character {position + 1} ({quoted}U+{ord(character):04X}) is not in the {alphabet}"
    return Refusal("not_gsm7", detail, "$.text")
