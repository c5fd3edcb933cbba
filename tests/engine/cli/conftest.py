"""A daemon of a few lines on a Unix socket, for the commands that talk to one."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import msgspec
import pytest

Answer = tuple[int, Any]


class FakeDaemon:
    """Answers what ``answers`` holds by "METHOD /path", a list being one answer after the other, its last
    for ever.

    ``requests`` are (method, target, headers, decoded body) in order.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Any] = {}
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        self.requests.append((method, target, headers, msgspec.json.decode(body) if body else None))
        found = self.answers.get(f"{method} {target.partition('?')[0]}")
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if callable(found):
            found = found(target)
        if found is None:
            problem = {
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": "there is no such thing",
            }
            return 404, problem
        return found if isinstance(found, tuple) else (200, found)


def _handler(daemon: FakeDaemon) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, value = daemon.answer(self.command, self.path, headers, body)
            octets = value if isinstance(value, bytes) else msgspec.json.encode(value)
            is_stream = isinstance(value, bytes) and value.startswith(b"id:")
            self.send_response(status)
            self.send_header("Content-Type", "text/event-stream" if is_stream else "application/json")
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, format: str, *values: object) -> None:
            pass

        def address_string(self) -> str:
            return "unix"

    return Handler


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def daemon(socket_dir: Path) -> Iterator[FakeDaemon]:
    """A fake daemon that listens."""
    fake = FakeDaemon(socket_dir / "s")
    with _Server(str(fake.path), _handler(fake)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


Run = Callable[..., "Result"]


class Result(msgspec.Struct, frozen=True):
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``stentor`` in this process."""
    from stentor.cli import main

    monkeypatch.delenv("STENTOR_SOCKET", raising=False)

    def run_command(*argv: str) -> Result:
        try:
            code = main(argv)
        except SystemExit as exit:
            code = int(exit.code or 0)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run_command
