"""Listening sockets: made, adopted, and taken down again without touching what is not ours."""

import errno
import os
import resource
import socket
import stat
from pathlib import Path

from stentor.errors import StentorError

# What the kernel keeps of connections not yet accepted. 500 clients that connect at once must all get in;
# with a short queue they back off by seconds (TCP) or get EAGAIN (Unix). Capped by net.core.somaxconn.
BACKLOG = 1024

# sun_path holds 108 octets with the final NUL (unix(7)).
_UNIX_PATH_LIMIT = 107


class ListenError(StentorError):
    """A listener cannot be had; the text names its address, the reason and what to do."""


class Listener:
    """A listening socket. Closing it removes the path it was bound to, if that is ours and still the same."""

    __slots__ = ("_identity", "name", "sock")

    def __init__(self, sock: socket.socket, *, owns_path: bool = False) -> None:
        self.sock = sock
        self.name = _name(sock)
        """``unix:PATH`` or ``tcp:HOST:PORT``, for the ready line and status."""
        self._identity = _identify(sock.getsockname()) if owns_path else None

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        """Stop listening. What is connected stays so."""
        if self._identity is not None:
            path = self.sock.getsockname()
            if _identify(path) == self._identity:
                os.unlink(path)
            self._identity = None
        self.sock.close()


def allow_descriptors(count: int) -> int:
    """Raise the soft limit of open descriptors so far, as far as the hard one lets us; returns what it is now.

    Where descriptors run out, no connection is taken, and a flood from the network would shut local clients out.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        soft = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return count if soft == resource.RLIM_INFINITY else soft


def listen_unix(path: str | Path, mode: int = 0o660) -> Listener:
    """Listen on a Unix socket at ``path`` with the permissions ``mode``.

    A socket nobody answers on, left by a crash, is replaced. Raises ListenError if ``path`` is anything else,
    if a live server answers there, or if the directory does not let us.
    """
    name = os.fspath(path)
    if len(os.fsencode(name)) > _UNIX_PATH_LIMIT:
        raise ListenError(f"{name}: a socket's path may have {_UNIX_PATH_LIMIT} octets")
    _clear_stale(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(name)
        # Before listen() nobody can connect, so there is no moment with the umask's permissions.
        os.chmod(name, mode)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"{name}: {error.strerror}") from error
    return Listener(listener, owns_path=True)


def _clear_stale(name: str) -> None:
    try:
        found = os.lstat(name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ListenError(f"{name}: {error.strerror}") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(f"{name} is there and is not a socket; it is not removed")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        code = probe.connect_ex(name)
    if code in (0, errno.EAGAIN):  # EAGAIN: there is a server, and its queue is full
        raise ListenError(f"{name}: a server answers there already")
    if code not in (errno.ECONNREFUSED, errno.ENOENT):
        raise ListenError(f"{name}: {os.strerror(code)}")
    try:
        os.unlink(name)
    except FileNotFoundError:
        pass  # somebody else cleared it: all the same
    except OSError as error:
        raise ListenError(f"{name}: {error.strerror}") from error


def listen_tcp(host: str, port: int) -> Listener:
    """Listen on one numeric address (IPv4 or IPv6); port 0 takes a free one. Raises ListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ListenError(f"{host} port {port}: {reason}") from error
    return Listener(listener)


def adopt_listener(fd: int) -> Listener:
    """Take over a listening stream socket by its descriptor, as systemd passes them (sd_listen_fds(3)).

    Its path is the giver's and is left alone. Raises ListenError, and then leaves the descriptor open.
    """
    try:
        listener = socket.socket(fileno=fd)
    except OSError as error:
        raise ListenError(f"descriptor {fd}: {error.strerror}") from error
    is_stream = listener.type == socket.SOCK_STREAM
    if not is_stream or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()
        raise ListenError(f"descriptor {fd} is not a listening stream socket")
    listener.setblocking(False)
    listener.set_inheritable(False)
    return Listener(listener)


def _name(sock: socket.socket) -> str:
    address = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{address if isinstance(address, str) else os.fsdecode(address)}"
    host = f"[{address[0]}]" if sock.family == socket.AF_INET6 else address[0]
    return f"tcp:{host}:{address[1]}"


def _identify(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
