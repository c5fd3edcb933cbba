"""A receiver of webhooks on loopback: a thread that answers as it is told, and holds what it was sent to the scheme."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import msgspec
from standardwebhooks import Webhook

from tests.support.waiting import eventually

Answer = tuple[int, dict[str, str], bytes]


class Hit(NamedTuple):
    """One request. ``event`` is its body, ``fields`` its head in lower case."""

    path: str
    fields: dict[str, str]
    body: bytes
    event: Any


class Receiver:
    """``answer`` is asked what each request is answered; None closes the connection without a word."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.answer: Callable[[Hit], Answer | None] = lambda hit: (200, {}, b"ok")
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                fields = {name.lower(): value for name, value in self.headers.items()}
                hit = Hit(self.path, fields, body, msgspec.json.decode(body))
                answer = receiver.answer(hit)
                receiver.hits.append(hit)
                if answer is None:
                    self.close_connection = True
                    return
                status, extra, content = answer
                self.send_response(status)
                for name, value in {"content-length": str(len(content)), **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, id: str) -> list[str]:
        """The types of the events of one message, as they came."""
        return [
            hit.event["type"] for hit in list(self.hits) if (hit.event.get("message") or {}).get("id") == id
        ]

    def until(self, id: str, *types: str) -> None:
        """Wait until a message's events have come, exactly these in this order but for repetitions."""
        eventually(lambda: tuple(dict.fromkeys(self.of(id))) == types, what=f"{types} of {id}: {self.of(id)}")

    def verify(self, *secrets: str) -> None:
        """Every request so far is signed with every one of the secrets, and fresh."""
        for hit in self.hits:
            for secret in secrets:
                assert Webhook(secret).verify(hit.body, hit.fields) == hit.event

    def doubles(self) -> list[str]:
        counted = Counter(hit.fields["webhook-id"] for hit in self.hits)
        return [name for name, count in counted.items() if count > 1]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
