"""Damage to SMPP octets that knows their structure: what a hostile peer, a bad link or a bad program makes of PDUs.

Everything follows from one ``Random``. A *framed* mutant's command_length is its length, however broken the rest is; an
*unframed* one lies about it.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from stentor_smpp import fields as f
from stentor_smpp.pdu import HEADER_OCTETS, PDU, encode
from tests.plugins.smpp.smpp_strategies import HEX, deliver

TAGS = (
    0x001E,
    0x0204,
    0x020C,
    0x020E,
    0x020F,
    0x0210,
    0x0423,
    0x0424,
    0x0427,
    0x0428,
    0x1400,
    0x0000,
    0xFFFF,
)
SIZES = (0, 1, 2, 3, 4, 16, 65, 0x7F, 0xFF, 0x100, 0x7FFF, 0xFFFF)
OCTETS = (0x00, 0x01, 0x08, 0x16, 0x1B, 0x20, 0x3A, 0x40, 0x7F, 0x80, 0xF0, 0xFF)

RECEIPTS = (
    b"id:5f3a sub:001 dlvrd:001 submit date:2605041015 done date:2605041016 stat:DELIVRD err:000 text:Hello",
    b"ID:77A3 STAT:delivrd ERR:0",
    b"id:77a1 submit_date:20260504101500 done_date:2026-05-04 10:16:31 stat:UNDELIV err:1f4 mccmnc:24001",
    b"stat:FAILED: no such number id: 77a5, err: nul text:id:1 stat:DELIVRD",
    "id:77a0 sub:001 stat:EXPIRED err:0e Text:".encode("utf-16-be"),
)
HEADERS = (
    b"\x05\x00\x03\x5c\x02\x01",
    b"\x06\x08\x04\xa1\xb2\x03\x01",
    b"\x0b\x05\x04\x23\xf0\x0b\x84\x00\x03\x11\x02\x02",
    b"\x03\x24\x01\x03",
)


def _tlv(tag: int, value: bytes) -> bytes:
    return tag.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value


def _receipt(text: bytes, **fields: int) -> bytes:
    return deliver(9, esm_class=4, short_message=text, **fields)


SEEDS: tuple[bytes, ...] = (
    *HEX.values(),
    *(_receipt(text) for text in RECEIPTS),
    _receipt(RECEIPTS[4], data_coding=8),
    _receipt(b"") + b"",
    *(deliver(9, esm_class=0x40, short_message=header + b"part") for header in HEADERS),
    *(encode(PDU(number, 0, 9)) for number in (f.ENQUIRE_LINK, f.UNBIND, f.GENERIC_NACK, f.UNBIND_RESP)),
)


class Mutant(NamedTuple):
    """Octets, and whether their first four still say how many they are."""

    octets: bytes
    is_framed: bool


def framed(octets: bytes) -> bytes:
    """The same with a command_length that is right; padded to a header if it is shorter."""
    octets = octets.ljust(HEADER_OCTETS, b"\0")
    return len(octets).to_bytes(4, "big") + octets[4:]


def mutate(random: Random) -> Mutant:
    """One of the seeds after one to four pieces of damage."""
    octets = random.choice(SEEDS)
    for _ in range(random.randint(1, 4)):
        octets = random.choice(DAMAGE)(random, octets)
    octets = framed(octets)
    if random.random() < 0.15:
        return Mutant(_lie(random, octets), False)
    return Mutant(octets, True)


def _lie(random: Random, octets: bytes) -> bytes:
    """A command_length that is wrong: a little, or beyond all bounds."""
    length = len(octets)
    lies = (
        length - 1,
        length + 1,
        length + 40,
        0,
        15,
        16,
        65_536,
        70_000,
        70_001,
        0x7FFFFFFF,
        0xFFFFFFFF,
        0x16030100,
    )
    lie = random.choice([each for each in lies if each != length])
    return lie.to_bytes(4, "big") + octets[4:]


def _at(random: Random, octets: bytes) -> int:
    """A place behind command_length; most often in the body."""
    first = 4 if random.random() < 0.1 or len(octets) <= HEADER_OCTETS else HEADER_OCTETS
    return random.randrange(first, len(octets)) if len(octets) > first else len(octets)


def _flip(random: Random, octets: bytes) -> bytes:
    at = _at(random, octets)
    return octets if at >= len(octets) else _put(octets, at, bytes((octets[at] ^ 1 << random.randrange(8),)))


def _set(random: Random, octets: bytes) -> bytes:
    at = _at(random, octets)
    return octets if at >= len(octets) else _put(octets, at, bytes((random.choice(OCTETS),)))


def _put(octets: bytes, at: int, new: bytes) -> bytes:
    return octets[:at] + new + octets[at + len(new) :]


def _cut(random: Random, octets: bytes) -> bytes:
    return octets[: _at(random, octets)]


def _drop(random: Random, octets: bytes) -> bytes:
    at = _at(random, octets)
    return octets[:at] + octets[at + random.randint(1, 8) :]


def _insert(random: Random, octets: bytes) -> bytes:
    at = _at(random, octets)
    new = random.choice(
        (b"\0", bytes(random.randrange(256) for _ in range(random.randint(1, 30))), b"A" * 70)
    )
    return octets[:at] + new + octets[at:]


def _repeat(random: Random, octets: bytes) -> bytes:
    at = _at(random, octets)
    piece = octets[at : at + random.randint(1, 20)]
    return octets[:at] + piece * random.choice((2, 3, 30)) + octets[at:]


def _splice(random: Random, octets: bytes) -> bytes:
    other = random.choice(SEEDS)
    return octets[: _at(random, octets)] + other[_at(random, other) :]


def _add_tlv(random: Random, octets: bytes) -> bytes:
    value = bytes(random.choice(OCTETS) for _ in range(random.choice((0, 1, 2, 3, 4, 5, 70))))
    return octets + _tlv(random.choice(TAGS), value) * random.choice((1, 1, 1, 2, 300))


def _lie_in_tlv(random: Random, octets: bytes) -> bytes:
    return octets + random.choice(TAGS).to_bytes(2, "big") + random.choice(SIZES).to_bytes(2, "big") + b"xyz"


def _lie_in_text(random: Random, octets: bytes) -> bytes:
    """Somewhere stands the length of what is behind it: sm_length, number_of_dests, UDHL, an element's length."""
    rest = [at for at in range(HEADER_OCTETS, len(octets)) if octets[at] and octets[at] <= len(octets) - at]
    return _put(octets, random.choice(rest), bytes((random.randrange(256),))) if rest else octets


def _swap_kind(random: Random, octets: bytes) -> bytes:
    """The body of one operation under the number of another."""
    number = random.choice((*f.LAYOUTS, 0x0A, 0x1234, 0x80001234, 0x00010200))
    return _put(octets.ljust(HEADER_OCTETS, b"\0"), 4, number.to_bytes(4, "big"))


DAMAGE: Sequence[Callable[[Random, bytes], bytes]] = (
    _flip, _flip, _flip, _set, _set, _cut, _drop, _insert, _repeat, _splice, _add_tlv, _lie_in_tlv, _lie_in_text,
    _swap_kind,
)  # fmt: skip
