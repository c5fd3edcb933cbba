"""Clients: they submit messages of all kinds, and cancel some of them."""

from typing import Final

from msgspec.structs import replace

from stentor.errors import Refusal
from stentor.ids import IdGenerator, message_key
from stentor.message import Delivery, Message, Priority, Status
from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.holds import ACCOUNTS, BATCHES
from stentor.testing.simulator.limits import ORIGINATORS, PREFIXES
from stentor.testing.simulator.pump import ModelPump
from stentor.testing.simulator.scene import Scene
from stentor.testing.simulator.texts import ROUTES, TEXTS
from stentor.text.segments import Encoding

RUSH: Final = 240
"""So many of each priority that whoever is passed over by one of them is behind by more than any bound."""

TALK: Final = ("a", "b")
"""The route of a long conversation."""

ORDERED: Final = 8
"""Of these, so many are to leave in order."""


class Clients:
    """All clients of one world."""

    def __init__(self, world: Scene) -> None:
        self._world = world

    def submit(self, pump: ModelPump) -> None:
        """Some messages, told together."""
        world, random = self._world, self._world.random
        route, account = random.choice(ROUTES), random.choice(ACCOUNTS)
        messages = [
            self._message(pump.ids, random.choice(ROUTES) if random.random() < 0.3 else route, account)
            for _ in range(random.choice((1, 1, 2, 5, 25)))
        ]
        world.counts["submitted"] += len(messages)
        world.trace("accept", *[(message.key, message.route, message.status) for message in messages])
        pump.accept(messages)

    def rush(self, pump: ModelPump) -> None:
        """More at once than a channel can carry for minutes, of all priorities and accounts: turns are told by it."""
        world, wall_ms = self._world, self._world.wall_ms
        kinds = [(account, priority) for account in ACCOUNTS for priority in Priority]
        messages = [
            replace(
                self._message(pump.ids, ("a",), account),
                text=TEXTS[1],
                segments=1,
                due_at_ms=wall_ms,
                expires_at_ms=wall_ms + 7_200_000,
                priority=priority,
                status=Status.QUEUED,
                send_at_ms=0,
                batch=None,
                is_ordered=False,
            )
            for account, priority in RUSH // len(kinds) * kinds
        ]
        for message in messages[-ORDERED:]:
            message.is_ordered, message.to, message.account = True, "+4070", ACCOUNTS[0]
            message.priority, message.delivery = Priority.BULK, Delivery.AT_LEAST_ONCE
            world.fates.delivery[message.key] = message.delivery
        world.counts["submitted"] += len(messages)
        world.trace("rush", *[message.key for message in messages])
        pump.accept(messages)

    def talk(self, pump: ModelPump) -> None:
        """Some of a long conversation: all to one destination, and to be told in order."""
        world, random = self._world, self._world.random
        messages = [self._message(pump.ids, TALK, ACCOUNTS[0]) for _ in range(random.choice((1, 3, 6)))]
        for message in messages:
            message.is_ordered, message.to, message.priority = True, "+4070", Priority.BULK
            message.delivery = world.fates.delivery[message.key] = Delivery.AT_LEAST_ONCE
            message.text, message.segments = TEXTS[1], 1
            message.expires_at_ms += 7_200_000
            if message.send_at_ms:
                message.due_at_ms, message.status = message.send_at_ms, Status.SCHEDULED
            elif world.quiet is not None:
                world.quiet.shift(message, world.wall_ms)
        world.counts["submitted"] += len(messages)
        world.trace("talk", *[(message.key, message.status, message.due_at_ms) for message in messages])
        pump.accept(messages)

    def _message(self, ids: IdGenerator, route: tuple[str, ...], account: str) -> Message:
        random, wall_ms = self._world.random, self._world.wall_ms
        key, tail = ids.next(wall_ms)
        segments = random.choice((1, 1, 1, 2, 3))
        delay_ms = random.choice((0, 0, 0, 1_000, 60_000, 600_000))
        is_ordered = random.random() < self._world.faults.ordered
        first = self._world.carriers.get(route[0])
        ahead_ms = 0 if first is None or is_ordered else int(first.capabilities.schedules_s * 1000)
        wait_ms = max(0, delay_ms - ahead_ms)
        delivery = self._world.fates.delivery[key] = random.choice(tuple(Delivery))
        message = Message(
            key=key,
            tail=tail,
            account=account,
            to=self._destination(key, is_ordered=is_ordered),
            originator=random.choice(ORIGINATORS),
            text=TEXTS[segments],
            encoding=Encoding.GSM7,
            segments=segments,
            submitted_at_ms=wall_ms,
            due_at_ms=wall_ms + wait_ms,
            expires_at_ms=wall_ms + delay_ms + random.choice((5_000, 300_000, 7_200_000)),
            route=route,
            priority=random.choice(tuple(Priority)),
            status=Status.SCHEDULED if wait_ms else Status.QUEUED,
            delivery=delivery,
            wants_receipt=random.random() < 0.8,
            send_at_ms=wall_ms + delay_ms if delay_ms else 0,
            batch=random.choice((None, None, *BATCHES)),
            is_ordered=is_ordered,
        )
        quiet = self._world.quiet
        if quiet is not None and random.random() < 0.8:
            quiet.shift(message, wall_ms)
        return message

    def _destination(self, key: int, *, is_ordered: bool) -> str:
        """One's own, for carriers name messages by it; but who is to be written to in order is written to often."""
        prefix = self._world.random.choice(PREFIXES)
        return f"{prefix}7{0 if is_ordered else key >> 8 & 0xFFFF_FFFF}"

    def cancel(self, pump: ModelPump) -> None:
        """A client cancels something it may know of; it is read first, as the API does."""
        world, random = self._world, self._world.random
        keys = list(world.journal.unsent)
        drawn = random.random()
        if drawn < 0.3:
            keys = [key for key, row in world.journal.messages.items() if row.status is Status.SENT]
        elif drawn < 0.65 and world.fates.live:
            keys = [message_key(token) for token in world.fates.live]
        if keys:
            key = random.choice(keys)
            mark = pump.dispatcher.ledger.begin_read()
            pump.after(random.choice((0.0, 0.001, 0.3)), self._cancel, pump, world.journal.message(key), mark)

    def _cancel(self, pump: ModelPump, stored: Message, mark: int) -> None:
        world = self._world
        try:
            pump.dispatcher.cancelling.recall(stored)
            pump.recall()
            pump.dispatcher.cancel(stored, world.wall_ms)
        except Refusal as refusal:
            world.trace("not cancelled", stored.key, str(refusal))
            world.kick()
            return
        finally:
            pump.dispatcher.ledger.end_read(mark)
        world.trace("cancelled", stored.key)

        def done() -> None:
            world.cancelled[stored.key] = None
            if world.journal.messages[stored.key].status is not Status.CANCELLED:
                raise Violation(f"message {stored.key} was said to be cancelled and is not")

        pump.when_durable(done)
