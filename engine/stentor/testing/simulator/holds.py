"""Clients of a simulated world who hold messages back and let them go, one by one and by the batch."""

from typing import Final

import msgspec

from stentor.dispatch.dispatcher import Dispatcher
from stentor.dispatch.holdback import SETTING, Phase
from stentor.errors import Refusal
from stentor.message import Delivery, Message
from stentor.pacing.strands import HELD
from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.scene import Scene

BATCHES: Final = ("x", "y")
ACCOUNTS: Final = ("one", "two")


class Holds:
    """``paused`` are the batches of which nothing may leave."""

    def __init__(self, world: Scene) -> None:
        self._world = world
        self.paused: dict[tuple[str, str], None] = {}

    def act(self) -> None:
        """Somebody does something."""
        world = self._world
        dispatcher, random = world.dispatcher, world.random
        if dispatcher is None:
            return
        world.are_held = True
        if random.random() < 0.5:
            if world.journal.unsent:
                self._touch(dispatcher, random.choice(list(world.journal.unsent)))
            return
        name = random.choice(ACCOUNTS), random.choice(BATCHES)
        what = random.choice(("pause", "pause", "resume", "cancel"))
        world.trace(what, *name)
        self.paused.pop(name, None)
        if what == "pause":
            dispatcher.restraint.holdback.pause(*name)
            self.paused[name] = None
        elif what == "resume":
            dispatcher.restraint.holdback.resume(*name)
        else:
            dispatcher.restraint.holdback.cancel(*name, max(world.journal.messages, default=0))
            dispatcher.cancelling.recall_batch(*name)
        world.kick()

    def _touch(self, dispatcher: Dispatcher, key: int) -> None:
        """A message is read first, as the API does, and held or released when it comes."""
        mark = dispatcher.ledger.begin_read()
        stored = self._world.journal.message(key)
        self._world.after(
            self._world.random.choice((0.0, 0.001, 0.3)), self._turn_over, dispatcher, stored, mark
        )

    def _turn_over(self, dispatcher: Dispatcher, stored: Message, mark: int) -> None:
        world = self._world
        if world.dispatcher is not dispatcher:
            return
        holdback = dispatcher.restraint.holdback
        try:
            (holdback.release if stored.strand == HELD else holdback.hold)(stored)
        except Refusal as refusal:
            world.trace("neither held nor released", stored.key, str(refusal))
        else:
            world.trace("held or released", stored.key)
        finally:
            dispatcher.ledger.end_read(mark)
        world.kick()

    def crashed(self) -> None:
        """What was not durable was not promised."""
        self.paused = {
            msgspec.json.decode(name.removeprefix(SETTING), type=tuple[str, str]): None
            for name, value in self._world.journal.settings.items()
            if name.startswith(SETTING) and value == Phase.PAUSED.value
        }

    def check(self, message: Message) -> None:
        """A message is handed over: may it be?"""
        name = message.account, message.batch or ""
        # What was let go before may follow: later segments, and leases.
        is_whole = message.segments == 1 and message.delivery is Delivery.AT_LEAST_ONCE
        if name in self.paused and is_whole:
            raise Violation(f"message {message.key} left though its batch is paused")

    def release_everything(self) -> None:
        """Calm: everybody lets go of everything."""
        world = self._world
        dispatcher = world.dispatcher
        if dispatcher is None:
            world.after(5.0, self.release_everything)
            return
        self.paused.clear()
        for account in ACCOUNTS:
            for batch in BATCHES:
                dispatcher.restraint.holdback.resume(account, batch)
        for key in world.journal.unsent:
            stored = world.journal.message(key)
            if stored.batch is None and stored.strand == HELD:
                self._touch(dispatcher, key)
        world.kick()
