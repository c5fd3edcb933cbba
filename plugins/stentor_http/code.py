"""What a description cannot say: pure functions in a Python file beside it, ``code = "NAME.py"``.

Each is optional. They get the account's settings and the time; they wait for nothing, keep nothing and raise nothing.
"""

from collections.abc import Callable, Mapping

import msgspec

from stentor.driver import HTTPHead
from stentor.wire.calls import HTTPRequest

Settings = Mapping[str, str]
Sign = Callable[[HTTPRequest, Settings, int], HTTPRequest]
Unwrap = Callable[[HTTPHead, bytes], bytes | None]
Respond = Callable[[HTTPHead, bytes, int], bytes]

FUNCTIONS = ("sign", "unwrap", "respond")


class Code(msgspec.Struct, frozen=True, gc=False):
    """``sign(request, settings, wall_ms)``: the request with its signature, just before it is sent.
    ``unwrap(head, body)``: what a hook reads in place of the body, None for what cannot be read.
    ``respond(head, body, wall_ms)``: the body of the answer to a hook."""

    sign: Sign | None = None
    unwrap: Unwrap | None = None
    respond: Respond | None = None
