"""What the tests of the contract share: a daemon and an SMSC for a whole module, and folders with short paths."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.contract_world import Daemon, Smsc, channel, running, smsc


@pytest.fixture(scope="module")
def module_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def carrier(module_dir: Path) -> Iterator[Smsc]:
    """An SMSC that does everything right."""
    with smsc(module_dir) as peer:
        yield peer


@pytest.fixture(scope="module")
def daemon(module_dir: Path, carrier: Smsc) -> Iterator[Daemon]:
    """One daemon for the tests of a module: ``alpha`` is up, ``idle`` is never paused and never up."""
    channels = {"alpha": channel(carrier.port), "idle": channel(carrier.port, enabled=False)}
    routes = [{"channels": ["alpha"]}]
    with running(Daemon(module_dir, channels, routes=routes)) as found:
        yield found.start_up("alpha")
