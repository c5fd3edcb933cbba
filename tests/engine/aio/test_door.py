"""What drivers serve over HTTP: whose a path is, and what becomes of requests when their driver ends."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from stentor.aio.door import Desk, Door
from stentor.driver import HTTPExchange
from stentor.errors import ConfigError
from stentor.testing.host import MemoryLog
from tests.engine.api.api_world import Connection, Response, World, run

OF_THE_API = ("/v1", "/v1/receipts", "/healthz", "/readyz", "/readyz/x", "/metrics", "/openapi.json")


class Stage:
    """A door in the API of a world, and what handlers were given."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.door = Door(world.app)
        self.log = MemoryLog()
        self.taken: asyncio.Queue[HTTPExchange] = asyncio.Queue()

    def open(self, channel: str = "alpha") -> Desk:
        return self.door.open(channel, self.log)

    async def begin(self, method: str, target: str, body: bytes = b"", *, tcp: bool = True) -> Connection:
        connection = await self.world.connect(tcp=tcp)
        await connection.send(method, target, body)
        return connection

    async def ask(self, method: str, target: str, body: bytes = b"") -> Response:
        return await (await self.begin(method, target, body)).response()


def play(scene: Callable[[Stage], Awaitable[None]], folder: Path) -> None:
    run(lambda world: scene(Stage(world)), folder)


def echo(exchange: HTTPExchange) -> None:
    head = exchange.head
    answer = f"{head.method} {head.path} {head.query} {head.headers['host']} ".encode()
    exchange.respond(200, answer + exchange.body, "text/plain", [("X-Said", "yes")])


def word(said: bytes) -> Callable[[HTTPExchange], None]:
    return lambda exchange: exchange.respond(200, said)


def test_a_driver_gets_every_request_to_its_prefix_and_below_over_tcp_and_the_unix_socket(socket_dir) -> None:
    async def scene(stage: Stage) -> None:
        stage.open().serve("/in/alpha", echo, 100)
        answer = await stage.ask("PUT", "/in/alpha", b"body")
        assert (answer.status, answer.body) == (200, b"PUT /in/alpha  x body")
        assert (answer.fields["content-type"], answer.fields["x-said"]) == ("text/plain", "yes")
        assert (
            await stage.ask("GET", "/in/alpha//a%20b/?q=%20&r")
        ).body == b"GET /in/alpha//a%20b/ q=%20&r x "
        over_unix = await stage.begin("GET", "/in/alpha/x", tcp=False)
        assert (await over_unix.response()).body == b"GET /in/alpha/x  x "
        assert (await stage.ask("GET", "/in/alphabet")).status == 404
        assert (await stage.ask("GET", "/in")).status == 404

    play(scene, socket_dir)


def test_the_address_of_a_client_is_known_over_tcp(socket_dir) -> None:
    async def scene(stage: Stage) -> None:
        stage.open().serve("/in", lambda exchange: exchange.respond(200, exchange.address.encode()), 0)
        connection = await stage.begin("GET", "/in")
        host, port = connection.writer.get_extra_info("sockname")[:2]
        assert (await connection.response()).body == f"{host}:{port}".encode()

    play(scene, socket_dir)


def test_the_longest_prefix_wins_whoever_serves_it(socket_dir) -> None:
    async def scene(stage: Stage) -> None:
        alpha = stage.open()
        alpha.serve("/in", word(b"short"), 0)
        alpha.serve("/mobile/v1", word(b"mobile"), 0)
        stage.open("beta").serve("/in/beta", word(b"long"), 0)
        for path, said in (("/in/x", b"short"), ("/in/beta/x", b"long"), ("/mobile/v1/a", b"mobile")):
            assert (await stage.ask("GET", path)).body == said

    play(scene, socket_dir)


def test_a_body_beyond_its_limit_is_refused_declared_or_chunked(socket_dir) -> None:
    async def scene(stage: Stage) -> None:
        stage.open().serve("/in", echo, 10)
        assert (await stage.ask("POST", "/in", b"x" * 10)).status == 200
        refused = await stage.ask("POST", "/in", b"x" * 11)
        assert (refused.status, refused.json["code"]) == (413, "body_too_large")
        connection = await stage.world.connect(tcp=True)
        await connection.begin("/in", {})
        await connection.chunk(b"x" * 6)
        await connection.chunk(b"x" * 6)
        assert (await connection.response()).status == 413

    play(scene, socket_dir)


def test_what_a_handler_raises_is_logged_and_answered_and_ends_there(socket_dir) -> None:
    def fail(exchange: HTTPExchange) -> None:
        raise ValueError("boom")

    def fail_later(exchange: HTTPExchange) -> None:
        exchange.start(200, "text/plain")
        fail(exchange)

    async def scene(stage: Stage) -> None:
        desk = stage.open()
        desk.serve("/fail", fail, 0)
        desk.serve("/later", fail_later, 0)
        answer = await stage.ask("GET", "/fail")
        assert (answer.status, answer.json["code"]) == (500, "internal_error")
        assert b"boom" not in answer.body
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await stage.ask("GET", "/later")
        assert [line.values["error"] for line in stage.log.lines] == ["ValueError('boom')"] * 2

    play(scene, socket_dir)


def test_between_incarnations_a_path_answers_503_and_no_client_waits_for_the_one_before(socket_dir) -> None:
    closed: list[str] = []

    async def scene(stage: Stage) -> None:
        def hold(exchange: HTTPExchange) -> None:
            exchange.on_close = lambda: closed.append("told")
            stage.taken.put_nowait(exchange)

        def stream(exchange: HTTPExchange) -> None:
            exchange.start(200, "text/event-stream")
            exchange.send(b"data: 1\n\n")
            hold(exchange)

        desk = stage.open()
        desk.serve("/in", hold, 100)
        desk.serve("/events", stream, 0)
        held, streamed = await stage.begin("GET", "/in"), await stage.begin("GET", "/events")
        coming = await stage.world.connect(tcp=True)
        await coming.begin("/in", {})
        await coming.chunk(b"some")
        exchanges = [await stage.taken.get(), await stage.taken.get()]
        await streamed.head()
        assert await streamed.piece() == b"data: 1\n\n"
        desk.close()
        assert all(exchange.is_closed for exchange in exchanges)
        answer = await held.response()
        assert (answer.status, answer.fields["retry-after"]) == (503, "10")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await streamed.piece()
        coming.writer.write(b"0\r\n\r\n")
        assert (await coming.response()).status == 503
        assert (await stage.ask("GET", "/in")).json["code"] == "not_running"
        exchanges[0].respond(200, b"too late")
        assert not closed

        stage.open().serve("/in", word(b"next"), 0)
        assert (await stage.ask("GET", "/in")).body == b"next"

    play(scene, socket_dir)


def test_what_an_incarnation_does_not_serve_again_is_forgotten_when_it_ends(socket_dir) -> None:
    async def scene(stage: Stage) -> None:
        first = stage.open()
        first.serve("/old", echo, 0)
        first.serve("/new", echo, 0)
        first.close()
        second = stage.open()
        second.serve("/new", echo, 0)
        assert (await stage.ask("GET", "/old")).status == 503
        second.close()
        assert (await stage.ask("GET", "/old")).status == 404
        assert (await stage.ask("GET", "/new")).status == 503

    play(scene, socket_dir)


def test_where_a_channel_was_there_is_nothing_when_it_is_removed(socket_dir) -> None:
    async def scene(stage: Stage) -> None:
        desk = stage.open()
        desk.serve("/in", echo, 0)
        desk.close()
        stage.door.forget("alpha")
        assert (await stage.world.call("GET", "/in")).status == 404
        assert (await stage.ask("GET", "/in")).status == 404

    play(scene, socket_dir)


def test_two_channels_cannot_serve_one_prefix(socket_dir) -> None:
    async def scene(stage: Stage) -> None:
        alpha, beta = stage.open(), stage.open("beta")
        alpha.serve("/in", word(b"a"), 0)
        wanted = (
            r"channels\.beta: HTTP requests to /in are for the channel alpha already, beta wants them too"
        )
        with pytest.raises(ConfigError, match=wanted):
            beta.serve("/in", word(b"b"), 0)
        alpha.serve("/in", word(b"anew"), 0)
        assert (await stage.ask("GET", "/in")).body == b"anew"
        alpha.close()
        with pytest.raises(ConfigError):
            beta.serve("/in", word(b"b"), 0)
        stage.door.loosen("alpha")
        beta.serve("/in", word(b"b"), 0)
        with pytest.raises(ConfigError, match="channel beta already, alpha wants"):
            stage.open().serve("/in", word(b"a"), 0)
        assert (await stage.ask("GET", "/in")).body == b"b"

    play(scene, socket_dir)


@pytest.mark.parametrize(
    "prefix",
    [
        "/v1",
        "/v1/receipts",
        "/healthz",
        "/readyz",
        "/readyz/x",
        "/metrics",
        "/openapi.json",
        "/",
        "in",
        "/in/",
        "/in//x",
        "/in?x",
        "/ïn",
        "*",
    ],
)
def test_no_driver_serves_paths_of_the_api_or_what_is_no_path(prefix: str, socket_dir) -> None:
    async def scene(stage: Stage) -> None:
        with pytest.raises(ConfigError, match=r"^channels\.alpha: "):
            stage.open().serve(prefix, echo, 0)
        assert (await stage.ask("GET", "/healthz")).status == 200

    play(scene, socket_dir)


def test_dozens_of_streams_are_open_at_once_and_end_when_their_channel_drains(socket_dir) -> None:
    streams: list[HTTPExchange] = []

    def stream(exchange: HTTPExchange) -> None:
        exchange.start(200, "text/event-stream")
        exchange.on_drain = exchange.end
        streams.append(exchange)

    async def scene(stage: Stage) -> None:
        desk = stage.open()
        desk.serve("/events", stream, 0)
        clients = [await stage.begin("GET", "/events") for _ in range(50)]
        for client in clients:
            assert (await client.head())[0] == 200
        for exchange in streams:
            exchange.send(b": one\n\n")
        for client in clients:
            assert await client.piece() == b": one\n\n"
        assert sum(stage.world.server.statistics().connections.values()) == 50
        desk.drain()
        for client in clients:
            assert await client.piece() == b""
        assert all(exchange.is_closed for exchange in streams)

    play(scene, socket_dir)


def test_requests_that_are_over_are_let_go_of(socket_dir) -> None:
    async def scene(stage: Stage) -> None:
        desk = stage.open()
        desk.serve("/in", stage.taken.put_nowait, 0)
        connection = await stage.world.connect(tcp=True)
        for _ in range(300):
            await connection.send("GET", "/in")
            (await stage.taken.get()).respond(200, b"")
            await connection.response()
        assert len(desk._open) <= 64

    play(scene, socket_dir)
