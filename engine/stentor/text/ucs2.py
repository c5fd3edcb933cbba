"""UCS-2 as handsets and networks write it: UTF-16, mostly big-endian (TS 23.038 §6.2.3). Decoding never fails."""

from typing import Final

_LITTLE_ENDIAN: Final = b"\xff\xfe"
_BIG_ENDIAN: Final = b"\xfe\xff"


def decode(octets: bytes) -> str:
    """The text, big-endian unless a byte order mark says otherwise; halves of pairs become U+FFFD."""
    if octets[:2] == _LITTLE_ENDIAN:
        return octets[2:].decode("utf-16-le", "replace")
    if octets[:2] == _BIG_ENDIAN:
        octets = octets[2:]
    return octets.decode("utf-16-be", "replace")
