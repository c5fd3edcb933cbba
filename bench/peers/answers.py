"""The least of HTTP/1.1 that a load generator needs to understand the daemon's answers.

Not a client: it knows only what the daemon sends, and gives up on anything else with BadAnswer.
"""

import re
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
HEAD_OCTETS: Final = 16 * 1024


class BadAnswer(Exception):
    """What came is not an answer of the daemon."""


def split_answer(octets: bytes) -> tuple[int, bytes, int] | None:
    """Status, body and length of the first answer if it is whole; it must have a Content-Length, or be a 204, which
    has no body (RFC 9110 §15.3.5)."""
    head_end = octets.find(b"\r\n\r\n")
    if head_end < 0:
        if len(octets) > HEAD_OCTETS:
            raise BadAnswer(f"no end of head in {len(octets)} octets")
        return None
    if octets.startswith(b"HTTP/1.1 204"):
        return 204, b"", head_end + 4
    found = _LENGTH.search(octets, 0, head_end + 2)
    if found is None or not octets.startswith(b"HTTP/1.1 "):
        raise BadAnswer(f"no Content-Length in {octets[:head_end]!r}")
    end = head_end + 4 + int(found[1])
    if len(octets) < end:
        return None
    return int(octets[9:12]), octets[head_end + 4 : end], end


class Chunks:
    """Takes a chunked body apart (RFC 9112 section 7.1), without extensions and trailers."""

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0
        self._is_line_due = False
        self.is_over = False

    def feed(self, octets: bytes) -> bytes:
        """The octets of the body that these hold. Raises ValueError for what is no chunk."""
        data = self._rest + octets if self._rest else octets
        parts: list[bytes] = []
        at, size = 0, len(data)
        while not self.is_over and at < size:
            if self._left:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                self._is_line_due = not self._left
                continue
            # The line end of the chunk before, then the length of the next.
            start = at + 2 if self._is_line_due else at
            line_end = data.find(b"\r\n", start)
            if line_end < 0:
                break
            self._left = int(data[start:line_end], 16)
            self._is_line_due = False
            self.is_over = self._left == 0
            at = line_end + 2
        self._rest = data[at:]
        return b"".join(parts)


class ChunkedAnswer:
    """An answer whose body comes in chunks while it is made; a refusal's body has a length, and comes plain.

    ``status`` is 0 until the head is there.
    """

    def __init__(self) -> None:
        self._head = b""
        self._chunks = Chunks()
        self._is_chunked = False
        self.status = 0

    @property
    def is_over(self) -> bool:
        return self._chunks.is_over

    def feed(self, octets: bytes) -> bytes:
        """The octets of the body that these hold. Raises BadAnswer and ValueError."""
        if self.status:
            return self._chunks.feed(octets) if self._is_chunked else octets
        self._head += octets
        head_end = self._head.find(b"\r\n\r\n")
        if head_end < 0:
            if len(self._head) > HEAD_OCTETS:
                raise BadAnswer(f"no end of head in {len(self._head)} octets")
            return b""
        head, body = self._head[: head_end + 2], self._head[head_end + 4 :]
        self.status = int(head[9:12])
        self._is_chunked = b"\r\ntransfer-encoding: chunked\r\n" in head.lower()
        if not self._is_chunked and _LENGTH.search(head) is None:
            raise BadAnswer(f"neither length nor chunks: {head!r}")
        return self._chunks.feed(body) if self._is_chunked else body
