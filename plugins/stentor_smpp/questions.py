"""What the engine asks the carrier about segments it has taken: query_sm and cancel_sm (SMPP 3.4 sections 4.8, 4.9).

Pure. Owns the questions that wait for room and says what the answers mean. Invariants: a question stands in the book
once, waiting or under way; both are bounded, and what has no room is left unasked and counted.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from stentor.driver import Followed, Receipt
from stentor.errors import Refusal
from stentor.message import Error, Status
from stentor_smpp.addresses import Source
from stentor_smpp.dlr import MessageState
from stentor_smpp.fields import CANCEL_SM, QUERY_SM
from stentor_smpp.pdu import PDU, EncodeError, encode_body
from stentor_smpp.reports import Meaning
from stentor_smpp.times import AbsoluteTime, parse_time

WAITING: Final = 1_000

SourceOf = Callable[[str], Source]
"""An originator, exactly as it was submitted."""
MeaningOf = Callable[[MessageState], Meaning]
"""What a state means on this channel."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """One query or cancellation under way."""

    command_id: int
    followed: Followed


class Questions:
    """The book of one channel. ``counters`` are the driver's own."""

    __slots__ = ("_asked", "_counters", "_limit", "_meaning", "_source", "_waiting")

    def __init__(self, limit: int, source: SourceOf, meaning: MeaningOf, counters: dict[str, int]) -> None:
        self._limit = limit
        self._source = source
        self._meaning = meaning
        self._counters = counters
        self._waiting: dict[tuple[int, int], Question] = {}
        self._asked: set[tuple[int, int]] = set()

    def add(self, command_id: int, segments: Sequence[Followed]) -> None:
        """Note what is to be asked; a question that stands already is not asked twice."""
        for followed in segments:
            key = (command_id, followed.token)
            if key in self._asked or key in self._waiting:
                continue
            if len(self._waiting) >= WAITING:
                self._counters["unasked"] += 1
                continue
            self._waiting[key] = Question(command_id, followed)

    def take(self) -> list[tuple[Question, bytes]]:
        """The questions to ask now, with their bodies; they are under way from here on."""
        taken: list[tuple[Question, bytes]] = []
        while self._waiting and len(self._asked) < self._limit:
            # A cancellation is a race with the carrier, a query is not.
            key = next((key for key in self._waiting if key[0] == CANCEL_SM), next(iter(self._waiting)))
            question = self._waiting.pop(key)
            try:
                taken.append((question, self._body(question)))
            except (EncodeError, Refusal):
                self._counters["unasked"] += 1
            else:
                self._asked.add(key)
        return taken

    def forget(self) -> None:
        """Nobody is there to be asked: what waits is left unasked."""
        self._counters["unasked"] += len(self._waiting)
        self._waiting.clear()

    def unanswered(self, question: Question) -> None:
        """It never left, or its answer never came."""
        self._settle(question)
        self._counters["unanswered_questions"] += 1

    def answered(self, question: Question, answer: PDU) -> Receipt | None:
        """What the answer says, None if nothing."""
        self._settle(question)
        followed = question.followed
        if answer.status:
            refused = "queries_refused" if question.command_id == QUERY_SM else "cancels_refused"
            self._counters[refused] += 1
            return None
        if question.command_id == CANCEL_SM:
            return Receipt(followed.match_id, Status.CANCELLED)
        return self._state_receipt(followed, answer)

    def _state_receipt(self, followed: Followed, answer: PDU) -> Receipt | None:
        """A query_sm_resp as a receipt; None for a body without a state that is known."""
        try:
            state = MessageState(answer.fields["message_state"])
        except (KeyError, ValueError):
            return None
        status, code = self._meaning(state)
        error = None
        if code is not None:
            number = answer.fields["error_code"]
            error = Error(code, str(number) if number else None, state.name)
        done = parse_time(answer.fields["final_date"])
        return Receipt(followed.match_id, status, error, done.at_ms if isinstance(done, AbsoluteTime) else 0)

    def _settle(self, question: Question) -> None:
        self._asked.discard((question.command_id, question.followed.token))

    def _body(self, question: Question) -> bytes:
        followed = question.followed
        source = self._source(followed.originator)
        fields: dict[str, object] = {
            "message_id": followed.carrier_id,
            "source_addr_ton": source.ton,
            "source_addr_npi": source.npi,
            "source_addr": source.address,
        }
        if question.command_id == CANCEL_SM:
            # With an id the destination may be empty; the id alone says which message is meant.
            fields["service_type"] = source.service_type
        return encode_body(question.command_id, fields)
