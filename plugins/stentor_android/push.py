"""The event streams of all phones, seen from above: who hears what when, and when each is reminded that it lives.

Pure: streams are opaque to it. A hint to pull is given at most once a second to a phone, the first at once, because
each makes the phone cancel the pull it is at. All streams of a phone hear it: the app opens a second one without
closing the first, and closing one from here makes it drop all. So none is closed before a phone has more than any has,
and then the oldest: the newest certainly lives, and most of the others are what lost connections left behind.
"""

from collections.abc import Hashable
from heapq import heappop, heappush, heapreplace
from typing import Final, Generic, TypeVar

import msgspec

STREAMS_A_PHONE: Final = 8
KEEP_ALIVE: Final = b":keepalive\n\n"
PULL: Final = "MessageEnqueued"
WEBHOOKS: Final = "WebhooksUpdated"
SETTINGS: Final = "SettingsUpdated"
CANCEL: Final = "MessageCancelled"
EXPORT: Final = "MessagesExportRequested"

StreamT = TypeVar("StreamT", bound=Hashable)


def encode_event(name: str, values: dict[str, str] | None = None) -> bytes:
    """An event as the app reads it: a data line always, values always texts."""
    data = b"null" if values is None else msgspec.json.encode(values)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


_PULL: Final = encode_event(PULL)
_GOLDEN: Final = 0.618034
"""Multiples of it fall evenly between two integers, however many there are (Knuth, TAOCP 3, §6.4)."""


class Push(Generic[StreamT]):
    """``due`` and :meth:`keep_alive` tell what is to be written where. Bounded: STREAMS_A_PHONE of each phone."""

    def __init__(self, interval_s: float, keep_alive_s: float) -> None:
        self.interval_s = interval_s
        self.keep_alive_s = keep_alive_s
        self.streams: dict[str, list[StreamT]] = {}
        self.hints = 0
        self.count = 0
        self._hinted_at: dict[str, float] = {}
        self._waiting: dict[str, None] = {}
        self._opened = 0
        self._reminders: list[tuple[float, int, str, StreamT]] = []

    def open(self, device_id: str, stream: StreamT, now: float) -> StreamT | None:
        """The phone has one more. Returns the one that had to make room for it, which is the caller's to end."""
        streams = self.streams.setdefault(device_id, [])
        streams.append(stream)
        self.count += 1
        # A crowd that comes at one moment must not be written its comments at one moment ever after.
        first_s = self.keep_alive_s * (1.0 - self._opened * _GOLDEN % 0.5)
        heappush(self._reminders, (now + first_s, self._opened, device_id, stream))
        self._opened += 1
        # A phone pulls by itself when its stream stands.
        self._hinted_at[device_id] = now
        if len(streams) <= STREAMS_A_PHONE:
            return None
        self.count -= 1
        return streams.pop(0)

    def close(self, device_id: str, stream: StreamT) -> bool:
        """Was it open?"""
        streams = self.streams.get(device_id, [])
        if stream not in streams:
            return False
        streams.remove(stream)
        self.count -= 1
        if not streams:
            del self.streams[device_id]
            self._waiting.pop(device_id, None)
            self._hinted_at.pop(device_id, None)
        return True

    def drop(self, device_id: str) -> list[StreamT]:
        """The phone is gone for good: its streams, which are the caller's to end."""
        streams = self.streams.pop(device_id, [])
        self.count -= len(streams)
        self._waiting.pop(device_id, None)
        self._hinted_at.pop(device_id, None)
        return streams

    def hint(self, device_id: str) -> None:
        """There is something to pull."""
        if device_id in self.streams:
            self._waiting[device_id] = None

    def due(self, now: float) -> list[tuple[StreamT, bytes]]:
        """Hints that may be given now."""
        if not self._waiting:
            return []
        found: list[tuple[StreamT, bytes]] = []
        before, hinted_at = now - self.interval_s, self._hinted_at
        for device_id in [each for each in self._waiting if hinted_at.get(each, before) <= before]:
            del self._waiting[device_id]
            hinted_at[device_id] = now
            self.hints += 1
            found += [(stream, _PULL) for stream in self.streams[device_id]]
        return found

    def pulled(self, device_id: str) -> None:
        """The phone asked by itself: what it was to be told it knows."""
        self._waiting.pop(device_id, None)

    def tell(
        self, device_id: str, name: str, values: dict[str, str] | None = None
    ) -> list[tuple[StreamT, bytes]]:
        """Another event, at once, to the newest stream; nothing where none is open."""
        streams = self.streams.get(device_id)
        return [(streams[-1], encode_event(name, values))] if streams else []

    def keep_alive(self, now: float) -> list[StreamT]:
        """Streams to be written a comment now; each comes again after the interval. Closed ones are forgotten."""
        found: list[StreamT] = []
        reminders = self._reminders
        while reminders and reminders[0][0] <= now:
            _, number, device_id, stream = reminders[0]
            if stream in self.streams.get(device_id, ()):
                found.append(stream)
                heapreplace(reminders, (now + self.keep_alive_s, number, device_id, stream))
            else:
                heappop(reminders)
        return found

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)
