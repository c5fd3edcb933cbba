"""The user data header in front of a text: elements, concatenation, ports, language tables (TS 23.040
§9.2.3.24).

A header that does not fit is a value, ``BrokenHeader``; the message is then binary as it stands. Elements
come in any order, a repeated one counts the last time, unknown ones are kept, and one of a wrong length says
nothing.
"""

from typing import Final

import msgspec

from stentor.text.national import Shift

_CONCATENATION_8: Final = 0x00
_PORTS_8: Final = 0x04
_PORTS_16: Final = 0x05
_CONCATENATION_16: Final = 0x08
_SINGLE_SHIFT: Final = 0x24
_LOCKING_SHIFT: Final = 0x25

CONCATENATIONS: Final = frozenset({_CONCATENATION_8, _CONCATENATION_16})
"""Elements that say which part of a long message this is."""

_SIZES: Final = {
    _CONCATENATION_8: 3,
    _PORTS_8: 2,
    _PORTS_16: 4,
    _CONCATENATION_16: 4,
    _SINGLE_SHIFT: 1,
    _LOCKING_SHIFT: 1,
}


class Concatenation(msgspec.Struct, frozen=True, gc=False):
    """Which part of which long message; ``bits`` is the width of the reference, 8 or 16."""

    reference: int
    total: int
    number: int
    bits: int


class Ports(msgspec.Struct, frozen=True, gc=False):
    """Application ports."""

    destination: int
    source: int


class UserDataHeader(msgspec.Struct, frozen=True, gc=False):
    """A header that was read; ``octets`` of it stand before the text, its length octet included."""

    octets: int
    elements: tuple[tuple[int, bytes], ...] = ()
    concatenation: Concatenation | None = None
    ports: Ports | None = None
    single_shift: int | None = None
    locking_shift: int | None = None

    @property
    def shift(self) -> Shift:
        """The language tables in force."""
        return Shift(self.single_shift or 0, self.locking_shift or 0)


class BrokenHeader(msgspec.Struct, frozen=True, gc=False):
    """Why the octets are no header, and where."""

    octet: int
    detail: str


def read_udh(octets: bytes) -> UserDataHeader | BrokenHeader:
    """Read the header at the front of ``octets``, as esm_class bit 0x40 promises it."""
    if not octets:
        return BrokenHeader(0, "no octets, a header was announced")
    behind = 1 + octets[0]
    if behind > len(octets):
        return BrokenHeader(0, f"header of {behind} octets in {len(octets)}")
    elements: list[tuple[int, bytes]] = []
    at = 1
    while at < behind:
        if at + 2 > behind or at + 2 + octets[at + 1] > behind:
            return BrokenHeader(at, f"element 0x{octets[at]:02x} reaches beyond the header")
        data_end = at + 2 + octets[at + 1]
        elements.append((octets[at], octets[at + 2 : data_end]))
        at = data_end
    return _interpret(behind, tuple(elements))


def _interpret(octets: int, elements: tuple[tuple[int, bytes], ...]) -> UserDataHeader:
    concatenation: Concatenation | None = None
    ports: Ports | None = None
    shifts: dict[int, int] = {}
    for element, data in elements:
        if len(data) != _SIZES.get(element):
            continue
        if element in CONCATENATIONS:
            reference = int.from_bytes(data[:-2], "big")
            concatenation = concatenate(reference, data[-2], data[-1], 8 * (len(data) - 2)) or concatenation
        elif element in (_PORTS_8, _PORTS_16):
            half = len(data) // 2
            ports = Ports(int.from_bytes(data[:half], "big"), int.from_bytes(data[half:], "big"))
        else:
            shifts[element] = data[0]
    return UserDataHeader(
        octets, elements, concatenation, ports, shifts.get(_SINGLE_SHIFT), shifts.get(_LOCKING_SHIFT)
    )


def concatenate(reference: int, total: int, number: int, bits: int) -> Concatenation | None:
    """A concatenation, or None when its numbers cannot be: the part then is a message of its own."""
    return Concatenation(reference, total, number, bits) if 1 <= number <= total else None
