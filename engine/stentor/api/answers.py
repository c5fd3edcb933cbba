"""Answers of the API as values, and refusals as the problems that tell of them (RFC 9457).

A fault is placed by a JSON path: ``$.to`` is a field of the body, ``$.query.limit`` a parameter of the query,
``$.headers.idempotency-key`` a field of the head. In arrays and streams the path is inside the item.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from stentor.aio.server.exchange import Answer, answer_problem
from stentor.api.render import encode
from stentor.errors import JournalError, Overloaded, Refusal
from stentor.wire.problem import InputError, Problem, problem

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
RETRY_AFTER_S: Final = 2
"""Told to clients when the journal could not be written: the next commit is tried within that time."""

HALVES_LIMIT: Final = 1024 * 1024
"""Octets of JSON that are searched for halves of surrogate pairs: at most a tenth of a second."""

_FAULT: Final = re.compile(r"(.*?)(?: - at `(key in )?(\$.*)`)?", re.DOTALL)
_LONE_HALF: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*+)"
    rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_FIELD: Final = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)


class Busy(Problem, frozen=True, kw_only=True):
    """A problem that passes: ``retry_after`` is in seconds, as in the header of that name."""

    retry_after: int


def ok(value: object, status: int = 200) -> Answer:
    """A value as JSON."""
    return Answer(status, encode(value))


def problem_answer(fault: Problem, fields: Iterable[tuple[str, str]] = ()) -> Answer:
    """A problem as a response; one that passes carries ``Retry-After``."""
    if isinstance(fault, Busy):
        fields = (*fields, ("Retry-After", str(fault.retry_after)))
    return answer_problem(fault, fields)


def refused(error: Refusal) -> Problem:
    """The problem of a refusal; only what is wrong with the input (400, 422) has a place in it."""
    errors = (InputError(error.path, error.detail),) if error.status in (400, 422) else ()
    return problem(error.status, error.detail, error.code, errors)


def busy(error: Overloaded | JournalError) -> Busy:
    """503: nothing was stored, try again."""
    if isinstance(error, Overloaded):
        fault = problem(503, error.detail, error.code)
        retry_after = error.retry_after_s
    else:
        fault = problem(503, "the journal cannot be written", "journal_unavailable")
        retry_after = RETRY_AFTER_S
    return Busy(fault.type, fault.title, fault.status, fault.detail, fault.code, retry_after=retry_after)


def decode_refusal(error: Exception, octets: bytes) -> Refusal:
    """Why octets are not the JSON that was wanted: 400 for what is no JSON, 422 for JSON with a wrong field.

    ``error`` is what msgspec raised: DecodeError, ValidationError, UnicodeDecodeError or RecursionError.
    """
    if isinstance(error, RecursionError):
        return Refusal("malformed", "the JSON is nested too deeply", "$", 400)
    if isinstance(error, msgspec.ValidationError):
        # A wrong field is found before what follows it is read; what is no JSON at all is told first.
        try:
            msgspec.json.decode(octets)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as other:
            if not isinstance(other, msgspec.ValidationError):
                return decode_refusal(other, octets)
        return _field_refusal(str(error))
    half = _LONE_HALF.search(octets) if len(octets) <= HALVES_LIMIT else None
    if isinstance(error, UnicodeDecodeError):
        detail = "the JSON is not UTF-8"
    elif half is not None:
        detail = f"half of a surrogate pair stands alone (byte {half.end(1)})"
    elif octets.isspace() or not octets:
        detail = "there is no JSON"
    else:
        detail = str(error)
    return Refusal("malformed", detail, "$", 400)


def without_lone_halves(octets: bytes) -> bytes:
    """JSON of the same length without escapes that are half of a surrogate pair. By the grammar they are JSON, and what
    holds them is one bad text (RFC 8259 §8.2); the decoder takes them for the end of everything."""
    if len(octets) > HALVES_LIMIT:
        return octets
    return _LONE_HALF.sub(rb"\1\\ufffd", octets)


DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON of a stranger can raise; ValidationError is a DecodeError."""


def _field_refusal(text: str) -> Refusal:
    match = _FAULT.fullmatch(text)
    assert match is not None
    detail, path = match[1], match[3] or "$"
    field = _FIELD.fullmatch(detail)
    if field is None:
        return Refusal("bad_field", detail, path)
    path = f"{path}.{field[2]}"
    if field[1].startswith("missing"):
        return Refusal("missing_field", f"the field {field[2]!r} is required", path)
    return Refusal("unknown_field", f"there is no field {field[2]!r}", path)
