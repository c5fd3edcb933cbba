"""How the simulated SMSC treats what it is sent: options, and decisions drawn from one seed.

Owns every fault. Invariant: the same seed and the same submissions in the same order give the same decisions.
Nothing here waits, sends or reads a clock.
"""

import re
from enum import Enum
from random import Random
from typing import Final

import msgspec

THROTTLED: Final = 0x58
QUEUE_FULL: Final = 0x14
OK: Final = 0x00
REORDER_S: Final = 0.005
"""Answers in disorder come up to so much later than they would."""

_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)?")


class Shape(Enum):
    """How a delay is spread."""

    FIXED = "fixed"
    UNIFORM = "uniform"
    EXPONENTIAL = "exponential"


class Delay(msgspec.Struct, frozen=True, gc=False):
    """A delay to be drawn, in seconds: ``low_s`` when fixed, between the two when uniform, on average
    ``low_s`` when exponential."""

    shape: Shape = Shape.FIXED
    low_s: float = 0.0
    high_s: float = 0.0

    def draw(self, random: Random) -> float:
        if self.shape is Shape.FIXED:
            return self.low_s
        if self.shape is Shape.UNIFORM:
            return random.uniform(self.low_s, self.high_s)
        return random.expovariate(1 / self.low_s) if self.low_s else 0.0

    @property
    def is_none(self) -> bool:
        return self.low_s == 0.0 and self.high_s == 0.0


class ReceiptForm(Enum):
    """Where a receipt says which message it is about: in its text, in TLVs, in both; or there are none."""

    NONE = "none"
    TEXT = "text"
    TLV = "tlv"
    BOTH = "both"


class Garbage(Enum):
    """Octets that are no SMPP, or SMPP that nobody asked for."""

    NOISE = "noise"
    UNKNOWN = "unknown"
    STRAY = "stray"
    BROKEN = "broken"


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the SMSC may be told to do wrong. Shares are between 0 and 1, of submissions unless said
    otherwise; faults of the connection strike the first ``faulty`` connections, 0 for all.
    """

    latency: Delay = Delay()
    errors: tuple[tuple[int, float], ...] = ()
    lost: float = 0.0
    is_reordering: bool = False
    throttle: float = 0.0
    is_throttle_window: bool = False
    is_throttle_silent: bool = False
    throttle_status: int = THROTTLED
    queue_full_s: float = 0.0
    queue_full_after_s: float = 0.0
    congestion: int | None = None
    receipts: ReceiptForm = ReceiptForm.TEXT
    receipt_delay: Delay = Delay()
    receipt_states: tuple[tuple[str, float], ...] = (("DELIVRD", 1.0),)
    receipt_intermediate: tuple[str, ...] = ()
    receipt_first: float = 0.0
    receipt_twice: float = 0.0
    receipt_never: float = 0.0
    faulty: int = 0
    drop: float = 0.0
    drop_after: int = 0
    is_drop_mid_pdu: bool = False
    stall_after: int = 0
    stall_s: float = 0.0
    is_stall_mid_pdu: bool = False
    unbind_after: int = 0
    garbage_after: int = 0
    garbage: Garbage = Garbage.NOISE

    @property
    def is_plain(self) -> bool:
        """True when every submission is answered at once with success and its receipt follows at once."""
        states = self.receipt_states
        neutral = Behaviour(receipts=self.receipts, receipt_states=states, stall_s=self.stall_s)
        return self == neutral and len(states) == 1


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of one submission. Delays count from its answer, in seconds.

    ``state`` is its last, reached after ``final_s``; ``notices`` are what receipts tell of it: a delay and a state.
    """

    status: int = OK
    delay_s: float = 0.0
    is_lost: bool = False
    is_receipt_first: bool = False
    is_dropping: bool = False
    state: str = ""
    final_s: float = 0.0
    notices: tuple[tuple[float, str], ...] = ()


class Judge:
    """Decides, one submission after the other."""

    def __init__(self, behaviour: Behaviour, seed: int) -> None:
        self._behaviour = behaviour
        self.random = Random(seed)
        self._throttle = Throttle(behaviour.throttle, is_window=behaviour.is_throttle_window)
        self._states = [state for state, _ in behaviour.receipt_states]
        self._weights = [share for _, share in behaviour.receipt_states]
        self._first_at: float | None = None

    def judge(self, now: float) -> Verdict:
        """``now`` in monotonic seconds."""
        behaviour, random = self._behaviour, self.random
        is_dropping = bool(behaviour.drop) and random.random() < behaviour.drop
        refusal = self._refusal(now)
        if refusal != OK:
            is_lost = refusal == behaviour.throttle_status and behaviour.is_throttle_silent
            return Verdict(refusal, behaviour.latency.draw(random), is_lost, is_dropping=is_dropping)
        status = self._error()
        delay_s = behaviour.latency.draw(random)
        if behaviour.is_reordering:
            delay_s += random.uniform(0.0, REORDER_S)
        is_lost = bool(behaviour.lost) and random.random() < behaviour.lost
        if status != OK:
            return Verdict(status, delay_s, is_lost, is_dropping=is_dropping)
        states = self._states
        state = states[0] if len(states) == 1 else random.choices(states, self._weights)[0]
        final_s = behaviour.receipt_delay.draw(random)
        notices = self._notices(state, final_s)
        is_first = bool(notices and behaviour.receipt_first) and random.random() < behaviour.receipt_first
        return Verdict(status, delay_s, is_lost, is_first, is_dropping, state, final_s, notices)

    @property
    def congestion(self) -> int | None:
        """What responses say in congestion_state (SMPP 5.0 section 4.8.4.18), if they do."""
        return self._behaviour.congestion

    def _refusal(self, now: float) -> int:
        """The status of a submission that there is no room for."""
        behaviour = self._behaviour
        if self._first_at is None:
            self._first_at = now
        if behaviour.queue_full_s:
            full_for_s = now - self._first_at - behaviour.queue_full_after_s
            if 0 <= full_for_s < behaviour.queue_full_s:
                return QUEUE_FULL
        if behaviour.throttle and not self._throttle.take(now):
            return behaviour.throttle_status
        return OK

    def _error(self) -> int:
        if not self._behaviour.errors:
            return OK
        point = self.random.random()
        for status, share in self._behaviour.errors:
            point -= share
            if point < 0:
                return status
        return OK

    def _notices(self, state: str, final_s: float) -> tuple[tuple[float, str], ...]:
        """The intermediate states on the way, evenly spread, then the last one: never, once or twice."""
        behaviour, random = self._behaviour, self.random
        if behaviour.receipts is ReceiptForm.NONE:
            return ()
        words = behaviour.receipt_intermediate
        notices = [(final_s * n / (len(words) + 1), word) for n, word in enumerate(words, 1)]
        if not (behaviour.receipt_never and random.random() < behaviour.receipt_never):
            notices.append((final_s, state))
            if behaviour.receipt_twice and random.random() < behaviour.receipt_twice:
                notices.append((final_s + behaviour.receipt_delay.draw(random), state))
        return tuple(notices)


class Throttle:
    """A limit of submissions a second: a token bucket that holds a tenth of a second, or windows of whole
    seconds.
    """

    def __init__(self, rate: float, *, is_window: bool = False) -> None:
        self._rate = rate
        self._is_window = is_window
        self._burst = max(1.0, rate if is_window else rate / 10)
        self._tokens = self._burst
        self._since: float | None = None

    def take(self, now: float) -> bool:
        """True if one more submission is within the limit."""
        if self._since is None:
            self._since = now
        elif self._is_window:
            if now - self._since >= 1.0:
                self._since += float(int(now - self._since))
                self._tokens = self._burst
        else:
            self._tokens = min(self._burst, self._tokens + (now - self._since) * self._rate)
            self._since = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


# -- options from text -------------------------------------------------------------------------------------


def parse_duration(text: str) -> float:
    """Seconds from ``20ms``, ``1.5s``, ``2m``; a bare number is seconds. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration; 20ms, 1.5s and 2m are")
    return float(found[1]) * _UNITS[found[2] or "s"]


def parse_delay(text: str) -> Delay:
    """``20ms`` fixed, ``10ms-30ms`` uniform, ``exp:2s`` exponential with that average. Raises ValueError."""
    if text.startswith("exp:"):
        return Delay(Shape.EXPONENTIAL, parse_duration(text[4:]))
    low, dash, high = text.partition("-")
    if not dash:
        return Delay(Shape.FIXED, parse_duration(low))
    if low.strip().replace(".", "").isdigit():
        # 10-30ms: the unit stands once.
        unit = _DURATION.fullmatch(high.strip())
        low += (unit[2] or "") if unit else ""
    delay = Delay(Shape.UNIFORM, parse_duration(low), parse_duration(high))
    if delay.low_s > delay.high_s:
        raise ValueError(f"{text!r}: the first is the larger")
    return delay


def parse_errors(text: str) -> tuple[tuple[int, float], ...]:
    """``0x08=0.01,0x0b=0.001``: command_status and its share. Raises ValueError."""
    return tuple((int(name, 0), share) for name, share in _shares(text))


def parse_states(text: str) -> tuple[tuple[str, float], ...]:
    """``DELIVRD=0.97,UNDELIV=0.03``, or one state alone. Raises ValueError."""
    if "=" not in text:
        return ((text, 1.0),)
    return tuple(_shares(text))


def parse_words(text: str) -> tuple[str, ...]:
    """``ENROUTE,ACCEPTD``. Raises ValueError."""
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise ValueError(f"{text!r}: a state is a word")
    return words


def parse_share(text: str) -> float:
    """A share between 0 and 1. Raises ValueError."""
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError(f"{text}: a share is between 0 and 1")
    return share


def _shares(text: str) -> list[tuple[str, float]]:
    pairs = [part.partition("=") for part in text.split(",")]
    shares = [(name.strip(), parse_share(share)) for name, _, share in pairs]
    if sum(share for _, share in shares) > 1.000001:
        raise ValueError(f"{text!r}: the shares add up to more than 1")
    return shares
