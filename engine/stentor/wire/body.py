"""Request bodies: octets in any pieces -> payload (RFC 9112 §6 and §7).

Heads are h11's; bodies are read here, because h11 makes an event and two copies of every chunk (3.4 µs, here
1 µs), and many a client sends a chunk a line. The grammar taken is narrower than h11's (no space after a
chunk's size, bounded extensions), and whatever is taken here h11 takes alike; a test holds that.

Invariants: a reader keeps at most one unfinished line of framing or trailer (8 KiB), never payload; after a
fault or the end it must not be fed again.
"""

import re

from stentor.wire.head import bare_line_end, malformed
from stentor.wire.problem import Problem, problem

# Size line of a chunk: nobody sends extensions (RFC 9112 §7.1.1 asks to bound them).
_CHUNK_LINE_LIMIT = 256
_EXTENSIONS_LIMIT = 16 * 1024
_TRAILER_LIMIT = 8 * 1024
_UNLIMITED = 1 << 62

# 15 digits: leading zeros are allowed, numbers beyond a machine word are not.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?)\r\n")
_CHUNK_LINE_BEGINNING = re.compile(rb"(?:[0-9A-Fa-f]{1,15}[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r?)?")
_TRAILER_LINE = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+:[\t\x20-\x7e\x80-\xff]*")


def too_large(limit: int) -> Problem:
    """413: the body is longer than the resource takes."""
    return problem(413, f"the body is longer than {limit} octets", "body_too_large")


class LengthBody:
    """A body of ``length`` octets (RFC 9112 §6.2)."""

    __slots__ = ("_left", "is_complete", "problem")

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_complete = length == 0
        self.problem: Problem | None = None

    def feed(self, data: bytes, out: list[bytes]) -> bytes:
        """Append the payload in ``data`` to ``out`` and return what comes after the body."""
        left = self._left
        self._left = max(0, left - len(data))
        self.is_complete = self._left == 0
        if len(data) <= left:
            out.append(data)
            return b""
        out.append(data[:left])
        return data[left:]


class ChunkedBody:
    """A chunked body (RFC 9112 §7.1) of at most ``limit`` octets of payload; None for no limit.

    ``problem`` is set at a fault, ``is_complete`` after the last chunk and its trailer, which is dropped.
    """

    __slots__ = (
        "_chunk_left",
        "_extension_octets",
        "_held",
        "_in_chunk",
        "_in_trailer",
        "_payload_left",
        "_payload_limit",
        "is_complete",
        "problem",
    )

    def __init__(self, limit: int | None) -> None:
        self._payload_limit = limit
        self._payload_left = _UNLIMITED if limit is None else limit
        self._held = b""  # an unfinished size line, end of chunk, or trailer
        self._in_chunk = False  # from after a size line to after the CRLF that ends its chunk
        self._in_trailer = False
        self._chunk_left = 0
        self._extension_octets = 0
        self.is_complete = False
        self.problem: Problem | None = None

    def feed(self, data: bytes, out: list[bytes]) -> bytes:
        """As LengthBody.feed; after a fault nothing that comes can be trusted, and nothing is returned."""
        if self._held:
            data, self._held = self._held + data, b""
        position = 0
        while not self._in_trailer:
            if self._in_chunk:
                position = self._read_chunk(data, position, out)
                if self._in_chunk:
                    return b""
            line = _CHUNK_LINE.match(data, position)
            if line is None:
                self._hold_size_line(data[position:])
                return b""
            position = line.end()
            self._begin_chunk(int(line[1], 16), len(line[2]))
            if self.problem is not None:
                return b""
        return self._read_trailer(data, position)

    def _begin_chunk(self, length: int, extension_octets: int) -> None:
        self._payload_left -= length
        self._extension_octets += extension_octets
        if self._payload_left < 0:
            assert self._payload_limit is not None
            self.problem = too_large(self._payload_limit)
        elif self._extension_octets > _EXTENSIONS_LIMIT:
            self.problem = malformed("too many chunk extensions")
        self._chunk_left = length
        self._in_chunk = length > 0
        self._in_trailer = length == 0

    def _read_chunk(self, data: bytes, position: int, out: list[bytes]) -> int:
        """Read what is there of a chunk and its CRLF; ``_in_chunk`` stays true unless both were whole."""
        end = position + self._chunk_left
        if end > len(data):
            self._chunk_left = end - len(data)
            if position < len(data):
                out.append(data[position:])
            return len(data)
        if self._chunk_left:
            out.append(data[position:end])
            self._chunk_left = 0
        ending = data[end : end + 2]
        if ending == b"\r\n":
            self._in_chunk = False
        elif ending == b"" or ending == b"\r":
            self._held = ending
        else:
            self.problem = malformed("a chunk is longer than its size says")
        return end + 2

    def _hold_size_line(self, beginning: bytes) -> None:
        if len(beginning) > _CHUNK_LINE_LIMIT or not _CHUNK_LINE_BEGINNING.fullmatch(beginning):
            self.problem = malformed("a chunk begins without a valid size")
        self._held = beginning

    def _read_trailer(self, data: bytes, position: int) -> bytes:
        if data.startswith(b"\r\n", position):
            self.is_complete = True
            return data[position + 2 :]
        end = data.find(b"\r\n\r\n", position)
        trailer = data[position:] if end < 0 else data[position:end]
        if len(trailer) > _TRAILER_LIMIT:
            self.problem = problem(431, "the trailer is too long", "trailer_too_long")
        elif bare_line_end(trailer):
            self.problem = malformed("a line of the trailer ends in LF without CR")
        elif end < 0:
            self._held = trailer
        elif not all(map(_TRAILER_LINE.fullmatch, trailer.split(b"\r\n"))):
            self.problem = malformed("a line of the trailer is not a field")
        else:
            self.is_complete = True
            return data[end + 4 :]
        return b""
