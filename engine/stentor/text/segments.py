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
from stentor.text import gsm0338
from stentor.text.transliterate import transliterate as to_gsm

SEGMENT_OCTETS: Final = 140
MAX_SEGMENTS: Final = 255

Wanted = Literal["auto", "gsm7", "ucs2"]

_CONCATENATION_8_BIT: Final = 0x00
_CONCATENATION_16_BIT: Final = 0x08


class Encoding(enum.Enum):
    """What the octets of a segment are: unpacked septets, UTF-16BE, or whatever the client says."""

    # A member is one object; hashing its name, as Enum does, is four times slower.
    __hash__ = object.__hash__

    GSM7 = "gsm7"
    UCS2 = "ucs2"
    BINARY = "binary"


class SegmentData(msgspec.Struct, frozen=True, gc=False):
    """One segment. ``udh`` is the whole user data header with its length octet, empty when there is none.

    ``data`` are unpacked septets (GSM 7-bit), UTF-16BE (UCS-2) or octets (binary).
    """

    udh: bytes
    data: bytes


class InspectedSegment(msgspec.Struct, frozen=True, gc=False):
    """A segment for people: ``index`` from 1, ``udh`` and ``data`` in hex."""

    index: int
    units: int
    udh: str
    data: str


class Inspection(msgspec.Struct, frozen=True):
    """How a text will be sent.

    Units are septets (GSM 7-bit) or UTF-16 code units (UCS-2). ``units_left`` still fit in the last segment.
    ``is_transliterated`` says that characters were replaced, which saved ``segments_saved`` segments.
    """

    encoding: Encoding
    segments: int
    units: int
    units_left: int
    units_per_segment: list[int]
    segment_list: list[InspectedSegment]
    is_transliterated: bool = False
    segments_saved: int = 0


def choose(text: str, wanted: Wanted = "auto") -> Encoding:
    """GSM 7-bit when it carries every character, else UCS-2.

    Raises Refusal ``not_gsm7`` when GSM 7-bit is wanted and cannot be, ``bad_text`` for a lone surrogate.
    """
    if wanted != "ucs2" and gsm0338.is_encodable(text):
        return Encoding.GSM7
    if wanted == "gsm7":
        raise _not_gsm7(text)
    if not text.isascii():
        _utf16(text)
    return Encoding.UCS2


def count_segments(
    content: str | bytes, encoding: Encoding, *, wide_reference: bool = False, udh: bytes = b""
) -> int:
    """How many segments :func:`split` makes; may exceed what :func:`split` takes. ``content`` as there."""
    if not udh:
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
    return len(cut(content, encoding, wide_reference=wide_reference, udh=udh))


def cut(
    content: str | bytes, encoding: Encoding, *, wide_reference: bool = False, udh: bytes = b""
) -> list[bytes]:
    """Data of each segment without headers; room is kept for ``udh`` and, between several, concatenation.

    This is what a driver needs that lets the peer make the header (SAR TLVs). ``content`` is a text for GSM
    7-bit and UCS-2, octets for binary. Raises NotGSM for a text GSM 7-bit cannot carry, Refusal ``bad_text``
    for a lone surrogate, ``bad_data`` when ``udh`` leaves no room.
    """
    octets = _octets(content, encoding)
    unit_octets = 2 if encoding is Encoding.UCS2 else 1
    if len(octets) <= _room(encoding, len(udh)) * unit_octets:
        return [octets]
    room = _room(encoding, (len(udh) or 1) + (6 if wide_reference else 5))
    if room < 2:
        raise Refusal("bad_data", f"a user data header of {len(udh)} octets leaves no room for data", "$.udh")
    return _cut(octets, encoding, room * unit_octets)


def split(
    content: str | bytes,
    encoding: Encoding,
    reference: int,
    *,
    wide_reference: bool = False,
    udh: bytes = b"",
) -> list[SegmentData]:
    """The segments, in order, ready for the air. Empty content is one empty segment.

    ``reference`` is shared by the segments of the message; its low 8 (``wide_reference``: 16) bits are sent.
    ``udh`` is a complete header of the client's own; several segments each carry its elements after the
    concatenation. Raises what :func:`cut` raises, Refusal ``too_many_segments`` beyond 255, ``bad_data`` for
    a ``udh`` whose elements cannot be told apart or that has a concatenation already.
    """
    pieces = cut(content, encoding, wide_reference=wide_reference, udh=udh)
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


def inspect(
    text: str, wanted: Wanted = "auto", transliterate: bool = False, *, reference: int = 0
) -> Inspection:
    """How the text will be sent; refuses what :func:`choose` and :func:`split` refuse."""
    sent = text
    if transliterate and wanted != "ucs2":
        replaced = to_gsm(text)
        sent = text if replaced is None else replaced
    encoding = choose(sent, wanted)
    segments = split(sent, encoding, reference)
    unit_octets = 2 if encoding is Encoding.UCS2 else 1
    units = [len(segment.data) // unit_octets for segment in segments]
    is_transliterated = sent != text
    saved = count_segments(text, Encoding.UCS2) - len(segments) if is_transliterated else 0
    return Inspection(
        encoding,
        len(segments),
        sum(units),
        _room(encoding, len(segments[-1].udh)) - units[-1],
        units,
        [
            InspectedSegment(index, taken, segment.udh.hex(), segment.data.hex())
            for index, (taken, segment) in enumerate(zip(units, segments, strict=True), 1)
        ],
        is_transliterated,
        saved,
    )


def _room(encoding: Encoding, header_octets: int) -> int:
    """Units beside a header, its length octet included. Septets start at the next septet boundary."""
    octets = SEGMENT_OCTETS - header_octets
    if encoding is Encoding.GSM7:
        return octets * 8 // 7
    return octets // 2 if encoding is Encoding.UCS2 else octets


def _octets(content: str | bytes, encoding: Encoding) -> bytes:
    if encoding is Encoding.BINARY:
        assert isinstance(content, bytes), "binary content is octets"
        return content
    assert isinstance(content, str), "the content of a text encoding is a text"
    return gsm0338.encode(content) if encoding is Encoding.GSM7 else _utf16(content)


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


def _not_gsm7(text: str) -> Refusal:
    found = gsm0338.first_foreign(text)
    assert found is not None
    character, position = found
    # A lone surrogate or a control character would spoil the answer it is quoted in.
    quoted = f'"{character}", ' if character.isprintable() else ""
    detail = f"character {position + 1} ({quoted}U+{ord(character):04X}) is not in the GSM 7-bit alphabet"
    return Refusal("not_gsm7", detail, "$.text")
