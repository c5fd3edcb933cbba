"""What a carrier's request refers to is fetched once, from public addresses, and nobody waits for it in vain."""

import asyncio
from pathlib import Path

import pytest

from stentor.driver import Inbound
from stentor.testing.world import Subject, World, play
from stentor.wire.calls import FailureKind, HTTPFailure, HTTPReply, HTTPRequest
from stentor_http import errands
from stentor_http.spec import SPEC
from tests.plugins.http.parcel_peer import DESCRIPTION, HOOKS, ManyLinks

CODE = """
def needs(head, body, settings):
    return head.headers.get("x-needs")


def check(head, body, settings, fetched, wall_ms):
    if head.headers.get("x-needs") is None:
        return None
    return {b"right": "", b"wrong": "signature"}[fetched]


def confirm(head, body):
    return head.headers.get("x-confirm")
"""
URL = "https://keys.test/one.pem"
MESSAGE = b'{"id": "m1", "from": "447700900123", "to": "60006", "text": "Yes"}'
TARGET = "/in/channel/mo?token=t0ken"


class Elsewhere:
    """Stands for the client: what it is asked for, and what it answers, in order; the last is repeated."""

    def __init__(self, *answers: HTTPReply | HTTPFailure) -> None:
        self.answers = list(answers)
        self.asked: list[HTTPRequest] = []
        self.closed = 0

    def __call__(self, settings: object, *, random: object) -> "Elsewhere":
        return self

    async def send(self, request: HTTPRequest) -> HTTPReply | HTTPFailure:
        self.asked.append(request)
        await asyncio.sleep(1.0)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def close(self, within_s: float) -> None:
        self.closed += 1


def reply(body: bytes, status: int = 200) -> HTTPReply:
    return HTTPReply(status, {}, body, 0.01, "192.0.2.1:443")


@pytest.fixture
def fetching(tmp_path: Path) -> Subject:
    """The parcel carrier, with code that has things fetched."""
    (tmp_path / "fetching.py").write_text(CODE)
    text = Path(DESCRIPTION).read_text().replace('name = "parcel"', 'name = "parcel"\ncode = "fetching.py"')
    (tmp_path / "parcel.toml").write_text(text)
    return Subject(spec=SPEC, peer=ManyLinks, table={"description": str(tmp_path / "parcel.toml"), **HOOKS})


def elsewhere(monkeypatch: pytest.MonkeyPatch, *answers: HTTPReply | HTTPFailure) -> Elsewhere:
    found = Elsewhere(*answers)
    monkeypatch.setattr(errands, "Client", found)
    return found


def ask(world: World, url: str = URL, **fields: str):
    return world.host.ask("POST", TARGET, MESSAGE, {"x-needs": url, **fields})


async def answered(world: World):
    """A request and its answer."""
    visit = ask(world)
    await world.until(lambda: visit.status, "an answer")
    return visit


def test_what_requests_refer_to_is_fetched_once(fetching: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    other = elsewhere(monkeypatch, reply(b"right"))

    async def scene(world: World) -> None:
        await world.ready()
        visits = [ask(world) for _ in range(3)]
        assert [visit.status for visit in visits] == [0, 0, 0]
        await world.until(lambda: visits[-1].status, "the answers")
        visits.append(ask(world))
        await world.until(lambda: visits[-1].status, "an answer")
        assert [visit.status for visit in visits] == [200] * 4
        assert [(request.method, request.url) for request in other.asked] == [("GET", URL)]
        assert len([item for item in world.host.items if isinstance(item, Inbound)]) == 1

    play(fetching, scene)
    assert other.closed == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"", 404),
        reply(b"", 302),
        HTTPFailure(FailureKind.NOTHING_LEFT, "no address", 0.1),
        HTTPFailure(FailureKind.FORBIDDEN, "loopback", 0.1),
    ],
)
def test_what_cannot_be_had_has_the_carrier_come_again(
    fetching: Subject, monkeypatch: pytest.MonkeyPatch, answer: HTTPReply | HTTPFailure
) -> None:
    """And is asked for again only after a while, however many want it."""
    other = elsewhere(monkeypatch, answer, reply(b"right"))

    async def scene(world: World) -> None:
        await world.ready()
        first = await answered(world)
        second = ask(world)
        assert [(visit.status, visit.fields["retry-after"]) for visit in (first, second)] == [(503, "5")] * 2
        assert len(other.asked) == 1
        assert "keys.test/one.pem could not be fetched" in str(world.driver.status().last_error)
        await asyncio.sleep(errands.FAILED_S)
        third = await answered(world)
        assert (third.status, len(other.asked)) == (200, 2)

    play(fetching, scene)


def test_what_is_not_what_it_should_be_is_not_kept(
    fetching: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = elsewhere(monkeypatch, reply(b"<html>busy</html>"), reply(b"right"))

    async def scene(world: World) -> None:
        await world.ready()
        first = await answered(world)
        assert first.status == 500
        await asyncio.sleep(errands.FAILED_S)
        second = await answered(world)
        assert (second.status, len(other.asked)) == (200, 2)

    play(fetching, scene)


def test_what_is_fetched_may_show_that_a_request_is_not_genuine(
    fetching: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, reply(b"wrong"))

    async def scene(world: World) -> None:
        await world.ready()
        visit = ask(world, **{"x-confirm": "https://keys.test/confirm"})
        await world.until(lambda: visit.status, "an answer")
        assert visit.status == 403
        assert world.driver.status().counters["errands"] == 1, "nothing is confirmed for a stranger"
        assert not world.host.items

    play(fetching, scene)


@pytest.mark.parametrize(("status", "wanted"), [(200, 200), (403, 503)])
def test_what_is_to_be_confirmed_is_before_it_is_answered(
    fetching: Subject, monkeypatch: pytest.MonkeyPatch, status: int, wanted: int
) -> None:
    other = elsewhere(monkeypatch, reply(b"", status))

    async def scene(world: World) -> None:
        await world.ready()
        visit = world.host.ask("POST", TARGET, MESSAGE, {"x-confirm": "https://keys.test/?Token=s3cret"})
        assert visit.status == 0
        await world.until(lambda: visit.status, "an answer")
        assert visit.status == wanted
        assert [request.url for request in other.asked] == ["https://keys.test/?Token=s3cret"]
        assert "s3cret" not in str(world.driver.status().last_error)

    play(fetching, scene)


def test_what_waits_is_bounded_and_told_at_the_end(
    fetching: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, reply(b"right"))

    async def scene(world: World) -> None:
        await world.ready()
        visits = [ask(world, f"https://keys.test/{number}") for number in range(errands.WAITING + 1)]
        assert [visit.status for visit in visits] == [0] * errands.WAITING + [503]
        await world.finish(drain_s=0.1)
        assert [visit.status for visit in visits] == [503] * len(visits)

    play(fetching, scene)


def test_what_was_had_is_not_forgotten_for_what_could_not(
    fetching: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = elsewhere(monkeypatch, reply(b"right"), reply(b"", 404))

    async def scene(world: World) -> None:
        await world.ready()
        await answered(world)
        for number in range(2 * errands.KEPT):
            visit = ask(world, f"https://keys.test/{number}")
            await world.until(lambda visit=visit: visit.status, "an answer")
        asked = len(other.asked)
        again = await answered(world)
        assert (again.status, len(other.asked)) == (200, asked)

    play(fetching, scene)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://keys.test/one.pem", "no https"),
        ("https://127.0.0.1/one.pem", "own"),
        ("https://169.254.169.254/latest", "link"),
        ("https://[::1]/one.pem", "own"),
    ],
)
def test_nothing_is_fetched_from_our_own_network(fetching: Subject, url: str, word: str) -> None:
    async def scene(world: World) -> None:
        await world.ready()
        visit = ask(world, url)
        await world.until(lambda: visit.status, "an answer")
        assert visit.status == 503
        assert word in str(world.driver.status().last_error)

    play(fetching, scene)
