"""Where a message in memory waits: in the queue of the channel that should carry it, or until its time.

Owns what came back and is placed with the next turn, and who of the ordered messages has the turn (``ordering``). The
channel is the first of the message's route that is up and not known to be dead (``breaker``), else the first that is
up, else the first that exists; on a detour, of those that have not refused it, and rather not one that put it off.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from stentor.message import Error, Message, Status
from stentor.scheduling.detours import Detour
from stentor.scheduling.lanes import Channel
from stentor.scheduling.ordering import Ordering
from stentor.scheduling.scheduler import DueHeap


class Placing:
    """``channels`` and ``detours`` are the dispatcher's and the settler's; ``no_route(message, wall_ms)`` ends one that
    no channel is left for; ``stops(message, wall_ms)`` tells and sees to it that one is not tried again."""

    __slots__ = ("_channels", "_detours", "_no_route", "_stops", "again", "due", "ordering")

    def __init__(
        self,
        channels: Mapping[str, Channel],
        detours: Mapping[int, Detour],
        no_route: Callable[[Message, int], None],
        stops: Callable[[Message, int], bool],
    ) -> None:
        self._channels = channels
        self._detours = detours
        self._no_route = no_route
        self._stops = stops
        self.due = DueHeap()
        self.again: list[tuple[Message, float]] = []
        self.ordering = Ordering()

    def place(self, messages: Iterable[Message], wall_ms: int) -> None:
        """Put queued messages that are in memory into the queue of the channel that should carry them."""
        # What is chosen once for all of a route: the channel's name, and how it takes them.
        chosen: dict[tuple[str, ...], tuple[str, Callable[[Message], None]]] = {}
        detours = self._detours
        for message in messages:
            route = message.route
            detour = detours.get(message.key) if detours else None
            way = chosen.get(route) if detour is None else None
            if way is None:
                channel = self._choose(route) if detour is None else self._choose_on(route, detour)
                if channel is None:
                    message.error = Error("no_route", None, f"none of {', '.join(route)} is configured")
                    self._no_route(message, wall_ms)
                    continue
                channel.wake()
                # Nothing is parked behind what is not there.
                way = channel.name, channel.put if channel.parking else channel.queue.put
                if detour is None and channel.breaker.is_closed:
                    chosen[route] = way
            else:
                channel = None
            if message.is_ordered and not self.ordering.has_turn(message):
                continue
            if message.due_at_ms > wall_ms:
                self.due.push(message.due_at_ms, message)
                continue
            if channel is not None:
                channel.breaker.wants_probe = False
            message.channel, put = way
            put(message)

    def _choose_on(self, route: tuple[str, ...], detour: Detour) -> Channel | None:
        """On a detour: one that is not spared either, as long as it is up."""
        channel = self._choose(route, detour.avoided | detour.spared)
        if channel is None or not channel.is_up:
            channel = self._choose(route, detour.avoided)
        return channel

    def _choose(self, route: tuple[str, ...], avoided: Collection[str] = ()) -> Channel | None:
        """The first channel of the route that is up; else the first that exists."""
        known = [
            channel
            for name in route
            if name not in avoided and (channel := self._channels.get(name)) is not None
        ]
        up = [channel for channel in known if channel.is_up]
        for channel in up:
            if channel.breaker.is_closed or channel.breaker.wants_probe:
                return channel
        return up[0] if up else known[0] if known else None

    def leads_on(self, message: Message, avoided: Collection[str]) -> bool:
        """Does the message's route have a channel that is not avoided?"""
        return self._choose(message.route, avoided) is not None

    def try_again(self, message: Message, delay_s: float) -> None:
        """A message came back; it is placed with the next turn."""
        self.again.append((message, delay_s))

    @property
    def has_more(self) -> bool:
        """Something is to be placed with :meth:`place_again`."""
        return bool(self.again or self.ordering.freed)

    def place_again(self, wall_ms: int) -> None:
        """Place what came back, and what has the turn now."""
        while self.ordering.freed:
            freed, self.ordering.freed = self.ordering.freed, []
            self.place(freed, wall_ms)
        again, self.again = self.again, []
        for message, delay_s in again:
            if message.status is not Status.QUEUED:
                continue  # cancelled, expired or settled since
            if self._stops(message, wall_ms):
                continue
            if delay_s > 0:
                # After a start the turn is not known to be its own.
                if message.is_ordered and not self.ordering.has_turn(message):
                    continue
                self.due.push(wall_ms + int(delay_s * 1000), message)
            else:
                self.place((message,), wall_ms)

    def place_due(self, wall_ms: int) -> None:
        """The time of some came."""
        for message in self.due.pop_due(wall_ms):
            self.place((message,), wall_ms)

    def discard(self, message: Message) -> None:
        """Take a queued message from wherever it waits in memory."""
        if message.is_ordered and self.ordering.discard(message):
            return
        channel = self._channels.get(message.channel)
        if not self.due.discard(message.key) and channel is not None:
            channel.discard(message.key)
        if self.again:
            self.again = [entry for entry in self.again if entry[0] is not message]
