"""Requests as the simulated carrier reads them: a description's templates, turned round.

Values are looked for where a template has a variable alone or within a text; the rest of the request is not looked at.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from stentor_http.carrier import Carrier
from stentor_http.extraction import form_pairs

NAMES: Final = (
    "to",
    "from",
    "text",
    "id",
    "data",
    "receipt_url",
    "receipt_url_with_id",
    "carrier_id",
    "match_id",
    "since_ms",
)
_JOIN: Final = re.compile(r"\{([a-z_]+)(?:\|[a-z]+)*\|join:([^{}])\}").fullmatch
_HOLE: Final = re.compile(r"\{([a-z_]+)(?:\|[a-z]+)*\}")


class Message(NamedTuple):
    """One message of a request. ``own`` is the client's id for it, ``hook`` the URL it wants a receipt at; both may
    be empty."""

    to: str
    sender: str
    text: str
    own: str
    hook: str


Pick = Callable[[Any], str | None]


class Reader:
    """Reads the requests of one description."""

    def __init__(self, carrier: Carrier) -> None:
        send = carrier.description.send
        self._is_json = send.encoding == "json"
        self._is_query = send.encoding == "query"
        self._shared: dict[str, Pick] = {}
        self._each: dict[str, Pick] = {}
        self._joined: dict[str, tuple[str, str]] = {}
        self._list: Pick | Callable[[Any], Any] | None = None
        if self._is_json:
            self._walk(send.body, (), self._shared)
        else:
            self._read_fields(send.fields)

    def read(self, target: str, body: bytes) -> list[Message]:
        """The messages of a request. Raises ValueError for a body that is none."""
        if self._is_json:
            try:
                document = msgspec.json.decode(body)
            except msgspec.DecodeError as error:
                raise ValueError(str(error)) from None
            return self._of_document(document)
        text = target.partition("?")[2] if self._is_query else body.decode()
        return self._of_fields(dict(form_pairs(text)))

    def _of_document(self, document: Any) -> list[Message]:
        shared = {name: pick(document) for name, pick in self._shared.items()}
        if self._list is None:
            return [_message(shared)]
        entries = self._list(document)
        if not isinstance(entries, list):
            raise ValueError("the list of messages is missing")
        picks = tuple(self._each.items())
        return [_message({**shared, **{name: pick(entry) for name, pick in picks}}) for entry in entries]

    def _of_fields(self, fields: Mapping[str, str]) -> list[Message]:
        shared = {name: pick(fields) for name, pick in self._shared.items()}
        if not self._joined:
            return [_message(shared)]
        columns = {name: fields.get(field, "").split(mark) for name, (field, mark) in self._joined.items()}
        count = max(map(len, columns.values()))
        return [
            _message({**shared, **{name: values[row % len(values)] for name, values in columns.items()}})
            for row in range(count)
        ]

    # ---- turning templates round

    def _walk(self, node: Any, way: tuple[str | int, ...], found: dict[str, Pick]) -> None:
        if isinstance(node, str):
            note(node, _follower(way), found)
        elif isinstance(node, Mapping):
            if set(node) == {"each"}:
                self._list = _follower(way)
                self._walk(node["each"], (), self._each)
                return
            for key, value in node.items():
                self._walk(value, (*way, key), found)
        elif isinstance(node, list):
            is_each = len(node) == 1 and isinstance(node[0], Mapping) and set(node[0]) == {"each"}
            for index, value in enumerate(node):
                self._walk(value, way if is_each else (*way, index), found)

    def _read_fields(self, fields: Mapping[str, str]) -> None:
        for name, text in fields.items():
            joined = _JOIN(text)
            if joined:
                self._joined[joined[1]] = (name, joined[2])
            else:
                note(text, fields_of(name), self._shared)


def _follower(way: tuple[str | int, ...]) -> Callable[[Any], Any]:
    if len(way) == 1 and isinstance(way[0], str):
        name = way[0]
        return lambda document: document.get(name) if type(document) is dict else None

    def follow(document: Any) -> Any:
        for step in way:
            try:
                document = document[step]
            except (KeyError, IndexError, TypeError):
                return None
        return document

    return follow


def fields_of(name: str) -> Callable[[Any], Any]:
    """What takes the value of one field of a form."""
    return _follower((name,))


def values_of(node: Any, found: dict[str, Pick], way: tuple[str | int, ...] = ()) -> None:
    """Remember where a JSON template without lists of messages has its variables."""
    if isinstance(node, str):
        note(node, _follower(way) if way else lambda document: document, found)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            values_of(value, found, (*way, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            values_of(value, found, (*way, index))


def note(text: str, follow: Callable[[Any], Any], found: dict[str, Pick]) -> None:
    """Remember which variables a text has, and how to get their values out of it."""
    names = [name for name in _HOLE.findall(text) if name in NAMES]
    if not names:
        return
    if _HOLE.fullmatch(text):
        found.setdefault(
            names[0], lambda document: None if (value := follow(document)) is None else str(value)
        )
        return
    parts = _HOLE.split(text)
    pattern = "".join(
        re.escape(part) if at % 2 == 0 else f"(?P<{part}_{at}>.*)" for at, part in enumerate(parts)
    )
    match = re.compile(pattern, re.DOTALL).fullmatch
    for at, name in enumerate(parts):
        if at % 2 and name in NAMES:
            found.setdefault(name, _cutter(follow, match, f"{name}_{at}"))


def _cutter(follow: Callable[[Any], Any], match: Callable[[str], re.Match[str] | None], group: str) -> Pick:
    def cut(document: Any) -> str | None:
        value = follow(document)
        found = match(value) if isinstance(value, str) else None
        return None if found is None else found[group]

    return cut


def _message(values: Mapping[str, str | None]) -> Message:
    get = values.get
    text = get("text")
    return Message(
        get("to") or "",
        get("from") or "",
        text if text is not None else get("data") or "",
        get("id") or "",
        get("receipt_url_with_id") or get("receipt_url") or "",
    )
