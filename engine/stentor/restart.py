"""What a crash left under way: leases in the journal whose answers were never seen.

An at-most-once attempt is not repeated, unless its peer can tell it from a new one; any other is.
"""

from collections.abc import Callable, Iterable, Mapping

from stentor.backlog import Backlog
from stentor.lanes import Channel
from stentor.ledger import Ledger
from stentor.lifecycle import Change, advance, finish
from stentor.limits import Limits
from stentor.message import Delivery, Error, Message
from stentor.receipts import ParkedReceipts
from stentor.records import ParkedReceipt
from stentor.sending import Departures
from stentor.settle import Settler


def park_again(known: Iterable[ParkedReceipt], limits: Limits, ledger: Ledger) -> ParkedReceipts:
    """The receipts that were parked; those for which there is no room any more leave the journal too."""
    parked = ParkedReceipts(limits.parked, limits.parked_age_ms)
    for receipt in known:
        for gone in parked.park(receipt):
            ledger.forget(gone.family, gone.match_id)
    return parked


class Restart:
    """Settles leases, once. ``left_before(message)`` tells that all of a message had left before."""

    __slots__ = ("_backlog", "_channels", "_departures", "_ledger", "_left_before", "_settler")

    def __init__(
        self,
        ledger: Ledger,
        backlog: Backlog,
        settler: Settler,
        departures: Departures,
        channels: Mapping[str, Channel],
        left_before: Callable[[Message], bool],
    ) -> None:
        self._ledger = ledger
        self._backlog = backlog
        self._settler = settler
        self._departures = departures
        self._channels = channels
        self._left_before = left_before

    def settle(self, leased: Iterable[Message], wall_ms: int) -> None:
        """The messages that were with a driver when the daemon died."""
        for message in leased:
            if self._left_before(message):
                self._settler.holding.held[message.key] = message
                self._settler.settled(message, wall_ms)
            elif message.delivery is Delivery.AT_MOST_ONCE:
                self._settle_lease(message, wall_ms)
            else:
                # A record written for another reason while it was with a driver.
                advance(message, Change.GIVE_BACK)
                self._ledger.changed(message)
                self._ledger.effects.queued[message.key] = message

    def _settle_lease(self, message: Message, wall_ms: int) -> None:
        """An at-most-once attempt was under way: its peer is asked again, or a receipt waited for, if either can tell
        what became of it."""
        channel = self._channels.get(message.channel)
        was_held = message.error is not None and message.error.code == "no_answer"
        if channel is not None and channel.capabilities.is_idempotent and not was_held:
            self._backlog.resume(message)
            self._departures.resume(message, channel, wall_ms)
        elif channel is not None and channel.capabilities.echoes_reference:
            self._settler.holding.hold_again(message, channel, wall_ms)
        else:
            # One that was held before counts its attempt already.
            message.attempts += not was_held
            message.error = Error("no_answer", None, "the daemon stopped while the attempt was under way")
            finish(message, Change.DOUBT, wall_ms)
            self._settler.counters["finished"] += 1
            self._ledger.ended(message, wall_ms)
