"""What carriers send of their own accord: receipts find their segments, inbound messages are kept.

A receipt is looked for in memory, then in the journal, then it is parked until the response that it overtook comes.
The ticket of what came together is owed to the carrier, and travels with the commit that makes all of it durable; a
receipt that waits for a lookup holds the ticket back. An inbound message of several parts is kept part by part, each
acknowledged when it is durable, until they are joined; the commit that has the message has its parts no longer.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping

import msgspec

from stentor.driver import Inbound, Receipt
from stentor.ids import IdGenerator
from stentor.journal.records import HeldPart, ParkedReceipt, Read, ReceiptRead
from stentor.message import Direction, EventKind, Message, Segment, Status
from stentor.scheduling.lanes import Channel
from stentor.settling.joining import ALONE, Collection, Joiner, is_joinable, join
from stentor.settling.late import LateAnswers
from stentor.settling.ledger import Ledger
from stentor.settling.settle import Settler


class Lookup(msgspec.Struct, frozen=True):
    """Receipts of one ticket that memory could not place."""

    channel: Channel
    ticket: Hashable
    receipts: list[Receipt]


class Receiver:
    """Places receipts and keeps inbound messages.

    ``families`` names the family of every channel there has been. ``ask(read)`` and ``live(message)`` are the
    dispatcher's own: the journal is asked, and the one copy of a message that counts is told from the one just read.
    """

    __slots__ = (
        "_account",
        "_ask",
        "_families",
        "_ids",
        "_late",
        "_ledger",
        "_live",
        "_number",
        "_settler",
        "joiner",
        "lookups",
    )

    def __init__(
        self,
        ledger: Ledger,
        settler: Settler,
        joiner: Joiner,
        late: LateAnswers,
        families: Mapping[str, str],
        ids: IdGenerator,
        account: str,
        ask: Callable[[Read], None],
        live: Callable[[Message], Message],
    ) -> None:
        self._ledger = ledger
        self._settler = settler
        self.joiner = joiner
        self._late = late
        self._families = families
        self._ids = ids
        self._account = account
        self._ask = ask
        self._live = live
        self._number = 0
        self.lookups: dict[int, Lookup] = {}

    def receive(
        self, channel: Channel, items: Iterable[Receipt | Inbound], ticket: Hashable, wall_ms: int
    ) -> None:
        """Receipts and inbound messages of a channel, all of them owed the same acknowledgement."""
        family = channel.family
        take, report = self._settler.awaited.take, self._settler.report
        missing: list[Receipt] = []
        receipts = 0
        for item in items:
            if type(item) is Receipt:
                receipts += 1
                found = take(family, item.match_id)
                if found is None:
                    missing.append(item)
                else:
                    report(found[0], found[1], item, channel, wall_ms)
            else:
                assert isinstance(item, Inbound)
                self._keep(channel, item, wall_ms)
        channel.counters["receipts"] += receipts
        if missing:
            missing = self._under_other_names(channel, missing, wall_ms)
        self._look_up(channel, ticket, missing)

    def _keep(self, channel: Channel, item: Inbound, wall_ms: int) -> None:
        channel.counters["inbound"] += 1
        if item.part is None:
            self._deliver(channel.name, item, wall_ms)
        elif is_joinable(item.part):
            self._hold(channel, item, wall_ms)
        else:
            alone = msgspec.structs.replace(item, part=ALONE)
            self._deliver(channel.name, join((alone,), 1), wall_ms)

    def _deliver(self, channel: str, item: Inbound, wall_ms: int) -> int:
        """Keep a whole message and tell of it; its key."""
        key, tail = self._ids.next(wall_ms)
        message = Message(
            key=key,
            tail=tail,
            account=self._account,
            to=item.to,
            originator=item.originator,
            text=item.text,
            data=item.data,
            encoding=item.encoding,
            segments=item.segments,
            submitted_at_ms=wall_ms,
            due_at_ms=wall_ms,
            expires_at_ms=0,
            route=(channel,),
            status=Status.RECEIVED,
            channel=channel,
            direction=Direction.MO,
            final_at_ms=wall_ms,
            wants_receipt=False,
        )
        self._ledger.commit.received.append(message)
        self._ledger.event(EventKind.RECEIVED, message, wall_ms)
        return key

    # -- parts of inbound messages -----------------------------------------------------------------------------------

    def _hold(self, channel: Channel, item: Inbound, wall_ms: int) -> None:
        key, _ = self._ids.next(wall_ms)
        part = HeldPart(key, channel.family, channel.name, wall_ms, item)
        if self.joiner.is_repeated(part):
            channel.counters["repeated_parts"] += 1
            return
        self._ledger.commit.parts[key] = part
        for collection in self.joiner.add(part):
            self._join(collection, wall_ms)

    def _join(self, collection: Collection, wall_ms: int) -> None:
        """All parts that came become one message, and are parts no longer: one commit."""
        whole = join(collection.items, collection.total)
        key = self._deliver(collection.channel, whole, wall_ms)
        for part in collection.parts.values():
            self._ledger.drop(part.key)
        joined = self._ledger.commit.joined[key] = collection.joined(key, wall_ms)
        for gone in self.joiner.remember(joined):
            self._ledger.drop(gone.key)

    def join_overdue(self, wall_ms: int) -> None:
        """Parts that have waited long enough become messages without the others."""
        for collection in self.joiner.overdue(wall_ms):
            self._join(collection, wall_ms)

    # -- receipts that memory could not place -----------------------------------------------------------------------

    def _under_other_names(
        self, channel: Channel, receipts: Iterable[Receipt], wall_ms: int
    ) -> list[Receipt]:
        """Those that must be looked for in the journal, under the ids it knows."""
        missing: list[Receipt] = []
        for receipt in receipts:
            if receipt.match_id:
                known = self._late.by_other_id(channel, receipt, wall_ms)
                known = receipt.match_id if known is None else known
            else:
                known = self._late.by_reference(channel, receipt, wall_ms)
                if known is None:
                    # Nothing will ever name it, so it is not worth keeping.
                    channel.counters["unmatched"] += 1
            if known:
                missing.append(_renamed(receipt, known))
        return missing

    def _look_up(self, channel: Channel, ticket: Hashable, receipts: list[Receipt]) -> None:
        """Ask the journal about them, and hold the ticket back meanwhile; with none there is nothing to wait for."""
        if not receipts:
            self._ledger.effects.tickets.append(ticket)
            return
        self._number += 1
        lookup = self.lookups[self._number] = Lookup(channel, ticket, receipts)
        family = channel.family
        relatives = tuple(name for name, other in self._families.items() if other == family)
        match_ids = tuple(receipt.match_id for receipt in lookup.receipts)
        self._ask(ReceiptRead(relatives, match_ids, self._number))

    def found(self, read: ReceiptRead, messages: Iterable[Message], wall_ms: int) -> None:
        """The journal was asked; what it does not know is parked."""
        lookup = self.lookups.pop(read.number)
        channel = lookup.channel
        places = self._places(read, messages, channel.family)
        again: list[Receipt] = []
        settled: set[str] = set()
        for receipt in lookup.receipts:
            awaited = self._settler.awaited.take(channel.family, receipt.match_id)
            if awaited is not None:
                # What was read is another copy of it, which the next receipt of this id must not find.
                places[receipt.match_id] = awaited
            place = places.get(receipt.match_id)
            # Of two receipts for one segment, the second is parked: nothing waits for it any more.
            if place is not None and place[1].match_id == receipt.match_id:
                self._settler.report(place[0], place[1], receipt, channel, wall_ms)
                continue
            if receipt.match_id in settled:
                # Memory need not know the segment of an earlier receipt any more; the journal will.
                again.append(receipt)
                continue
            known = self._late.by_reference(channel, receipt, wall_ms)
            if known == "":
                settled.add(receipt.match_id)
            elif known and known != receipt.match_id:
                again.append(_renamed(receipt, known))
            else:
                channel.counters["unmatched"] += 1
                self._park(channel.family, receipt, wall_ms)
        self._look_up(channel, lookup.ticket, again)

    def _places(
        self, read: ReceiptRead, messages: Iterable[Message], family: str
    ) -> dict[str | None, tuple[Message, Segment]]:
        """Segments by the ids they await: what was read, and over it what the read cannot have seen."""
        found = {
            segment.match_id: (message, segment)
            for message in map(self._live, messages)
            for segment in message.segment_list
        }
        unseen = [
            (message, segment)
            for message, segment in self._ledger.unseen_segments(frozenset(read.match_ids))
            if self._settler.family(segment.channel or message.channel) == family
        ]
        return found | {segment.match_id: (message, segment) for message, segment in reversed(unseen)}

    def _park(self, family: str, receipt: Receipt, wall_ms: int) -> None:
        parked = self._settler.parked
        earlier = parked.get(family, receipt.match_id)
        kept = ParkedReceipt(
            family,
            receipt.match_id,
            receipt.status,
            wall_ms,
            receipt.error,
            receipt.done_at_ms,
            # The last receipt of several need not be the one that tells the price.
            receipt.charge or (earlier.charge if earlier is not None else None),
        )
        self._forget(parked.park(kept))
        # An intermediate receipt behind a final one is not kept, and must not replace it in the journal.
        if parked.get(family, receipt.match_id) is kept:
            self._ledger.park(kept)

    def expire(self, wall_ms: int) -> None:
        """Parked receipts, and joined messages, that grew too old are forgotten by the journal too."""
        self._forget(self._settler.parked.expire(wall_ms))
        for joined in self.joiner.forget(wall_ms):
            self._ledger.drop(joined.key)

    def _forget(self, gone: Iterable[ParkedReceipt]) -> None:
        for receipt in gone:
            self._ledger.forget(receipt.family, receipt.match_id)


def _renamed(receipt: Receipt, match_id: str) -> Receipt:
    return receipt if receipt.match_id == match_id else msgspec.structs.replace(receipt, match_id=match_id)
