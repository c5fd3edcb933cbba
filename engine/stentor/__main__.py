"""``python -m stentor``: the same as the command ``stentor``."""

import sys

from stentor.cli import main

if __name__ == "__main__":
    sys.exit(main())
