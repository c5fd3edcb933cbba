"""From what a session tells to what the host hears: outcomes, receipts, messages, counters.

The half of a bind that needs no waiting. Everything that came in one read is told to the host in one call.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from stentor.driver import Inbound, Receipt
from stentor.errors import Refusal
from stentor.outcome import Outcome, Refused, Returned, Sent, Submission, Unknown
from stentor_smpp.congestion import Offer
from stentor_smpp.connection import Connection
from stentor_smpp.events import (
    Alert,
    Answers,
    Bound,
    Ended,
    Event,
    Expired,
    Faults,
    LateResponses,
    Receipts,
    Requests,
    Response,
    Responses,
    Token,
    Unexpected,
)
from stentor_smpp.hot import UsualReceipt
from stentor_smpp.outcomes import Judge
from stentor_smpp.pdu import PDU, EncodeError
from stentor_smpp.places import Place
from stentor_smpp.questions import Question
from stentor_smpp.receiving import read
from stentor_smpp.shared import Shared
from stentor_smpp.status import ROK, StatusClass, lookup

_MISPLACED_S: Final = 5.0
"""How long a peer may answer that we are not bound before we bind anew."""
_ALERT_LINE_S: Final = 1.0
"""A line in the log for each alert would be the peer's to fill the disk with."""


class Handler:
    """The events of one place. Subclasses own its connection and its life."""

    __slots__ = (
        "_alerted_at",
        "_host",
        "_judge",
        "_misplaced_at",
        "_packer",
        "_shared",
        "connection",
        "is_draining",
        "key",
        "offer",
        "place",
    )

    def __init__(self, shared: Shared, place: Place) -> None:
        self.key = place.key
        self.place = place
        self.connection: Connection | None = None
        self.is_draining = False
        self.offer = Offer(place.window)
        self._shared = shared
        self._host = shared.host
        self._judge = Judge(shared.verdicts)
        self._packer = shared.packer(None)
        self._misplaced_at: float | None = None
        self._alerted_at = float("-inf")

    def now(self) -> float:
        return self._host.clock.now()

    @property
    def is_open(self) -> bool:
        """True while something may be submitted or asked here."""
        connection = self.connection
        return (
            connection is not None
            and not self.is_draining
            and not connection.is_leaving
            and self.place.is_sending
            and connection.session.is_bound
        )

    # -- events -----------------------------------------------------------------------------------------------------

    def handle(self, event: Event, connection: Connection) -> None:
        match event:
            case Responses():
                self._resolve_responses(event.responses, connection)
            case Requests():
                items, unreadable = read(event.pdus, self._shared.reports)
                self._receive(event.pdus, items, unreadable, connection)
            case Receipts():
                receipts, unreadable = self._shared.reports.usual(event.receipts)
                self._receive(event.receipts, receipts, unreadable, connection)
            case Expired():
                doubt = self._submissions(event.tokens, connection)
                self._host.resolve([Unknown(token, "no response in time") for token in doubt])
            case Answers():
                self._answered(event.answers, connection)
            case Bound():
                self._bound(event, connection)
            case Ended():
                self._hand_back(event, connection)
                self._end(event, connection)
            case _:
                self._note(event)

    def _note(self, event: Event) -> None:
        """What is counted and has no bearing on anything in flight, but for answers that came too late."""
        counters = self._shared.counters
        match event:
            case LateResponses():
                self._resolve_late(event.responses)
            case Unexpected():
                counters["unexpected_responses"] += len(event.responses)
            case Faults():
                counters["malformed_pdus"] += len(event.faults)
                self._host.log.warning("malformed PDU", lane=self.key, detail=event.faults[0].detail)
            case Alert():
                self._alert(event)
            case _:
                counters["ignored_pdus"] += 1

    def congested(self, congestion: int) -> None:
        """The peer said how busy it is."""
        if self.offer.told(congestion, self.now()):
            self._offer_again()

    def _relax(self) -> None:
        """A peer that no longer says it is congested gets more again."""
        if self.offer.is_forgotten(self.now()) and self.offer.grow(self.now()):
            self._offer_again()

    def _offer_again(self) -> None:
        if self.is_open:
            self._shared.counters["congestion_steps"] += 1
            self._host.lane(self.key, self.offer.size)

    def _resolve_responses(self, responses: Iterable[Response], connection: Connection) -> None:
        response_key = self._shared.ids.response_key
        outcomes: list[Outcome] = []
        others: list[Response] = []
        for response in responses:
            submission, status, message_id, _ = response
            if message_id and not status:
                outcomes.append(Sent(submission, message_id, response_key(message_id)))
            else:
                others.append(response)
        if outcomes:
            self._judge.got_through()
        misplaced = 0
        for submission, status, _, tlvs in others:
            outcomes.append(self._judge.outcome(submission, status, tlvs, self.now()))
            if status:
                self._shared.count_status(status)
                if self._shared.verdicts.of(status).status_class is StatusClass.SESSION:
                    misplaced = status
        self._host.resolve(outcomes)
        if misplaced:
            self._misplaced(misplaced, connection)
        else:
            self._misplaced_at = None
        if self.offer.size < self.offer.window:
            self._relax()

    def _misplaced(self, status: int, connection: Connection) -> None:
        """The peer takes the session for another than it is. It gets a while to come round, then a new bind."""
        now = self.now()
        if self._misplaced_at is None:
            self._misplaced_at = now
        elif now - self._misplaced_at >= _MISPLACED_S and self.is_open:
            self._host.lane(self.key, 0)
            connection.retire(f"the peer keeps answering {lookup(status).name}")

    def _resolve_late(self, responses: Sequence[Response]) -> None:
        """Each was told as in doubt before; that the peer took it can still settle that."""
        self._shared.counters["late_responses"] += len(responses)
        response_key = self._shared.ids.response_key
        sent: list[Outcome] = []
        for token, status, message_id, _ in responses:
            if isinstance(token, Submission) and status == ROK:
                match_id = response_key(message_id) if message_id else None
                sent.append(Sent(token, message_id or None, match_id))
        if sent:
            self._host.resolve(sent)

    def _receive(
        self,
        pdus: Sequence[PDU | UsualReceipt],
        items: Sequence[Receipt | Inbound],
        unreadable: int,
        connection: Connection,
    ) -> None:
        """Receipts and messages of one read. They are answered when the host has made them durable."""
        self._shared.counters["unreadable_receipts"] += unreadable
        if items:
            self._host.receive(items, partial(connection.answer, pdus, connection.hold()))
        else:
            connection.session.respond((pdu, ROK) for pdu in pdus)
        if (found := self._shared.ids.take_finding()) is not None:
            self._shared.found_ids(found)

    def _answered(self, answers: Iterable[tuple[Token, PDU]], connection: Connection) -> None:
        """Answers to queries and cancellations are receipts that we asked for; nobody waits for their storing."""
        receipts: list[Receipt] = []
        for question, pdu in answers:
            connection.questions -= 1
            receipt = self._shared.questions.answered(question, pdu)
            if receipt is not None:
                receipts.append(receipt)
        if receipts:
            self._host.receive(receipts, _is_stored)
        self.ask()

    def _alert(self, event: Alert) -> None:
        self._shared.counters["alert_notifications"] += 1
        now = self.now()
        if now - self._alerted_at >= _ALERT_LINE_S:
            self._alerted_at = now
            number: str = event.pdu.fields["source_addr"]
            self._host.log.info("handset reachable again", lane=self.key, number=number)

    def _submissions(self, tokens: Iterable[Token], connection: Connection) -> list[Submission]:
        """Those of ``tokens`` that are no questions; the questions stay without an answer."""
        submissions: list[Submission] = []
        for token in tokens:
            if isinstance(token, Question):
                connection.questions -= 1
                self._shared.questions.unanswered(token)
            else:
                submissions.append(token)
        return submissions

    def _hand_back(self, event: Ended, connection: Connection) -> None:
        """The session is over: its lane closes and everything in flight comes back, each once."""
        outcomes: list[Outcome] = [
            Returned(token) for token in self._submissions(event.never_left, connection)
        ]
        in_doubt = self._submissions(event.in_doubt, connection)
        outcomes += [Unknown(token, event.reason.value) for token in in_doubt]
        self._misplaced_at = None
        if self.place.is_sending:
            self._host.lane(self.key, 0)
        if outcomes:
            self._host.resolve(outcomes)

    def _bound(self, event: Bound, connection: Connection) -> None:
        raise NotImplementedError

    def _end(self, event: Ended, connection: Connection) -> None:
        raise NotImplementedError

    # -- the driver's hand ------------------------------------------------------------------------------------------

    def submit(self, batch: Sequence[Submission]) -> None:
        connection = self.connection
        if connection is None or not self.is_open:
            self._host.resolve([Returned(submission) for submission in batch])
            return
        packed: list[tuple[Submission, bytes]] = []
        refused: list[Outcome] = []
        pack, wall_ms = self._packer.pack, self._host.clock.wall_ms()
        for submission in batch:
            try:
                packed.append((submission, pack(submission, wall_ms)))
            except EncodeError as error:
                refused.append(Refused(submission, "bad_request", None, str(error)))
            except Refusal as error:
                refused.append(Refused(submission, error.code, None, error.detail))
        if refused:
            self._host.resolve(refused)
        connection.submit(packed)

    def ask(self) -> None:
        """Ask what there is room for, if the peer can be asked here."""
        connection = self.connection
        if connection is not None and self.is_open:
            for question, body in self._shared.questions.take():
                connection.ask(question, question.command_id, body)


def _is_stored(is_durable: bool) -> None:
    """A receipt that we asked for: one that was not stored is asked for again by the engine."""
