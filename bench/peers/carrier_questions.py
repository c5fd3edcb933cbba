"""Answers about messages of the simulated carrier: ``[lookup]``, ``[query]``, ``[cancel]``, turned round.

Owns the book of what was taken. An answer is true: a message is in it exactly if the carrier took it, in the state it
is in at that moment. What cannot be turned round is refused with ValueError when it starts.
"""

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from bench.peers.carrier_reading import Message, Pick, fields_of, note, values_of
from bench.peers.carrier_tree import Draft, grow
from stentor_http.carrier import Carrier
from stentor_http.description import Condition, Lookup, Query, Question
from stentor_http.extraction import form_pairs
from stentor_http.template import FILTERS, digits

MOST: Final = 100
"""Messages in one answer, the newest; with more of them it says that it is not whole."""
_OF_MESSAGE: Final = frozenset({"to", "from", "text", "data", "id"})
_FIRST: Final = frozenset({"sent", "accepted"})
_VARIABLE: Final = re.compile(r"\{([a-z_]+)((?:\|[a-z]+)*)\}")
_SETTING: Final = re.compile(r"\{settings\.([a-z0-9_]+)\}")


class Kept(msgspec.Struct, eq=False):
    """One message that was taken. Until ``ends_ms`` it is on its way, then in the state ``word``."""

    carrier_id: str
    message: Message
    taken_ms: int
    ends_ms: int
    word: str
    is_cancelled: bool = False


class Reply(NamedTuple):
    """An answer: ``document`` is written as JSON. ``said`` is what is counted; ``reports`` a message whose receipt
    leaves now."""

    status: int
    document: Any
    said: str
    reports: Kept | None = None


class _Ask:
    """Recognises one kind of request, and finds in it what it is about."""

    __slots__ = ("_in_body", "_path", "_picks", "_required", "method")

    def __init__(self, question: Question, carrier: Carrier) -> None:
        def fill(text: str) -> str:
            return _SETTING.sub(lambda found: carrier.settings.get(found[1], ""), text)

        url = urlsplit(fill(question.url))
        self.method = question.method
        self._in_body = question.method in ("POST", "PUT") and bool(question.fields or question.body)
        pieces = _VARIABLE.split(unquote(url.path))
        names = pieces[1::3]
        pattern = "".join(
            f"(?P<{piece}>[^/]+)" if at % 3 == 1 else re.escape(piece)
            for at, piece in enumerate(pieces)
            if at % 3 != 2
        )
        if len(set(names)) < len(names):
            raise ValueError(f"{question.url}: a name twice in a path is beyond the simulated carrier")
        self._path = re.compile(pattern).fullmatch
        asked = dict(form_pairs(url.query)) if not self._in_body else {}
        asked |= {name: fill(text) for name, text in question.fields.items()}
        self._required = {name: text for name, text in asked.items() if "{" not in text}
        self._picks: dict[str, Pick] = {}
        if question.body:
            values_of(question.body, self._picks)
        else:
            for name, text in asked.items():
                note(text, fields_of(name), self._picks)

    def read(self, method: str, target: str, body: bytes) -> dict[str, str] | None:
        """The variables by name; None for a request of another kind."""
        if method != self.method:
            return None
        path, _, query = target.partition("?")
        found = self._path(unquote(path))
        if found is None:
            return None
        document: Any = dict(form_pairs(query))
        if self._in_body:
            document = _body(body)
        if not isinstance(document, Mapping):
            return None
        if any(document.get(name) != text for name, text in self._required.items()):
            return None
        values = {name: value for name, pick in self._picks.items() if (value := pick(document)) is not None}
        if len(values) < len(self._picks):
            return None
        return {**found.groupdict(), **values}


class Questions:
    """The book, and answers out of it. ``counts`` says how often what was answered."""

    def __init__(self, carrier: Carrier, most: int) -> None:
        description = carrier.description
        self._most = most
        self._book: dict[str, Kept] = {}
        self._by_own: dict[str, Kept] = {}
        self._by_to: dict[str, list[Kept]] = {}
        self.counts: Counter[str] = Counter()
        self._asks: list[tuple[_Ask, Callable[[dict[str, str], int], Reply]]] = []
        if description.lookup is not None:
            self._lookup = _LookupAnswer(description.lookup, carrier)
            self._asks.append((_Ask(description.lookup, carrier), self._look_up))
        if description.query is not None:
            self._query = _QueryAnswer(description.query, carrier)
            self._asks.append((_Ask(description.query, carrier), self._tell))
        if description.cancel is not None:
            self._cancel = description.cancel
            self._asks.append((_Ask(description.cancel, carrier), self._take_back))

    @property
    def is_any(self) -> bool:
        return bool(self._asks)

    def keep(self, carrier_id: str, message: Message, now_ms: int, ends_ms: int, word: str) -> Kept:
        """A message was taken. Beyond the bound it is not remembered, as if it had never been here."""
        kept = Kept(carrier_id, message, now_ms, ends_ms, word)
        if len(self._book) < self._most:
            self._book[carrier_id] = kept
            if message.own:
                self._by_own[message.own] = kept
            self._by_to.setdefault(digits(message.to), []).append(kept)
        return kept

    def answer(self, method: str, target: str, body: bytes, now_ms: int) -> Reply | None:
        """None for what is no question."""
        for ask, reply in self._asks:
            values = ask.read(method, target, body)
            if values is not None:
                told = reply(values, now_ms)
                self.counts[told.said] += 1
                return told
        return None

    def _look_up(self, values: dict[str, str], now_ms: int) -> Reply:
        found: Iterable[Kept]
        if "id" in values:
            found = [self._by_own[values["id"]]] if values["id"] in self._by_own else []
        elif "to" in values:
            found = self._by_to.get(digits(values["to"]), ())
        else:
            found = self._book.values()
        return self._lookup.make(list(found)[-MOST - 1 :])

    def _named(self, values: dict[str, str]) -> Kept | None:
        """The message that a question names by the carrier's id, or by the client's where receipts do."""
        name = values.get("carrier_id") or values.get("match_id") or ""
        return self._book.get(name) or self._by_own.get(name)

    def _tell(self, values: dict[str, str], now_ms: int) -> Reply:
        kept = self._named(values)
        return self._query.make(kept, now_ms) if kept is not None else Reply(404, None, "query_absent")

    def _take_back(self, values: dict[str, str], now_ms: int) -> Reply:
        kept, condition = self._named(values), self._cancel.cancelled
        if kept is None:
            return Reply(404, None, "cancel_absent")
        if kept.is_cancelled or kept.ends_ms <= now_ms:
            return Reply(409, None, "cancel_late")
        kept.is_cancelled, kept.word, kept.ends_ms = True, "cancelled", now_ms
        draft = Draft()
        draft.satisfy(condition)
        status = next((one for one in condition.http if isinstance(one, int)), 200) if condition else 200
        return Reply(status, _whole(draft), "cancelled", kept if self._cancel.reported else None)


class _LookupAnswer:
    """Answers to ``[lookup]``: a list of messages, or one alone."""

    def __init__(self, lookup: Lookup, carrier: Carrier) -> None:
        self._lookup, self._settings = lookup, carrier.settings
        for path, text in lookup.same.items():
            names = {found[1] for found in _VARIABLE.finditer(text)}
            if not names <= _OF_MESSAGE or _VARIABLE.sub("", _SETTING.sub("", text)).count("{"):
                raise ValueError(f"lookup.same.{path}: {text!r} is beyond the simulated carrier")

    def make(self, found: Sequence[Kept]) -> Reply:
        lookup = self._lookup
        said = "lookup_found" if found else "lookup_absent"
        if not lookup.items:
            if found:
                return Reply(200, self._entry(found[-1]), said)
            draft = Draft()
            draft.satisfy(lookup.whole)
            return Reply(200 if lookup.whole else 404, _whole(draft), said)
        entries = [self._entry(kept) for kept in reversed(found[-MOST:])]
        document = grow(None, _way(lookup.items), entries)
        return Reply(200, self._bounded(document, is_whole=len(found) <= MOST, is_empty=not found), said)

    def _bounded(self, document: Any, *, is_whole: bool, is_empty: bool) -> Any:
        """The list with what says whether it is all there is."""
        whole: Condition | None = self._lookup.whole
        if whole is None or not whole.path:
            return document
        path = _way(whole.path[0] if isinstance(whole.path, list) else whole.path)
        if whole.exists is not None:
            return grow(document, path, "more") if whole.exists is is_whole else document
        # What is compared with a number counts the messages, so it holds of an empty list alone.
        is_count = whole.is_ is not None and type(whole.is_[0]) is int
        if whole.is_ is not None and (is_empty if is_count else is_whole) and not path.endswith("#"):
            return grow(document, path, whole.is_[0])
        return document

    def _entry(self, kept: Kept) -> Any:
        draft, lookup, message = Draft(), self._lookup, kept.message
        values = {
            "to": message.to,
            "from": message.sender,
            "text": message.text,
            "data": message.text,
            "id": message.own,
        }
        for path, text in lookup.same.items():
            filled = _SETTING.sub(lambda found: self._settings.get(found[1], ""), text)
            draft.put(path, _fill(filled, values))
        draft.put(lookup.id, kept.carrier_id)
        draft.put(lookup.at, moment(lookup.at_format, kept.taken_ms))
        return _whole(draft)


class _QueryAnswer:
    """Answers to ``[query]``: the state of one message."""

    def __init__(self, query: Query, carrier: Carrier) -> None:
        receipt = carrier.description.receipt
        self._query = query
        self._words = query.map or (receipt.map if receipt else {})
        self._groups = query.groups or (receipt.groups if receipt else {})

    def make(self, kept: Kept, now_ms: int) -> Reply:
        is_over = kept.ends_ms <= now_ms
        draft, wanted = Draft(), {kept.word} if is_over else _FIRST
        for place, table in ((self._query.status, self._words), (self._query.group, self._groups)):
            name = next((name for name, word in table.items() if word in wanted), None)
            if name is not None:
                draft.put(place, name)
                break
        if is_over:
            draft.put(self._query.at, moment(self._query.at_format, kept.ends_ms))
        return Reply(200, _whole(draft), "query_ended" if is_over else "query_under_way")


def moment(form: str, at_ms: int) -> str:
    """A time as a description's ``at_format`` has it."""
    if form == "unix_ms":
        return str(at_ms)
    if form == "unix":
        return str(at_ms // 1000)
    when = datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ" if form in ("iso", "") else form)


def _way(path: str) -> str:
    return path.removeprefix("^").removeprefix(".")


def _whole(draft: Draft) -> Any:
    return draft.entry if draft.entry is not None else draft.root if draft.root is not None else {}


def _fill(text: str, values: Mapping[str, str]) -> str:
    def put(found: re.Match[str]) -> str:
        value: Any = values[found[1]]
        for word in filter(None, found[2].split("|")):
            value = FILTERS[word](value)
        return str(value)

    return _VARIABLE.sub(put, text)


def _body(octets: bytes) -> Any:
    try:
        return msgspec.json.decode(octets)
    except msgspec.DecodeError:
        return dict(form_pairs(octets))
