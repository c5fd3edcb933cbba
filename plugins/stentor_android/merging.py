"""State reports of phones, merged: each is a snapshot that may come twice, late, or after a restart.

Owns the way from a report to outcomes and receipts. Invariants: a message only advances; a report counts only for a
message that was given to the phone that reports, which its id proves; nothing is sent again because something was not
heard.
"""

from collections import OrderedDict
from typing import Final

from stentor.driver import Receipt
from stentor.message import Error, Status
from stentor.outcome import Deferred, Refused, Sent, reference_of
from stentor_android.dates import parse_date
from stentor_android.devices import SIM, Device
from stentor_android.fleet import Fleet
from stentor_android.items import Item, match_id, read_id
from stentor_android.protocol import RecipientReport, Report
from stentor_android.states import WORDS, Failure, Pause, State, carrier_code, failure, left_the_phone

ENDED: Final = 50_000
_DETAIL: Final = 120


class Merger:
    """Takes reports. ``receipts`` are collected for the caller, outcomes with the fleet; ``counters`` count what was
    not believed."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.receipts: list[Receipt] = []
        self.counters = {
            "reports": 0,
            "reports_repeated": 0,
            "reports_foreign": 0,
            "reports_unreadable": 0,
            "reports_unfitting": 0,
        }
        self._ended: OrderedDict[str, State] = OrderedDict()

    def merge(self, device: Device, report: Report, now: float, wall_ms: int) -> None:
        """One element of ``PATCH /message``. Whatever is wrong with it is counted; the answer is the same."""
        self.counters["reports"] += 1
        # What this phone has at the moment needs no proof that it was given to it.
        item = device.items.get(report.id)
        if item is None and self.fleet.gone:
            device, item = self._had_before(device, report.id)
        owner = self._owner(device, report.id) if item is None else None
        if item is None and owner is None:
            self.counters["reports_foreign"] += 1
            return
        said = self._said(item, report)
        state = WORDS.get(said.state) if said is not None else None
        if said is None or state is None:
            self.counters["reports_unfitting"] += 1
            return
        if item is not None:
            self._advance(device, item, state, report, said, now, wall_ms)
        elif owner is not None:
            self._afterwards(owner, state, report, said, wall_ms)

    def unreadable(self, count: int) -> None:
        """So many elements of a body were no reports."""
        self.counters["reports_unreadable"] += count

    def _had_before(self, device: Device, item_id: str) -> tuple[Device, Item | None]:
        """What it was listed under an id that it had before, and may have sent since."""
        for device_id in device.phone.previous:
            before = self.fleet.gone.get(device_id)
            if before is not None and item_id in before.items:
                return before, before.items[item_id]
        return device, None

    def _owner(self, device: Device, item_id: str) -> tuple[str, int, int] | None:
        """The registration of this phone that the message was given to, with token and attempt."""
        for device_id in (device.phone.id, *device.phone.previous):
            found = read_id(self.fleet.key, device_id, item_id)
            if found is not None:
                return device_id, *found
        return None

    def _said(self, item: Item | None, report: Report) -> RecipientReport | None:
        """What is said of the one destination there is. The destination's own state goes before the message's."""
        recipients = report.recipients
        if not recipients:
            return RecipientReport(item.sent_to if item is not None else "", report.state)
        if item is None:
            return recipients[0] if len(recipients) == 1 else None
        for each in recipients:
            if each.phone_number == item.sent_to:
                return each
        return None

    # -- while it is open -------------------------------------------------------------------------------------------

    def _advance(
        self,
        device: Device,
        item: Item,
        state: State,
        report: Report,
        said: RecipientReport,
        now: float,
        wall_ms: int,
    ) -> None:
        if state < item.state or (state == item.state and state < State.SENT):
            self.counters["reports_repeated"] += 1
            return
        fleet, sim = self.fleet, device.sims[item.slot]
        # What was handed to Android takes no room any more, so that it left changes none.
        may_change_room = item.state < State.PROCESSED or state > State.DELIVERED
        device.advance(item, state)
        match state:
            case State.PENDING | State.CANCELLING:
                fleet.wait(item, now, fleet.terms.ask_s)
            case State.PROCESSED:
                item.is_withdrawn = False
                fleet.wait(item, now, fleet.terms.handover_s)
            case State.SENT | State.DELIVERED:
                self._left(device, sim, item)
                if state is State.DELIVERED:
                    self._receipt(item, Status.DELIVERED, None, _done_at_ms(report, said, wall_ms))
                self._note(item.id, state)
            case State.CANCELLED:
                fleet.took_back(item)
                self._note(item.id, state)
            case State.FAILED:
                done_at_ms = _done_at_ms(report, said, wall_ms)
                self._failed(device, sim, item, said.error or "", done_at_ms, now, wall_ms)
                self._note(item.id, state)
        if may_change_room:
            fleet.measure(device, now, wall_ms)

    def _left(self, device: Device, sim: SIM, item: Item) -> None:
        self.fleet.end(item, Sent(item.submission, item.id, item.match_id))
        sim.failures = 0
        device.phone.sent += 1

    def _failed(
        self, device: Device, sim: SIM, item: Item, error: str, done_at_ms: int, now: float, wall_ms: int
    ) -> None:
        if left_the_phone(error):
            self._left(device, sim, item)
            why = Error("not_delivered", carrier_code(error), error[:_DETAIL])
            self._receipt(item, Status.UNDELIVERED, why, done_at_ms)
            return
        meaning = failure(error)
        self._blame(device, sim, meaning, now)
        device.last_error, device.last_error_at_ms = carrier_code(error) or meaning.code, wall_ms
        device.phone.failed += 1
        submission, code = item.submission, carrier_code(error)
        if meaning.is_final:
            self.fleet.end(item, Refused(submission, meaning.code, code, error[:_DETAIL]))
            return
        self.fleet.avoid(item)
        self.fleet.end(item, Deferred(submission, meaning.code, code, error[:_DETAIL]))

    def _blame(self, device: Device, sim: SIM, meaning: Failure, now: float) -> None:
        if meaning.counts:
            sim.failures += 1
        if meaning.pause is Pause.SIM:
            sim.rests_until = max(sim.rests_until, now + meaning.pause_s)
        elif meaning.pause is Pause.PHONE:
            device.pace.rest(meaning.pause_s, now)

    def _receipt(self, item: Item, status: Status, error: Error | None, done_at_ms: int) -> None:
        if item.submission.wants_receipt:
            self.receipts.append(Receipt(item.match_id, status, error, done_at_ms))

    # -- after its end ----------------------------------------------------------------------------------------------

    def _afterwards(
        self,
        owner: tuple[str, int, int],
        state: State,
        report: Report,
        said: RecipientReport,
        wall_ms: int,
    ) -> None:
        """It has its outcome, or a restart has forgotten it. What was in doubt may be settled by this: that it left is
        told with the reference of its attempt; that it failed only by its id, for it may be under way anew."""
        item_id = report.id
        if state <= self._ended.get(item_id, State.UNLISTED) and state is not State.SENT:
            self.counters["reports_repeated"] += 1
            return
        if state < self._ended.get(item_id, State.UNLISTED):
            self.counters["reports_repeated"] += 1
            return
        device_id, token, attempt = owner
        self._note(item_id, state)
        if (holder := self.fleet.earlier.note(token, item_id, state)) is not None:
            self.fleet.leases_changed[holder] = None
        name = match_id(item_id, device_id)
        done_at_ms = _done_at_ms(report, said, wall_ms)
        reference, to = reference_of(token, attempt), said.phone_number
        error = said.error or ""
        match state:
            case State.PROCESSED | State.SENT:
                self.receipts.append(Receipt(name, Status.SENT, None, done_at_ms, reference, to))
            case State.DELIVERED:
                self.receipts.append(Receipt(name, Status.DELIVERED, None, done_at_ms, reference, to))
            case State.FAILED:
                code = "not_delivered" if left_the_phone(error) else failure(error).code
                why = Error(code, carrier_code(error), error[:_DETAIL])
                self.receipts.append(Receipt(name, Status.UNDELIVERED, why, done_at_ms))

    def _note(self, item_id: str, state: State) -> None:
        ended = self._ended
        ended[item_id] = state
        ended.move_to_end(item_id)
        if len(ended) > ENDED:
            ended.popitem(last=False)


def _done_at_ms(report: Report, said: RecipientReport, wall_ms: int) -> int:
    """When the phone says that this came about; the time of its report where it says nothing that can be read."""
    return parse_date((report.states or {}).get(said.state)) or wall_ms
