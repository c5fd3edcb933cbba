"""The SMPP driver's shell: one supervised bind for each session of a channel, on asyncio."""

import asyncio
from collections.abc import Sequence

from stentor.driver import DriverStatus, Followed, Host
from stentor.outcome import Submission
from stentor_smpp.bind import Bind
from stentor_smpp.config import SMPPConfig
from stentor_smpp.fields import CANCEL_SM, QUERY_SM
from stentor_smpp.places import places
from stentor_smpp.shared import Shared


class SMPPDriver:
    """One channel: its binds and what they share. A Follower: the carrier can be asked about what it has taken."""

    def __init__(self, config: SMPPConfig, host: Host) -> None:
        self.config = config
        self.host = host
        self.shared = Shared(config, host)
        found: list[Bind] = []
        found.extend(Bind(self.shared, place, found) for place in places(config))
        self.binds = {bind.key: bind for bind in found}

    @property
    def counters(self) -> dict[str, int]:
        """What was counted since the driver was made."""
        return self.shared.counters

    async def run(self) -> None:
        if self.shared.tls is not None and not self.shared.tls.verify:
            self.host.log.warning("the peer's certificate is not verified", key="tls.verify")
        async with asyncio.TaskGroup() as group:
            for bind in self.binds.values():
                group.create_task(bind.run(), name=f"{self.host.channel}/{bind.key}")

    def submit(self, lane: str, batch: Sequence[Submission]) -> None:
        self.binds[lane].submit(batch)

    def query(self, segments: Sequence[Followed]) -> None:
        """Ask for their states, by query_sm."""
        self._ask(QUERY_SM, segments)

    def cancel(self, segments: Sequence[Followed]) -> None:
        """Ask the carrier not to deliver them, by cancel_sm."""
        self._ask(CANCEL_SM, segments)

    def _ask(self, command_id: int, segments: Sequence[Followed]) -> None:
        questions = self.shared.questions
        questions.add(command_id, segments)
        for bind in self.binds.values():
            if bind.is_open:
                bind.ask()
                return
        questions.forget()

    async def drain(self, deadline: float) -> None:
        self.shared.questions.forget()
        for bind in self.binds.values():
            bind.stop()
        self.shared.open_turnstiles()
        await asyncio.gather(*(bind.drain(deadline) for bind in self.binds.values()))

    def status(self) -> DriverStatus:
        return DriverStatus(
            lanes=tuple(bind.status() for bind in self.binds.values()),
            counters=dict(self.shared.counters),
            last_error=self.shared.last_error,
            last_error_at_ms=self.shared.last_error_at_ms,
        )
