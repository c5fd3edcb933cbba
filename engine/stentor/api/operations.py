"""What an operation of the API is: one entry serves requests and is the source of its description."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from stentor.aio.server.exchange import BodyMode, Exchange
from stentor.api.answers import JSON
from stentor.api.call import Call

BODY_LIMIT: Final = 16 * 1024 * 1024


class Body(msgspec.Struct, frozen=True):
    """A body an operation takes, by media type. ``schema`` is the type of its JSON, or of a line of it."""

    schema: Any
    mode: BodyMode = BodyMode.WHOLE
    limit: int | None = BODY_LIMIT


class Reply(msgspec.Struct, frozen=True):
    """A success: by media type the types it may have, none for plain text."""

    status: int
    description: str
    content: Mapping[str, tuple[Any, ...]]


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the query or the head (``place``), with its JSON Schema."""

    name: str
    place: str
    description: str
    schema: Mapping[str, Any]
    is_required: bool = False


class Operation(msgspec.Struct, frozen=True):
    """``refusals`` are the statuses it can answer beyond those every operation can. ``is_open``: asks for no
    credential. ``has_head``: answers HEAD as it would GET."""

    method: str
    path: str
    name: str
    summary: str
    handle: Callable[[Exchange, Call], None]
    reply: Reply
    refusals: tuple[int, ...] = ()
    bodies: Mapping[str, Body] = {}
    parameters: tuple[Parameter, ...] = ()
    is_open: bool = False
    has_head: bool = True
    output_limit: int | None = None


def json_reply(schema: Any, description: str, status: int = 200) -> Reply:
    return Reply(status, description, {JSON: (schema,)})
