"""Handsets that send long messages: their parts come in any order, late, again or never; and what must become of them.

Every part has a text of its own, so what was delivered can be taken apart again. A message is *ordinary* when nothing
excuses the engine: no reference used again, room for its parts, and nothing of it that came after the time-out. It is
delivered once, whole if all its parts were sent. Of any other message each part is delivered at least once.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from stentor.driver import Inbound, Part, Receipt
from stentor.settling.joining import MISSING
from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.journal import ModelJournal
from stentor.testing.simulator.scene import Scene

ROOM: Final = 1000
"""Parts that may wait, in worlds where there is room for all."""
PART_S: Final = (0.0, 0.0, 0.01, 1.0, 20.0, 200.0)
AGAIN_S: Final = (0.0, 0.5, 30.0)

Post = Callable[[Receipt | Inbound], None]


class LongMessage:
    """One message. ``sent`` are the texts of its parts by index; the wall times are those it was heard of between."""

    def __init__(self, number: int, total: int) -> None:
        self.texts = {index: f"({number}.{index})" for index in range(1, total + 1)}
        self.sent: dict[int, str] = {}
        self.is_alone = True
        self.first_ms = self.last_ms = 0

    def heard(self, wall_ms: int) -> None:
        self.first_ms = min(self.first_ms or wall_ms, wall_ms)
        self.last_ms = max(self.last_ms, wall_ms)

    @property
    def expected(self) -> str:
        """Its text with a mark for each gap."""
        found = "".join(self.sent.get(index, MISSING) for index in self.texts)
        return re.sub(f"({re.escape(MISSING)})+", MISSING, found)


class Handsets:
    """All long messages. ``to_come`` counts parts on their way to the carriers."""

    def __init__(self, world: Scene) -> None:
        self._world = world
        self._messages: list[LongMessage] = []
        self._by_text: dict[str | None, LongMessage] = {}
        self._names: dict[tuple[str, int, int], LongMessage] = {}
        self.to_come = 0

    def send(self, family: str, post: Post) -> None:
        """A handset sends a message by way of a carrier, who will ``post`` its parts."""
        world, random = self._world, self._world.random
        number, total = len(self._messages), random.choice((2, 2, 3, 5))
        reference = random.randrange(3) if random.random() < world.faults.reference_reused else 100 + number
        message = LongMessage(number, total)
        self._messages.append(message)
        namesake = self._names.setdefault((family, reference, total), message)
        if namesake is not message:
            namesake.is_alone = message.is_alone = False
        for index, text in message.texts.items():
            self._by_text[text] = message
            if random.random() < world.faults.part_missing:
                continue
            message.sent[index] = text
            self._bring(
                Inbound("+40711111111", "1234", text, part=Part(reference, total, index)), post, PART_S
            )

    def _bring(self, item: Inbound, post: Post, delays_s: tuple[float, ...]) -> None:
        self.to_come += 1
        self._world.after(self._world.random.choice(delays_s), self._come, item, post)

    def _come(self, item: Inbound, post: Post) -> None:
        self.to_come -= 1
        post(item)

    def heard(self, items: Iterable[Receipt | Inbound]) -> None:
        """The engine is given these."""
        for item in items:
            if isinstance(item, Inbound) and item.part is not None:
                self._by_text[item.text].heard(self._world.wall_ms)

    def clock_jumps(self) -> None:
        """Until now it may have been any time up to this one."""
        for message in self._messages:
            if message.last_ms:
                message.heard(self._world.wall_ms)

    def acknowledged(self, item: Inbound, post: Post) -> None:
        """The carrier is told that we have it, and may not hear it."""
        if self._world.random.random() < self._world.faults.answer_lost:
            self._bring(item, post, AGAIN_S)

    def check(self, journal: ModelJournal) -> None:
        """At the end: what became of them."""
        places: dict[str, list[str]] = {}
        for received in journal.received:
            for text in re.findall(r"\([^)]*\)", received or ""):
                places.setdefault(text, []).append(received or "")
        limits = self._world.limits
        for message in self._messages:
            for text in message.sent.values():
                if text not in places:
                    raise Violation(f"part {text} was never delivered")
            is_ordinary = message.is_alone and limits.parts >= ROOM
            if is_ordinary and message.last_ms - message.first_ms < limits.join_timeout_ms:
                for text in message.sent.values():
                    if places[text] != [message.expected]:
                        raise Violation(f"{message.expected} was delivered as {places[text]}")


def is_kept(journal: ModelJournal, item: Inbound) -> bool:
    """Whether a message or a part is durable."""
    if item.part is None:
        return item.text in journal.received
    is_waiting = any(held.item.text == item.text for held in journal.parts.values())
    return is_waiting or any((item.text or "") in (text or "") for text in journal.received)
