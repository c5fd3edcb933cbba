"""Smart encoding: typographic characters become their GSM look-alikes when that makes the whole text GSM.

Owns the tables. Only signs and blanks are in the first, no letters: what people wrote stays what they wrote. Letters
lose their marks, by :func:`unmarked`, only for who asks for GSM 7-bit and would be refused otherwise.
"""

import unicodedata
from typing import Final

from stentor.text import gsm0338

LOOK_ALIKES: Final = {
    "'": "‘’‚‛′´`",
    '"': "“”„″«»",
    "-": "‐‑‒–—―−•",
    "...": "…",
    # Tab, no-break, en, em, thin, narrow no-break and ideographic blank.
    " ": "\t\u00a0\u2002\u2003\u2009\u202f\u3000",
    # Zero-width blank and byte order mark.
    "": "\u200b\ufeff",
    ".": "·",
    "<": "‹",
    ">": "›",
    "/": "⁄",
}

_TABLE = {ord(character): look_alike for look_alike, group in LOOK_ALIKES.items() for character in group}

LETTERS: Final = {
    # Latin letters that Unicode does not take apart.
    **dict(zip("łŁđĐħĦŧŦıĸƒðÐəƏŋŊµ", "lLdDhHtTikfdDeEnNu", strict=True)),
    **dict(zip("œŒþÞẞʼʻ", ("oe", "OE", "th", "Th", "SS", "'", "'"), strict=True)),
    # Greek as handsets of two decades wrote it: capitals, Latin where the alphabet has none of their own.
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
    **dict(zip("αβγδεζηθικλμνξοπρσςτυφχψω", "ABΓΔEZHΘIKΛMNΞOΠPΣΣTYΦXΨΩ", strict=True)),
}

_LETTERS = _TABLE | {ord(letter): plain for letter, plain in LETTERS.items()}


def transliterate(text: str) -> str | None:
    """The text with look-alikes, all of it GSM 7-bit; None when that cannot be. One that is, stays."""
    if gsm0338.is_encodable(text):
        return text
    replaced = text.translate(_TABLE)
    return replaced if gsm0338.is_encodable(replaced) else None


def unmarked(text: str) -> str:
    """The text with look-alikes, and with letters that GSM 7-bit has not as those it has: without their marks. What
    cannot be had that way stays, and so does what is GSM 7-bit already."""
    return "".join(map(_unmarked_character, unicodedata.normalize("NFC", text)))


def _unmarked_character(character: str) -> str:
    if gsm0338.is_encodable(character):
        return character
    plain = character.translate(_LETTERS)
    if plain == character:
        parts = unicodedata.normalize("NFKD", character)
        plain = "".join(part for part in parts if not unicodedata.combining(part)).translate(_LETTERS)
    return plain if gsm0338.is_encodable(plain) else character
