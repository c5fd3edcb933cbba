"""Faults in how a driver declares itself, lives and ends."""

import asyncio
from typing import Any

import msgspec

from tests.engine.testing.broken import found_by, spec_found_by
from tests.engine.testing.line_driver import LANE, SPEC, TellDriver

# -- declaration ------------------------------------------------------------------------------------------------------


class OpenConfig(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int = 4711
    name: str
    secret: str = ""
    window: int = 10
    answer_s: float = 30.0


spec_found_by("the_spec_is_complete", "contract 0", contract=0)
spec_found_by("the_spec_is_complete", "lacks forbid_unknown_fields", config=OpenConfig)
spec_found_by("the_config_refuses_unknown_keys", "was accepted", config=OpenConfig)
spec_found_by(
    "the_capabilities_are_consistent",
    "unit 'letter'",
    capabilities=lambda config: msgspec.structs.replace(SPEC.capabilities(config), unit="letter"),
)
spec_found_by(
    "what_is_in_doubt_may_be_handed_over_again",
    "got it 2 times",
    capabilities=lambda config: msgspec.structs.replace(SPEC.capabilities(config), is_idempotent=True),
)
spec_found_by(
    "what_may_have_left_before_is_asked_about_and_not_sent",
    "sent what it was to ask about 1 times",
    capabilities=lambda config: msgspec.structs.replace(SPEC.capabilities(config), can_look_up=True),
)


@found_by("making_a_driver_does_nothing", "declared a lane")
class DeclaresWhenMade(TellDriver):
    def __init__(self, config, host):
        super().__init__(config, host)
        host.lane(LANE, 1)


@found_by("secrets_stay_secret", "a secret shows in a log line")
class LogsItsConfig(TellDriver):
    async def live(self):
        self.host.log.debug("connecting", config=self.config)
        await super().live()


@found_by("secrets_stay_secret", "a secret shows in the status")
class ShowsItsSecret(TellDriver):
    def fail(self, text):
        super().fail(text)
        self.last_error = f"{text} (LOGIN {self.config.name} {self.config.secret})"
        self.host.log.lines.clear()


# -- life -------------------------------------------------------------------------------------------------------------


@found_by("it_lives_and_ends", "tasks left behind")
class LeaksATask(TellDriver):
    def up(self, writer):
        self.watchdog = asyncio.get_running_loop().create_task(asyncio.sleep(1e4))
        super().up(writer)


@found_by("it_lives_and_ends", "timers left behind")
class LeaksATimer(TellDriver):
    def up(self, writer):
        asyncio.get_running_loop().call_later(1e4, print)
        super().up(writer)


@found_by("it_lives_and_ends", "connections left behind")
class LeaksAConnection(TellDriver):
    def down(self, writer):
        super().down(None)


@found_by("it_lives_and_ends", "was called after the driver had ended")
class SpeaksAfterTheEnd(TellDriver):
    def down(self, writer):
        super().down(writer)
        if self.is_draining.is_set():
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, loop.call_soon, loop.call_soon, self.host.lane, LANE, 0)


@found_by("it_may_be_drained_at_once", "run() has not returned")
class ForgetsAnEarlyDrain(TellDriver):
    async def run(self):
        self.is_draining.clear()
        await super().run()


@found_by("an_absent_peer_is_borne", "connects")
class HammersThePeer(TellDriver):
    async def pause(self, pause_s):
        await super().pause(0.1)


@found_by("an_absent_peer_is_borne", "run() raised")
class DiesOfABadName(TellDriver):
    async def live(self):
        try:
            await super().live()
        except OSError as error:
            raise RuntimeError("no such peer") from error


@found_by("a_peer_that_never_answers_the_login_is_given_up", "three attempts")
class WaitsForEver(TellDriver):
    async def live(self):
        asyncio.get_running_loop().call_later(1.0, lambda: self.scope and self.scope.reschedule(None))
        await super().live()


@found_by("a_login_under_way_may_be_drained", "run() has not returned")
class LoginsOutlastTheDrain(TellDriver):
    async def drain(self, deadline):
        if self.writer is None:
            self.is_draining.set()
        else:
            await super().drain(deadline)


@found_by("refused_logins_are_not_hammered", "logins in 300 s")
class HammersLogins(TellDriver):
    async def pause(self, pause_s):
        await super().pause(min(5.0, pause_s))


@found_by("a_link_may_end_at_any_octet_of_the_login", "a second connection")
class GivesUp(TellDriver):
    async def pause(self, pause_s):
        await self.is_draining.wait()


@found_by("a_peer_that_closes_is_met_again", "connects")
class ComesBackAtOnce(TellDriver):
    async def pause(self, pause_s):
        await super().pause(0.001)


@found_by("a_restart_leaves_nothing", "a lane with room")
class KeepsStateInTheClass(TellDriver):
    hosts: list[Any] = []

    def up(self, writer):
        super().up(writer)
        self.hosts.append(self.host)
        self.hosts[-1 if len(self.hosts) < 2 else -2].lane(LANE, self.config.window)
        if len(self.hosts) > 1 and self.hosts[-2] is not self.host:
            self.host.lane(LANE, 0)


@found_by("a_cancelled_run_leaves_nothing", "connections left behind")
class CancelledItLeaksAConnection(TellDriver):
    async def listen(self, reader, writer):
        try:
            await super().listen(reader, writer)
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise

    def down(self, writer):
        super().down(None if hasattr(self, "is_cancelled") and not self.is_draining.is_set() else writer)


# -- drain ------------------------------------------------------------------------------------------------------------


@found_by("answers_on_their_way_are_waited_for", "they became")
class LeavesAtOnce(TellDriver):
    async def drain(self, deadline):
        await super().drain(0.0)


@found_by("nothing_in_flight_is_nothing_to_wait_for", "with nothing in flight")
class IsNeverIdle(TellDriver):
    def submit(self, lane, batch):
        super().submit(lane, batch)
        if not batch:
            self.linger = True

    async def drain(self, deadline):
        if hasattr(self, "linger"):
            await asyncio.sleep(deadline - self.host.clock.now())
        await super().drain(deadline)


@found_by("the_deadline_ends_all_waiting", "drain did not return by its deadline")
class OverstaysTheDeadline(TellDriver):
    async def drain(self, deadline):
        await super().drain(deadline + 5.0)


@found_by("a_deadline_in_the_past_is_now", "after its deadline")
class WantsAMoment(TellDriver):
    async def drain(self, deadline):
        await super().drain(max(deadline, self.host.clock.now() + 0.5))


@found_by("nothing_new_is_taken_while_draining", "")
class TakesOneMore(TellDriver):
    def submit(self, lane, batch):
        is_draining, self.is_draining = self.is_draining, asyncio.Event()
        super().submit(lane, batch)
        self.is_draining = is_draining


@found_by("the_peer_hears_a_goodbye", "0 goodbyes")
class JustHangsUp(TellDriver):
    async def drain(self, deadline):
        writer, self.writer = self.writer, None
        if writer is not None:
            self.host.lane(LANE, 0)
        await super().drain(deadline)


@found_by("a_goodbye_is_said_even_when_time_is_up", "without a word")
class LeavesInAHuff(TellDriver):
    async def drain(self, deadline):
        loop = asyncio.get_running_loop()
        left_s = max(0.0, deadline - self.host.clock.now() - 0.001)
        timer = loop.call_later(left_s, lambda: self.scope and self.scope.reschedule(0.0))
        await super().drain(deadline)
        timer.cancel()
