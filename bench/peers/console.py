"""How a peer's process is talked to: signals, and commands as lines on its standard input."""

import os
import select
import signal
import stat
import sys
from collections.abc import Callable, Mapping

import trio


async def watch_signals(scope: trio.CancelScope) -> None:
    """SIGTERM and SIGINT cancel the scope."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()


def is_stdin_watched() -> bool:
    """A pipe or a terminal; /dev/null and files are at their end from the beginning and mean nothing."""
    mode = os.fstat(0).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(0)


async def watch_stdin(
    scope: trio.CancelScope, program: str, commands: Mapping[bytes, Callable[[], object]]
) -> None:
    """Do what lines say. The line ``quit`` and the end of the input cancel the scope."""
    rest = b""
    while True:
        await trio.lowlevel.wait_readable(0)
        if not select.select([0], [], [], 0)[0]:
            continue
        data = os.read(0, 4096)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            word = line.strip()
            if word == b"quit":
                scope.cancel()
            elif word in commands:
                commands[word]()
            else:
                print(f"{program}: {word.decode(errors='replace')!r} is no command", file=sys.stderr)
    scope.cancel()
