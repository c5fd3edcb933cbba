"""What went wrong last, for status and log: secrets masked, and the log not flooded."""

from typing import Final

from stentor.driver import Host
from stentor_http.carrier import Carrier

SAME_EVERY_S: Final = 300.0


class Trouble:
    """``text`` is the last error and ``at_ms`` its time."""

    def __init__(self, carrier: Carrier, host: Host) -> None:
        self._carrier = carrier
        self._host = host
        self._logged: str | None = None
        self._logged_at = 0.0
        self.text: str | None = None
        self.at_ms = 0

    def note(self, text: str) -> None:
        """Remember it."""
        self.text, self.at_ms = self._carrier.mask(text)[:500], self._host.clock.wall_ms()

    def tell(self, text: str) -> None:
        """Remember it; log it unless that was just done."""
        self.note(text)
        now = self._host.clock.now()
        if self.text != self._logged or now - self._logged_at >= SAME_EVERY_S:
            self._logged, self._logged_at = self.text, now
            self._host.log.warning("the carrier makes trouble", detail=self.text)
