"""TCP ports for what is to listen later, or never."""

import socket


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens, and that nobody but who is told of it comes to use.

    The socket stays bound until the process ends: without listening, so that a connection is refused, and with
    SO_REUSEADDR, so that a server that sets it as well may listen there (socket(7)). The kernel gives a port that is
    bound to nobody who asks for any.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    port = int(sock.getsockname()[1])
    sock.detach()
    return port
