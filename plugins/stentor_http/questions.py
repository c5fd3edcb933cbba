"""What a carrier can be asked about a message: whether it has it, what became of it, to take it back. Pure.

Compiled from ``[lookup]``, ``[query]`` and ``[cancel]`` of a description with one account's settings. An answer that
does not say what it should says nothing, and a message is never taken for another: where several entries of a list
might be ours, none is.
"""

from typing import Any, Final
from urllib.parse import quote

import msgspec

from stentor.driver import Followed, Receipt
from stentor.message import Status
from stentor.outcome import Submission
from stentor.wire.calls import HTTPFailure, HTTPReply, HTTPRequest
from stentor_http.body import Body, Compiler
from stentor_http.description import Cancel, Lookup, Query, Question, ReceiptHook
from stentor_http.extraction import (
    TEXT_OCTETS,
    Document,
    ExtractionFault,
    condition,
    read_json,
    taker,
    text_at,
    text_of,
    walk,
)
from stentor_http.hooks import Receipts, moment_reader
from stentor_http.replies import at
from stentor_http.template import Render, as_text, digits

FORM: Final = "application/x-www-form-urlencoded"
ENTRIES: Final = 10_000
MARGIN_MS: Final = 60_000
"""By how much the carrier's clock may be behind ours: ``{since_ms}`` is so much earlier than the request in doubt."""

Fields = tuple[tuple[str, str], ...]
Answer = HTTPReply | HTTPFailure | None
"""None for a request that could not be written."""

_OF_FOLLOWED: Final[dict[str, Render]] = {
    "carrier_id": lambda followed, _: followed.carrier_id,
    "match_id": lambda followed, _: followed.match_id,
    "to": lambda followed, _: followed.to,
    "from": lambda followed, _: followed.originator or None,
}


class Login(msgspec.Struct, frozen=True, gc=False):
    """What proves who we are, in every request: header fields, and what goes into the URL."""

    fields: Fields
    query: str


class Found(msgspec.Struct, frozen=True, gc=False):
    """A lookup's answer. ``carrier_id`` is empty when the carrier does not have the message; None: nobody knows."""

    carrier_id: str | None


UNCERTAIN: Final = Found(None)
ABSENT: Final = Found("")


class _Request:
    """One compiled question: what makes the request."""

    __slots__ = ("_body", "_login", "_method", "_url", "names")

    def __init__(self, question: Question, place: str, compiler: Compiler, login: Login) -> None:
        self._login, self._method = login, question.method
        self._url = _url(question.url, f"{place}.url", compiler)
        self._body: Body | None = None
        if question.body and question.fields:
            raise compiler.fail(place, "has a body or fields, not both")
        if question.body:
            if question.method in ("GET", "DELETE"):
                raise compiler.fail(f"{place}.body", f"goes with POST and PUT, not with {question.method}")
            self._body = compiler.json(question.body, f"{place}.body")
        elif question.fields:
            kind = "" if question.method in ("GET", "DELETE") else FORM
            self._body = compiler.form(question.fields, f"{place}.fields", kind)
        named = self._body.variables if self._body is not None else frozenset()
        self.names = named | compiler.text(question.url, f"{place}.url").variables

    @property
    def names_message(self) -> bool:
        return any(not name.startswith("settings.") for name in self.names)

    def make(self, subject: Submission | Followed, wall_ms: int, token: str) -> HTTPRequest:
        """``wall_ms`` is now for what is asked about, and the moment in doubt less the margin for a lookup."""
        url = self._url if isinstance(self._url, str) else as_text(self._url(subject, wall_ms))
        fields, octets = self._login.fields, b""
        query = [self._login.query] if self._login.query else []
        if self._body is not None:
            rendered = self._body.render((subject,), wall_ms)  # type: ignore[arg-type]  # it has what is named
            if self._body.content_type:
                octets = rendered
                fields = (("Content-Type", self._body.content_type), *fields)
            else:
                query.insert(0, rendered.decode())
        if query:
            url = f"{url}{'&' if '?' in url else '?'}{'&'.join(query)}"
        if token:
            fields = (*fields, ("Authorization", f"Bearer {token}"))
        return HTTPRequest(self._method, url, fields, octets, self._method == "GET")


def _about_one(question: Question, place: str, compiler: Compiler, login: Login) -> _Request:
    request = _Request(question, place, compiler, login)
    if not request.names_message:
        raise compiler.fail(place, "names no message: {carrier_id} is what the carrier called it")
    return request


def _url(text: str, place: str, compiler: Compiler) -> Render | str:
    """A URL: a setting in front may be a base, every other value is percent-encoded."""
    base, rest = "", text
    if text.startswith("{settings."):
        name, _, rest = text[len("{settings.") :].partition("}")
        bound = compiler.text(f"{{settings.{name}}}", place).bind(compiler.constants, {})
        base = bound.rstrip("/") if isinstance(bound, str) else ""
    bound = compiler.text(base.replace("{", "{{").replace("}", "}}") + rest, place).bind(
        compiler.constants, compiler.variables, lambda value: quote(value, safe="")
    )
    if bound is None:
        raise compiler.fail(place, "a URL is made of settings that are given")
    return bound


def _document(answer: Answer) -> Document | None:
    """A successful answer, read as JSON; None for any other."""
    if not isinstance(answer, HTTPReply) or answer.status // 100 != 2:
        return None
    root = read_json(answer.body) if answer.body else None
    text = answer.body[:TEXT_OCTETS].decode("utf-8", "replace")
    return Document(root, root, text, answer.status, answer.fields)


class LookupCall:
    """``[lookup]``: settles doubt. ``after_s`` and ``tries`` say when to ask. ``is_exact``: our own id tells which
    message is meant; else its likes might be taken for it, and it matters when it left."""

    __slots__ = (
        "_at",
        "_id",
        "_items",
        "_moment",
        "_request",
        "_same",
        "_whole",
        "after_s",
        "is_exact",
        "tries",
    )

    def __init__(self, lookup: Lookup, compiler: Compiler, login: Login) -> None:
        self._request = _Request(lookup, "lookup", compiler, login)
        self._items = at("lookup.items", walk, lookup.items) if lookup.items else None
        self._id = at("lookup.id", taker, lookup.id)
        self._at = at("lookup.at", taker, lookup.at)
        self._whole = at("lookup.whole", condition, lookup.whole)
        self._moment = at("lookup.at_format", moment_reader, lookup.at_format)
        self._same: list[tuple[Any, Render | str]] = []
        self.is_exact = not lookup.items and "id" in self._request.names
        for path, text in lookup.same.items():
            place = f"lookup.same.{path}"
            template = compiler.text(text, place)
            self.is_exact |= "id" in template.variables
            bound = template.bind(compiler.constants, compiler.variables)
            if bound is not None:
                self._same.append((at(place, walk, path), bound))
        if (lookup.items or not self._request.names_message) and not self._same:
            raise ExtractionFault("lookup.same: is missing, and any message would be taken for ours")
        self.after_s, self.tries = lookup.after_s, lookup.tries

    @property
    def patience_s(self) -> float:
        """When the last try should long have been answered."""
        return self.after_s * (2.0**self.tries - 1.0) + 60.0

    def make(self, submission: Submission, asked_at_ms: int, token: str) -> HTTPRequest:
        """The question about a submission whose request left at ``asked_at_ms``."""
        return self._request.make(submission, asked_at_ms - MARGIN_MS, token)

    def read(
        self, submission: Submission, asked_at_ms: int, answer: Answer, *, is_moment_known: bool = True
    ) -> Found:
        """What it says. Unless ``is_moment_known``, it left at ``asked_at_ms`` or later."""
        document = _document(answer)
        if document is None or document.root is None:
            return UNCERTAIN
        entries: Any = [document.root]
        if self._items is not None:
            entries = self._items(document)
            if not isinstance(entries, list):
                return UNCERTAIN
        found = [
            carrier_id
            for entry in entries[:ENTRIES]
            if self._is_ours(document._replace(entry=entry), submission, asked_at_ms)
            and (carrier_id := text_at(self._id, document._replace(entry=entry)))
        ]
        if len(found) == 1 and (self.is_exact or is_moment_known):
            return Found(found[0])
        is_whole = self._whole is not None and self._whole(document) and len(entries) <= ENTRIES
        return ABSENT if not found and is_whole else UNCERTAIN

    def _is_ours(self, entry: Document, submission: Submission, asked_at_ms: int) -> bool:
        for follow, wanted in self._same:
            value = wanted if isinstance(wanted, str) else wanted(submission, asked_at_ms)
            if value is None or digits(text_of(follow(entry))) != digits(as_text(value)):
                return False
        if self._at is None:
            return True
        taken_at_ms = self._moment(text_at(self._at, entry))
        # Whole seconds are cut off; beyond that a clock that is behind ours only leaves doubt as it is.
        return bool(taken_at_ms >= asked_at_ms - 1000)


class QueryCall:
    """``[query]``: the state of a message, as a receipt."""

    __slots__ = ("_request", "_states", "after_s")

    def __init__(
        self, query: Query, receipt: ReceiptHook | None, numbers: str, compiler: Compiler, login: Login
    ) -> None:
        self._request = _about_one(query, "query", compiler, login)
        if not query.map and receipt is None:
            raise ExtractionFault(
                "query.map: is missing, and there is no receipt whose states it could share"
            )
        hook = ReceiptHook(
            id="",
            status=query.status,
            map=query.map or (receipt.map if receipt else {}),
            group=query.group,
            groups=query.groups or (receipt.groups if receipt else {}),
            code=query.code,
            codes=query.codes or (receipt.codes if receipt else {}),
            detail=query.detail,
            at=query.at,
            at_format=query.at_format,
            charge=query.charge,
        )
        self._states = Receipts(hook, numbers, "query")
        self.after_s = query.after_s

    def make(self, followed: Followed, wall_ms: int, token: str) -> HTTPRequest:
        return self._request.make(followed, wall_ms, token)

    def read(self, followed: Followed, answer: Answer) -> Receipt | None:
        """What it says as a receipt; None for nothing."""
        document = _document(answer)
        state = self._states.state(document) if document is not None else None
        if state is None:
            return None
        status, error, at_ms, charge = state
        return Receipt(followed.match_id, status, error, at_ms, charge=charge)


class CancelCall:
    """``[cancel]``: takes a message back."""

    __slots__ = ("_cancelled", "_is_reported", "_request")

    def __init__(self, cancel: Cancel, compiler: Compiler, login: Login) -> None:
        self._request = _about_one(cancel, "cancel", compiler, login)
        self._cancelled = at("cancel.cancelled", condition, cancel.cancelled)
        self._is_reported = cancel.reported

    def make(self, followed: Followed, wall_ms: int, token: str) -> HTTPRequest:
        return self._request.make(followed, wall_ms, token)

    def read(self, followed: Followed, answer: Answer) -> Receipt | None:
        """A receipt of what was taken back; None if it was not, or may not have been."""
        document = _document(answer)
        if (
            self._is_reported
            or document is None
            or (self._cancelled is not None and not self._cancelled(document))
        ):
            return None
        return Receipt(followed.match_id, Status.CANCELLED)


class Questions(msgspec.Struct, frozen=True):
    """What this carrier can be asked, each None where it cannot."""

    lookup: LookupCall | None = None
    query: QueryCall | None = None
    cancel: CancelCall | None = None

    @property
    def is_any(self) -> bool:
        return any((self.lookup, self.query, self.cancel))


def compile_questions(
    tables: tuple[Lookup | None, Query | None, Cancel | None],
    receipt: ReceiptHook | None,
    numbers: str,
    compiler: Compiler,
    login: Login,
) -> Questions:
    """``compiler`` is that of the request to send. Raises ConfigError, or ExtractionFault with the place in front."""
    lookup, query, cancel = tables
    of_submission = _with_since(compiler)
    of_followed = _of_followed(compiler, numbers)
    return Questions(
        LookupCall(lookup, of_submission, login) if lookup else None,
        QueryCall(query, receipt, numbers, of_followed, login) if query else None,
        CancelCall(cancel, of_followed, login) if cancel else None,
    )


def _with_since(compiler: Compiler) -> Compiler:
    variables = {**compiler.variables, "since_ms": lambda _, wall_ms: wall_ms}
    del variables["now_ms"], variables["expires_at_ms"]
    return Compiler(compiler.settings, compiler.constants, variables, compiler.fail, frozenset(variables))


def _of_followed(compiler: Compiler, numbers: str) -> Compiler:
    variables = dict(_OF_FOLLOWED)
    if numbers == "digits":
        variables["to"] = lambda followed, _: digits(followed.to)
        variables["from"] = lambda followed, _: digits(followed.originator) or None
    return Compiler(compiler.settings, compiler.constants, variables, compiler.fail, frozenset(variables))
