"""From the octets of a submission to those the carrier takes: a GSM 7-bit text in its default alphabet.

The engine hands over what is right for the air; the carrier may want a text in octets of its own alphabet, and turns
them into septets itself (SMPP 3.4 section 5.2.19 leaves the alphabet to it). A text the alphabet lacks a character of
never comes here as GSM 7-bit: the channel's ``Coding`` has seen to that.
"""

from collections.abc import Callable
from typing import Final

from stentor.outcome import Submission
from stentor.text import gsm0338
from stentor.text.coding import Alphabet
from stentor.text.segments import Encoding
from stentor_smpp.dialect import Dialect
from stentor_smpp.flags import names_gsm7


def _single_octets(codec: str) -> bytes:
    """For every septet its octet; ESC stays, which tells that a text has pairs. So does what the codec lacks, which
    does not occur."""
    octets = bytearray(range(256))
    for code, character in enumerate(gsm0338.BASIC):
        octets[code] = (character.encode(codec, "ignore") or b"\x1b")[0]
    octets[gsm0338.ESC] = gsm0338.ESC
    return bytes(octets)


def _by_codec(codec: str) -> Callable[[bytes], bytes]:
    table = _single_octets(codec)

    def octets(septets: bytes) -> bytes:
        found = septets.translate(table)
        return gsm0338.decode(septets).encode(codec) if gsm0338.ESC in found else found

    return octets


_OCTETS: Final = {
    Alphabet.LATIN1: _by_codec("latin-1"),
    Alphabet.ASCII: _by_codec("ascii"),
    Alphabet.WINDOWS1252: _by_codec("cp1252"),
}


def pack(septets: bytes, udh: bytes) -> bytes:
    """Septets as on the air, from the septet boundary behind the header (TS 23.040 section 9.2.3.24)."""
    return gsm0338.pack(septets, -8 * len(udh) % 7)


class Recoder:
    """Recodes for one channel. ``is_needed`` is False where the carrier takes the octets as they are."""

    __slots__ = ("_config", "_is_packed", "_octets", "is_needed")

    def __init__(self, config: Dialect) -> None:
        self._config = config
        self._octets = _OCTETS.get(config.alphabet)
        self._is_packed = config.alphabet is Alphabet.GSM7_PACKED
        self.is_needed = self._octets is not None or self._is_packed

    def octets(self, submission: Submission, udh: bytes) -> bytes:
        """What stands behind the header ``udh``. Where the unit is the message, a text has still to be made octets."""
        octets = submission.data if submission.text is None else _octets(submission.text, submission.encoding)
        if not self.is_needed or submission.encoding is not Encoding.GSM7:
            return octets
        if self._is_packed:
            return pack(octets, udh)
        if self._octets is None or names_gsm7(self._config, submission.flash):
            return octets
        return self._octets(octets)


def _octets(text: str, encoding: Encoding) -> bytes:
    if encoding is Encoding.GSM7:
        return gsm0338.encode(text)
    return text.encode("latin-1" if encoding is Encoding.LATIN1 else "utf-16-be")
