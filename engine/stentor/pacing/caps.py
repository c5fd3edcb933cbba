"""How many messages one number may be sent: a brake on floods and on loops of programs that answer each other.

Counts what was admitted for each account and destination, and for each account, destination and text, over sliding
windows of an hour and of a day: in no stretch of that length is more admitted than the cap allows. What is refused is
not counted.

Memory is bounded: keys are 64-bit hashes, each with the times of its newest messages, as many as the largest cap asks
for. Of more than KEYS keys the one that was used least recently is forgotten, and begins anew.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from stentor.errors import Refusal
from stentor.message import Message
from stentor.pacing.strands import HELD

KEYS: Final = 100_000
"""Some 30 MB with caps of a few messages."""

HOUR_MS: Final = 3600 * 1000
DAY_MS: Final = 24 * HOUR_MS

Body = str | bytes | None


class CapRules(msgspec.Struct, frozen=True):
    """Messages to one number in an hour and in a day, and the same with the same text; 0 for no cap. Accounts in
    ``exempt`` are not counted. ``over``: what becomes of a message too many."""

    hour: int = 0
    day: int = 0
    same_text_hour: int = 0
    same_text_day: int = 0
    over: Literal["refuse", "hold"] = "refuse"
    exempt: tuple[str, ...] = ()

    @property
    def is_any(self) -> bool:
        return bool(self.hour or self.day or self.same_text_hour or self.same_text_day)


class Sent(msgspec.Struct, frozen=True, gc=False):
    """What an earlier run admitted."""

    account: str
    to: str
    body: Body
    at_ms: int


class Caps:
    """The windows. ``rules`` may change; what was counted stays."""

    __slots__ = ("_keys", "_times", "rules")

    def __init__(self, rules: CapRules, keys: int = KEYS) -> None:
        self.rules = rules
        self._keys = keys
        self._times: dict[int, deque[int]] = {}

    def __len__(self) -> int:
        return len(self._times)

    def admit(self, message: Message, now_ms: int) -> None:
        """Count a message that is about to be stored; one too many is refused (Refusal, 429) or held back."""
        rules = self.rules
        if message.account in rules.exempt:
            return
        body: Body = message.text if message.data is None else message.data
        number, text = self._windows(message.account, message.to, body)
        if _is_full(number, rules.hour, rules.day, now_ms):
            self._over(message, "too many messages to this number")
        elif _is_full(text, rules.same_text_hour, rules.same_text_day, now_ms):
            self._over(message, "too many messages with this text to this number")
        for window in (number, text):
            if window is not None:
                window.append(max(now_ms, window[-1]) if window else now_ms)

    def restore(self, sent: Iterable[Sent]) -> None:
        """Count what an earlier run admitted, oldest first."""
        for one in sent:
            if one.account not in self.rules.exempt:
                for window in self._windows(one.account, one.to, one.body):
                    if window is not None:
                        window.append(one.at_ms)

    def _over(self, message: Message, detail: str) -> None:
        if self.rules.over == "refuse":
            raise Refusal("too_many_to_number", detail, "$.to", 429)
        message.strand = HELD

    def _windows(self, account: str, to: str, body: Body) -> tuple[deque[int] | None, deque[int] | None]:
        rules = self.rules
        number = text = None
        if rules.hour or rules.day:
            number = self._window(hash((account, to)), max(rules.hour, rules.day))
        if rules.same_text_hour or rules.same_text_day:
            # A text and data of the same octets have one hash.
            text = self._window(
                hash((account, to, type(body), body)), max(rules.same_text_hour, rules.same_text_day)
            )
        return number, text

    def _window(self, key: int, size: int) -> deque[int]:
        """The times of a key, made the one that was used last."""
        times = self._times
        window = times.pop(key, None)
        if window is None:
            window = deque(maxlen=size)
            if len(times) >= self._keys:
                del times[next(iter(times))]
        elif window.maxlen != size:
            window = deque(window, maxlen=size)
        times[key] = window
        return window


def _is_full(window: deque[int] | None, hour: int, day: int, now_ms: int) -> bool:
    if window is None:
        return False
    return (0 < hour <= len(window) and window[-hour] > now_ms - HOUR_MS) or (
        0 < day <= len(window) and window[-day] > now_ms - DAY_MS
    )
