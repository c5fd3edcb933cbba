"""Messages that are taken back: their client cancelled them, their phone is paused, or the channel stops.

Pure. What no phone was told of is given back at once. What was listed stays with its phone until that says what became
of it: an app that understands it is told by an event, and by its next pull, for one that was not told of the message
yet does not heed the event. What a phone has begun to send, and anything on an older app, cannot be stopped.
That a client cancelled it is kept with its lease: after a restart the phone is asked again (``Fleet``).
"""

from stentor.outcome import Returned
from stentor_android.devices import Device
from stentor_android.fleet import Fleet
from stentor_android.items import Item
from stentor_android.states import State
from stentor_android.versions import CANCELLING


class Recalling:
    """``asked_back`` are items that the shell is to tell their phones not to send."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.asked_back: list[Item] = []

    def recall(self, token: int, now: float, wall_ms: int) -> bool:
        """Take back one submission if it can be. True: its phone is asked for it."""
        fleet = self.fleet
        item = fleet.items.get(token)
        if item is None:
            held = fleet.wishes.remove(token)
            fleet.outcomes += [] if held is None else [Returned(held)]
            return False
        device = fleet.devices.get(item.device_id)
        if device is None:
            return False  # it is gone, and nobody can ask it
        is_asked = self._take_back(device, item)
        if is_asked and not item.is_recalled:
            item.is_recalled = True
            fleet.leases_changed[item.device_id] = None
        fleet.measure(device, now, wall_ms)
        return is_asked

    def withdraw(self, device: Device, now: float, wall_ms: int) -> None:
        """Take back what can be of one phone."""
        for item in list(device.items.values()):
            self._take_back(device, item)
        self.fleet.measure(device, now, wall_ms)

    def drain(self, now: float, wall_ms: int) -> None:
        """Take nothing new, and take back what can be."""
        self.fleet.is_draining = True
        self.fleet.give_back()
        for device in list(self.fleet.devices.values()):
            if device.items:
                self.withdraw(device, now, wall_ms)

    def _take_back(self, device: Device, item: Item) -> bool:
        """Is the phone asked?"""
        if item.state is State.UNLISTED:
            self.fleet.end(item, Returned(item.submission))
            return False
        if item.state >= State.PROCESSED or device.phone.version < CANCELLING:
            return False
        if not item.is_withdrawn:
            item.is_withdrawn = True
            self.asked_back.append(item)
        self.fleet.hints[device.phone.id] = None
        return True
