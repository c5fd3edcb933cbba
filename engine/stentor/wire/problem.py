"""Problem details, the body of every refused request (RFC 9457).

``type`` is ``about:blank`` unless given, which by §4.2.1 says: the status is the type and ``title`` its
phrase. ``code`` is an extension member (§3.2): a stable word for programs, while ``detail`` is for people.
"""

from collections.abc import Sequence
from http import HTTPStatus

import msgspec

CONTENT_TYPE = "application/problem+json"

# RFC 9110 §15 renamed these; the standard library of Python 3.11 still has the older phrases.
_RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
_PHRASES = {status.value: status.phrase for status in HTTPStatus} | _RENAMED


def phrase(status: int) -> str:
    """The reason phrase of a status code; an unregistered one is named by its class (RFC 9110 §15)."""
    return _PHRASES.get(status) or _PHRASES[status // 100 * 100]


class InputError(msgspec.Struct, frozen=True, gc=False):
    """One fault of the input. ``path`` is a JSON path such as ``$.to`` or ``$[3].text``."""

    path: str
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One problem; members without a default stand in every answer."""

    type: str
    title: str
    status: int
    detail: str
    code: str = ""
    errors: tuple[InputError, ...] = ()


def problem(
    status: int, detail: str, code: str = "", errors: Sequence[InputError] = (), type: str = "about:blank"
) -> Problem:
    """A problem whose title is the phrase of its status."""
    return Problem(type, phrase(status), status, detail, code, tuple(errors))


_encoder = msgspec.json.Encoder()


def encode(value: Problem) -> bytes:
    """The JSON text of a problem."""
    return _encoder.encode(value)
