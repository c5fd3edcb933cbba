"""Newline-delimited JSON: bytes in any pieces -> whole lines, in order, with bounded memory.

The splitter knows nothing of JSON. Invariants: what is held between two pieces is at most ``limit`` + 1
octets of one unfinished line; a line over the limit appears once, in its place, as an OverlongLine, and its
remainder is skipped without being kept.
"""

import msgspec

# A message with the longest text, metadata and headers a submit allows is under 20 KiB of JSON; 64 KiB leaves
# room for escapes and is still nothing beside a read of 256 KiB.
LINE_LIMIT = 64 * 1024


class OverlongLine(msgspec.Struct, frozen=True, gc=False):
    """Stands where a line over the limit stood. ``number`` counts the body's lines from 1, blank ones too."""

    number: int
    limit: int


Line = bytes | OverlongLine


class LineSplitter:
    """Splits one body. Lines end in LF or CRLF; blank ones are left out but counted in ``count``."""

    __slots__ = ("_is_skipping", "_limit", "_partial", "count")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._partial = b""
        self._is_skipping = False
        self.count = 0
        """Lines ended so far, blank and overlong ones included."""

    def feed(self, data: bytes) -> list[Line]:
        """The lines that ``data`` completed, without their ends; an overlong one once it is known to be."""
        lines: list[bytes] = data.split(b"\n")
        if len(lines) == 1:
            return self._hold(data)
        skipped = self._is_skipping
        self._is_skipping = False
        if self._partial:
            lines[0] = self._partial + lines[0]
        rest = lines.pop()
        first_number = self.count + 1
        self.count += len(lines)
        if skipped:
            del lines[0]  # the tail of a line already reported
            first_number += 1
        self._partial = b""
        # Most clients end lines in LF only, so that one look over the whole pays for itself.
        if b"\r" in data or (lines and lines[0].endswith(b"\r")):
            lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
        whole = self._within_limit(lines, first_number)
        return whole + self._hold(rest) if rest else whole

    def finish(self) -> list[Line]:
        """The last line, if the body did not end in a newline. The splitter must not be fed afterwards."""
        line, self._partial = self._partial.removesuffix(b"\r"), b""
        if self._is_skipping or line:
            self.count += 1
        if self._is_skipping or not line:
            return []
        if len(line) > self._limit:
            return [OverlongLine(self.count, self._limit)]
        return [] if line.isspace() else [line]

    def _within_limit(self, lines: list[bytes], first_number: int) -> list[Line]:
        limit = self._limit
        if not lines:
            return []
        if max(map(len, lines)) <= limit:
            return [line for line in lines if line and not line.isspace()]
        return [
            line if len(line) <= limit else OverlongLine(number, limit)
            for number, line in enumerate(lines, first_number)
            if len(line) > limit or (line and not line.isspace())
        ]

    def _hold(self, piece: bytes) -> list[Line]:
        """Keep the beginning of an unfinished line, or report the line once it cannot become a short one."""
        if self._is_skipping:
            return []
        self._partial += piece
        # One octet more than the limit may still be the CR of a CRLF.
        if len(self._partial) <= self._limit + 1:
            return []
        self._partial = b""
        self._is_skipping = True
        return [OverlongLine(self.count + 1, self._limit)]
