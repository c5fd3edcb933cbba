"""The least server of the device protocol that simulated phones can be tried with, in the test's own process."""

import re
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from bench.peers.phone_fleet import Fleet
from bench.peers.phone_options import parse_options
from bench.peers.phones import Phones

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """Lists ``waiting`` by device until a report names the message; ``states`` are the latest by message; requests are
    counted by what they ask for and by who asks."""

    def __init__(self, listener: socket.socket, secured: ssl.SSLContext | None = None) -> None:
        self._listener = listener
        self._secured = secured
        self.devices: dict[str, str] = {}
        self.waiting: dict[str, dict[str, Any]] = {}
        self.states: dict[str, list[str]] = {}
        self.streams: list[tuple[str, trio.abc.Stream]] = []
        self.inbound: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.hooks: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        scheme = "http" if self._secured is None else "https"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    async def run(self) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listener))
        if self._secured is None:
            await trio.serve_listeners(self._serve, [listener])
        else:
            secured = trio.SSLListener(listener, self._secured, https_compatible=True)
            await trio.serve_listeners(self._serve, [secured])

    async def hint(self, name: str = "MessageEnqueued") -> None:
        text = f"event: {name}\ndata: null\n\n".encode()
        for _, stream in self.streams:
            await stream.send_all(b"%x\r\n%b\r\n" % (len(text), text))

    async def _serve(self, stream: trio.abc.Stream) -> None:
        data = b""
        try:
            while True:
                while (at := data.find(b"\r\n\r\n")) < 0:
                    more = await stream.receive_some(65536)
                    if not more:
                        return
                    data += more
                found = _LENGTH.search(data[:at])
                end = at + 4 + (int(found[1]) if found else 0)
                while len(data) < end:
                    data += await stream.receive_some(65536)
                head, body, data = data[:at].decode(), data[at + 4 : end], data[end:]
                method, target, _ = head.split(" ", 2)
                token = head.partition("Authorization: Bearer ")[2].partition("\r\n")[0]
                path = target.partition("?")[0]
                self.counts[f"{method} {path}"] += 1
                self.tokens[token] += 1
                if path == "/api/events" and token in self.devices:
                    await stream.send_all(_STREAM)
                    self.streams.append((self.devices[token], stream))
                    await stream.receive_some(1)
                    return
                status, answer = self._answer(method, path, token, body)
                length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(answer)
                await stream.send_all(b"HTTP/1.1 %d X\r\n%b\r\n%b" % (status, length, answer))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.streams = [each for each in self.streams if each[1] is not stream]
            await trio.aclose_forcefully(stream)

    def _answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, bytes]:
        if path == "/hook":
            self.inbound.append(msgspec.json.decode(body))
            return 200, b""
        if (method, path) == ("POST", "/api/device"):
            number = len(self.devices)
            self.devices[f"tk{number}"] = f"dv{number}"
            answer = {"id": f"dv{number}", "token": f"tk{number}", "login": "L"}
            return 201, msgspec.json.encode(answer)
        if token not in self.devices:
            return 401, b'{"message":"Unauthorized"}'
        match method, path:
            case "GET", "/api/message":
                mine = [each for each in self.waiting.values() if each["device"] == self.devices[token]]
                return 200, msgspec.json.encode(mine)
            case "PATCH", "/api/message":
                for report in msgspec.json.decode(body):
                    self.waiting.pop(report["id"], None)
                    self.states.setdefault(report["id"], []).append(report["state"])
                return 204, b""
            case "GET", "/api/webhooks":
                return 200, msgspec.json.encode(self.hooks)
            case "GET", "/api/settings":
                return 200, b"{}"
        return 204, b""


@asynccontextmanager
async def running(
    *options: str, secured: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Server, Phones]]:
    """A server and simulated phones with these options."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener, secured)
        phones = Phones(parse_options(["--url", server.url + "/api", "--token", "t", *options]), Fleet())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            nursery.start_soon(phones.run, lambda: None)
            yield server, phones
            nursery.cancel_scope.cancel()


def messages(server: Server, numbers: Sequence[int]) -> None:
    """A message for each number, to the devices in turn."""
    devices = sorted(server.devices.values())
    for number in numbers:
        server.waiting[f"m-{number}"] = {
            "id": f"m-{number}",
            "device": devices[number % len(devices)],
            "textMessage": {"text": f"text {number}"},
            "phoneNumbers": [f"+1555{number:07d}"],
        }
