"""Which SIM of which phone: stickiness, load, allowance left, recency and failures, each a factor that can be shown.

The score of a candidate is the sum of its factors, each from 0 to 1 and weighed; the highest wins. A destination that
had a SIM before gets it again unless that SIM does much worse: people answer to the number that wrote to them.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """What is known about a SIM that has room and may take the message.

    ``load`` is the used share of its window, ``allowance`` the share left of its scarcest limit, ``idle_s`` how long
    ago it was given something, ``failures`` the recent ones in a row, ``is_streaming`` whether its phone hears at once.
    """

    key: str
    is_sticky: bool
    is_streaming: bool
    load: float
    allowance: float
    idle_s: float
    failures: int


class Weights(msgspec.Struct, frozen=True, gc=False):
    """How much each factor counts."""

    sticky: float = 4.0
    streaming: float = 8.0
    load: float = 2.0
    allowance: float = 2.0
    recency: float = 1.0
    failures: float = 3.0


WEIGHTS: Final = Weights()
RESTED_S: Final = 60.0


class Choice(msgspec.Struct, frozen=True):
    """Why one was chosen: the factors of each candidate, the best first."""

    key: str
    score: float
    factors: dict[str, float]


def score(
    is_sticky: bool,
    is_streaming: bool,
    load: float,
    allowance: float,
    idle_s: float,
    failures: int,
    weights: Weights = WEIGHTS,
) -> float:
    """The sum of the factors of a :class:`Candidate`."""
    return (
        (weights.sticky if is_sticky else 0.0)
        + (weights.streaming if is_streaming else 0.0)
        + weights.load * (1.0 - load)
        + weights.allowance * allowance
        + weights.recency * (idle_s / RESTED_S if idle_s < RESTED_S else 1.0)
        + weights.failures / (1.0 + failures)
    )


def explain(candidates: Iterable[Candidate], weights: Weights = WEIGHTS) -> list[Choice]:
    """Every candidate with its factors, the best first; of equals the first stays first."""
    choices = [
        Choice(
            candidate.key,
            round(
                score(
                    candidate.is_sticky,
                    candidate.is_streaming,
                    candidate.load,
                    candidate.allowance,
                    candidate.idle_s,
                    candidate.failures,
                    weights,
                ),
                3,
            ),
            {
                "sticky": weights.sticky * candidate.is_sticky,
                "streaming": weights.streaming * candidate.is_streaming,
                "load": round(weights.load * (1.0 - candidate.load), 3),
                "allowance": round(weights.allowance * candidate.allowance, 3),
                "recency": round(weights.recency * min(1.0, candidate.idle_s / RESTED_S), 3),
                "failures": round(weights.failures / (1.0 + candidate.failures), 3),
            },
        )
        for candidate in candidates
    ]
    return sorted(choices, key=lambda each: -each.score)


def remember(table: OrderedDict[KeyT, ValueT], key: KeyT, value: ValueT, limit: int) -> None:
    """The entry is the newest; the oldest goes where there is no room."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > limit:
        table.popitem(last=False)
