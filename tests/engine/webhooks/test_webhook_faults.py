"""What webhooks promise holds among faults of disk, time, receivers and the daemon itself, whatever the seed."""

from collections.abc import Callable
from typing import Any

import pytest

from stentor.message import Event
from stentor.testing.vloop import VirtualLoop, run_virtual
from stentor.webhooks import endpoint
from stentor.webhooks.endpoint import Endpoint
from stentor.webhooks.feed import Delivery
from tests.conftest import SCALE
from tests.engine.webhooks.fault_world import World


def course(seed: int) -> World:
    async def run(loop: VirtualLoop) -> World:
        world = World(loop, seed)
        await world.run()
        assert loop.errors == []
        return world

    return run_virtual(run)


@pytest.mark.parametrize("seed", range(SCALE(gate=6, nightly=200, release=2_000)))
def test_each_event_is_delivered_at_least_once_and_in_order_for_its_message(seed: int) -> None:
    world = course(seed)
    assert world.crashes > 3
    assert world.repeated > 0


def test_a_seed_has_one_course() -> None:
    one, other = course(1), course(1)
    assert (one.repeated, one.crashes, one.kept.progress) == (
        other.repeated,
        other.crashes,
        other.kept.progress,
    )


def _forgets_failures(self: Endpoint, one: Delivery, now: float, wall_ms: int) -> None:
    self._finish(one, now)


def _overtakes(event: Event) -> int:
    return event.seq


def _hurries_ahead(self: Endpoint, *, is_replay: bool) -> int:
    return self.feed.position


@pytest.mark.parametrize(
    ("place", "name", "broken", "words"),
    [
        (Endpoint, "_put_off", _forgets_failures, "has passed|was sent before|never told"),
        (endpoint, "subject", _overtakes, "was sent before"),
        (Endpoint, "_cursor", _hurries_ahead, "has passed"),
    ],
)
def test_a_broken_rule_is_found(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, broken: Callable[..., Any], words: str
) -> None:
    monkeypatch.setattr(place, name, broken)
    with pytest.raises(AssertionError, match=words):
        [course(seed) for seed in range(3)]
