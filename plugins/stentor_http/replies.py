"""Answers to submissions: which results an answer has, and what is in each. Compiled from ``[reply]``."""

from typing import Any

import msgspec

from stentor.wire.calls import HTTPReply
from stentor_http.description import Condition, Place, Reply
from stentor_http.extraction import (
    TEXT_OCTETS,
    Document,
    ExtractionFault,
    condition,
    count_at,
    micros_at,
    read_form,
    read_json,
    taker,
    text_at,
    walk,
)


class Taken(msgspec.Struct, frozen=True, gc=False):
    """One result of an answer. ``is_accepted``: the carrier took the message; then ``carrier_id`` is its id."""

    is_accepted: bool
    carrier_id: str
    own: str
    to: str
    segments: int
    price_micros: int
    currency: str
    code: str
    detail: str


class Replies:
    """How answers of one carrier are read. Raises ExtractionFault with the place in front."""

    __slots__ = ("_accepted", "_decimals", "_format", "_result_accepted", "_results", "_takers", "pair")

    def __init__(self, reply: Reply) -> None:
        result = reply.result
        self._format = reply.format
        self.pair = reply.pair
        self._results = at("reply.results", walk, reply.results) if reply.results else None
        self._accepted = at("reply.accepted", condition, reply.accepted)
        self._result_accepted = at("reply.result.accepted", condition, result.accepted)
        self._decimals = result.price_decimals
        self._takers = {name: at(f"reply.result.{name}", taker, getattr(result, name)) for name in _PLACES}
        self._takers |= {f"reply_{name}": at(f"reply.{name}", taker, getattr(reply, name)) for name in _WHYS}
        self._check(reply)

    def _check(self, reply: Reply) -> None:
        result = reply.result
        if reply.pair in ("own", "to") and getattr(result, reply.pair) is None:
            raise ExtractionFault(f"reply.result.{reply.pair}: is missing, results are paired by it")
        if reply.pair == "parts" and not reply.results:
            raise ExtractionFault("reply.results: is missing, parts are a list")
        if result.id is None and reply.match == "id":
            raise ExtractionFault("reply.result.id: is missing, and receipts would name nothing we know")

    def document(self, answer: HTTPReply) -> Document:
        """The answer, read as what it should be; its root is None when it is not."""
        text = answer.body[:TEXT_OCTETS].decode("utf-8", "replace")
        root: Any = None
        if self._format == "json":
            root = read_json(answer.body)
        elif self._format == "form":
            root = read_form(answer.body)
        return Document(root, root, text, answer.status, answer.fields)

    def results(self, document: Document) -> list[Document] | None:
        """The results of an answer; None when it has none and its errors speak for all messages."""
        if document.status // 100 != 2 or (document.root is None and self._format != "text"):
            return None
        if self._accepted is not None and not self._accepted(document):
            return None
        if self._results is None:
            return [document]
        entries = self._results(document)
        if not isinstance(entries, list):
            return None
        _, root, text, status, fields, query = document
        return [Document(entry, root, text, status, fields, query) for entry in entries]

    def take(self, document: Document) -> Taken:
        """What one result says."""
        takers = self._takers
        carrier_id = text_at(takers["id"], document)
        accepted = self._result_accepted
        is_accepted = bool(carrier_id) if accepted is None else accepted(document)
        code = detail = ""
        if not is_accepted:
            code = text_at(takers["code"], document) or text_at(takers["reply_code"], document)
            detail = text_at(takers["detail"], document) or text_at(takers["reply_detail"], document)
        return Taken(
            is_accepted,
            carrier_id,
            text_at(takers["own"], document),
            text_at(takers["to"], document).removeprefix("+"),
            count_at(takers["segments"], document),
            micros_at(takers["price"], document, self._decimals),
            text_at(takers["currency"], document)[:8],
            code,
            detail,
        )

    def why(self, document: Document) -> tuple[str, str]:
        """Code and sentence of an answer as a whole."""
        takers = self._takers
        return text_at(takers["reply_code"], document), text_at(takers["reply_detail"], document)

    @property
    def needs_id(self) -> bool:
        """Whether an accepted message without an id is doubt."""
        return self._takers["id"] is not None


_PLACES = ("id", "own", "to", "segments", "price", "currency", "code", "detail")
_WHYS = ("code", "detail")


def at(place: str, make: Any, source: Place | Condition | None) -> Any:
    """What ``make`` makes, its fault with the place in front."""
    try:
        return make(source)
    except ExtractionFault as error:
        raise ExtractionFault(f"{place}: {error}") from None
