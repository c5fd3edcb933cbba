"""How drivers with one fault each are registered, and what several of them bend.

Each is the honest line driver with as little changed as its fault needs; the faults are those authors make.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from stentor.driver import DriverSpec
from tests.engine.testing.line_driver import SPEC, TellDriver

# (check, spec, words of its complaint)
BROKEN: list[tuple[str, DriverSpec, str]] = []


def found_by(check: str, words: str) -> Callable[[type[TellDriver]], type[TellDriver]]:
    def register(driver: type[TellDriver]) -> type[TellDriver]:
        BROKEN.append((check, msgspec.structs.replace(SPEC, make=driver), words))
        return driver

    return register


def spec_found_by(check: str, words: str, **changes: Any) -> None:
    BROKEN.append((check, msgspec.structs.replace(SPEC, **changes), words))


class CopyingHost:
    """Gives outcomes of copies back as outcomes of the originals."""

    def __init__(self, host):
        self.host = host
        self.originals = {}

    def __getattr__(self, name):
        return getattr(self.host, name)

    def resolve(self, outcomes):
        self.host.resolve(
            [
                msgspec.structs.replace(each, submission=self.originals[each.submission.token])
                for each in outcomes
            ]
        )


class Bending(TellDriver):
    """Lets a subclass bend outcomes on their way to the host."""

    def __init__(self, config, host):
        super().__init__(config, host)
        outer = self

        class Bent(CopyingHost):
            def resolve(self, outcomes):
                self.host.resolve([bent for each in outcomes for bent in outer.bend(each)])

        self.host = Bent(host)  # type: ignore[assignment]  # a Host in all that matters

    def bend(self, outcome) -> Sequence[Any]:
        return [outcome]


class Meddling(TellDriver):
    """Lets a subclass change what goes to the host, and what settling does."""

    def __init__(self, config, host):
        super().__init__(config, host)
        outer = self

        class Between(CopyingHost):
            def receive(self, items, settled):
                self.host.receive([outer.meddle(item) for item in items], settled)

            def resolve(self, outcomes):
                self.host.resolve(outcomes)

        self.host = Between(host)  # type: ignore[assignment]  # a Host in all that matters

    def meddle(self, item):
        return item
