"""Reads tests/data/http-carriers: for each carrier what is sent, what its answers mean, and what it sends to us.

``sends.json``: messages, the request exactly as it leaves, an answer, its outcomes. ``errors.json``: answers to one
message and the word of the error table they mean. ``hooks.json``: requests of the carrier and what is read from them.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from stentor.driver import Inbound, Receipt
from stentor.message import Priority
from stentor.outcome import Deferred, Outcome, Refused, Returned, Sent, Submission, Unknown
from stentor.text.segments import Encoding
from stentor.wire.calls import HTTPReply
from stentor_http import catalog
from stentor_http.carrier import Carrier

FOLDER = Path(__file__).parents[2] / "data" / "http-carriers"
NOW_MS = 1_790_000_000_000
PUBLIC_URL = "https://gw.example.test/in/c7"
TOKENS = (0x19F2AB3C4D5E601, 0x19F2AB3C4D5E701, 0x19F2AB3C4D5E801)


class Head(msgspec.Struct, frozen=True):
    """A request's head, as the engine gives it."""

    method: str = "POST"
    path: str = "/in/c7/receipt"
    query: str = ""
    headers: dict[str, str] = {}


def cases(carrier: str, kind: str) -> Any:
    return msgspec.json.decode((FOLDER / carrier / f"{kind}.json").read_bytes())


@lru_cache
def carrier_of(name: str, public_url: str = PUBLIC_URL) -> Carrier:
    return catalog.load(name, "", cases(name, "settings"), public_url)


def submission(given: dict[str, Any], index: int = 0) -> Submission:
    """A message of a fixture; what it does not say is as usual."""
    text: str | None = given.get("text", "Tere")
    data = bytes.fromhex(given.get("data", ""))
    encoding = Encoding.BINARY if data else Encoding(given.get("encoding", "gsm7"))
    return Submission(
        TOKENS[index],
        given.get("attempt", 1),
        given.get("to", f"+372555000{index + 1}"),
        given.get("from", "Shop"),
        encoding,
        data,
        bytes.fromhex(given.get("udh", "")),
        1,
        given.get("segments", 1),
        given.get("wants_receipt", True),
        given.get("valid_for_s", 3600),
        Priority.NORMAL,
        given.get("flash", False),
        None if data else text,
    )


def octets(body: Any) -> bytes:
    """A body of a fixture: a text as it is, anything else as JSON."""
    return body.encode() if isinstance(body, str) else msgspec.json.encode(body)


def reply_of(given: dict[str, Any]) -> HTTPReply:
    return HTTPReply(
        given["status"], given.get("fields", {}), octets(given.get("body", "")), 0.01, "192.0.2.1:443"
    )


def told(outcome: Outcome) -> dict[str, Any]:
    """An outcome as fixtures write it, without what is as usual."""
    match outcome:
        case Sent():
            return {"sent": outcome.carrier_id, "match": outcome.match_id}
        case Refused():
            return {
                "refused": outcome.code,
                "carrier_code": outcome.carrier_code,
                "scope": outcome.scope.value,
            }
        case Deferred():
            return {
                "deferred": outcome.code,
                "carrier_code": outcome.carrier_code,
                "scope": outcome.scope.value,
            }
        case Unknown():
            return {"unknown": outcome.reason}
        case Returned():
            return {"returned": True}


def item_of(item: Receipt | Inbound) -> dict[str, Any]:
    """A receipt or a message as fixtures write it, without what is empty."""
    told = msgspec.to_builtins(item)
    if isinstance(item, Receipt):
        told["status"] = item.status.word
    return {name: value for name, value in told.items() if value not in (None, "", 0)}
