"""The power fails at every write of a journal, and nothing that was acknowledged is lost; and the proof can fail.

A finding names its seed, the boundary, and the folder that holds the image.
"""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.conftest import SCALE
from tests.power_cut.checker import EMPTY, Checker, Verdict
from tests.power_cut.images import HALF, SECTOR, Disk, Image
from tests.power_cut.plan import COLUMNS, Tables, states
from tests.power_cut.trace import Created, FolderSynced, Synced, Truncated, Unlinked, Written
from tests.power_cut.trial import Report
from tests.support.scale import Scale
from tests.support.source import ROOT

PARALLEL = 2
COMMITS = 18
"""Of one trial."""
TORN = SCALE(gate=4, nightly=8, release=8)
"""Images of each boundary with a random part of what was not synced; there are two more."""
ROOMY, CRAMPED = -32 * 1024, 8
"""SQLite's cache, as the journal has it, and so small that a transaction does not fit."""


def trial(seed: int, torn: int, setting: str, cache_pages: int) -> Report:
    """The report of one trial, in a process of its own."""
    arguments = map(str, (seed, COMMITS, torn, setting, cache_pages))
    command = [sys.executable, "-m", "tests.power_cut.trial", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    report = Report(**json.loads(done.stdout))
    if report.skipped:
        pytest.skip(report.skipped)
    assert report.replayed_as_written, f"seed {seed}: the replay does not end with the files that are there"
    assert report.acknowledged == COMMITS
    return report


def summary(reports: Sequence[Report]) -> str:
    """The figures of some trials, as a line."""
    boundaries, images, distinct = (
        sum(getattr(report, name) for report in reports) for name in ("boundaries", "images", "distinct")
    )
    wrong = dict(sum((Counter(report.wrong) for report in reports), Counter()))
    seconds = sum(report.seconds for report in reports)
    return f"{boundaries} boundaries, {images} images, {distinct} distinct, {seconds:.0f} s of trials, wrong: {wrong}"


def test_no_power_cut_loses_what_was_acknowledged(scale: Scale) -> None:
    trials = scale(gate=4, nightly=170, release=850)
    with ThreadPoolExecutor(PARALLEL) as pool:
        caches = [CRAMPED if seed % 2 else ROOMY for seed in range(trials)]
        reports = list(pool.map(lambda seed: trial(seed, TORN, "power", caches[seed]), range(trials)))
    print(summary(reports))
    wrong = [f"seed {seed}: {line}" for seed, report in enumerate(reports) for line in report.examples]
    assert not wrong, "\n".join(wrong)
    assert not any(report.wrong for report in reports)
    assert sum(report.images for report in reports) >= 5_000 * trials
    assert sum(report.distinct for report in reports) >= 3_500 * trials
    done = sum((Counter(report.actions) for report in reports), Counter())
    kinds = (Created, Written, Synced, Truncated, Unlinked, FolderSynced)
    assert [kind.__name__ for kind in kinds if not done[kind.__name__]] == []


def test_a_journal_that_only_outlives_its_process_loses_commits_in_a_power_cut_and_nothing_else() -> None:
    report = trial(1, 2, "process", ROOMY)
    print(summary([report]))
    assert report.wrong.keys() == {"synced lost", "torn lost"}
    assert report.worst_loss > 1


def test_a_journal_that_syncs_nothing_is_found_corrupt_after_a_power_cut_but_not_after_a_kill() -> None:
    report = trial(1, 2, "off", ROOMY)
    print(summary([report]))
    assert report.wrong.keys() >= {"synced lost", "torn lost", "torn corrupt"}
    assert not [name for name in report.wrong if name.startswith("killed")]


# -- the checker ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan() -> list[Tables]:
    return states(seed=1, commits=COMMITS)


def image_of(tables: Tables, folder: Path, *changes: str) -> Image:
    """A file with these rows, made without the engine, and then changed."""
    path = folder / "made"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        for table, columns in COLUMNS.items():
            db.execute(f"CREATE TABLE {table} ({columns})")
            values = ", ".join("?" * len(columns.split(", ")))
            db.executemany(f"INSERT INTO {table} VALUES ({values})", tables[table])
        db.execute("COMMIT")
        for change in changes:
            db.execute(change)
    return {"": path.read_bytes()}


def test_an_image_holds_the_newest_commit_all_of_which_is_there(plan: list[Tables], tmp_path: Path) -> None:
    for number in (0, 7, COMMITS):
        (folder := tmp_path / str(number)).mkdir()
        assert Checker(tmp_path, plan).look(image_of(plan[number], folder)) == Verdict(number)


def test_an_image_without_tables_holds_nothing(plan: list[Tables], tmp_path: Path) -> None:
    assert Checker(tmp_path, plan).look({}) == Verdict(EMPTY)


@pytest.mark.parametrize(
    "change",
    [
        *(f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})" for table in COLUMNS),
        "UPDATE message SET status = status + 1 WHERE rowid = 1",
        "UPDATE segment SET match_id = 'another' WHERE rowid = 1",
        "UPDATE setting SET value = value - 1",
        "UPDATE setting SET value = 999",
        "DROP TABLE body",
    ],
)
def test_an_image_that_lacks_part_of_a_commit_or_has_part_of_another_is_torn(
    change: str, plan: list[Tables], tmp_path: Path
) -> None:
    complete = next(tables for tables in reversed(plan) if all(tables.values()))
    assert Checker(tmp_path, plan).look(image_of(complete, tmp_path, change)).fault.startswith("torn: ")


def test_no_page_can_be_overwritten_without_a_fault_that_is_found(plan: list[Tables], tmp_path: Path) -> None:
    sound = image_of(plan[COMMITS], tmp_path)[""]
    starts = range(0, len(sound), 4096)
    broken = [sound[:start] + bytes(4096) + sound[start + 4096 :] for start in starts]
    kinds = {Checker(tmp_path, plan).look({"": image}).fault.partition(":")[0] for image in broken}
    # The rest of a long text stands on pages that have no structure: it is its contents that are wrong.
    assert kinds == {"corrupt", "torn"}


# -- the model of a disk -------------------------------------------------------------------------------------


def disk_after(*actions: object) -> Disk:
    disk = Disk()
    for action in actions:
        disk.apply(action)
    return disk


def torn(disk: Disk) -> list[Image]:
    random = Random(1)
    return [disk.torn(random, HALF) for _ in range(200)]


OLD, NEW = b"o" * 2 * SECTOR, b"n" * 2 * SECTOR


def test_what_was_not_synced_may_be_there_sector_by_sector() -> None:
    disk = disk_after(Created("", 1), Written(1, 0, OLD), Synced(1), Written(1, 0, NEW))
    assert disk.everything() == {"": NEW}
    assert disk.synced() == {"": OLD}
    halves = {(image[""][:SECTOR], image[""][SECTOR:]) for image in torn(disk)}
    assert halves == {(a * SECTOR, b * SECTOR) for a in (b"o", b"n") for b in (b"o", b"n")}


def test_a_sector_may_hold_what_any_of_several_writes_left_in_it() -> None:
    disk = disk_after(
        Created("", 1), Written(1, 0, b"aa"), Synced(1), Written(1, 0, b"b"), Written(1, 1, b"c")
    )
    assert {image[""] for image in torn(disk)} == {b"aa", b"ba", b"bc"}


def test_a_sector_beyond_a_lost_one_leaves_zeros_before_it() -> None:
    disk = disk_after(Created("", 1), Synced(1), Written(1, 0, NEW))
    assert bytes(SECTOR) + b"n" * SECTOR in [image[""] for image in torn(disk)]


def test_a_truncation_is_certain_once_the_file_is_synced() -> None:
    disk = disk_after(Created("", 1), Written(1, 0, OLD), Synced(1), Truncated(1, 3))
    assert {len(image[""]) for image in torn(disk)} == {3, len(OLD)}
    disk.apply(Synced(1))
    assert {len(image[""]) for image in torn(disk)} == {3}


def test_a_file_is_certain_once_it_was_synced_and_its_end_once_its_folder_was() -> None:
    disk = disk_after(Created("-wal", 1), Written(1, 0, OLD))
    assert disk.synced() == {}
    assert {} in torn(disk)
    disk.apply(Synced(1))
    assert {} not in torn(disk)
    disk.apply(Unlinked("-wal"))
    assert disk.everything() == {}
    assert disk.synced() == {"-wal": OLD}
    assert {} in torn(disk)
    assert {"-wal": OLD} in torn(disk)
    disk.apply(FolderSynced())
    assert torn(disk) == [{}] * 200


def test_a_new_file_under_a_deleted_ones_name_takes_its_place_once_it_is_synced() -> None:
    disk = disk_after(
        Created("", 1), Written(1, 0, OLD), Synced(1), Unlinked(""), Created("", 2), Written(2, 0, NEW)
    )
    assert disk.synced() == {"": OLD}
    assert OLD in [image.get("") for image in torn(disk)]
    disk.apply(Synced(2))
    assert disk.synced() == {"": NEW}
    assert torn(disk) == [{"": NEW}] * 200
