"""National language tables for GSM 7-bit (TS 23.038 §6.2.1.2 and annex A): which code is which character.

Owns the tables alone. A *locking* table takes the place of the default alphabet, a *single shift* table that of the
extension table. Every table has the codes of line feed, carriage return and ESC where the default alphabet has them.
Where readings of the specification differ, a code is decoded and not encoded (``UNSURE_LOCKING``,
``UNSURE_SINGLE``), so that nobody reads a character that was not written.
"""

import enum
from collections.abc import Mapping
from typing import Final

from stentor.text.gsm0338 import BASIC, ESC, EXTENSION


class Language(enum.IntEnum):
    """National language identifiers (TS 23.038 §6.2.1.2.4)."""

    TURKISH = 1
    SPANISH = 2
    PORTUGUESE = 3
    BENGALI = 4
    GUJARATI = 5
    HINDI = 6
    KANNADA = 7
    MALAYALAM = 8
    ORIYA = 9
    PUNJABI = 10
    TAMIL = 11
    TELUGU = 12
    URDU = 13

    @property
    def word(self) -> str:
        return self.name.lower()


VACANT: Final = "\ufffd"
"""Stands in a locking table where a code has no character."""


def _codes(text: str) -> dict[int, str]:
    """``"47 Ğ 49 İ"``: a code in hexadecimal, then its character."""
    words = text.split()
    return {int(code, 16): character for code, character in zip(words[::2], words[1::2], strict=True)}


def _latin(differences: str) -> str:
    """The default alphabet with some codes of its own."""
    table = list(BASIC)
    for code, character in _codes(differences).items():
        table[code] = character
    return "".join(table)


# The scripts of India have one layout, each from its own block of Unicode, as they have there: offsets from the
# block's beginning, with -- where a character stands that is in every block. A block has fewer letters than another.
_LAYOUT: Final = (
    "01 02 03 05 06 07 08 09 0A 0B -- 0C 0D -- 0E 0F"
    " 10 11 12 13 14 15 16 17 18 19 1A -- 1B 1C 1D 1E"
    " -- -- 1F 20 21 22 23 24 -- -- 25 26 -- 27 -- 28"
    " -- -- -- -- -- -- -- -- -- -- -- -- 29 2A 2B --"
    " 2C 2D 2E 2F 30 31 32 33 34 35 36 37 38 39 3C 3D"
    " 3E 3F 40 41 42 43 44 45 46 47 48 49 4A 4B 4C 4D"
)
_IN_EVERY_BLOCK: Final = "\n\r  !)(,.0123456789:;?"
_LATIN_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def _indic(block: int, vacant: str, last: str, odd: str = "") -> str:
    """``vacant``: codes without a character; ``last``: the offsets at 0x60 and from 0x7B on; ``odd``: codes with
    offsets that break the order."""
    common = iter(_IN_EVERY_BLOCK)
    table = [next(common) if offset == "--" else chr(block + int(offset, 16)) for offset in _LAYOUT.split()]
    for gap in vacant.split():
        table[int(gap, 16)] = VACANT
    for code, offset in _codes(odd).items():
        table[code] = chr(block + int(offset, 16))
    first, *others = (chr(block + int(offset, 16)) for offset in last.split())
    return "".join((*table, first, _LATIN_LETTERS, *others))


_URDU: Final = (
    "\u0627\u0622\u0628\u067b\u0680\u067e\u06a6\u062a\u06c2\u067f\n\u0679\u067d\r\u067a\u067c"
    "\u062b\u062c\u0681\u0684\u0683\u0685\u0686\u0687\u062d\u062e\u062f \u068c\u0688\u0689\u068a"
    " !\u068f\u068d\u0630\u0631\u0691\u0693)(\u0699\u0632,\u0696.\u0698"
    "0123456789:;\u069a\u0633\u0634?"
    "\u0635\u0636\u0637\u0638\u0639\u0641\u0642\u06a9\u06aa\u06ab\u06af\u06b3\u06b1\u0644\u0645\u0646"
    "\u06ba\u06bb\u06bc\u0648\u06c4\u06d5\u06c1\u06be\u0621\u06cc\u06d0\u06d2\u064d\u0650\u064f\u0657"
    f"\u0654{_LATIN_LETTERS}\u0655\u0651\u0653\u0656\u0670"
)

LOCKING: Final[Mapping[int, str]] = {
    Language.TURKISH: _latin("04 € 07 ı 0B Ğ 0C ğ 1C Ş 1D ş 40 İ 60 ç"),
    Language.PORTUGUESE: _latin(
        "04 ê 06 ú 07 í 08 ó 09 ç 0B Ô 0C ô 0E Á 0F á 12 ª 13 Ç 14 À 15 ∞ 16 ^ 17 \\ 18 € 19 Ó 1A | 1C Â 1D â 1E Ê"
        " 24 º 40 Í 5B Ã 5C Õ 5D Ú 60 ~ 7B ã 7C õ 7D `"
    ),
    Language.BENGALI: _indic(0x0980, "0C 0E 11 12 3C 45 47 48 49 57 58 5B 5C", "4E 57 5C 5D 70 71"),
    Language.GUJARATI: _indic(0x0A80, "0E 12 3C 45 48 58 5C", "50 60 61 62 63 71"),
    Language.HINDI: _indic(0x0900, "", "50 72 7B 7C 7E 7F"),
    Language.KANNADA: _indic(0x0C80, "00 0C 11 3C 48 57 5B", "55 56 60 61 62 63", "24 2A"),
    Language.MALAYALAM: _indic(0x0D00, "00 0C 11 3C 4E 57 5B", "57 60 61 62 63 79"),
    Language.ORIYA: _indic(0x0B00, "0C 0E 11 12 3C 45 48 57 58 5B 5C", "56 57 60 61 62 63"),
    Language.PUNJABI: _indic(
        0x0A00, "09 0B 0C 0E 11 12 3C 45 48 4B 4F 55 56 57 58 5B 5C", "51 70 71 72 73 74"
    ),
    Language.TAMIL: _indic(
        0x0B80,
        "00 09 0B 0C 11 16 17 18 1C 1E 23 24 25 2A 2B 2D 3E 40 41 4E 4F 55 56 57 5B",
        "50 57 70 71 72 79",
    ),
    Language.TELUGU: _indic(0x0C00, "0C 11 3C 48 4E 57 5B", "55 56 60 61 62 63"),
    Language.URDU: _URDU,
}
"""Locking shift tables (annex A.3), 128 characters each."""


_SIGNS: Final = {code: sign for code, sign in enumerate("@£$¥¿\"¤%&'\f*+\r-/<=>¡^¡_#*") if sign != "\r"}
_INDIC_COMMON: Final = EXTENSION | _SIGNS | {0x41 + index: chr(0x41 + index) for index in range(26)}


def _indic_single(first_digit: int, others: str = "", has_dandas: bool = True) -> dict[int, str]:
    """The signs and capitals that all have, ten digits around ESC, and the characters ``others`` (code and code
    point)."""
    table = dict(_INDIC_COMMON)
    if has_dandas:
        table |= {0x19: "\u0964", 0x1A: "\u0965"}
    table |= {0x1C + digit: chr(first_digit + digit) for digit in range(10)}
    table |= {code: chr(int(point, 16)) for code, point in _codes(others).items()}
    return table


def _without(code: int, table: dict[int, str]) -> dict[int, str]:
    del table[code]
    return table


SINGLE: Final[Mapping[int, Mapping[int, str]]] = {
    Language.TURKISH: EXTENSION | _codes("47 Ğ 49 İ 53 Ş 63 ç 67 ğ 69 ı 73 ş"),
    Language.SPANISH: EXTENSION | _codes("09 ç 41 Á 49 Í 4F Ó 55 Ú 61 á 69 í 6F ó 75 ú"),
    Language.PORTUGUESE: EXTENSION
    | _codes(
        "05 ê 09 ç 0B Ô 0C ô 0E Á 0F á 12 Φ 13 Γ 15 Ω 16 Π 17 Ψ 18 Σ 19 Θ 1F Ê 41 À 49 Í 4F Ó 55 Ú 5B Ã 5C Õ 61 Â 69 í"
        " 6F ó 75 ú 7B ã 7C õ 7F â"
    ),
    # Its digits begin at 0x19, before ESC.
    Language.BENGALI: _indic_single(
        0x09E8,
        "19 09E6 1A 09E7 24 09DF 25 09E0 26 09E1 27 09E2 2A 09E3 2B 09F2 2C 09F3 2D 09F4 2E 09F5 30 09F6 31 09F7"
        " 32 09F8 33 09F9 34 09FA",
    ),
    Language.GUJARATI: _indic_single(0x0AE6),
    Language.HINDI: _indic_single(
        0x0966,
        "26 0951 27 0952 2A 0953 2B 0954 2C 0958 2D 0959 2E 095A 30 095B 31 095C 32 095D 33 095E 34 095F 35 0960"
        " 36 0961 37 0962 38 0963 39 0970 3A 0971",
    ),
    Language.KANNADA: _indic_single(0x0CE6, "26 0CDE 27 0CF1 2A 0CF2"),
    Language.MALAYALAM: _indic_single(
        0x0D66,
        "26 0D70 27 0D71 2A 0D72 2B 0D73 2C 0D74 2D 0D75 2E 0D7A 30 0D7B 31 0D7C 32 0D7D 33 0D7E 34 0D7F",
    ),
    Language.ORIYA: _indic_single(0x0B66, "26 0B5C 27 0B5D 2A 0B5F 2B 0B70 2C 0B71"),
    Language.PUNJABI: _indic_single(0x0A66, "26 0A59 27 0A5A 2A 0A5B 2B 0A5C 2C 0A5E 2D 0A75"),
    Language.TAMIL: _indic_single(0x0BE6, "26 0BF3 27 0BF4 2A 0BF5 2B 0BF6 2C 0BF7 2D 0BF8 2E 0BFA"),
    # Without a euro sign: the readings of the specification do not agree on one.
    Language.TELUGU: _without(
        0x65,
        _indic_single(
            0x0C66,
            "26 0C58 27 0C59 2A 0C78 2B 0C79 2C 0C7A 2D 0C7B 2E 0C7C 30 0C7D 31 0C7E 32 0C7F",
            has_dandas=False,
        ),
    ),
    Language.URDU: _indic_single(
        0x06F0,
        "19 0600 1A 0601 26 060C 27 060D 2A 060E 2B 060F 2C 0610 2D 0611 2E 0612 30 0613 31 0614 32 061B 33 061F"
        " 34 0640 35 0652 36 0658 37 066B 38 066C 39 0672 3A 0673 3B 06CD 3F 06D4",
        has_dandas=False,
    ),
}
"""Single shift tables (annex A.2): what may follow ESC."""

UNSURE_LOCKING: Final[Mapping[int, int]] = {Language.KANNADA: 0x24}
"""Printed as the letter PA, which 0x3D is, where the order of the letters asks for DDA."""

UNSURE_SINGLE: Final[Mapping[int, int]] = {Language.TAMIL: 0x24}
"""The digit eight, which some copies print as nine, as 0x25 is."""

assert all(len(table) == 128 and table[ESC] == " " for table in LOCKING.values()), (
    "a locking table has 128 codes"
)
