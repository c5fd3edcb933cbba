"""Which SIMs are looked at for a message, and the one it goes by.

Pure. Invariants: of a large fleet the phone that had the destination before and the next few in turn are looked at,
so that a choice costs the same whatever the size of the fleet; a phone without room is never among them.
"""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice
from typing import Final

from stentor.outcome import Submission
from stentor.text.segments import Encoding
from stentor_android.choice import Candidate, Choice, explain, remember, score
from stentor_android.devices import ANY_SIM, SIM, Device
from stentor_android.versions import DATA_MESSAGES
from stentor_android.wishes import NO_WISH, Wish, wish

CANDIDATES: Final = 8
STICKY: Final = 50_000
AVOIDED: Final = 10_000


class Chooser:
    """``ready`` are the phones with room by id, in the order in which they are looked at; ``called`` has the id for
    every name of a phone. Both are the fleet's to keep."""

    __slots__ = ("_avoided", "_called", "_sticky", "_window", "ready")

    def __init__(self, window: int, called: Mapping[str, str]) -> None:
        self.ready: OrderedDict[str, Device] = OrderedDict()
        self._window = window
        self._called = called
        self._sticky: OrderedDict[str, str] = OrderedDict()
        self._avoided: OrderedDict[int, str] = OrderedDict()

    def best(self, submission: Submission, now: float, wall_ms: int) -> tuple[Device, SIM] | None:
        """The SIM that this goes by; None where none that may take it has room. Of equals the first."""
        sticky = self._sticky.get(submission.to, "")
        avoided = self._avoided.get(submission.token) if self._avoided else None
        wanted = wish(submission)
        is_data = submission.encoding is Encoding.BINARY
        looked = self._looked(sticky, wanted)
        found: tuple[Device, SIM] | None = None
        spare: tuple[Device, SIM] | None = None
        highest, window = -1.0, self._window
        able = self._able(looked, submission.to, submission.segments, is_data, wanted.sim, now, wall_ms)
        for each in able:
            device, sim = each
            key, allowance = sim.key, sim.allowance
            if key == avoided:
                spare = spare or each
                continue
            value = score(
                key == sticky,
                device.streams > 0,
                sim.waiting / window,
                allowance.share_left(wall_ms) if allowance.is_bounded else 1.0,
                now - sim.used_at,
                sim.failures,
            )
            if value > highest:
                highest, found = value, each
        if len(looked) == CANDIDATES:
            move_to_end = self.ready.move_to_end
            for device_id in looked:
                move_to_end(device_id)
        # It failed on the spare one before, and there is no other.
        return found or spare

    def explain(self, to: str, parts: int, now: float, wall_ms: int) -> list[Choice]:
        """Which SIM a text to this destination would go by, and why, the best first."""
        sticky = self._sticky.get(to, "")
        able = self._able(self._looked(sticky, NO_WISH), to, parts, False, 0, now, wall_ms)
        return explain(
            Candidate(
                sim.key,
                sim.key == sticky,
                device.streams > 0,
                sim.waiting / self._window,
                sim.allowance.share_left(wall_ms),
                now - sim.used_at,
                sim.failures,
            )
            for device, sim in able
        )

    def gave(self, to: str, sim: SIM) -> None:
        """A message to this destination goes by that SIM, and the next had better too."""
        remember(self._sticky, to, sim.key, STICKY)

    def forget(self, to: str) -> None:
        """The phone that had this destination did not come for it."""
        self._sticky.pop(to, None)

    def avoid(self, token: int, key: str) -> None:
        """It failed on this SIM: the next attempt is better made on another."""
        remember(self._avoided, token, key, AVOIDED)

    def _looked(self, sticky: str, wanted: Wish) -> list[str]:
        """The phone that is asked for; else the one this destination had, and the next few in turn."""
        ready = self.ready
        if wanted.device:
            device_id = self._called.get(wanted.device, "")
            return [device_id] if device_id in ready else []
        if wanted.sim:
            return list(ready)
        looked = list(islice(ready, CANDIDATES))
        if sticky and (device_id := sticky.partition("/")[0]) in ready:
            looked = [device_id, *(each for each in looked if each != device_id)][:CANDIDATES]
        return looked

    def _able(
        self, looked: list[str], to: str, parts: int, is_data: bool, slot: int, now: float, wall_ms: int
    ) -> list[tuple[Device, SIM]]:
        """The SIMs of these phones that have room and may take it; ``slot`` 0 for any."""
        able: list[tuple[Device, SIM]] = []
        ready, window = self.ready, self._window
        for device_id in looked:
            device = ready[device_id]
            if is_data and device.phone.version < DATA_MESSAGES:
                continue
            for sim in device.present:
                if slot and sim.slot not in (ANY_SIM, slot):
                    continue
                if sim.may_take(to, parts, window, now, wall_ms):
                    able.append((device, sim))
        return able
