"""How long the tests may take: the gate on every change, more at night, most before a release."""

import os
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

VARIABLE = "STENTOR_TEST_SCALE"
NAMES = ("gate", "nightly", "release")


@dataclass(frozen=True)
class Scale:
    """Chooses a test's size: ``scale(gate=50, nightly=500, release=5000)``."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"{VARIABLE}={self.name!r}: one of {', '.join(NAMES)} is expected")

    def __call__(self, *, gate: T, nightly: T, release: T) -> T:
        return {"gate": gate, "nightly": nightly, "release": release}[self.name]


def chosen_scale() -> Scale:
    """The scale of this run, from the environment; the gate by default."""
    return Scale(os.environ.get(VARIABLE, "gate"))
