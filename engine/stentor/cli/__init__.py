"""The command line. ``main`` is the only way out of the process: exit codes 0 done, 1 failed, 2 wrong usage
or configuration, 3 daemon out of reach. A user never sees a traceback for what a user, a file or a daemon
did.

Modules of commands are imported when they run, so that ``stentor inspect`` starts in a blink.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

from stentor.cli.errors import CommandError

INTERRUPTED: Final = 130  # 128 + SIGINT, what a shell reports for it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    _fill_streams()
    from stentor.cli.parser import run

    try:
        code = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except CommandError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has seen enough.
        _drop_output()
        return 0
    except OSError as error:
        # Files that a command names have been complained about where they are opened: this is where the output goes.
        _drop_output()
        return _fail(CommandError(f"The output cannot be written: {error.strerror or error}."))
    return code


def _fill_streams() -> None:
    """A standard stream that is closed is one that holds and keeps nothing; nothing else may get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _drop_output() -> None:
    """The interpreter's own last flush must not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: CommandError) -> int:
    from stentor.cli.screen import complain

    complain(str(error))
    return error.code
