"""How a text will be sent, told to people: the plan of ``coding`` and the segments of ``segments``, counted."""

import msgspec

from stentor.text.coding import DEFAULT, Coding, plan, rewrite
from stentor.text.languages import Language
from stentor.text.segments import Encoding, Wanted, room, split


class InspectedSegment(msgspec.Struct, frozen=True, gc=False):
    """A segment for people: ``index`` from 1, ``udh`` and ``data`` in hex."""

    index: int
    units: int
    udh: str
    data: str


class Inspection(msgspec.Struct, frozen=True):
    """How a text will be sent.

    Units are septets (GSM 7-bit), UTF-16 code units (UCS-2) or octets (Latin-1). ``units_left`` still fit in the last
    segment. ``is_transliterated`` says that characters were replaced, which saved ``segments_saved`` segments.
    ``single_shift`` and ``locking_shift`` name the languages whose tables GSM 7-bit goes by, and are there only then.
    """

    encoding: Encoding
    segments: int
    units: int
    units_left: int
    units_per_segment: list[int]
    segment_list: list[InspectedSegment]
    is_transliterated: bool = False
    segments_saved: int = 0
    single_shift: str | msgspec.UnsetType = msgspec.UNSET
    locking_shift: str | msgspec.UnsetType = msgspec.UNSET


def inspect(
    text: str,
    wanted: Wanted = "auto",
    transliterate: bool = False,
    *,
    reference: int = 0,
    coding: Coding = DEFAULT,
) -> Inspection:
    """How the text will be sent over a channel of this coding. Raises the refusals of ``plan`` and ``split``."""
    sent = rewrite(text, wanted, coding) if transliterate else text
    planned = plan(sent, coding, wanted)
    encoding, shift = planned.encoding, planned.shift
    segments = split(sent, encoding, reference, wide_reference=coding.wide_reference, shift=shift)
    unit_octets = 2 if encoding is Encoding.UCS2 else 1
    units = [len(segment.data) // unit_octets for segment in segments]
    is_transliterated = sent != text
    saved = plan(text, coding).segments - len(segments) if is_transliterated else 0
    return Inspection(
        encoding,
        len(segments),
        sum(units),
        room(encoding, len(segments[-1].udh)) - units[-1],
        units,
        [
            InspectedSegment(index, taken, segment.udh.hex(), segment.data.hex())
            for index, (taken, segment) in enumerate(zip(units, segments, strict=True), 1)
        ],
        is_transliterated,
        saved,
        _word(shift.single),
        _word(shift.locking),
    )


def _word(language: int) -> str | msgspec.UnsetType:
    return Language(language).word if language else msgspec.UNSET
