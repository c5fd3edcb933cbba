"""``stentor bench``: hands over to the benchmark suite, which lives in a checkout and is not installed."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from stentor.cli.errors import CommandError

_CHECKOUT = Path(__file__).resolve().parents[3]


def bench(argv: Sequence[str]) -> int:
    """Run ``bench.run`` with these arguments; its exit code."""
    for place in (Path.cwd(), _CHECKOUT):
        if (place / "bench" / "run.py").is_file():
            sys.path.insert(0, str(place))
            break
    if find_spec("bench") is None or find_spec("bench.run") is None:
        raise CommandError(
            "The benchmark suite is not installed: run `stentor bench` in a checkout of the repository."
        )
    return int(import_module("bench.run").main(list(argv)) or 0)
