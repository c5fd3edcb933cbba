"""The small things alone: ``python -m bench.micro [--quick] [--json FILE]`` is the scenario ``micro`` of the suite."""

import sys
from collections.abc import Sequence

from bench.run import main as run


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when every figure reached its target."""
    return run(["micro", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
