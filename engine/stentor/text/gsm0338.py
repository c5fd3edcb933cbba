"""The GSM 7-bit default alphabet and its extension table (TS 23.038 §6.2.1), septet packing (§6.1.2.1).

Owns the two tables and every conversion between ``str``, unpacked septets (one to an octet, high bit 0) and
packed septets. Invariants: ESC (0x1B) occurs in encoded septets only as the first half of a pair, never as
the second, so a cut is inside a pair exactly when the septet before it is ESC; whatever ``encode`` takes,
``decode`` gives back unchanged.
"""

import re
from codecs import charmap_decode
from typing import Final

ESC: Final = 0x1B

# Row by row of sixteen, as in the specification. The blank in place of ESC is what a receiver shows for it.
BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ ÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)

EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}

_REPLACEMENT = "\ufffd"
_DECODING = BASIC + _REPLACEMENT * 128
_AFTER_ESC = {octet: EXTENSION.get(octet, _DECODING[octet]) for octet in range(256)}

_ENCODING: dict[str, bytes] = {char: bytes((code,)) for code, char in enumerate(BASIC) if code != ESC}
_ENCODING |= {char: bytes((ESC, code)) for code, char in EXTENSION.items()}

# Most texts are ASCII, or Latin-1 at least. Then one bytes.translate and a search for a marker do what would
# be a loop in Python: ESC marks what is no single septet, 0xFF what is no septet at all or takes two.
_TO_SINGLE = bytes(_ENCODING[chr(o)][0] if chr(o) in _ENCODING else ESC for o in range(256))
_TO_CARRIED = bytes(o if chr(o) in _ENCODING else 0xFF for o in range(128)) + b"\xff" * 128
_TO_DOUBLE = bytes(0xFF if chr(o) in EXTENSION.values() else 0 for o in range(256))

_find_foreign = re.compile(f"[^{re.escape(''.join(_ENCODING))}]").search
_double = re.compile(f"[{re.escape(''.join(EXTENSION.values()))}]").findall
_escape_pair = re.compile(rb"\x1b(.?)", re.DOTALL)


class NotGSM(ValueError):
    """A character outside the alphabet: ``character``, and ``position``, its index in the text from 0."""

    def __init__(self, character: str, position: int) -> None:
        super().__init__(character, position)
        self.character = character
        self.position = position

    def __str__(self) -> str:
        return f"U+{ord(self.character):04X} at position {self.position} is not in the GSM 7-bit alphabet"


def is_encodable(text: str) -> bool:
    """Whether every character is in the basic or the extension table."""
    if text.isascii():
        return 0xFF not in text.encode().translate(_TO_CARRIED)
    return _find_foreign(text) is None


def first_foreign(text: str) -> tuple[str, int] | None:
    """The first character that is in neither table, with its index from 0; None when there is none."""
    found = _find_foreign(text)
    return (found[0], found.start()) if found else None


def septet_count(text: str) -> int:
    """Septets an encodable text takes; characters of the extension table count two."""
    if text.isascii():
        return len(text) + text.encode().translate(_TO_DOUBLE).count(0xFF)
    return len(text) + len(_double(text))


def encode(text: str) -> bytes:
    """Unpacked septets, ESC pairs for the extension table. Raises NotGSM for what cannot be carried."""
    try:
        septets = text.encode("latin-1").translate(_TO_SINGLE)
        if ESC not in septets:
            return septets
    except UnicodeEncodeError:
        pass  # Greek capitals and the euro sign are not in Latin-1 but may be in the alphabet
    try:
        return b"".join(map(_ENCODING.__getitem__, text))
    except KeyError:
        found = first_foreign(text)
        assert found is not None
        raise NotGSM(*found) from None


def decode(septets: bytes) -> str:
    """Text of unpacked septets; never fails.

    ESC and a code outside the extension table gives the basic character; ESC ESC, or ESC at the end, gives a
    blank. An octet above 0x7F is no septet and gives U+FFFD.
    """
    if ESC not in septets:
        return charmap_decode(septets, "strict", _DECODING)[0]
    pieces = []
    start = 0
    for pair in _escape_pair.finditer(septets):
        pieces.append(charmap_decode(septets[start : pair.start()], "strict", _DECODING)[0])
        pieces.append(_AFTER_ESC[pair[1][0]] if pair[1] else " ")
        start = pair.end()
    pieces.append(charmap_decode(septets[start:], "strict", _DECODING)[0])
    return "".join(pieces)


def pack(septets: bytes, fill_bits: int = 0) -> bytes:
    """Eight septets to seven octets, the first in the low bits, after ``fill_bits`` zero bits.

    After a header of h octets the text starts on a septet boundary: ``fill_bits`` = -8h mod 7.
    """
    packed = 0
    for septet in reversed(septets):
        packed = packed << 7 | septet & 0x7F
    return (packed << fill_bits).to_bytes((len(septets) * 7 + fill_bits + 7) // 8, "little")


def unpack(octets: bytes, count: int, fill_bits: int = 0) -> bytes:
    """The first ``count`` septets of packed ``octets``, or as many as there are.

    The number of septets is not on the wire: seven spare zero bits look like an ``@`` to whoever guesses it.
    """
    packed = int.from_bytes(octets, "little") >> fill_bits
    available = max(0, len(octets) * 8 - fill_bits) // 7
    return bytes([packed >> 7 * index & 0x7F for index in range(min(count, available))])
