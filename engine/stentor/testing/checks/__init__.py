"""The checks, one module a group, in the order in which an author meets them."""

from typing import Final

from stentor.testing.checks import (
    declaration,
    doubt,
    drain,
    fuzz,
    inbound,
    life,
    once,
    pressure,
    recall,
    submission,
)
from stentor.testing.checks.registry import REGISTERED, Check

_ORDER: Final = (declaration, life, submission, once, doubt, recall, inbound, pressure, drain, fuzz)
_PLACES: Final = {module.__name__.rpartition(".")[2]: place for place, module in enumerate(_ORDER)}

CHECKS: Final[tuple[Check, ...]] = tuple(sorted(REGISTERED, key=lambda check: _PLACES[check.group]))

__all__ = ["CHECKS", "Check"]
