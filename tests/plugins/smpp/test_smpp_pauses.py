"""How long to wait before the next try, and in which order: by arithmetic and in virtual time."""

import asyncio
import random

import pytest

from stentor.testing.vloop import run_virtual
from stentor_smpp import status as codes
from stentor_smpp.pauses import Pauses
from stentor_smpp.turnstile import AT_ONCE, SPACING_S, Turnstile


def pauses() -> Pauses:
    return Pauses(first_s=1.0, longest_s=20.0, refused_s=60.0, refused_longest_s=600.0)


def test_pauses_double_to_the_longest_and_begin_anew_after_a_bind_that_stood():
    each = pauses()
    assert [each.lost(0.0, 0.5) for _ in range(7)] == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    assert each.lost(29.9, 0.5) == 20.0
    assert each.lost(30.0, 0.5) == 1.0


@pytest.mark.parametrize(
    ("chance", "lost", "refused"), [(0.0, 0.5, 45.0), (0.5, 1.0, 60.0), (0.999, 1.499, 74.97)]
)
def test_chance_stretches_each_pause(chance, lost, refused):
    assert pauses().lost(0.0, chance) == pytest.approx(lost)
    assert pauses().refused(codes.RINVSYSID, chance) == pytest.approx(refused)


def test_a_refused_login_is_left_alone_for_longer_each_time_until_it_is_let_in():
    each = pauses()
    refused = [each.refused(codes.RINVPASWD, 0.5) for _ in range(6)]
    assert refused == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
    each.bound()
    assert each.refused(codes.RINVPASWD, 0.5) == 60.0


def test_what_others_of_the_login_met_counts_too():
    assert pauses().refused(codes.RINVPASWD, 0.5, others_refusals=3) == 240.0


def test_a_lingering_session_is_waited_for_and_not_punished():
    each = pauses()
    assert [each.refused(codes.RALYBND, 0.5) for _ in range(5)] == [30.0] * 5


def test_endless_refusals_do_not_overflow():
    each = pauses()
    assert [each.refused(codes.RBINDFAIL, 0.5) for _ in range(5_000)][-1] == 600.0


# -- one after the other --------------------------------------------------------------------------------------------


def through(count: int, scene=None, chance=lambda: 0.5) -> list[float]:
    """When each of ``count`` binds passed a turnstile that a scene plays with."""
    passed: list[float] = []

    async def main(loop):
        turnstile = Turnstile(loop.time, chance)

        async def one():
            await turnstile.pass_through()
            passed.append(round(loop.time(), 6))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(count)]
            if scene is not None:
                await asyncio.sleep(0)
                await scene(turnstile, tasks)
        assert loop.pending_timers() == []

    run_virtual(main)
    return passed


def test_a_few_pass_at_once_and_the_rest_spaced():
    assert through(8) == [0.0] * AT_ONCE + [0.1, 0.2, 0.3, 0.4]


def test_in_no_second_do_more_pass_than_the_pace_allows():
    chance = random.Random(4).random
    passed = through(500, chance=chance)
    for first, at in enumerate(passed):
        inside = sum(at <= other < at + 1 for other in passed[first:])
        assert inside <= AT_ONCE + 1 / (0.75 * SPACING_S)
    assert len(set(passed)) > 490


def test_while_a_login_is_refused_one_at_a_time_tries():
    async def scene(turnstile, tasks):
        turnstile.refused(60.0)
        turnstile.refused(60.0)
        await asyncio.sleep(100)
        assert turnstile.refusals == 1
        assert sum(task.done() for task in tasks) == AT_ONCE + 1
        turnstile.refused(120.0)
        await asyncio.sleep(119)
        assert sum(task.done() for task in tasks) == AT_ONCE + 1
        await asyncio.sleep(2)
        assert turnstile.refusals == 2
        turnstile.welcome()

    assert through(10, scene) == [0.0] * 4 + [60.0, 220.0] + [221.0] * 4


def test_a_try_that_says_nothing_about_the_login_makes_way_for_the_next():
    async def scene(turnstile, tasks):
        turnstile.refused(60.0)
        await asyncio.sleep(60.5)
        turnstile.lost()
        turnstile.lost()
        await asyncio.sleep(1)
        turnstile.open()

    assert through(7, scene) == [0.0] * 4 + [60.0, 60.6, 61.5]


def test_nobody_waits_for_one_that_went_away():
    async def scene(turnstile, tasks):
        for task in tasks[4:6]:
            task.cancel()

    assert through(8, scene) == [0.0] * 4 + [0.1, 0.2]


def test_an_end_lets_everybody_through():
    async def scene(turnstile, tasks):
        turnstile.refused(600.0)
        turnstile.open()
        await turnstile.pass_through()

    assert through(9, scene) == [0.0] * 9
