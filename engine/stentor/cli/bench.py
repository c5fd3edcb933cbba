"""``stentor bench``: hands over to the benchmark suite, which lives in a checkout and is not installed."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from stentor.cli.errors import DONE, CommandError
from stentor.cli.screen import say

_CHECKOUT = Path(__file__).resolve().parents[3]
_MISSING = "The benchmark suite is not installed: run `stentor bench` in a checkout of the repository."


def bench(argv: Sequence[str]) -> int:
    """Run ``bench.run`` with these arguments; its exit code."""
    for place in (Path.cwd(), _CHECKOUT):
        if (place / "bench" / "run.py").is_file():
            sys.path.insert(0, str(place))
            break
    if find_spec("bench") is None or find_spec("bench.run") is None:
        if "--help" in argv or "-h" in argv:
            say(f"usage: stentor bench [SCENARIO ...] [--json FILE]\n\n{_MISSING}")
            return DONE
        raise CommandError(_MISSING)
    return int(import_module("bench.run").main(list(argv)) or 0)
