"""Smart encoding: typographic characters become their GSM look-alikes when that makes the whole text GSM.

Owns the table. Only signs and blanks are in it, no letters: what people wrote stays what they wrote.
"""

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


def transliterate(text: str) -> str | None:
    """The text with look-alikes, all of it GSM 7-bit; None when that cannot be. One that is, stays."""
    if gsm0338.is_encodable(text):
        return text
    replaced = text.translate(_TABLE)
    return replaced if gsm0338.is_encodable(replaced) else None
