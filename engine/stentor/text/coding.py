"""How a channel's carrier takes texts, and what that makes of one: encoding, language tables, number of segments.

Owns the choice. What the carrier means by its default alphabet decides which texts may go as GSM 7-bit at all; on the
air these are GSM 7-bit whatever the carrier is handed, and are counted so. Of the ways a text may go, the first of
these that is possible is taken: GSM 7-bit by its own tables; then what makes the fewest segments of GSM 7-bit by
national tables, Latin-1 and UCS-2, in that order where they are equal.
"""

import enum
from typing import Final

import msgspec

from stentor.errors import Refusal
from stentor.text import gsm0338, national
from stentor.text.languages import Language
from stentor.text.national import Shift
from stentor.text.segments import Encoding, Wanted, choose, count_segments, foreign, not_gsm7, room
from stentor.text.transliterate import transliterate, unmarked


class Alphabet(enum.Enum):
    """What a carrier means by its default alphabet, data_coding 0 of SMPP. UCS2: it takes no 7-bit text."""

    __hash__ = object.__hash__

    GSM7 = "gsm7"
    GSM7_PACKED = "gsm7_packed"
    LATIN1 = "latin1"
    ASCII = "ascii"
    WINDOWS1252 = "windows1252"
    UCS2 = "ucs2"


_SEPTETS: Final = (Alphabet.GSM7, Alphabet.GSM7_PACKED)
_CODECS: Final = {Alphabet.LATIN1: "latin-1", Alphabet.ASCII: "ascii", Alphabet.WINDOWS1252: "cp1252"}


class Coding(msgspec.Struct, frozen=True, gc=False):
    """How a channel's carrier takes texts.

    ``languages``: national tables it lets through, where it takes septets at all. ``is_latin1_wanted``: a text that
    GSM 7-bit cannot carry may go as Latin-1. ``wide_reference``: segments are numbered with 16 bits.
    """

    alphabet: Alphabet = Alphabet.GSM7
    languages: tuple[Language, ...] = ()
    is_latin1_wanted: bool = False
    wide_reference: bool = False

    def carries(self, text: str) -> bool:
        """Whether a text may go as GSM 7-bit by its own tables."""
        if not gsm0338.is_encodable(text):
            return False
        codec = _CODECS.get(self.alphabet)
        return self.alphabet is not Alphabet.UCS2 if codec is None else _is_encodable(text, codec)


DEFAULT: Final = Coding()


class Plan(msgspec.Struct, frozen=True, gc=False):
    """How a text travels. ``segments`` may be more than a message may have."""

    encoding: Encoding
    segments: int
    shift: Shift = national.DEFAULT


def rewrite(text: str, wanted: Wanted, coding: Coding = DEFAULT) -> str:
    """A text whose client lets characters be replaced. Signs become look-alikes where that makes the whole text GSM
    7-bit; letters lose their marks where GSM 7-bit is wanted and no table of the carrier has them."""
    if wanted == "ucs2":
        return text
    replaced = transliterate(text)
    if replaced is not None:
        return replaced
    return unmarked(text) if wanted == "gsm7" and _shifted(text, coding) is None else text


def plan(text: str, coding: Coding, wanted: Wanted = "auto", *, is_flash: bool = False) -> Plan:
    """How a text goes. Latin-1 has no flash.

    Raises Refusal ``not_gsm7`` when GSM 7-bit is wanted and cannot be, ``bad_text`` for a lone surrogate.
    """
    wide = coding.wide_reference
    if wanted == "ucs2" or not coding.carries(text):
        return _plan_without(text, coding, wanted, is_flash)
    return Plan(Encoding.GSM7, count_segments(text, Encoding.GSM7, wide_reference=wide))


def _plan_without(text: str, coding: Coding, wanted: Wanted, is_flash: bool) -> Plan:
    """How a text goes that GSM 7-bit by its own tables does not carry."""
    wide = coding.wide_reference
    ways: list[Plan] = []
    if wanted != "ucs2":
        shifted = _shifted(text, coding)
        if wanted == "gsm7":
            if shifted is None:
                raise _refusal(text, coding)
            return shifted
        if shifted is not None:
            if shifted.segments == 1:
                return shifted
            ways.append(shifted)
        if coding.is_latin1_wanted and not is_flash and _is_encodable(text, "latin-1"):
            ways.append(Plan(Encoding.LATIN1, count_segments(text, Encoding.LATIN1, wide_reference=wide)))
    choose(text, "ucs2")
    ways.append(Plan(Encoding.UCS2, count_segments(text, Encoding.UCS2, wide_reference=wide)))
    return min(ways, key=_segments)


def replan(text: str, told: Encoding, coding: Coding, *, is_flash: bool = False) -> Plan:
    """How a text goes over a channel other than the one it was planned for: in the encoding the client was told
    wherever that can be."""
    if told is Encoding.GSM7:
        if not coding.carries(text):
            shifted = _shifted(text, coding)
            return _plan_without(text, coding, "auto", is_flash) if shifted is None else shifted
    elif told is Encoding.LATIN1 and not coding.is_latin1_wanted:
        return plan(text, coding, is_flash=is_flash)
    return Plan(told, count_segments(text, told, wide_reference=coding.wide_reference))


def _shifted(text: str, coding: Coding) -> Plan | None:
    """The cheapest way by national tables: fewest segments, then fewest septets; None when none of them carries it."""
    if coding.alphabet not in _SEPTETS:
        return None
    best: tuple[int, int, Shift] | None = None
    characters = frozenset(text)
    for shift in national.candidates(coding.languages):
        tables = national.tables(shift)
        if not tables.is_encodable(characters):
            continue
        septets, limit = tables.septet_count(text, characters), room(Encoding.GSM7, len(shift.header))
        segments = 1
        if septets > limit:
            wide = coding.wide_reference
            segments = count_segments(text, Encoding.GSM7, wide_reference=wide, shift=shift)
        septets -= limit  # a header is paid for in septets too
        if best is None or (segments, septets) < best[:2]:
            best = segments, septets, shift
    return None if best is None else Plan(Encoding.GSM7, best[0], best[2])


def _segments(way: Plan) -> int:
    return way.segments


def _refusal(text: str, coding: Coding) -> Refusal:
    """Why GSM 7-bit cannot be."""
    if not gsm0338.is_encodable(text):
        return not_gsm7(text)
    if coding.alphabet is Alphabet.UCS2:
        return Refusal("not_gsm7", "the channel's carrier takes no GSM 7-bit", "$.text")
    codec = _CODECS[coding.alphabet]
    position = next(at for at, character in enumerate(text) if not _is_encodable(character, codec))
    return foreign(text[position], position, f"carrier's default alphabet, {coding.alphabet.value}")


def _is_encodable(text: str, codec: str) -> bool:
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
