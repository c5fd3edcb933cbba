"""Messages that ask for one phone, or for a SIM, and wait until that has room.

Such a message cannot go elsewhere, and that its phone is busy is no fault of its own: it is held here for a while,
which costs it no attempt, and is then given back, so that the engine sees to its validity. Bounded; times are
arguments.
"""

from collections import deque
from collections.abc import Iterator
from math import inf
from typing import Final

import msgspec

from stentor.outcome import Submission

WAITING: Final = 1_000
"""Messages held together. The next is deferred, and that counts."""
HELD_S: Final = 60.0


class Wish(msgspec.Struct, frozen=True, gc=False):
    """What a client's metadata may ask for: a phone, by id or name, and one of its SIMs."""

    device: str = ""
    sim: int = 0


NO_WISH: Final = Wish()
_wish: Final = msgspec.json.Decoder(Wish)


def wish(submission: Submission) -> Wish:
    """Metadata of another form asks for nothing."""
    if submission.metadata is None:
        return NO_WISH
    try:
        return _wish.decode(submission.metadata)
    except msgspec.DecodeError:
        return NO_WISH


class Wishes:
    """By phone's id, empty for messages that would go by any phone with that SIM; each in its order."""

    __slots__ = ("_held", "count")

    def __init__(self) -> None:
        self._held: dict[str, deque[tuple[float, Submission]]] = {}
        self.count = 0

    def __contains__(self, token: int) -> bool:
        return any(submission.token == token for held in self._held.values() for _, submission in held)

    @property
    def ends_at(self) -> float:
        """When the first is to be given back."""
        return min((until for held in self._held.values() for until, _ in held), default=inf)

    def hold(self, device_id: str, submission: Submission, now: float) -> bool:
        """False when there is no room."""
        if self.count >= WAITING:
            return False
        until = now + min(HELD_S, float(submission.valid_for_s))
        self._held.setdefault(device_id, deque()).append((until, submission))
        self.count += 1
        return True

    def waiting(self) -> list[str]:
        """Phones that are waited for."""
        return list(self._held)

    def first(self, device_id: str) -> Submission | None:
        """The one that has waited for this phone longest."""
        held = self._held.get(device_id)
        return held[0][1] if held else None

    def pop(self, device_id: str) -> None:
        """The first waits no more."""
        held = self._held[device_id]
        held.popleft()
        self.count -= 1
        if not held:
            del self._held[device_id]

    def remove(self, token: int) -> Submission | None:
        """The one of this token, taken out."""
        for device_id, held in self._held.items():
            for entry in held:
                if entry[1].token == token:
                    held.remove(entry)
                    self.count -= 1
                    if not held:
                        del self._held[device_id]
                    return entry[1]
        return None

    def overdue(self, now: float) -> Iterator[Submission]:
        """Those that waited long enough, taken out."""
        for device_id, held in list(self._held.items()):
            left = deque(each for each in held if each[0] > now)
            if len(left) == len(held):
                continue
            yield from (submission for until, submission in held if until <= now)
            self.count -= len(held) - len(left)
            if left:
                self._held[device_id] = left
            else:
                del self._held[device_id]

    def take(self, device_id: str) -> Iterator[Submission]:
        """All that wait for this phone, taken out."""
        while (submission := self.first(device_id)) is not None:
            yield submission
            self.pop(device_id)
