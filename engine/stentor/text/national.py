"""GSM 7-bit with national language tables (TS 23.038 §6.2.1.2): between texts and septets, and the header that
announces the tables (TS 23.040 §9.2.3.24.15 and .16).

Owns the conversion; the tables are ``languages``. The invariants of ``gsm0338`` hold here too: ESC occurs in encoded
septets only as the first half of a pair, and what is encoded is decoded unchanged. Of two codes for a character the
shorter is taken, of two that are equally long the lower.
"""

from collections.abc import Set
from functools import lru_cache
from typing import Final

import msgspec

from stentor.text.gsm0338 import BASIC, ESC, EXTENSION, NotGSM
from stentor.text.languages import LOCKING, SINGLE, UNSURE_LOCKING, UNSURE_SINGLE, VACANT, Language

_SINGLE_SHIFT: Final = 0x24
_LOCKING_SHIFT: Final = 0x25


class Shift(msgspec.Struct, frozen=True, gc=False):
    """Which tables are in force: identifiers of languages, 0 for the default alphabet and the extension table."""

    single: int = 0
    locking: int = 0

    @property
    def header(self) -> bytes:
        """The user data header that announces the tables, its length octet in front; empty for the default ones."""
        elements = b""
        if self.single:
            elements += bytes((_SINGLE_SHIFT, 1, self.single))
        if self.locking:
            elements += bytes((_LOCKING_SHIFT, 1, self.locking))
        return bytes((len(elements),)) + elements if elements else b""


DEFAULT: Final = Shift()


class Tables:
    """A pair of tables, ready to convert."""

    __slots__ = ("_after_esc", "_alone", "_codes", "_doubles")

    def __init__(self, shift: Shift) -> None:
        locking = LOCKING.get(shift.locking, BASIC)
        single = SINGLE.get(shift.single, EXTENSION)
        unsure = UNSURE_LOCKING.get(shift.locking), UNSURE_SINGLE.get(shift.single)
        self._alone = locking + VACANT * 128
        self._after_esc = [single.get(code, self._alone[code]) for code in range(256)]
        codes: dict[str, bytes] = {}
        for code, character in enumerate(locking):
            if code not in (ESC, unsure[0]) and character != VACANT:
                codes.setdefault(character, bytes((code,)))
        for code, character in sorted(single.items()):
            if code != unsure[1]:
                codes.setdefault(character, bytes((ESC, code)))
        self._codes = codes
        self._doubles = frozenset(character for character, code in codes.items() if len(code) == 2)

    def is_encodable(self, characters: Set[str]) -> bool:
        """Whether the tables have every character."""
        return self._codes.keys() >= characters

    def septet_count(self, text: str, characters: Set[str]) -> int:
        """Septets an encodable text of these characters takes; those of the single shift table count two."""
        return len(text) + sum(map(text.count, self._doubles & characters))

    def encode(self, text: str) -> bytes:
        """Unpacked septets. Raises NotGSM for what the tables do not have."""
        try:
            return b"".join(map(self._codes.__getitem__, text))
        except KeyError:
            found = ((text[at], at) for at in range(len(text)) if text[at] not in self._codes)
            raise NotGSM(*next(found)) from None

    def decode(self, septets: bytes) -> str:
        """Text of unpacked septets; never fails.

        A code without a character gives U+FFFD; after ESC it gives what it is without, and ESC gives a blank.
        """
        pieces = []
        octets = iter(septets)
        for octet in octets:
            if octet != ESC:
                pieces.append(self._alone[octet])
            else:
                after = next(octets, None)
                pieces.append(" " if after is None else self._after_esc[after])
        return "".join(pieces)


@lru_cache(maxsize=256)
def tables(shift: Shift) -> Tables:
    """The tables in force; an identifier that names no table leaves the default one."""
    return Tables(shift)


@lru_cache(maxsize=64)
def candidates(languages: tuple[Language, ...]) -> tuple[Shift, ...]:
    """What these languages offer: each table that they have alone, then both of a language."""
    single = [Shift(single=language) for language in languages if language in SINGLE]
    locking = [Shift(locking=language) for language in languages if language in LOCKING]
    both = [Shift(shift.locking, shift.locking) for shift in locking if shift.locking in SINGLE]
    return (*single, *locking, *both)
