"""What a plugin's command is given: the running daemon to ask, and ways to show the answer.

An entry point in the group ``stentor.commands`` may name an object with ``add(commands)``. It adds its parsers to
``commands``, argparse's sub-parsers, and sets as each one's default ``run`` a function of the options and a
:class:`Desk` that returns an exit code. So a plugin needs nothing of the command line's own modules.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from stentor.cli import screen
from stentor.cli.errors import FAILED, CommandError
from stentor.cli.link import Link, checked_text
from stentor.cli.parser import socket_of


class Desk:
    """One command at work. Use as a context manager. Every method may raise CommandError, which ends the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        for value in vars(options).values():
            if isinstance(value, str):
                checked_text(value)
        self.is_json = bool(getattr(options, "json", False))
        self._link = Link(socket_of(options))

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *exception: object) -> None:
        self._link.__exit__(*exception)

    def ask(self, method: str, target: str, body: Any = None) -> Any:
        """The decoded answer of the daemon; what it refuses ends the command with its reason."""
        return self._link.ask(method, target, body)

    def fail(self, text: str) -> NoReturn:
        """End the command with a sentence."""
        raise CommandError(text, FAILED)

    @property
    def is_terminal(self) -> bool:
        return screen.is_terminal()

    def say(self, text: str = "") -> None:
        """Lines as they are; the caller's own, for nothing in them is escaped."""
        screen.say(text)

    def say_json(self, value: Any) -> None:
        screen.say_json(value)

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and values in two columns; empty values are left out."""
        screen.fields([(name, screen.clean(value)) for name, value in pairs])

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
        """Aligned columns; those named in ``right`` hold numbers, the last one gives way where room is short."""
        made = screen.table(*columns, right=right, wrapped=columns[-1:])
        for row in rows:
            made.add_row(*map(screen.word, row))
        screen.show(made)
