"""The client's side of one HTTP/1.1 exchange, sans-IO: octets of a response -> an Answer (RFC 9112 §§4-7).

Heads as servers write them are read by one regular expression; h11 judges every other, and what it takes is taken.
h11 needs 25 µs for a usual answer, what stands here 7 µs. Bodies are read by ``wire.body``.

Invariants: one response is read at a time, ``begin`` comes before its first octet; after an Answer or a BadAnswer
nothing more is fed before the next ``begin``; no more is held than the limits.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import h11
import msgspec

from stentor.wire.body import ChunkedBody, LengthBody

HEAD_LIMIT: Final = 64 * 1024  # what other clients allow; with cookies and policies 8 KiB are common
KNOWN_LIMIT: Final = 1024  # a longer head is not kept to be compared with the next
INTERIM_LIMIT: Final = 20  # 1xx answers before the final one; a server sends one or two

_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*+)?\r\n"
    rb"((?:[-!#$%&'*+.^_`|~0-9a-zA-Z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+)\r\n"
)
_FIELD: Final = re.compile(r"([^:\r\n]++):[ \t]*+([^\r\n]*?)[ \t]*\r\n")
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_KEEP_ALIVE_TIMEOUT: Final = re.compile(r"timeout=([0-9]{1,6})")
_OCTETS: Final = re.compile(r"bytearray\(b(['\"])(.*)\1\)")  # as h11's errors quote what came
_VERSION: Final = b"HTTP/"
_NO_REQUEST: Final = h11.Request(method="GET", target="/", headers=[("Host", "h")])


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A whole response. ``keeps_alive``: the connection can carry another exchange, if nothing else speaks against
    it; ``idle_s`` for how long the server says it keeps it, infinity when it does not say."""

    status: int
    fields: Mapping[str, str]
    body: bytes
    keeps_alive: bool
    is_cut: bool = False

    @property
    def idle_s(self) -> float:
        """What a Keep-Alive field promises."""
        found = _KEEP_ALIVE_TIMEOUT.search(self.fields.get("keep-alive", ""))
        return float(found[1]) if found else float("inf")


class BadAnswer(msgspec.Struct, frozen=True, gc=False):
    """What came is no response we can take."""

    detail: str


class _Head(msgspec.Struct, frozen=True, gc=False):
    """``keeps_alive``: as far as the head says. ``octets`` are its own. ``whole``: the answer, if a body of no octets
    makes it one."""

    status: int
    fields: dict[str, str]
    is_http_1_0: bool
    keeps_alive: bool
    octets: bytes
    whole: Answer | None = None


class _UntilClosed:
    """A body that ends with the connection (RFC 9112 §6.3 case 8)."""

    problem = None
    is_complete = False

    def feed(self, data: bytes, out: list[bytes]) -> bytes:
        out.append(data)
        return b""


class AnswerReader:
    """Reads the responses of one connection, one after the other.

    ``body_limit``: octets of a body; a longer one is a BadAnswer, or with ``cuts_body`` an Answer that is cut.
    """

    __slots__ = (
        "_body",
        "_body_limit",
        "_cuts_body",
        "_has_body",
        "_head",
        "_held",
        "_interim",
        "_keeps_alive",
        "_known",
        "_pieces",
        "_size",
        "has_begun",
    )

    def __init__(self, body_limit: int, *, cuts_body: bool = False) -> None:
        self._body_limit = body_limit
        self._cuts_body = cuts_body
        self._known = _NO_HEAD
        self.has_begun = True
        self.begin()

    def begin(self, *, has_body: bool = True) -> None:
        """Make ready for a response; to HEAD and CONNECT it has no body, whatever its head says."""
        self._has_body = has_body
        if not self.has_begun:
            return  # the last one left nothing behind
        self._held = b""
        self._head: _Head | None = None
        self._body: LengthBody | ChunkedBody | _UntilClosed | None = None
        self._keeps_alive = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._interim = 0
        self.has_begun = False

    @property
    def status(self) -> int:
        """Of the response whose body is awaited, 0 while there is none."""
        return self._head.status if self._head is not None else 0

    def feed(self, data: bytes) -> Answer | BadAnswer | None:
        """Take octets; the response once it is whole, None while it is not."""
        known = self._known
        if not self.has_begun and known.whole is not None and data == known.octets:
            return known.whole
        self.has_begun = True
        if self._head is not None:
            return self._read_body(data)
        if self._held:
            data, self._held = self._held + data, b""
        return self._read_head(data)

    def finish(self) -> Answer | None:
        """The connection has ended: the response if that is how its body ends, None if it is not whole."""
        if type(self._body) is _UntilClosed:
            return self._answer(b"".join(self._pieces))
        return None

    # ---- heads

    def _read_head(self, data: bytes) -> Answer | BadAnswer | None:
        while True:
            head = self._known
            # A server's heads are mostly alike, but for the second of their date.
            if not data.startswith(head.octets):
                found = _take_head(data)
                if found is None:
                    self._held = data
                    return None
                if isinstance(found, BadAnswer):
                    return found
                head = found
                if len(head.octets) <= KNOWN_LIMIT:
                    self._known = head
            end = len(head.octets)
            if head.whole is not None and end == len(data):
                return head.whole
            if end > HEAD_LIMIT:
                return BadAnswer(f"the head of the answer is longer than {HEAD_LIMIT} octets")
            if head.status >= 200:
                self._head = head
                return self._begin_body(head, data, end)
            self._interim += 1
            if head.status == 101 or self._interim > INTERIM_LIMIT:
                return BadAnswer(f"status {head.status} where nobody asked for it")
            data = data[end:]
            if not data:
                return None

    # ---- bodies

    def _begin_body(self, head: _Head, data: bytes, end: int) -> Answer | BadAnswer | None:
        fields = head.fields
        self._keeps_alive = head.keeps_alive
        if not self._has_body or head.status == 204 or head.status == 304:
            self._keeps_alive = self._keeps_alive and end == len(data)
            return self._answer(b"")
        coding = fields.get("transfer-encoding")
        length = fields.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked":
                return BadAnswer("a transfer coding that nobody asked for")
            # Both, or one that HTTP/1.0 does not know: its end is doubtful (RFC 9112 §6.1).
            self._keeps_alive = self._keeps_alive and length is None and not head.is_http_1_0
            self._body = ChunkedBody(None)
        elif length is not None:
            octets = _length(length)
            if octets is None:
                return BadAnswer("a Content-Length that is no number")
            if len(data) == end + octets and octets <= self._body_limit:
                return self._answer(data[end:])
            if octets > self._body_limit and not self._cuts_body:
                return self._too_long()
            self._body = LengthBody(octets)
        else:
            self._keeps_alive = False
            self._body = _UntilClosed()
        return self._read_body(data[end:])

    def _read_body(self, data: bytes) -> Answer | BadAnswer | None:
        body, pieces = self._body, self._pieces
        assert body is not None, "fed after the end"
        known = len(pieces)
        rest = body.feed(data, pieces)
        self._size += sum(map(len, pieces[known:]))
        if body.problem is not None:
            return BadAnswer(body.problem.detail)
        if self._size > self._body_limit:
            if not self._cuts_body:
                return self._too_long()
            self._keeps_alive = False
            return self._answer(b"".join(pieces)[: self._body_limit], is_cut=True)
        if not body.is_complete:
            return None
        if rest:
            self._keeps_alive = False  # what came behind the end belongs to nothing
        return self._answer(b"".join(pieces))

    def _answer(self, body: bytes, *, is_cut: bool = False) -> Answer:
        head = self._head
        assert head is not None
        return Answer(head.status, head.fields, body, self._keeps_alive, is_cut)

    def _too_long(self) -> BadAnswer:
        return BadAnswer(f"the body of the answer is longer than {self._body_limit} octets")


def _take_head(data: bytes) -> _Head | BadAnswer | None:
    """Read a head; None while its end is not there."""
    match = _HEAD.match(data)
    if match is not None:
        fields = _join(_FIELD.findall(match[3].decode("latin-1")))
        return _head(int(match[2]), fields, match[0], is_http_1_0=match[1] == b"0")
    if not data.startswith(_VERSION) and not _VERSION.startswith(data[: len(_VERSION)]):
        return BadAnswer("the answer is not HTTP")
    end = _HEAD_END.search(data)
    if end is None:
        if len(data) > HEAD_LIMIT:
            return BadAnswer(f"the head of the answer is longer than {HEAD_LIMIT} octets")
        return None
    octets = data[: end.end()]
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT + 1)
    connection.send(_NO_REQUEST)
    connection.receive_data(octets)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        detail = _OCTETS.sub(r"\2", str(error))
        return BadAnswer(f"the answer is not HTTP: {detail}")
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        return BadAnswer("the answer is not HTTP")
    fields = _join((name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers)
    return _head(event.status_code, fields, octets, is_http_1_0=event.http_version == b"1.0")


def _head(status: int, fields: dict[str, str], octets: bytes, *, is_http_1_0: bool) -> _Head:
    keeps_alive = _keeps_alive(fields, is_http_1_0=is_http_1_0)
    whole = None
    is_bare = fields.get("content-length") == "0" and "transfer-encoding" not in fields
    if is_bare and status >= 200 and len(octets) <= KNOWN_LIMIT:
        whole = Answer(status, fields, b"", keeps_alive)
    return _Head(status, fields, is_http_1_0, keeps_alive, octets, whole)


def _join(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for raw_name, value in pairs:
        name = raw_name.lower()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _length(value: str) -> int | None:
    """A Content-Length; one that was sent twice is good if both say the same (RFC 9110 §8.6)."""
    if not value.isascii() or not value.isdigit():
        values = {each.strip() for each in value.split(",")}
        value = values.pop() if len(values) == 1 else ""
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None


def _keeps_alive(fields: dict[str, str], *, is_http_1_0: bool) -> bool:
    connection = fields.get("connection")
    if connection is None:
        return not is_http_1_0
    options = connection.lower().replace(" ", "").split(",")
    return "close" not in options and (not is_http_1_0 or "keep-alive" in options)


# One that no answer begins with, for a reader that has seen none.
_NO_HEAD: Final = _Head(0, {}, False, False, b"\0")
