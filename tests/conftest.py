"""What every test may ask for: the scale of the run and a folder short enough for a socket's path."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.scale import Scale, chosen_scale

SCALE = chosen_scale()

# A shared machine may stall longer than any deadline of one example; what must be fast is measured elsewhere. The gate
# judges what was changed and so tries the same examples each time; the nights look for others.
hypothesis.settings.register_profile(
    "stentor",
    deadline=None,
    derandomize=SCALE(gate=True, nightly=False, release=False),
    max_examples=SCALE(gate=100, nightly=2_000, release=20_000),
)
hypothesis.settings.load_profile("stentor")


def pytest_configure(config: pytest.Config) -> None:
    """Where Python is told to keep no compiled code, the hundreds of processes that tests start share a folder for it:
    compiling everything anew would take each of them longer than all else it does until it is ready.
    """
    if sys.dont_write_bytecode:
        folder = tempfile.TemporaryDirectory(prefix="stentor-compiled-")
        config.add_cleanup(folder.cleanup)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name


@pytest.fixture(scope="session")
def scale() -> Scale:
    """``scale(gate=50, nightly=500, release=5000)`` is the number for this run (STENTOR_TEST_SCALE)."""
    return SCALE


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """An empty folder with a short path: a Unix socket's path ends at 107 octets, tmp_path may be longer."""
    with tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp") as folder:
        yield Path(folder)
