"""One trial: a writer is traced, its disk cut off at every boundary, and every image that may be left is judged.

Run as ``python -m tests.power_cut.trial SEED COMMITS VARIANTS SETTING CACHE``; prints a report as JSON. It is a
process of its own because a tracer waits for all children of its process, and so that trials can run side by side.
What it works on stands in memory and is removed; of a journal that should be safe, the first image that should not be
is kept and named.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from hashlib import sha1
from pathlib import Path
from random import Random

from tests.power_cut.checker import Checker, Verdict
from tests.power_cut.images import Disk, Image, power_cuts
from tests.power_cut.plan import states
from tests.power_cut.trace import Action, Reported, record

MEMORY = Path("/dev/shm")
THOROUGH_EVERY = 16
EXAMPLES = 5


@dataclass
class Report:
    """What a trial found. ``actions`` counts what was traced by kind, ``wrong`` the images by kind of cut and of
    finding; ``examples`` are sentences."""

    actions: dict[str, int] = field(default_factory=dict)
    boundaries: int = 0
    images: int = 0
    distinct: int = 0
    acknowledged: int = 0
    worst_loss: int = 0
    seconds: float = 0.0
    replayed_as_written: bool = False
    wrong: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    skipped: str = ""


class Trial:
    """Judges the images of one trace."""

    def __init__(self, folder: Path, seed: int, commits: int) -> None:
        self.report = Report()
        self.folder = folder
        self._random = Random(f"images {seed}")
        self._checker = Checker(folder, states(seed, commits))
        self._seen: dict[bytes, Verdict] = {}
        self._acknowledged = -1
        self._is_kept = False

    def replay(self, actions: list[Action], variants: int) -> Disk:
        """Cut the power before the first action and after each; the disk as it is in the end."""
        disk = Disk()
        self._cut(disk, variants)
        for action in actions:
            disk.apply(action)
            if isinstance(action, Reported):
                # The last image of before is the first of after, and must hold more.
                self._acknowledged = action.commit
            self._cut(disk, variants)
        self.report.actions = dict(Counter(type(action).__name__ for action in actions))
        self.report.acknowledged = self._acknowledged
        self.report.distinct = len(self._seen)
        return disk

    def _cut(self, disk: Disk, variants: int) -> None:
        self.report.boundaries += 1
        for kind, image in power_cuts(disk, self._random, variants):
            self.report.images += 1
            finding = self._judge(self._look(image))
            if finding:
                self._note(kind, finding, image)

    def _look(self, image: Image) -> Verdict:
        """The verdict on an image; the same image is looked at once."""
        digest = sha1(repr([(name, len(octets)) for name, octets in image.items()]).encode())
        for octets in image.values():
            digest.update(octets)
        name = digest.digest()
        if name not in self._seen:
            self._seen[name] = self._checker.look(image, len(self._seen) % THOROUGH_EVERY == 0)
        return self._seen[name]

    def _judge(self, verdict: Verdict) -> str:
        """What is wrong with a verdict at this moment, in a sentence that begins with its kind."""
        if verdict.fault:
            return verdict.fault
        lost = self._acknowledged - verdict.commit
        if lost > 0:
            self.report.worst_loss = max(self.report.worst_loss, lost)
            return f"lost: commit {self._acknowledged} was acknowledged, the image ends with {verdict.commit}"
        if lost < -1:
            return (
                f"torn: commit {verdict.commit} is there, {self._acknowledged} was the last one acknowledged"
            )
        return ""

    def _note(self, kind: str, finding: str, image: Image) -> None:
        name = f"{kind} {finding.partition(':')[0]}"
        self.report.wrong[name] = self.report.wrong.get(name, 0) + 1
        if len(self.report.examples) < EXAMPLES:
            self.report.examples.append(f"{kind} at boundary {self.report.boundaries}: {finding}")
        if not self._is_kept:
            self._is_kept = True
            kept = self.folder / "found"
            kept.mkdir()
            Checker(kept, []).put(image)


def run(folder: Path, seed: int, commits: int, variants: int, setting: str, cache_pages: int) -> Report:
    """Trace, replay and judge."""
    started = time.monotonic()
    journal = folder / "journal"
    trial = Trial(folder, seed, commits)
    arguments = [str(seed), str(commits), setting, str(cache_pages)]
    try:
        actions = record("tests.power_cut.writer", arguments, journal)
    except PermissionError as error:
        return Report(skipped=f"this process may not trace its own child: {error}")
    disk = trial.replay(actions, variants)
    # If a call had been missed or misread, the replay would not end with the files that are there.
    left = {name: Path(f"{journal}{name}") for name in ("", "-wal", "-journal")}
    found = {name: path.read_bytes() for name, path in left.items() if path.exists()}
    trial.report.replayed_as_written = disk.everything() == found
    trial.report.seconds = round(time.monotonic() - started, 2)
    return trial.report


def main(seed: str, commits: str, variants: str, setting: str, cache_pages: str) -> None:
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="stentor-power-cut-", dir=place))
    is_kept = False
    try:
        report = run(folder, int(seed), int(commits), int(variants), setting, int(cache_pages))
        is_kept = bool(report.wrong) and setting == "power"
        if is_kept:
            report.examples.append(f"the first image that should not be: {folder}/found")
    finally:
        if not is_kept:
            shutil.rmtree(folder)
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main(*sys.argv[1:])
