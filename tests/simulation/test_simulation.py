"""Seeded worlds: whatever fails in them, the engine keeps its promises."""

import pytest

from stentor.testing.simulation import main, simulate, trace


def test_every_world_keeps_the_promises(scale) -> None:
    """A failure names its seed; ``python -m stentor.testing.simulation SEED`` prints its steps."""
    crashes = handed = 0
    for seed in range(scale(gate=80, nightly=100_000, release=500_000)):
        report = simulate(seed)
        assert report.simulated_s >= 3000.0
        crashes += report.counts["crashes"]
        handed += report.counts["handed"]
    assert crashes > 100
    assert handed > 10_000


def test_a_seed_is_a_run_to_the_last_step() -> None:
    for seed in (3, 14):
        first, again = trace(seed), trace(seed)
        assert first == again
        assert len(first[0]) > 100


def test_one_seed_is_printed_as_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["1", "--hours", "0.25"]) == 0
    assert " start " in capsys.readouterr().out


def test_many_seeds_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["1", "--to", "3", "--hours", "0.25"]) == 0
    assert "3 seeds" in capsys.readouterr().out
