"""What a service says to systemd and gets from it: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).

Without systemd every word is a no-op, so that nothing else in the daemon asks whether it has a manager.
"""

import os
import socket
import time
from collections.abc import Mapping

import msgspec

from stentor.errors import ConfigError

_FIRST_LISTEN_FD = 3  # SD_LISTEN_FDS_START
_WATCHDOG_SHARE = 3  # three chances to say "alive" in each period, so that one slow moment is not a death


class Notifier:
    """The daemon's side of the notification socket.

    ``watchdog_interval_s`` is how often ``watchdog`` must be called, or None when nobody listens for it.
    Raises ConfigError for an environment that no manager would set.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.watchdog_interval_s = _watchdog_interval_s(environ)
        self._socket = _connect(environ.get("NOTIFY_SOCKET", ""))

    def ready(self) -> None:
        """Work can be taken; also the end of a reload."""
        self._say("READY=1")

    def reloading(self) -> None:
        """A reload begins; ``ready`` ends it. Managers from version 253 on insist on the time."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say(f"RELOADING=1\nMONOTONIC_USEC={now_us}")

    def stopping(self) -> None:
        """The shutdown has begun."""
        self._say("STOPPING=1")

    def extend_timeout(self, us: int) -> bool:
        """Ask for ``us`` microseconds from now on before start, stop or watchdog counts as failed. False when it was
        not delivered now: it is asked for again and again."""
        return self._say_nowait(f"EXTEND_TIMEOUT_USEC={us}")

    def watchdog(self) -> bool:
        """Say "alive". False when it was not delivered now: the next interval says it again."""
        return self._say_nowait("WATCHDOG=1")

    def status(self, text: str) -> bool:
        """Show one line in ``systemctl status``. False when it was not delivered now."""
        return self._say_nowait("STATUS=" + " ".join(text.split()))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, state: str) -> None:
        # Blocks while the manager's buffer is full: it waits for these words, so they must not be lost.
        if self._socket is not None:
            self._socket.send(state.encode())

    def _say_nowait(self, state: str) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.send(state.encode(), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True


class Listener(msgspec.Struct, frozen=True, gc=False):
    """A socket the manager opened for us: ``name`` is its FileDescriptorName=, ``fd`` its descriptor."""

    name: str
    fd: int


def listen_fds(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> list[Listener]:
    """The sockets handed over by socket activation, not inheritable; empty if none are for process ``pid``.

    Raises ConfigError for numbers that are none, OSError (EBADF) for a descriptor that is not open.
    """
    if environ.get("LISTEN_PID", "") != str(os.getpid() if pid is None else pid):
        return []
    count = _number(environ, "LISTEN_FDS")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += ["unknown"] * (count - len(names))
    listeners = [Listener(name or "unknown", _FIRST_LISTEN_FD + i) for i, name in enumerate(names[:count])]
    for listener in listeners:
        os.set_inheritable(listener.fd, False)
    return listeners


def _watchdog_interval_s(environ: Mapping[str, str]) -> float | None:
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    period_us = _number(environ, "WATCHDOG_USEC")
    return period_us / 1e6 / _WATCHDOG_SHARE if period_us else None


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "0")
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(name, f"{text!r} is not a number")
    return int(text)


def _connect(address: str) -> socket.socket | None:
    if not address:
        return None
    if address[0] not in "/@":
        raise ConfigError("NOTIFY_SOCKET", f"{address!r} is neither a path nor an abstract name (@...)")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        notify.connect("\0" + address[1:] if address[0] == "@" else address)
    except OSError:
        notify.close()
        raise
    return notify
