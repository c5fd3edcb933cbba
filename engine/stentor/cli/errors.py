"""Why a command did not do what it was asked: a sentence for its user and the exit code that goes with it."""

from typing import Final

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
UNREACHABLE: Final = 3


class CommandError(Exception):
    """Ends a command. The text is for people and may have several lines."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code
