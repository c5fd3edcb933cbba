"""The daemon is killed at every named point and at any moment, over and over on one journal, and nothing is lost.

A history that fails names its seed and its folder, which holds the records of all three sides and the daemon's logs.
"""

import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.crash.checker import check
from tests.crash.harness import World
from tests.crash.history import Incident, incidents, run
from tests.support.scale import Scale

PARALLEL = 2
RANDOM_MOMENTS, STOPS = 14, 4


@contextmanager
def world(folder: Path, seed: int) -> Iterator[World]:
    """The processes of one history, with a folder for the socket whose path is short enough."""
    folder.mkdir()
    with (
        TemporaryDirectory(prefix="stentor-", dir="/tmp") as runtime,
        World(folder, Path(runtime), seed) as made,
    ):
        yield made


def cost_of_an_empty_start(folder: Path) -> float:
    """Processor time until a daemon with nothing to recover is ready."""
    took = []
    with world(folder, 0) as empty:
        for _ in range(3):
            empty.start()
            assert empty.wait_ready()
            took.append(empty.life.cost_s)
            empty.stop()
    return median(took)


def live(folder: Path, seed: int, plan: Sequence[Incident], start_s: float) -> tuple[list[str], int]:
    """One history: what is wrong with it, and how many kills it had."""
    with world(folder, seed) as made:
        missed = run(made, plan)
    records = made.records()
    records.start_s = start_s
    wrong = [f"NOT REACHED {name}" for name in missed] + check(records)
    kills = sum(life.code == -signal.SIGKILL for life in made.lives)
    if not wrong:
        shutil.rmtree(folder)
    return [f"seed {seed}, {folder}: {sentence}" for sentence in wrong], kills


def test_nothing_is_lost_and_nothing_sent_twice_whenever_the_daemon_dies(
    tmp_path: Path, scale: Scale
) -> None:
    start_s = cost_of_an_empty_start(tmp_path / "empty")
    rounds = scale(gate=1, nightly=40, release=200)
    kills = 0
    with ThreadPoolExecutor(PARALLEL) as pool:
        for seed in range(1, rounds + 1):
            first, plan = incidents(RANDOM_MOMENTS, STOPS, seed)
            parts = [[*first, *plan[part::PARALLEL]] for part in range(PARALLEL)]
            histories = [
                pool.submit(live, tmp_path / f"{seed}-{part}", seed * PARALLEL + part, incidents_, start_s)
                for part, incidents_ in enumerate(parts)
            ]
            done = [history.result() for history in histories]
            wrong = [sentence for found, _ in done for sentence in found]
            assert not wrong, "\n".join(wrong[:50])
            kills += sum(count for _, count in done)
    assert kills >= 50 * rounds, f"only {kills} kills"
