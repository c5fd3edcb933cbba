"""A call of the third-party API: its path, its caller, and how it is answered. Pure."""

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from stentor.driver import HTTPExchange
from stentor_android.thirdparty_messages import Rejected
from stentor_android.thirdparty_tokens import Caller, Login

PREFIXES: Final = ("/api/3rdparty/v1", "/3rdparty/v1")
ANY: Final = "*"
_ALIASES: Final = {"message": "messages", "device": "devices"}
_NAMED: Final = {("messages", 2), ("devices", 2), ("webhooks", 2)}
_SLASHES: Final = re.compile("/{2,}")
_JSON: Final = "application/json"


class Call(msgspec.Struct, frozen=True):
    """One request with its caller: ``path`` below the prefix in pieces, ``base`` the prefix it came by."""

    exchange: HTTPExchange
    caller: Caller
    base: str
    path: tuple[str, ...]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.exchange.head.query, keep_blank_values=True))

    @property
    def login(self) -> Login:
        return self.caller.login


def split(path: str) -> tuple[str, tuple[str, ...]]:
    """The prefix a path came by and its pieces below, aliases resolved; no pieces for a path of no prefix."""
    collapsed = _SLASHES.sub("/", path)
    for prefix in PREFIXES:
        if collapsed.startswith(prefix + "/"):
            pieces = [unquote(piece) for piece in collapsed[len(prefix) + 1 :].rstrip("/").split("/")]
            return prefix, (_ALIASES.get(pieces[0], pieces[0]), *pieces[1:])
    return "", ()


def shape(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path with a star where it names one of many."""
    if path and (path[0], len(path)) in _NAMED:
        return (path[0], ANY)
    if path[:2] == ("auth", "token") and len(path) == 3 and path[2] != "refresh":
        return ("auth", "token", ANY)
    return path


def give(exchange: HTTPExchange, status: int, value: Any, fields: Sequence[tuple[str, str]] = ()) -> None:
    """Answer with a value as JSON."""
    exchange.respond(status, msgspec.json.encode(value), _JSON, fields)


def refuse(exchange: HTTPExchange, error: Rejected) -> None:
    """Answer why not, in that API's form."""
    fields = [("WWW-Authenticate", "Basic")] if error.status == 401 else []
    if error.status in (429, 503):
        fields.append(("Retry-After", "60" if error.status == 429 else "2"))
    give(exchange, error.status, {"message": str(error)}, fields)
