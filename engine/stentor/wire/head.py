"""Heads of HTTP/1.1 messages: requests read, responses written from templates.

h11 is the judge of what a request head says; what stands here refuses the forms h11 tolerates and two servers in a row
could read differently (RFC 9112 §11.2): bare LF, folded lines, Transfer-Encoding beside Content-Length. A head of
the usual form, which is nearly every one, is read line by line by regular expressions that find in it what h11 would,
and whatever does not fit goes to h11: 10 µs against 30. Lines that came before are remembered, for a thousand clients
have most of their lines in common, and that takes 3 µs; so are heads that came twice, for a keep-alive client repeats
its head, and that takes 0.2 µs.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import parse_qsl

import h11
import msgspec

from stentor.wire.problem import Problem, phrase, problem

# Request line and header fields together. The longest honest head (a token, an idempotency key, a cursor) is
# about 2 KiB; 16 KiB is what other servers allow, so that whatever passes them passes here.
HEAD_LIMIT = 16 * 1024
HEADER_COUNT_LIMIT = 100  # browsers send 20
# A listing with every filter and a cursor is under 1 KiB; RFC 9112 §3 recommends to take 8000 octets.
TARGET_LIMIT = 8 * 1024
QUERY_FIELDS_LIMIT = 100

# Heads that recur are short: one of each client program, and some four of each phone in a fleet, of 350 octets. Some
# 1.5 KiB each, 12 MiB if two thousand phones use all of them.
_MEMO_HEADS = 8192
_MEMO_HEAD_OCTETS = 1024
_SEEN_HEADS = 16384
_KNOWN_LINES = 4096
_KNOWN_LINE_OCTETS = 256
_NEVER_RECUR = ("idempotency-key", "last-event-id")

_BARE_LF = re.compile(rb"(?<!\r)\n")
_FOLD = re.compile(rb"\r\n[ \t]")
# HTTP/1.1, origin form, no folding, no control characters: what h11 takes as well, and reads alike.
_USUAL_LINE = re.compile(rb"([-!#$%&'*+.^_`|~0-9a-zA-Z]++) (/[\x21-\x7e]*+) HTTP/1\.1")
_USUAL_FIELD = re.compile(rb"([-!#$%&'*+.^_`|~0-9a-zA-Z]++):[ \t]*+([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_BLANK = [b"", b""]
_USUAL_LENGTH = re.compile(r"[0-9]{1,18}")
_ABSOLUTE_FORM = re.compile(r"https?://[^/?#]*(.*)", re.IGNORECASE)
_FIELD_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class RequestHead(msgspec.Struct, frozen=True):
    """What a request says before its body. ``path`` and ``query`` are as sent, percent-encoding and all.

    ``headers``: names in lower case; values of a repeated field joined by ", " (RFC 9110 §5.3).
    ``content_length`` is None when the body is chunked and 0 when there is none.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    content_length: int | None
    is_http_1_0: bool
    keeps_alive: bool
    expects_continue: bool

    def query_fields(self) -> list[tuple[str, str]]:
        """The fields of the query in order, decoded. Raises ValueError when there are too many."""
        if not self.query:
            return []
        return parse_qsl(self.query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_LIMIT)


class FieldLines(dict[bytes, tuple[str, str]]):
    """Names and values of field lines by their octets, without the line's end. A line is read when it is first asked
    for, and remembered if it may come again; :class:`ValueError` says that it is none of the usual form.

    Bound: 4,096 lines of 256 octets. When full it is emptied: each costs little to read again.
    """

    __slots__ = ()

    def __missing__(self, line: bytes) -> tuple[str, str]:
        match = _USUAL_FIELD.fullmatch(line)
        if match is None:
            raise ValueError("a field that is not of the usual form")
        field = match[1].decode("ascii").lower(), match[2].decode("latin-1")
        if len(line) <= _KNOWN_LINE_OCTETS and field[0] not in _NEVER_RECUR:
            if len(self) >= _KNOWN_LINES:
                self.clear()
            self[line] = field
        return field


class HeadMemo:
    """Reads complete heads and remembers those that came twice. Shared by the connections of a server.

    Bound: 8,192 heads of 1 KiB. When full it is emptied: those that matter are back after two requests each. Of heads
    that came once only the hash is kept, 16,384 of them: a crowd in which no head recurs would wash out the rest.
    """

    __slots__ = ("_header_count_limit", "_heads", "_lines", "_seen")

    def __init__(self, header_count_limit: int = HEADER_COUNT_LIMIT) -> None:
        self._header_count_limit = header_count_limit
        self._heads: dict[bytes, RequestHead] = {}
        self._seen: set[int] = set()
        self._lines = FieldLines()

    def read(self, block: bytes) -> RequestHead | Problem:
        """What a block from request line to blank line says, or why the connection must be closed over it."""
        found = self._heads.get(block)
        if found is not None:
            return found
        head = read_head(block, self._header_count_limit, self._lines)
        seen, name = self._seen, hash(block)
        if name not in seen:
            if len(seen) >= _SEEN_HEADS:
                seen.clear()
            seen.add(name)
        elif (
            type(head) is RequestHead
            and len(block) <= _MEMO_HEAD_OCTETS
            and not any(name in head.headers for name in _NEVER_RECUR)
        ):
            if len(self._heads) >= _MEMO_HEADS:
                self._heads.clear()
            self._heads[block] = head
        return head


def bare_line_end(block: bytes, start: int = 0) -> bool:
    """True if an LF stands without its CR: one server's line is then another's half line (RFC 9112 §2.2)."""
    return _BARE_LF.search(block, start) is not None


def read_head(
    block: bytes, header_count_limit: int = HEADER_COUNT_LIMIT, lines: FieldLines | None = None
) -> RequestHead | Problem:
    """Read one complete head, ``block`` ending in the blank line; ``lines`` are those of heads before."""
    if lines is None:
        lines = FieldLines()
    return _read_usual(block, header_count_limit, lines) or _read_any(block, header_count_limit)


def _read_usual(block: bytes, header_count_limit: int, lines: FieldLines) -> RequestHead | None:
    """A head of the usual form, or None for every other: fields that may make a difference to h11 or to the framing
    (repeated ones, Transfer-Encoding, a Content-Length that is no plain number, no Host) are not usual."""
    first, *rest = block.split(b"\r\n")
    match = _USUAL_LINE.fullmatch(first)
    count = len(rest) - 2
    if match is None or count > header_count_limit or rest[-2:] != _BLANK:
        return None
    try:
        headers = dict(map(lines.__getitem__, rest[:-2]))
    except ValueError:
        return None
    if len(headers) != count or "host" not in headers or "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    if _USUAL_LENGTH.fullmatch(length) is None:
        return None
    target = match[2].decode("ascii").partition("#")[0]
    return _make(match[1].decode("ascii"), target, headers, int(length), is_http_1_0=False)


def _read_any(block: bytes, header_count_limit: int) -> RequestHead | Problem:
    """What h11 says of a head, and what is refused besides."""
    if bare_line_end(block):
        return malformed("a line ends in LF without CR")
    if _FOLD.search(block):
        return malformed("a header field is folded over two lines")
    if block.count(b"\r\n") - 2 > header_count_limit:
        return problem(431, f"more than {header_count_limit} header fields", "too_many_header_fields")
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(block)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        # What h11 quotes after the colon is what was sent, and a problem goes into clients' logs.
        detail = str(error).partition(": bytearray(")[0]
        return problem(error.error_status_hint, detail, "malformed_request")
    assert isinstance(event, h11.Request), "the block ended in a blank line, so h11 has all it needs"
    return _read_request(event)


def _read_request(request: h11.Request) -> RequestHead | Problem:
    version = request.http_version
    if version[:1] != b"1":
        return problem(505, f"HTTP/{version.decode()} is not spoken here", "version_not_supported")
    is_http_1_0 = version == b"1.0"
    headers = _join_fields(request.headers)
    content_length: int | None = int(headers.get("content-length", "0"))
    if "transfer-encoding" in headers:
        # RFC 9112 §6.1: either may be an attempt at smuggling.
        if "content-length" in headers:
            return malformed("both Transfer-Encoding and Content-Length are given")
        if is_http_1_0:
            return malformed("HTTP/1.0 knows no Transfer-Encoding")
        content_length = None
    target = _read_target(request.target.decode("ascii"))
    if target is None:
        return malformed("the request target is neither a path nor a URI")
    return _make(request.method.decode("ascii"), target, headers, content_length, is_http_1_0=is_http_1_0)


def _make(
    method: str, target: str, headers: dict[str, str], content_length: int | None, *, is_http_1_0: bool
) -> RequestHead:
    path, _, query = target.partition("?")
    keeps_alive = not is_http_1_0
    if keeps_alive and "connection" in headers:
        keeps_alive = "close" not in headers["connection"].lower().replace(" ", "").split(",")
    return RequestHead(
        method=method,
        path=path,
        query=query,
        headers=MappingProxyType(headers),
        content_length=content_length,
        is_http_1_0=is_http_1_0,
        # A client of HTTP/1.0 that asks for keep-alive is closed on all the same: RFC 9112 §C.2.2 tells why.
        keeps_alive=keeps_alive,
        expects_continue=not is_http_1_0 and headers.get("expect", "").lower() == "100-continue",
    )


def _read_target(target: str) -> str | None:
    """Path and query of a target in origin, absolute or asterisk form (RFC 9112 §3.2); None for any other."""
    if target.startswith("/") or target == "*":
        return target.partition("#")[0]
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        return None
    rest = absolute[1].partition("#")[0]
    return rest if rest.startswith("/") else "/" + rest


def _join_fields(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def malformed(detail: str) -> Problem:
    """400: not HTTP as RFC 9112 has it, or not safely so."""
    return problem(400, detail, "malformed_request")


class ResponseHeads:
    """Templates of response heads, one for each status, type and framing in use.

    Shared by a server's connections. Each second's ``set_date`` empties them, which bounds their number.
    """

    __slots__ = ("_date", "_templates")

    def __init__(self) -> None:
        self._date = ""
        self._templates: dict[tuple[int, str, bool, bool], bytes] = {}

    def set_date(self, date: str) -> None:
        """The value of the Date field from now on (RFC 9110 §6.6.1), in the form of §5.6.7."""
        self._date = date
        self._templates.clear()

    def fixed(
        self, status: int, content_type: str, length: int, *, is_last: bool, fields: bytes = b""
    ) -> bytes:
        """Head of a response of known length; ``is_last`` says that the connection closes after it."""
        key = (status, content_type, is_last, True)
        template = self._templates.get(key) or self._make(key)
        if status == 204 or status == 304:  # RFC 9110 §8.6: no Content-Length beside 204
            return b"%b%b\r\n" % (template, fields)
        return b"%bContent-Length: %d\r\n%b\r\n" % (template, length, fields)

    def streamed(
        self, status: int, content_type: str, *, is_last: bool, is_chunked: bool, fields: bytes
    ) -> bytes:
        """Head of a response of unknown length: chunked, or (HTTP/1.0) as long as the connection."""
        key = (status, content_type, is_last, False)
        template = self._templates.get(key) or self._make(key)
        coding = b"Transfer-Encoding: chunked\r\n" if is_chunked else b""
        return b"%b%b%b\r\n" % (template, coding, fields)

    def _make(self, key: tuple[int, str, bool, bool]) -> bytes:
        status, content_type, is_last, _ = key
        fields: list[tuple[str, str]] = []
        if self._date:
            fields.append(("Date", self._date))
        if content_type:
            fields.append(("Content-Type", content_type))
        if is_last:
            fields.append(("Connection", "close"))
        template = f"HTTP/1.1 {status} {phrase(status)}\r\n".encode("ascii") + encode_fields(fields)
        self._templates[key] = template
        return template


def encode_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """Header fields as octets. A name or value that would break out of its line is a bug of the caller."""
    lines = []
    for name, value in fields:
        is_field = _FIELD_NAME.fullmatch(name) and _FIELD_VALUE.fullmatch(value)
        assert is_field, f"not a header field: {name!r}"
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")
