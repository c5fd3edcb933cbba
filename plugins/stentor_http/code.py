"""What a description cannot say: pure functions in a Python file beside it, ``code = "NAME.py"``.

Each is optional. They get the account's settings and the time; they wait for nothing, keep nothing and raise nothing.
What raises all the same, or gives what it should not, is a CodeFault: it concerns the message or the request in hand.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from stentor.driver import HTTPHead
from stentor.wire.calls import HTTPRequest

Settings = Mapping[str, str]
Sign = Callable[[HTTPRequest, Settings, int], HTTPRequest]
Unwrap = Callable[[HTTPHead, bytes], bytes | None]
Respond = Callable[[HTTPHead, bytes, int], bytes]
Needs = Callable[[HTTPHead, bytes, Settings], str | None]
Check = Callable[[HTTPHead, bytes, Settings, bytes, int], str | None]
Confirm = Callable[[HTTPHead, bytes], str | None]

FUNCTIONS = ("sign", "unwrap", "respond", "needs", "check", "confirm")


class Code(msgspec.Struct, frozen=True, gc=False):
    """``sign(request, settings, wall_ms)``: the request with its signature, just before it is sent.
    ``unwrap(head, body)``: what a hook reads in place of the body, None for what cannot be read.
    ``respond(head, body, wall_ms)``: the body of the answer to a hook.

    ``check(head, body, settings, fetched, wall_ms)``: the reason not to believe a hook's request, a word as
    :class:`stentor_http.inbound.Rejected` counts by; empty: it is proved; None: the description's own checks decide.
    ``needs(head, body, settings)``: the https URL of what ``check`` is to be given as ``fetched``, of a host that the
    settings name, for the request is not proved yet; None: nothing, and ``fetched`` is empty. ``confirm(head, body)``:
    the https URL that a proved request wants visited before it is answered."""

    sign: Sign | None = None
    unwrap: Unwrap | None = None
    respond: Respond | None = None
    needs: Needs | None = None
    check: Check | None = None
    confirm: Confirm | None = None
    file: str = ""

    @property
    def fetches(self) -> bool:
        """Whether requests can want something from elsewhere."""
        return self.needs is not None or self.confirm is not None


class CodeFault(Exception):
    """A function of a description's Python file failed. ``str()`` names it and the error, and shows no value."""


def run_code(
    name: str, file: str, function: Callable[..., Any], kind: type | tuple[type, ...], *arguments: Any
) -> Any:
    """What a function of the file gives. Raises CodeFault when it raises, or gives nothing of that kind."""
    try:
        found = function(*arguments)
        if not isinstance(found, kind):
            raise TypeError(f"{type(found).__name__} is not what it should give")
    except Exception as error:
        raise CodeFault(f"{name} of {file or 'the code'} failed: {type(error).__name__}") from error
    return found
