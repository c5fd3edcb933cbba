"""A whole API on the real server, an engine in memory, and a client that holds it to its description."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from stentor.aio.server.listeners import listen_tcp, listen_unix
from stentor.aio.server.server import Server
from stentor.api.app import App
from stentor.api.credentials import Access
from stentor.routing.routes import ChannelDefaults, RouteTable, Rule
from tests.engine.api.fake_engine import FakeEngine
from tests.engine.api.fake_webhooks import webhooks

RULES = (Rule(("alpha", "beta"), ("+4",)), Rule(("beta",), ("+36", "+1"), "Beta"))
CHANNELS = {"alpha": ChannelDefaults("Alpha"), "beta": ChannelDefaults("", 3600)}


class Response(msgspec.Struct):
    """``fields`` has names in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def lines(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in self.body.splitlines()]


class World:
    """The engine, the application, the server, and where it listens."""

    def __init__(self, path: str, port: int, engine: FakeEngine, app: App, server: Server) -> None:
        self.path = path
        self.port = port
        self.engine = engine
        self.app = app
        self.server = server
        self.connections: list[Connection] = []
        self.faults: list[Mapping[str, Any]] = []
        self.description: Any = {}

    async def call(
        self,
        method: str,
        target: str,
        body: bytes | object = b"",
        fields: Mapping[str, str] | None = None,
        *,
        tcp: bool = False,
    ) -> Response:
        """One exchange on a connection of its own, held to the description of the API."""
        octets = body if isinstance(body, bytes) else msgspec.json.encode(body)
        connection = await self.connect(tcp=tcp)
        await connection.send(method, target, octets, fields)
        response = await connection.response()
        connection.close()
        self.check(method, target, response)
        return response

    async def connect(self, *, tcp: bool = False) -> "Connection":
        opening: Awaitable[Any]
        if tcp:
            opening = asyncio.open_connection("127.0.0.1", self.port)
        else:
            opening = asyncio.open_unix_connection(self.path, limit=1 << 26)
        connection = Connection(*await opening)
        self.connections.append(connection)
        return connection

    def check(self, method: str, target: str, response: Response) -> None:
        """The answer is one the description knows, of a type it names, with the members it requires."""
        assert not self.faults, self.faults
        operation = self._operation(method, target.partition("?")[0])
        if operation is None:
            assert response.status in (401, 403, 404, 405), response
            return
        described = operation["responses"].get(str(response.status))
        assert described is not None, (
            f"{response.status} is not described for {method} {target}: {response.body!r}"
        )
        content_type = response.fields["content-type"]
        assert content_type in described["content"], content_type
        for name in described.get("headers", {}):
            assert name.lower() in response.fields, name
        if "json" in content_type and "ndjson" not in content_type:
            self._match(described["content"][content_type]["schema"], response.json)

    def _operation(self, method: str, path: str) -> Any:
        for template, operations in self.description["paths"].items():
            pairs = list(zip(template.split("/"), path.split("/"), strict=False))
            same_length = template.count("/") == path.count("/")
            if same_length and all(want == got or want.startswith("{") for want, got in pairs):
                return operations.get(method.lower())
        return None

    def _match(self, schema: Any, value: Any) -> None:
        if "$ref" in schema:
            schema = self.description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        if "anyOf" in schema:
            assert any(self._matches(option, value) for option in schema["anyOf"]), (schema, value)
            return
        if "enum" in schema:
            assert value in schema["enum"], (schema["enum"], value)
        kinds = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}
        kind = kinds.get(schema.get("type", ""))
        assert kind is None or isinstance(value, kind), (schema, value)
        if isinstance(value, dict):
            properties = schema.get("properties", {})
            for name in schema.get("required", ()):
                assert name in value, (name, value)
            if properties:
                assert set(value) <= set(properties), (set(value) - set(properties), schema)
            for name, member in value.items():
                if name in properties:
                    self._match(properties[name], member)
        elif isinstance(value, list) and isinstance(schema.get("items"), dict):
            for item in value:
                self._match(schema["items"], item)

    def _matches(self, schema: Any, value: Any) -> bool:
        try:
            self._match(schema, value)
        except AssertionError:
            return False
        return True


class Connection:
    """A raw client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(
        self, method: str, target: str, body: bytes = b"", fields: Mapping[str, str] | None = None
    ) -> None:
        default = {"content-type": "application/json"} if body else {}
        head = f"{method} {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in {**default, **(fields or {})}.items())
        self.writer.write(head.encode("latin-1") + b"\r\n" + body)
        await self.writer.drain()

    async def begin(self, target: str, fields: Mapping[str, str]) -> None:
        """Begin a chunked POST."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(
            f"POST {target} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n{lines}\r\n".encode()
        )
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:-2])
        return int(lines[0].split(" ")[1]), {name.lower(): value for name, value in fields.items()}

    async def piece(self) -> bytes:
        """One chunk of a streamed response; empty at its end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def response(self) -> Response:
        status, fields = await self.head()
        if "content-length" in fields:
            return Response(status, fields, await self.reader.readexactly(int(fields["content-length"])))
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return Response(status, fields, b"".join(pieces))

    def close(self) -> None:
        self.writer.close()


@contextlib.asynccontextmanager
async def world(folder: Path, access: Access | None = None) -> AsyncIterator[World]:
    """The API with two channels on a Unix socket and on TCP."""
    engine = FakeEngine()
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def spawn(name: str, work: Any) -> asyncio.Task[None]:
        task = loop.create_task(work, name=name)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    engine.webhooks = webhooks(engine, spawn)
    engine.webhooks.start(())
    app = App(
        engine,
        RouteTable(RULES, CHANNELS),
        access or Access(own_uid=os.getuid()),
        lambda uid: frozenset(),
        172_800,
        reference_start=7,
        spawn=spawn,
    )
    server = Server(app)
    path = str(folder / "api")
    tcp = listen_tcp("127.0.0.1", 0)
    server.start(listen_unix(path), tcp)
    made = World(path, tcp.sock.getsockname()[1], engine, app, server)
    loop.set_exception_handler(lambda _, context: made.faults.append(context))
    made.description = msgspec.json.decode(app.description)
    try:
        yield made
    finally:
        for connection in made.connections:
            connection.writer.transport.abort()
        await server.close(0)
        for task in list(tasks):
            task.cancel()
        assert not made.faults, made.faults


def run(test: Callable[[World], Awaitable[None]], folder: Path, access: Access | None = None) -> None:
    """Run a test in a world of its own, for ten seconds at most."""

    async def bounded() -> None:
        async with asyncio.timeout(60), world(folder, access) as made:
            await test(made)

    asyncio.run(bounded())
