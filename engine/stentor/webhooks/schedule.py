"""When a delivery that failed is tried again, and whether an endpoint is worth trying: delays and a state table.

Times here are seconds; ``random`` is in [0, 1).
"""

import enum
from typing import Final

HOUR_S: Final = 3600.0
DELAYS_S: Final = (
    5.0,
    30.0,
    120.0,
    600.0,
    0.5 * HOUR_S,
    HOUR_S,
    2 * HOUR_S,
    4 * HOUR_S,
    8 * HOUR_S,
    12 * HOUR_S,
    20 * HOUR_S,
)
"""The pause after each failed attempt; after the last of them, the last again, until the delivery is given up."""
GIVEN_UP_S: Final = 72 * HOUR_S
"""An event that could not be delivered for so long is given up; its last attempt comes then."""
JITTER: Final = 0.2
"""A pause grows by up to this part, so that what failed together does not return together."""

FAILURES: Final = 10
"""So many failures one after the other open an endpoint's breaker."""
PROBE_FIRST_S: Final = 5.0
PROBE_LONGEST_S: Final = 300.0
LONGEST_HOLD_S: Final = HOUR_S
"""A receiver that asks for more time gets this much at once."""


def delay_s(attempts: int, age_s: float, random: float) -> float | None:
    """Seconds from the failure of attempt number ``attempts`` to the next, None when the event is given up.

    ``age_s`` counts from when the event could first be delivered. The last attempt comes as it reaches GIVEN_UP_S.
    """
    assert attempts >= 1, "attempts count from 1"
    left_s = GIVEN_UP_S - age_s
    if left_s <= 0:
        return None
    pause_s = DELAYS_S[min(attempts, len(DELAYS_S)) - 1] * (1 + JITTER * random)
    return min(pause_s, left_s)


def probe_s(probes: int, random: float) -> float:
    """Seconds to the next probe of an endpoint that failed ``probes`` of them in a row."""
    pause_s = min(PROBE_LONGEST_S, PROBE_FIRST_S * 2.0 ** min(probes, 16))
    return pause_s * (1 + JITTER * random)


class State(enum.Enum):
    """What an endpoint is good for."""

    WORKING = "working"
    """Deliveries go out as they come."""

    OPEN = "open"
    """It failed too often in a row: nothing goes out until a probe is due."""

    PROBING = "probing"
    """One delivery is out, to find out."""

    DISABLED = "disabled"
    """By its account, or by itself: nothing goes out, its cursor stands."""


class Fact(enum.Enum):
    """What happens to an endpoint."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """One delivery; the endpoint may well work."""

    FAILED_OFTEN = "failed_often"
    """The same, and so did those before it."""

    PROBED = "probed"
    """A probe goes out."""

    DISABLED = "disabled"
    RESUMED = "resumed"
    """By its account; or nothing is left to probe it with."""


TRANSITIONS: Final = {
    (State.WORKING, Fact.SUCCEEDED): State.WORKING,
    (State.WORKING, Fact.FAILED): State.WORKING,
    (State.WORKING, Fact.FAILED_OFTEN): State.OPEN,
    (State.WORKING, Fact.DISABLED): State.DISABLED,
    (State.WORKING, Fact.RESUMED): State.WORKING,
    # What was under way when the breaker opened may still succeed, and then it was wrong.
    (State.OPEN, Fact.SUCCEEDED): State.WORKING,
    (State.OPEN, Fact.FAILED): State.OPEN,
    (State.OPEN, Fact.FAILED_OFTEN): State.OPEN,
    (State.OPEN, Fact.PROBED): State.PROBING,
    (State.OPEN, Fact.DISABLED): State.DISABLED,
    (State.OPEN, Fact.RESUMED): State.WORKING,
    (State.PROBING, Fact.SUCCEEDED): State.WORKING,
    (State.PROBING, Fact.FAILED): State.OPEN,
    (State.PROBING, Fact.FAILED_OFTEN): State.OPEN,
    (State.PROBING, Fact.DISABLED): State.DISABLED,
    (State.PROBING, Fact.RESUMED): State.WORKING,
    (State.DISABLED, Fact.SUCCEEDED): State.DISABLED,
    (State.DISABLED, Fact.FAILED): State.DISABLED,
    (State.DISABLED, Fact.FAILED_OFTEN): State.DISABLED,
    (State.DISABLED, Fact.DISABLED): State.DISABLED,
    (State.DISABLED, Fact.RESUMED): State.WORKING,
}
"""State and fact -> state. A probe goes out of an open endpoint alone."""
