"""HTTP in memory: a driver is brought requests and makes some, as by the engine."""

from collections.abc import Callable

import pytest

from stentor.clock import ManualClock
from stentor.driver import Host, HTTPExchange
from stentor.testing.conformance import Subject
from stentor.testing.host import MemoryHost
from stentor.testing.visit import Visit
from stentor.testing.world import World, play
from tests.engine.testing.line_driver import SPEC
from tests.engine.testing.line_peer import LinePeer


def served(handler: Callable[[HTTPExchange], None], prefix: str = "/in", body_limit: int = 10) -> MemoryHost:
    host = MemoryHost(ManualClock())
    as_driver: Host = host
    as_driver.serve(prefix, handler, body_limit)
    return host


def echo(exchange: HTTPExchange) -> None:
    head = exchange.head
    said = f"{head.method} {head.path} {head.query} {head.headers.get('x-name')} {exchange.address} ".encode()
    exchange.respond(201, said + exchange.body, "text/plain", [("X-Said", "yes")])


def test_a_request_is_brought_to_the_handler_and_its_response_shown() -> None:
    visit = served(echo).ask("POST", "/in/a?b=c", b"body", {"X-Name": "n"}, "192.0.2.7:1")
    assert (visit.status, visit.sent) == (201, b"POST /in/a b=c n 192.0.2.7:1 body")
    assert (visit.content_type, visit.fields) == ("text/plain", {"x-said": "yes"})
    assert visit.is_complete
    assert visit.is_closed


@pytest.mark.parametrize(
    ("target", "body", "status"),
    [("/inn", b"", 404), ("/", b"", 404), ("/in", b"x" * 11, 413), ("/in", b"x" * 10, 201)],
)
def test_what_the_server_answers_by_itself_does_not_reach_the_driver(
    target: str, body: bytes, status: int
) -> None:
    host = served(echo)
    assert host.ask("GET", target, body).status == status
    assert len(host.visits) == (status == 201)


def test_the_longest_prefix_wins() -> None:
    host = served(lambda exchange: exchange.respond(200, b"short"))
    host.serve("/in/deep", lambda exchange: exchange.respond(200, b"long"))
    assert host.ask("GET", "/in/deep/er").sent == b"long"
    assert host.ask("GET", "/in//deep").sent == b"short"


def test_a_response_may_be_streamed_and_ends_when_the_server_drains() -> None:
    def stream(exchange: HTTPExchange) -> None:
        exchange.start(200, "text/event-stream")
        exchange.send(b"one")
        exchange.on_drain = exchange.end

    visit = served(stream).ask("GET", "/in")
    assert (visit.pieces, visit.is_closed) == ([b"one"], False)
    visit.drain()
    assert visit.is_complete


def test_a_client_that_goes_is_told_of_once_and_then_nothing_has_effect() -> None:
    closed: list[str] = []

    def hold(exchange: HTTPExchange) -> None:
        exchange.on_close = lambda: closed.append("gone")

    visit = served(hold).ask("GET", "/in")
    visit.leave()
    visit.leave()
    visit.respond(200, b"late")
    visit.drain()
    assert (closed, visit.status, visit.sent, visit.is_complete) == (["gone"], 0, b"", False)


def test_breaking_off_shows() -> None:
    visit = served(lambda exchange: exchange.drop()).ask("GET", "/in")
    assert (visit.is_dropped, visit.is_closed, visit.is_complete) == (True, True, False)


def test_a_request_has_one_response() -> None:
    visit = Visit("GET", "/", b"", {})
    visit.start(200, "text/plain")
    with pytest.raises(AssertionError, match="one response"):
        visit.respond(200, b"")
    unstarted = Visit("GET", "/", b"", {})
    with pytest.raises(AssertionError, match="started before"):
        unstarted.send(b"x")


def test_a_handler_that_raises_breaks_the_contract() -> None:
    def fail(exchange: HTTPExchange) -> None:
        raise ValueError("boom")

    host = served(fail)
    host.ask("GET", "/in")
    with pytest.raises(AssertionError, match="handler of GET /in raised ValueError"):
        host.verify()


def test_requests_to_the_api_are_answered_by_the_test_at_once_or_later() -> None:
    host = MemoryHost(ManualClock())
    told: list[tuple[int, bytes]] = []
    host.request("GET", "/v1/a", b"", lambda status, body: told.append((status, body)), account="shop")
    (request,) = host.requests
    assert (request.method, request.target, request.account, told) == ("GET", "/v1/a", "shop", [])
    request.answer(404, b"{}")
    host.api = lambda request: (200, request.body)
    host.request("POST", "/v1/b", b"x", lambda status, body: told.append((status, body)), [("A", "b")])
    assert told == [(404, b"{}"), (200, b"x")]
    assert host.requests[1].fields == (("A", "b"),)
    with pytest.raises(AssertionError):
        request.answer(200)


def test_nothing_is_served_asked_or_kept_after_the_end() -> None:
    host = served(echo)
    host.keep("n", b"v")
    host.end()
    host.serve("/late", echo)
    host.request("GET", "/", b"", lambda status, body: None)
    host.keep("late", b"")
    assert (host.served.keys(), host.requests, host.kept()) == ({"/in"}, [], {"n": b"v"})
    assert len(host.breaches) == 3


def test_a_prefix_or_value_that_the_engine_would_not_take_breaks_the_contract() -> None:
    host = MemoryHost(ManualClock())
    host.serve("in/", echo)
    host.keep("n", b"x" * 65_537)
    host.keep("", b"")
    assert len(host.breaches) == 3


def test_what_is_kept_outlives_an_incarnation_in_a_world() -> None:
    async def scene(world: World) -> None:
        await world.ready()
        world.host.keep("token", b"1")
        world.host.keep("gone", b"2")
        world.host.keep("gone", None)
        await world.finish()
        world.begin()
        assert world.host.kept() == world.memory == {"token": b"1"}
        await world.ready()

    play(Subject(spec=SPEC, peer=LinePeer, table={"host": "tell.test", "name": "stentor"}), scene)
