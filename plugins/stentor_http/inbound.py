"""Requests that carriers send to us: receipts and messages that came in. Signatures first, then the content.

Invariant: nothing of a body is interpreted before what proves its origin has been compared in constant time; only a
form is taken apart for schemes that sign its fields.
"""

from typing import Any, Literal

import msgspec

from stentor.driver import HTTPHead, Inbound
from stentor_http.carrier import Carrier
from stentor_http.code import CodeFault, run_code
from stentor_http.extraction import Document, read_form, read_json, read_parts
from stentor_http.hooks import MO, Entries, Receipts, Reported
from stentor_http.signatures import is_same, unverified_claims
from stentor_http.verify import Call, token_of

Kind = Literal["receipt", "mo"]


class Accepted(msgspec.Struct, frozen=True):
    """Give what the items tell to the host, and once it is durable answer with this. ``skipped`` is how many entries
    were neither: of other kinds, or without an id. ``visit``: the URL to be visited before it is answered."""

    items: tuple[Reported | Inbound, ...]
    status: int
    body: bytes
    content_type: str
    skipped: int = 0
    visit: str = ""


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """Answer at once with this. ``reason`` is a word to count by: method, token, signature, source, stale, unreadable,
    code. ``fault`` is a sentence for the channel's last error if the description's own code failed."""

    status: int
    body: bytes
    reason: str
    fault: str | None = None


class Wanting(msgspec.Struct, frozen=True, gc=False):
    """Nobody can tell whether the request is genuine without what is at this URL: call again with it."""

    url: str


def receive(
    carrier: Carrier, kind: Kind, head: HTTPHead, body: bytes, wall_ms: int, fetched: bytes | None = None
) -> Accepted | Rejected | Wanting:
    """What a request to ``/in/CHANNEL/receipt`` or ``/mo`` says. Raises for nothing the client did. ``fetched`` is
    what was at the URL that it was Wanting.

    Answer 503 in place of ``Accepted.status`` when the items could not be stored: carriers then repeat.
    """
    hook: Entries | None = carrier.receipts if kind == "receipt" else carrier.mo
    if hook is None:
        return Rejected(404, b"", "method")
    if head.method not in hook.hook.methods:
        return Rejected(405, b"", "method")
    query = read_form(head.query)
    if carrier.hook_token and not is_same(query.get("token", ""), carrier.hook_token):
        return Rejected(403, b"", "token")
    url = f"{carrier.public_url}/{kind}" + (f"?{head.query}" if head.query else "")
    call = Call(head.method, url, head.query, head.headers, body, wall_ms)
    answer = hook.hook.answer
    octets, visit = answer.body.encode(), None
    code = carrier.code
    try:
        reason = _reason_against(carrier, head, call, fetched)
        if isinstance(reason, Wanting):
            return reason
        if reason:
            return Rejected(403, b"", reason)
        if code.confirm is not None:
            visit = run_code("confirm", code.file, code.confirm, (str, type(None)), head, body)
        root = _content(carrier, hook, head, body)
        if code.respond is not None:
            octets = run_code("respond", code.file, code.respond, bytes, head, body, wall_ms)
    except CodeFault as error:
        return Rejected(500, b"", "code", str(error))
    if root is None:
        return Rejected(400, b"", "unreadable")
    document = Document(root, root, "", 0, head.headers, query)
    items, skipped = _items(carrier, kind, hook, document)
    return Accepted(tuple(items), answer.status, octets, answer.type, skipped, visit or "")


def _reason_against(carrier: Carrier, head: HTTPHead, call: Call, fetched: bytes | None) -> str | Wanting:
    """Why a request is not believed, empty when it is. Raises CodeFault."""
    code, given = carrier.code, (head, call.body, carrier.settings)
    if code.check is not None:
        if fetched is None and code.needs is not None:
            url = run_code("needs", code.file, code.needs, (str, type(None)), *given)
            if url:
                return Wanting(url)
        told = run_code(
            "check", code.file, code.check, (str, type(None)), *given, fetched or b"", call.wall_ms
        )
        if told is not None:
            return str(told)
    for test in carrier.checks:
        reason = test(call)
        if reason:
            return reason
    return ""


def _content(carrier: Carrier, hook: Entries, head: HTTPHead, body: bytes) -> Any:
    """The document of a request, None when it cannot be read. Raises CodeFault."""
    if carrier.payload_header:
        return unverified_claims(token_of(head.headers.get(carrier.payload_header, ""), False))
    if carrier.code.unwrap is not None:
        unwrapped = run_code(
            "unwrap", carrier.code.file, carrier.code.unwrap, (bytes, type(None)), head, body
        )
        return None if unwrapped is None else read_json(unwrapped)
    form = hook.hook.format
    if form == "any":
        form = "json" if "json" in head.headers.get("content-type", "") else "form"
    if form == "query" or head.method == "GET":
        return read_form(head.query)
    if form == "json":
        return read_json(body)
    content_type = head.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/form-data"):
        return read_parts(body, content_type)
    return read_form(body)


def _items(
    carrier: Carrier, kind: Kind, hook: Entries, document: Document
) -> tuple[list[Reported | Inbound], int]:
    """The receipts and messages of a request, and how many entries were neither.

    A carrier may have one URL for both: an entry that one kind does not mean is shown to the other, if that is
    able to tell its own.
    """
    other: Entries | None = carrier.mo if kind == "receipt" else carrier.receipts
    items: list[Reported | Inbound] = []
    skipped = 0
    for entry in hook.split(document):
        reader = hook if hook.means(entry) else other if other is not None and other.is_choosy else None
        item: Reported | Inbound | None = None
        if reader is not None and reader.means(entry):
            item = _item(carrier, reader, entry)
        if item is None:
            skipped += 1
        else:
            items.append(item)
    return items, skipped


def _item(carrier: Carrier, reader: Entries, entry: Document) -> Reported | Inbound | None:
    if isinstance(reader, MO):
        return reader.read(entry)
    assert isinstance(reader, Receipts), "there are two kinds"
    return reader.read(entry, carrier.matches_own)
