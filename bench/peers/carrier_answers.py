"""Answers of the simulated carrier: a description's ``[reply]`` and ``[[errors]]``, turned round.

Answers are templates of octets made when it starts. An error answer is made from each row of its class until one is
found that the description reads as that class; a class without such an answer is refused with ValueError.
"""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from bench.peers.carrier_reading import Message
from bench.peers.carrier_tree import Draft, sample
from stentor.wire.calls import HTTPReply
from stentor_http.carrier import Carrier
from stentor_http.description import Condition, ErrorRow
from stentor_http.errors import MEANINGS, Meaning, retry_after_s

# Digits, because they are what every pattern for an id finds.
ID, OWN, TO = "9070605040302010", "9070605040302011", "9070605040302012"
RESULTS: Final = "9070605040302013"
_MARKS: Final = re.compile(f"({ID}|{OWN}|{TO})".encode())
_STATUSES: Final = {
    "bad_login": 401,
    "no_credit": 402,
    "throttled": 429,
    "busy": 503,
    "failed": 408,
    "misdirected": 404,
    "doubt": 500,
}
_WHOLE: Final = frozenset({"throttled", "busy", "bad_login", "no_credit"})
"""What is said of whole requests: it is the client that is too fast, not a message."""


class Octets:
    """Octets with marks in them, and what fills the marks."""

    __slots__ = ("_format", "_marks")

    def __init__(self, octets: bytes) -> None:
        pieces = _MARKS.split(octets)
        self._marks = tuple((ID, OWN, TO).index(mark.decode()) for mark in pieces[1::2])
        self._format = b"%b".join(piece.replace(b"%", b"%%") for piece in pieces[::2])

    def fill(self, values: tuple[bytes, bytes, bytes]) -> bytes:
        """``values``: the carrier's id, the client's, and the destination."""
        return self._format % tuple([values[mark] for mark in self._marks])


class Answer(msgspec.Struct, frozen=True):
    """A whole answer for one class; ``item`` is True if it is about one message of several."""

    status: int
    body: Octets
    fields: str
    is_item: bool


class Answers:
    """``wait_s``: what the carrier tells a client to wait that was too fast, 0 for nothing."""

    def __init__(self, carrier: Carrier, words: Sequence[str], wait_s: float = 0.0) -> None:
        reply = carrier.description.reply
        self._carrier, self._reply, self._wait_s = carrier, reply, wait_s
        self._has_list = bool(reply.results)
        self._is_parts = reply.pair == "parts"
        self.type = {"json": "application/json", "form": "application/x-www-form-urlencoded"}.get(
            reply.format, "text/plain"
        )
        conditions = (reply.accepted, reply.result.accepted)
        self._status = next((_status(one) for one in conditions if one is not None and one.http), 200)
        self._taken = Octets(self._encode(self._success(Draft()).entry))
        self._before, self._after = self._envelope()
        judged = self._judge(self._status, "", self._wrap(self._taken.fill((b"1", b"1", b"1"))))
        if judged is not None:
            raise ValueError(f"{carrier.name}: the answer for a message that was taken is read as {judged}")
        self._answers = {word: self._find(word) for word in dict.fromkeys(words)}

    def taken(self, messages: Sequence[Message], ids: Sequence[bytes], parts: Sequence[int]) -> bytes:
        """The answer for messages that were taken."""
        return self.mixed(messages, ids, parts, None)

    def mixed(
        self,
        messages: Sequence[Message],
        ids: Sequence[bytes],
        parts: Sequence[int],
        words: Sequence[str] | None,
    ) -> bytes:
        """The answer to a batch: ``words`` has the class of error of each message, empty for one that was taken."""
        items: list[bytes] = []
        fill = self._taken.fill
        for at, message in enumerate(messages):
            values = (ids[at], message.own.encode(), message.to.encode())
            if words is not None and words[at]:
                items.append(self._answers[words[at]].body.fill(values))
            elif self._is_parts:
                items += [fill(values)] * parts[at]
            else:
                items.append(fill(values))
        return self.respond(self._status, "", self._wrap(b",".join(items)))

    def is_whole(self, word: str) -> bool:
        """True if the class can only be said of a whole request."""
        return not self._answers[word].is_item

    def refused(self, word: str) -> bytes:
        """The answer of a class to a whole request."""
        answer = self._answers[word]
        body = answer.body.fill((b"", b"", b""))
        return self.respond(answer.status, answer.fields, self._wrap(body) if answer.is_item else body)

    def respond(self, status: int, fields: str, body: bytes, kind: str = "") -> bytes:
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind or self.type}\r\n"
            f"{fields}Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    # ---- made when it starts

    def _success(self, draft: Draft) -> Draft:
        result = self._reply.result
        draft.put(result.segments, 1)
        draft.put(result.price, "1")
        draft.put(result.currency, "EUR")
        draft.satisfy(result.accepted)
        draft.put(result.id, ID)
        draft.put(result.to, TO)
        draft.put(result.own, OWN)
        if not self._has_list:
            draft.satisfy(self._reply.accepted)
        return draft

    def _envelope(self) -> tuple[bytes, bytes]:
        """What stands before and behind the results."""
        if not self._has_list:
            return b"", b""
        draft = self._success(Draft())
        draft.entry = draft.root if isinstance(draft.root, dict) else {}
        draft.satisfy(self._reply.accepted)
        draft.put(self._reply.results.removeprefix("^"), [int(RESULTS)])
        before, _, after = self._encode(draft.entry).partition(RESULTS.encode())
        return before, after

    def _wrap(self, items: bytes) -> bytes:
        return self._before + items + self._after

    def _encode(self, tree: Any) -> bytes:
        if isinstance(tree, str) and not self._has_list:
            return tree.encode()
        if self._reply.format == "form":
            return urlencode(tree or {}).encode()
        return msgspec.json.encode({} if tree is None else tree)

    def _judge(self, status: int, fields: str, body: bytes) -> Meaning | None:
        """How the description reads an answer; None: the message was taken."""
        given = dict(line.lower().split(": ", 1) for line in fields.splitlines())
        replies, errors = self._carrier.replies, self._carrier.errors
        document = replies.document(HTTPReply(status, given, body, 0.0, ""))
        hint_s = retry_after_s(given, 0)
        results = replies.results(document)
        if results is None:
            return errors.judge(document, *replies.why(document), hint_s).meaning
        if not results:
            return MEANINGS["doubt"]
        taken = replies.take(results[0])
        return (
            None if taken.is_accepted else errors.judge(results[0], taken.code, taken.detail, hint_s).meaning
        )

    def _find(self, word: str) -> Answer:
        wanted = MEANINGS[word]
        for answer in self._candidates(word):
            body = answer.body.fill((b"", b"1", b"1"))
            whole = self._wrap(body) if answer.is_item else body
            found = self._judge(answer.status, answer.fields, whole)
            if found is not None and _same(found, wanted):
                return answer
        raise ValueError(f"{self._carrier.name} has no answer that means {word}")

    def _candidates(self, word: str) -> Iterator[Answer]:
        rows = [row for row in self._carrier.description.errors if row.means == word]
        for row in rows:
            statuses = [_number(one) for one in row.http] or [self._status, 400, 422, 403, 404, 429, 500]
            for status in statuses:
                for code in row.codes or [""]:
                    if self._has_list and status == self._status and word not in _WHOLE:
                        yield self._error(row, status, str(code), is_item=True)
                    yield self._error(row, status, str(code), is_item=False)
        yield self._error(ErrorRow(means="doubt"), _STATUSES.get(word, 400), "", is_item=False)

    def _error(self, row: ErrorRow, status: int, code: str, *, is_item: bool) -> Answer:
        reply, draft = self._reply, Draft()
        wait, detail = row.wait, sample(row.matches) if row.matches else "refused"
        wait_s = self._wait_s or 1.0
        hint = str(round(wait_s * 1000) if wait is not None and wait.unit == "ms" else round(wait_s) or 1)
        if wait is not None and wait.regex and not wait.path:
            detail = sample(wait.regex, hint)
        if is_item:
            draft.put(reply.result.own, OWN)
            draft.put(reply.result.to, TO)
        draft.put(reply.result.detail if is_item and reply.result.detail else reply.detail, detail)
        if wait is not None and wait.path:
            draft.put(wait.path, hint)
        if code:
            draft.put(reply.result.code if is_item and reply.result.code else reply.code, code)
        if row.path and not is_item:
            draft.put(row.path, code or "refused")
        fields = dict(draft.fields)
        if (self._wait_s and row.means in ("throttled", "busy")) or status in (429, 503):
            fields["retry-after"] = str(max(1, round(wait_s)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        tree = draft.entry if draft.entry is not None else draft.root
        octets = msgspec.json.encode(tree or {}) if is_item else self._encode(tree)
        return Answer(status, Octets(octets), lines, is_item)


def _same(one: Meaning, other: Meaning) -> bool:
    return (one.kind, one.code, one.is_throttle) == (other.kind, other.code, other.is_throttle)


def _status(condition: Condition) -> int:
    return _number(condition.http[0])


def _number(status: int | str) -> int:
    return status if isinstance(status, int) else int(status[0]) * 100
