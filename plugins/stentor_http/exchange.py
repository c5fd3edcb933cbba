"""From submissions to requests, and from answers to outcomes. Pure: time and tokens are arguments.

Invariants: every submission is in exactly one exchange or has its outcome already, and every exchange that is read
gives each of its submissions exactly one outcome, whatever came back, unless what was refused is all of a batch: then
they are to be sent in halves, so that one that is wrong ends no other.
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec

from stentor.message import Charge
from stentor.outcome import Deferred, Outcome, Refused, Returned, Scope, Sent, Submission, Unknown
from stentor.text.segments import Encoding
from stentor.wire.calls import FailureKind, HTTPFailure, HTTPReply, HTTPRequest
from stentor_http.carrier import Carrier
from stentor_http.code import CodeFault, run_code
from stentor_http.errors import HINTS, MEANINGS, Meaning, Verdict, retry_after_s
from stentor_http.extraction import Document, read_json
from stentor_http.replies import Taken
from stentor_http.signatures import vonage
from stentor_http.template import as_text, digits, own_id

JSON: Final = "application/json"


class Exchange(msgspec.Struct, frozen=True):
    """One request and what it carries, in the order of the request."""

    request: HTTPRequest
    submissions: tuple[Submission, ...]


class Built(msgspec.Struct, frozen=True):
    """What is to be sent, and the outcomes of what cannot be said to this carrier. ``fault`` is a sentence for the
    channel's last error if the description's own code failed."""

    exchanges: list[Exchange]
    outcomes: list[Outcome]
    fault: str | None = None


class Reading(msgspec.Struct, frozen=True):
    """An answer as understood: one outcome for each submission of the exchange.

    ``fault`` is a sentence for the channel's last error, secrets masked, None when the carrier took everything.
    ``is_unreachable``: nothing left; close the lane for a while, for what is returned comes again at once.
    ``is_unauthorised``: the login was refused; a token that was fetched is worth nothing any more. ``is_to_halve``:
    the batch was refused as a whole, and there is no outcome.
    """

    outcomes: list[Outcome]
    fault: str | None = None
    is_unreachable: bool = False
    is_unauthorised: bool = False
    is_to_halve: bool = False


class Token(msgspec.Struct, frozen=True, gc=False):
    """A login's token and until when it may be used."""

    value: str
    expires_at_ms: int


def build(carrier: Carrier, submissions: Sequence[Submission], wall_ms: int, token: str = "") -> Built:
    """The requests for a batch. ``token`` is the value of the last :class:`Token`, for a carrier that
    ``needs_token``."""
    outcomes: list[Outcome] = []
    groups: dict[tuple[Any, ...], list[Submission]] = {}
    exchanges: list[Exchange] = []
    batches: list[list[Submission]] = []
    limit, shared = carrier.batch_limit, carrier.shared
    fault: str | None = None
    for submission in submissions:
        wrong = _unsayable(carrier, submission)
        if wrong is not None:
            outcomes.append(Refused(submission, "bad_content", detail=wrong))
        elif limit == 1:
            batches.append([submission])
        else:
            groups.setdefault(tuple([key(submission) for key in shared]), []).append(submission)
    for group in groups.values():
        batches += [group[at : at + limit] for at in range(0, len(group), limit)]
    for batch in batches:
        try:
            exchanges.append(_exchange(carrier, batch, wall_ms, token))
        except CodeFault as error:
            fault = str(error)
            outcomes += [Deferred(submission, "carrier_error", detail=fault) for submission in batch]
    return Built(exchanges, outcomes, fault)


def _unsayable(carrier: Carrier, submission: Submission) -> str | None:
    """Why a submission cannot be said to this carrier; None when it can."""
    if submission.encoding is Encoding.BINARY:
        if not carrier.takes_binary:
            return f"{carrier.name} takes no binary messages"
    elif submission.text is None:
        return "the message has no text"
    elif carrier.text_characters and len(submission.text) > carrier.text_characters:
        return f"{carrier.name} takes texts of at most {carrier.text_characters} characters"
    if submission.flash and not carrier.takes_flash:
        return f"{carrier.name} takes no flash messages"
    if submission.udh and not carrier.takes_udh:
        return f"{carrier.name} takes no user data header"
    return None


def _exchange(carrier: Carrier, batch: Sequence[Submission], wall_ms: int, token: str) -> Exchange:
    body, url, octets = carrier.body, carrier.url, b""
    if len(batch) > 1 and carrier.shared:
        # What is said once for all must not outlive any of them.
        batch = sorted(batch, key=lambda submission: submission.valid_for_s)
    if body.content_type == JSON:
        octets = body.render(batch, wall_ms)
    else:
        pairs = body.pairs(batch, wall_ms)
        if carrier.vonage_key:
            pairs.append(("timestamp", str(wall_ms // 1000)))
            pairs.append(("sig", vonage(carrier.vonage_key, pairs, carrier.vonage_method)))
        if body.content_type:
            octets = body.join(pairs).encode()
        else:
            url = f"{url}{'&' if '?' in url else '?'}{body.join(pairs)}"
    if carrier.query:
        url = f"{url}{'&' if '?' in url else '?'}{carrier.query}"
    fields = carrier.fields
    if carrier.live_fields:
        live = [(name, as_text(render(batch[0], wall_ms))) for name, render in carrier.live_fields]
        fields = (*fields, *live)
    if token:
        fields = (*fields, ("Authorization", f"Bearer {token}"))
    method = carrier.description.send.method
    request = HTTPRequest(method, url, fields, octets, carrier.is_idempotent)
    if carrier.code.sign is not None:
        request = run_code(
            "sign", carrier.code.file, carrier.code.sign, HTTPRequest, request, carrier.settings, wall_ms
        )
    return Exchange(request, tuple(batch))


def read(carrier: Carrier, exchange: Exchange, answer: HTTPReply | HTTPFailure, wall_ms: int) -> Reading:
    """What became of an exchange. Raises for nothing the carrier says."""
    if isinstance(answer, HTTPFailure):
        return _failed(carrier, exchange, answer)
    replies = carrier.replies
    document = replies.document(answer)
    hint_s = retry_after_s(answer.fields, wall_ms)
    results = replies.results(document)
    reading = _Reading(carrier, hint_s)
    if results is None or (not results and replies.pair == "parts"):
        verdict = carrier.errors.judge(document, *replies.why(document), hint_s)
        if len(exchange.submissions) > 1 and _is_of_one(verdict.meaning):
            reading.blame(verdict)
            return Reading([], reading.fault, is_to_halve=True)
        for submission in exchange.submissions:
            reading.judged(submission, verdict)
    elif replies.pair == "parts":
        reading.parts(exchange.submissions[0], results)
    else:
        for submission, result in _paired(carrier, exchange.submissions, results):
            if result is None:
                reading.judged(submission, _UNMENTIONED)
            else:
                reading.one(submission, *result)
    return Reading(reading.outcomes, reading.fault, is_unauthorised=reading.is_unauthorised)


def _is_of_one(meaning: Meaning) -> bool:
    """Whether it may be for one of them alone that a batch is refused."""
    return meaning.kind is Refused and meaning.scope in (Scope.MESSAGE, Scope.DESTINATION)


_UNMENTIONED: Final = Verdict(MEANINGS["doubt"], None, "the answer does not mention it")


def _failed(carrier: Carrier, exchange: Exchange, failure: HTTPFailure) -> Reading:
    fault = carrier.mask(failure.detail)
    if failure.kind in (FailureKind.NOTHING_LEFT, FailureKind.FORBIDDEN):
        returned: list[Outcome] = [Returned(submission) for submission in exchange.submissions]
        return Reading(returned, fault=fault, is_unreachable=True)
    return Reading([Unknown(submission, fault) for submission in exchange.submissions], fault=fault)


_Result = tuple[Document, Taken]


def _paired(
    carrier: Carrier, submissions: Sequence[Submission], results: list[Document]
) -> list[tuple[Submission, _Result | None]]:
    """Each submission with its result, None where none can be told to be its own."""
    pair, take = carrier.replies.pair, carrier.replies.take
    taken = [(result, take(result)) for result in results]
    if pair == "position":
        # One result too few, and nobody can say which one is missing.
        is_whole = len(taken) == len(submissions)
        return [(one, taken[at] if is_whole else None) for at, one in enumerate(submissions)]
    known: dict[str, list[_Result]] = {}
    for result in taken:
        known.setdefault(result[1].own if pair == "own" else result[1].to, []).append(result)
    name = own_id if pair == "own" else lambda submission: digits(submission.to)
    return [(one, found.pop(0) if (found := known.get(name(one))) else None) for one in submissions]


class _Reading:
    """Gathers what the results of one answer say."""

    def __init__(self, carrier: Carrier, hint_s: float) -> None:
        self._carrier, self._hint_s = carrier, hint_s
        self.outcomes: list[Outcome] = []
        self.fault: str | None = None
        self.is_unauthorised = False

    def one(self, submission: Submission, document: Document, taken: Taken) -> None:
        if not taken.is_accepted:
            self.judged(submission, self._judge(document, taken))
        elif not taken.carrier_id and self._carrier.replies.needs_id:
            self.judged(submission, Verdict(MEANINGS["doubt"], None, "the answer has no id"))
        else:
            self._sent(submission, taken.carrier_id, (taken,))

    def parts(self, submission: Submission, results: list[Document]) -> None:
        """One result for each part of the only message: what is begun must not be sent again."""
        every = [self._carrier.replies.take(result) for result in results]
        accepted = [taken for taken in every if taken.is_accepted]
        if not accepted:
            self.one(submission, results[0], every[0])
            return
        for document, taken in zip(results, every, strict=True):
            if not taken.is_accepted:
                self.blame(self._judge(document, taken))
        if not accepted[0].carrier_id:
            self.one(submission, results[0], accepted[0])
            return
        self._sent(submission, accepted[0].carrier_id, accepted)

    def judged(self, submission: Submission, verdict: Verdict) -> None:
        if verdict.meaning.kind is Sent:
            # It was taken before, when we did not hear of it: only our own id can name it.
            self._sent(submission, "", ())
            return
        self.blame(verdict)
        verdict = msgspec.structs.replace(verdict, detail=self._carrier.mask(verdict.detail))
        self.outcomes.append(verdict.outcome(submission))

    def _judge(self, document: Document, taken: Taken) -> Verdict:
        return self._carrier.errors.judge(document, taken.code, taken.detail, self._hint_s)

    def _sent(self, submission: Submission, carrier_id: str, results: Sequence[Taken]) -> None:
        match_id = own_id(submission) if self._carrier.matches_own else carrier_id
        is_by_part = self._carrier.replies.pair == "parts"
        segments = len(results) if is_by_part else sum(taken.segments for taken in results)
        price = sum(taken.price_micros for taken in results)
        charge = Charge(segments, price, results[0].currency) if segments or price else None
        self.outcomes.append(Sent(submission, carrier_id or None, match_id or None, charge))

    def blame(self, verdict: Verdict) -> None:
        """It is what the channel's last error tells of, if it is the first."""
        word = verdict.meaning.word
        if self.fault is None:
            said = " ".join(text for text in (verdict.carrier_code, verdict.detail) if text)
            hint = f" ({HINTS[word]})" if word in HINTS else ""
            self.fault = self._carrier.mask(f"{word}: {said}".rstrip(": ") + hint)
        self.is_unauthorised |= word == "bad_login"


def token_request(carrier: Carrier, wall_ms: int) -> HTTPRequest:
    """The request for a new token; only for a carrier that ``needs_token`` (RFC 6749 §4.4.2)."""
    assert carrier.token_auth is not None, "this carrier has no tokens"
    body = "grant_type=client_credentials"
    if carrier.token_scope:
        body += f"&scope={quote_plus(carrier.token_scope)}"
    return HTTPRequest("POST", carrier.token_url, carrier.token_fields, body.encode(), True)


def read_token(carrier: Carrier, answer: HTTPReply | HTTPFailure, wall_ms: int) -> Token | str:
    """The token, or why there is none (a sentence, secrets masked)."""
    if isinstance(answer, HTTPFailure):
        return carrier.mask(answer.detail)
    document = read_json(answer.body)
    found = document if isinstance(document, dict) else {}
    value = found.get("access_token")
    if answer.status != 200 or not isinstance(value, str) or not value or not value.isprintable():
        said = found.get("error_description") or found.get("error") or "no token in the answer"
        return carrier.mask(f"{answer.status} {said}"[:200])
    lasts = found.get("expires_in")
    lasts_s = lasts if isinstance(lasts, int) and 0 < lasts < 10_000_000 else 300
    # Fetched anew before it ends: what is under way with it must still be heard.
    return Token(value, wall_ms + max(lasts_s - 60, lasts_s // 2) * 1000)
