"""What carriers' errors mean: one word of a description is a kind of outcome, a code of the catalogue and a scope.

The rows of a description come first, in order; what they leave open is decided by the HTTP status. An answer that
proves nothing is doubt: a message sent twice is paid twice, one that is lost is missed.
"""

from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from stentor.outcome import Deferred, Outcome, Refused, Scope, Sent, Submission, Unknown
from stentor_http.description import ErrorRow, Wait
from stentor_http.extraction import Document, ExtractionFault, is_status, pattern, text_of, walk

LONGEST_WAIT_S: Final = 300.0
LOGIN_PAUSE_S: Final = 60.0
DETAIL_CHARACTERS: Final = 200


class Meaning(msgspec.Struct, frozen=True, gc=False):
    """``kind`` is the class of outcome; ``code`` of the catalogue. ``pause_s`` holds where the carrier names none.
    ``word`` is what descriptions call it."""

    kind: type
    code: str = ""
    scope: Scope = Scope.MESSAGE
    is_throttle: bool = False
    pause_s: float = 0.0
    word: str = ""


_MEANINGS: Final[dict[str, Meaning]] = {
    "bad_destination": Meaning(Refused, "bad_destination"),
    "bad_originator": Meaning(Refused, "bad_originator"),
    "bad_content": Meaning(Refused, "bad_content"),
    "bad_request": Meaning(Refused, "bad_request"),
    "not_permitted": Meaning(Refused, "not_permitted"),
    "opted_out": Meaning(Refused, "not_permitted", Scope.DESTINATION),
    "rejected": Meaning(Refused, "rejected"),
    # Messages stay queued while an account is put right: these are never refusals.
    "bad_login": Meaning(Deferred, "not_permitted", Scope.CHANNEL, pause_s=LOGIN_PAUSE_S),
    "no_credit": Meaning(Deferred, "no_credit", Scope.CHANNEL, pause_s=LOGIN_PAUSE_S),
    "misdirected": Meaning(Deferred, "carrier_error", Scope.CHANNEL, pause_s=LOGIN_PAUSE_S),
    "throttled": Meaning(Deferred, "throttled", Scope.LANE, is_throttle=True),
    "destination_throttled": Meaning(Deferred, "throttled", Scope.DESTINATION, pause_s=60.0),
    "busy": Meaning(Deferred, "carrier_busy", Scope.LANE, pause_s=1.0),
    "failed": Meaning(Deferred, "carrier_error"),
    "duplicate": Meaning(Sent),
    "accepted": Meaning(Sent),
    "doubt": Meaning(Unknown),
}
MEANINGS: Final = {word: msgspec.structs.replace(meaning, word=word) for word, meaning in _MEANINGS.items()}
"""``duplicate``: the carrier has it already, from an attempt whose answer was lost."""
HINTS: Final = {
    "bad_login": "check the channel's settings and secrets",
    "no_credit": "top up the account",
    "misdirected": "check the URL",
}
"""What an operator is told who reads of it; in the channel's last error."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What one answer means for one message, with what the carrier said about it."""

    meaning: Meaning
    carrier_code: str | None = None
    detail: str = ""
    wait_s: float = 0.0

    def outcome(self, submission: Submission) -> Outcome:
        """Of any kind but Sent, which needs the carrier's id."""
        meaning = self.meaning
        if meaning.kind is Refused:
            return Refused(submission, meaning.code, self.carrier_code, self.detail, meaning.scope)
        if meaning.kind is Deferred:
            pause_s = self.wait_s or meaning.pause_s
            return Deferred(
                submission,
                meaning.code,
                self.carrier_code,
                self.detail,
                meaning.scope,
                pause_s,
                meaning.is_throttle,
            )
        assert meaning.kind is Unknown, "what was sent has an id"
        return Unknown(submission, self.detail or "no_answer")


def by_status(status: int, has_hint: bool, carrier_code: str) -> Meaning:
    """What an HTTP status says by itself (RFC 9110 §15), where no row of the description fits."""
    if status in _BY_STATUS:
        return MEANINGS[_BY_STATUS[status]]
    if status == 503:
        return MEANINGS["busy" if has_hint else "doubt"]
    if status in (404, 405) or 300 <= status < 400:
        # The carrier's own code tells that its interface answered; else the URL is wrong, not the message.
        return MEANINGS["bad_request" if carrier_code else "misdirected"]
    return MEANINGS["bad_request" if 400 <= status < 500 else "doubt"]


_BY_STATUS: Final = {
    401: "bad_login",
    402: "no_credit",
    403: "bad_login",
    408: "failed",
    425: "failed",
    429: "throttled",
}


class ErrorTable:
    """The rows of a description, compiled. Raises ExtractionFault with the row's place in front."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Sequence[ErrorRow]) -> None:
        self._rows = [_row(row, f"errors[{index}]") for index, row in enumerate(rows)]

    def judge(self, document: Document, code: str, detail: str, hint_s: float) -> Verdict:
        """What an answer, or one result of it, means. ``hint_s``: the wait its header asked for."""
        detail = detail[:DETAIL_CHARACTERS]
        for row in self._rows:
            verdict = row(document, code, detail, hint_s)
            if verdict is not None:
                return verdict
        meaning = by_status(document.status, hint_s > 0, code)
        return Verdict(meaning, code or str(document.status), detail, hint_s)


Judge = Callable[[Document, str, str, float], Verdict | None]


def _row(row: ErrorRow, place: str) -> Judge:
    try:
        holds = is_status(row.http) if row.http else None
        search = pattern(row.matches).search if row.matches else None
        follow = walk(row.path) if row.path else None
        wait = _wait(row.wait)
    except ExtractionFault as error:
        raise ExtractionFault(f"{place}: {error}") from None
    codes = frozenset(text_of(code) for code in row.codes)
    meaning = MEANINGS[row.means]
    if row.scope is not None:
        meaning = msgspec.structs.replace(meaning, scope=Scope(row.scope))

    def judge(document: Document, code: str, detail: str, hint_s: float) -> Verdict | None:
        if holds is not None and not holds(document.status):
            return None
        if follow is not None:
            code = text_of(follow(document))
            if not codes and not code:
                return None
        if codes and code not in codes:
            return None
        if search is not None and search(f"{code} {detail}" if code or detail else document.text) is None:
            return None
        wait_s = wait(document) if wait is not None else 0.0
        return Verdict(meaning, code or str(document.status), detail, wait_s or hint_s)

    return judge


def _wait(wait: Wait | None) -> Callable[[Document], float] | None:
    if wait is None:
        return None
    follow = walk(wait.path) if wait.path else None
    search = pattern(wait.regex).search if wait.regex else None
    scale = 0.001 if wait.unit == "ms" else 1.0

    def read(document: Document) -> float:
        text = text_of(follow(document)) if follow else document.text
        if search is not None:
            found = search(text)
            text = "" if found is None else found[1] if found.re.groups else found[0]
        return bounded_s(text, scale)

    return read


def bounded_s(text: str, scale: float = 1.0) -> float:
    """Seconds of a hint, none for nonsense, never more than ``LONGEST_WAIT_S``."""
    try:
        seconds = float(text) * scale
    except (ValueError, TypeError):
        return 0.0
    return min(seconds, LONGEST_WAIT_S) if seconds > 0 else 0.0


def retry_after_s(fields: Mapping[str, str], wall_ms: int) -> float:
    """Retry-After (RFC 9110 §10.2.3), in seconds or as a date; 0 when there is none."""
    text = fields.get("retry-after", "").strip()
    if not text:
        return 0.0
    if text[0].isdigit():
        return bounded_s(text)
    try:
        at_s = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError):
        return 0.0
    return bounded_s(str(at_s - wall_ms / 1000))
