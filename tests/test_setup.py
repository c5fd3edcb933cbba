"""What makes the environment leaves alone what is not its own."""

import shutil
import subprocess
from pathlib import Path

from tests.support.source import ROOT


def test_an_environment_that_is_a_link_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "setup", tmp_path / ".ci" / "setup")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (tmp_path / ".venv").symlink_to(elsewhere)
    ended = subprocess.run([tmp_path / ".ci" / "setup"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"setup: .venv is a link to {elsewhere};")
    assert [file.name for file in elsewhere.iterdir()] == ["kept"]
