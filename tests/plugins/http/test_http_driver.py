"""The HTTP driver's shell: batches, tokens, a carrier that cannot be reached, and what carriers bring."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from stentor.errors import ConfigError
from stentor.outcome import Deferred, Outcome, Refused, Sent
from stentor.testing.network import Reach
from stentor.testing.peer import Answer, Peer
from stentor.testing.world import Subject, World, play
from stentor_http.config import HTTPConfig, check
from stentor_http.driver import HTTPDriver
from stentor_http.spec import SPEC
from tests.plugins.http.parcel_peer import ADDRESS, DESCRIPTION, HOOKS, ManyLinks

CRATE = DESCRIPTION.replace("parcel.toml", "crate.toml")


def parcel(**table) -> Subject:
    return Subject(spec=SPEC, peer=ManyLinks, table={"description": DESCRIPTION, **table})


def config(**table) -> HTTPConfig:
    return msgspec.convert({"description": DESCRIPTION, "secret": "k", **table}, HTTPConfig)


# ---- the lane


def test_as_many_requests_are_under_way_as_the_channel_may_have():
    async def scene(world: World) -> None:
        world.peer.answer = Answer.HOLD
        await world.ready(3)
        world.submit(3)
        await world.until(lambda: len(world.peer.seen) == 3, "all on the wire")
        assert world.host.lanes["http"].window == 3
        assert world.host.lanes["http"].rate == 1000
        for seen in world.peer.held:
            world.peer.reply(seen, Answer.SENT)
        await world.resolved()

    play(parcel(concurrency=3), scene)


def test_what_cannot_leave_is_returned_and_the_lane_closes_until_the_carrier_is_there_again():
    async def scene(world: World) -> None:
        await world.ready()
        world.network.reach = Reach.REFUSED
        await asyncio.sleep(60)  # the connection of the first try has been closed as idle
        batch = world.submit()
        await world.resolved(batch)
        assert set(world.outcomes(batch)) == {"Returned"}
        assert not world.host.free
        status = world.driver.status()
        assert status.lanes[0].state != "up"
        assert status.last_error == "no connection to parcel.test:80: Connection refused"
        assert not world.peer.seen
        world.network.reach = Reach.OPEN
        await world.ready()
        again = world.submit(1)
        await world.resolved(again)
        assert world.outcomes(again) == ["Sent"]
        assert world.driver.status().lanes[0].state == "up"

    play(parcel(), scene)


def test_a_carrier_that_takes_fewer_connections_is_used_over_those_it_takes():
    async def scene(world: World) -> None:
        await world.ready(2)
        world.network.reach = Reach.REFUSED  # but for the connection there is
        for _ in range(5):
            batch = world.submit(2)
            await world.resolved(batch)
            assert "Sent" in world.outcomes(batch)
            assert world.driver.status().lanes[0].state == "up"
        assert len(world.network.links) == 1

    play(parcel(concurrency=2), scene)


def test_the_window_may_be_wider_than_what_is_under_way():
    async def scene(world: World) -> None:
        world.peer.answer = Answer.HOLD
        await world.ready(6)
        batch = world.submit(6)
        await world.until(lambda: len(world.peer.seen) == 2, "two on the wire")
        await asyncio.sleep(1.0)
        assert len(world.peer.seen) == 2
        world.peer.answer = Answer.SENT
        for seen in world.peer.held:
            world.peer.reply(seen, Answer.SENT)
        await world.resolved(batch)
        assert set(world.outcomes(batch)) == {"Sent"}

    play(parcel(concurrency=2, window=6), scene)


def test_what_waits_when_the_drain_begins_is_returned():
    async def scene(world: World) -> None:
        world.peer.answer = Answer.HOLD
        await world.ready(6)
        batch = world.submit(6)
        await world.until(lambda: len(world.peer.seen) == 2, "two on the wire")
        world.loop.call_later(1.0, lambda: [world.peer.reply(seen, Answer.SENT) for seen in world.peer.held])
        await world.finish(10.0)
        assert world.outcomes(batch) == ["Sent"] * 2 + ["Returned"] * 4

    play(parcel(concurrency=2, window=6), scene)


def test_answers_of_one_turn_are_told_in_one_call(monkeypatch):
    async def scene(world: World) -> None:
        world.peer.answer = Answer.HOLD
        await world.ready(4)
        calls: list[int] = []
        resolve = world.host.resolve

        def counted(outcomes: Sequence[Outcome]) -> None:
            calls.append(len(outcomes))
            resolve(outcomes)

        monkeypatch.setattr(world.host, "resolve", counted)
        batch = world.submit(4)
        await world.until(lambda: len(world.peer.held) == 4, "all on the wire")
        for seen in world.peer.held:
            world.peer.reply(seen, Answer.SENT)
        await world.resolved(batch)
        assert calls == [4]

    play(parcel(), scene)


def test_a_request_that_cannot_be_written_is_refused():
    async def scene(world: World) -> None:
        assert isinstance(world.driver, HTTPDriver)
        await world.ready()
        world.driver.carrier.fields = (("X", "a\r\nb"),)
        batch = world.submit(1)
        await world.resolved(batch)
        outcome = world.host.outcomes[batch[0].token]
        assert isinstance(outcome, Refused)
        assert outcome.code == "bad_request"

    play(parcel(), scene)


# ---- batches and tokens


class CratePeer(Peer):
    """Takes batches; ``tokens`` are those it gave, of which the last is good."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.tokens: list[str] = []
        self.refusals = 0
        self.has_tokens = True
        self.bad: set[str] = set()

    async def start(self, loop) -> None:
        peer = self

        class Link(asyncio.Protocol):
            def connection_made(self, transport) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                head, _, body = data.partition(b"\r\n\r\n")
                status, answer = peer.hear(head.decode(), body)
                octets = json.dumps(answer).encode()
                self.transport.write(
                    b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(octets), octets)
                )

        await loop.create_server(Link, *ADDRESS)

    def hear(self, head: str, body: bytes) -> tuple[int, dict[str, object]]:
        if head.startswith("POST /token"):
            assert "Authorization: Basic " in head
            if not self.has_tokens:
                return 503, {"error": "later"}
            self.tokens.append(f"t{len(self.tokens)}")
            return 200, {"access_token": self.tokens[-1], "expires_in": 3600}
        if f"Authorization: Bearer {self.tokens[-1]}\r\n" not in head + "\r\n":
            self.refusals += 1
            return 401, {"error": "who"}
        messages = json.loads(body)["messages"]
        self.batches.append([message["to"] for message in messages])
        if self.bad.intersection(self.batches[-1]):
            return 400, {"error": "there is a wrong number among them"}
        return 200, {"messages": [{"id": f"id{message['to']}"} for message in messages]}

    def reply(self, seen, answer) -> None:
        raise NotImplementedError


CRATES = Subject(spec=SPEC, peer=CratePeer, table={"description": CRATE, "concurrency": 1})


def test_what_waits_is_sent_in_full_batches():
    async def scene(world: World) -> None:
        assert isinstance(world.peer, CratePeer)
        await world.ready()
        assert world.host.lanes["http"].window == 10
        world.host.lanes["http"].window = 25
        batch = world.submit(25)
        await world.resolved(batch)
        assert [len(each) for each in world.peer.batches] == [10, 10, 5]
        for submission in batch:
            outcome = world.host.outcomes[submission.token]
            assert isinstance(outcome, Sent)
            assert outcome.carrier_id == f"id{submission.to}"

    play(CRATES, scene)


def test_a_message_that_has_its_batch_refused_is_found_and_the_others_are_sent():
    async def scene(world: World) -> None:
        assert isinstance(world.peer, CratePeer)
        await world.ready()
        batch = world.submit(10)
        world.peer.bad = {batch[3].to, batch[9].to}
        await world.resolved(batch)
        wanted = ["Refused" if one.to in world.peer.bad else "Sent" for one in batch]
        assert world.outcomes(batch) == wanted
        sizes = [len(each) for each in world.peer.batches]
        assert (sizes[0], len(sizes)) == (10, 15), "halves of what was refused, and nothing else"
        assert world.driver.status().counters["halved"] == 7
        for refused in (batch[3], batch[9]):
            outcome = world.host.outcomes[refused.token]
            assert isinstance(outcome, Refused)
            assert outcome.code == "bad_request"

    play(CRATES, scene)


def test_what_was_refused_together_comes_back_when_the_channel_ends():
    async def scene(world: World) -> None:
        assert isinstance(world.peer, CratePeer)
        await world.ready()
        hear, ends = world.peer.hear, []

        def hear_and_end(head: str, body: bytes) -> tuple[int, dict[str, object]]:
            ends.append(asyncio.ensure_future(world.finish()))
            return hear(head, body)

        world.peer.hear = hear_and_end  # type: ignore[method-assign]  # to end it before its answer comes
        batch = world.submit(10)
        world.peer.bad = {one.to for one in batch}
        await world.until(lambda: ends, "a request")
        await ends[0]
        assert set(world.outcomes(batch)) == {"Returned"}
        assert len(world.peer.batches) == 1

    play(CRATES, scene)


def test_a_token_is_fetched_once_for_as_long_as_it_lasts():
    async def scene(world: World) -> None:
        assert isinstance(world.peer, CratePeer)
        await world.ready()
        for _ in range(3):
            await world.resolved(world.submit(2))
        assert world.peer.tokens == ["t0"]
        await asyncio.sleep(3600)
        await world.resolved(world.submit(2))
        assert world.peer.tokens == ["t0", "t1"]
        assert set(world.outcomes(list(world.host.handed.values()))) == {"Sent"}

    play(CRATES, scene)


def test_a_token_that_is_not_taken_is_fetched_anew():
    async def scene(world: World) -> None:
        assert isinstance(world.peer, CratePeer)
        await world.ready()
        world.peer.tokens.append("revoked")
        first = world.submit(1)
        await world.resolved(first)
        assert world.outcomes(first) == ["Deferred"]
        await world.ready()
        again = world.submit(1)
        await world.resolved(again)
        assert world.outcomes(again) == ["Sent"]
        assert world.peer.refusals == 1

    play(CRATES, scene)


def test_without_a_token_there_is_no_lane():
    async def scene(world: World) -> None:
        assert isinstance(world.peer, CratePeer)
        world.peer.has_tokens = False
        await asyncio.sleep(100)
        assert not world.host.free
        assert "503" in str(world.driver.status().last_error)
        world.peer.has_tokens = True
        await world.ready()

    play(CRATES, scene)


# ---- configuration


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"carrier": "46elks"}, "carrier"),
        ({"description": "", "carrier": ""}, "carrier"),
        ({"description": "/nowhere.toml"}, "description"),
        ({"settings": {"key": "k"}, "secret": ""}, "settings.key"),
        ({"settings": {"hook_token": "k"}}, "settings.hook_token"),
        ({"secrets": [{"name": "key", "secret": "k"}]}, "secret"),
        ({"secret": ""}, "settings.key"),
        ({"secrets": [{"name": "other", "secret": "k"}]}, "settings.other"),
        ({"proxy": "https://proxy.test:1"}, "proxy"),
        ({"key_file": "/x.pem"}, "key_file"),
        ({"public_url": "https://sms.example/in/channel"}, "settings.hook_token"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_with_its_place(table, path):
    with pytest.raises(ConfigError) as caught:
        check(config(**table))
    assert caught.value.path == path


def test_a_fault_in_a_description_is_told_with_its_file_and_key(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(Path(DESCRIPTION).read_text().replace("{text}", "{txt}"))
    with pytest.raises(ConfigError) as caught:
        check(config(description=str(path)))
    assert caught.value.path == "description"
    assert caught.value.detail.startswith(f"{path}: send.body.text: unknown variable txt")


def test_a_configuration_that_can_work_is_taken():
    check(config())
    check(config(proxy="http://proxy.test:3128", proxy_user="u@", proxy_password=":p"))
    check(config(secret="", secrets=[{"name": "key", "secret": "k"}]))


# ---- a description's own code

FAILS_ONCE = """
import itertools

calls = itertools.count()

def sign(request, settings, wall_ms):
    return request if next(calls) else WRONG

def unwrap(head, body):
    return {"a": b"{}"}[body.decode()]
"""


def with_code(folder: Path, code: str) -> str:
    """A description with a Python file of its own."""
    text = Path(DESCRIPTION).read_text().replace("schema = 1", 'schema = 1\ncode = "failing.py"')
    (folder / "failing.toml").write_text(text)
    (folder / "failing.py").write_text(code)
    return str(folder / "failing.toml")


@pytest.mark.parametrize(("wrong", "said"), [("settings['no']", "KeyError"), ("None", "TypeError")])
def test_code_that_fails_costs_no_message_its_outcome(tmp_path: Path, wrong: str, said: str):
    async def scene(world: World) -> None:
        await world.ready()
        batch = world.submit(1)
        await world.resolved(batch)
        outcome = world.host.outcomes[batch[0].token]
        assert isinstance(outcome, Deferred)
        assert (outcome.code, outcome.detail) == ("carrier_error", f"sign of failing.py failed: {said}")
        assert not world.peer.seen
        status = world.driver.status()
        assert (status.lanes[0].state, status.counters["faults"]) == ("up", 1)
        assert status.last_error == outcome.detail
        again = world.submit(1)
        await world.resolved(again)
        assert world.outcomes(again) == ["Sent"]

    play(parcel(description=with_code(tmp_path, FAILS_ONCE.replace("WRONG", wrong))), scene)


def test_code_that_fails_to_read_a_hook_has_it_sent_again(tmp_path: Path):
    async def scene(world: World) -> None:
        await world.ready()
        assert world.host.ask("POST", "/in/channel/mo?token=t0ken", b"b").status == 500
        status = world.driver.status()
        assert status.counters["hook_rejected_code"] == 1
        assert status.last_error == "unwrap of failing.py failed: KeyError"

    play(parcel(description=with_code(tmp_path, FAILS_ONCE), **HOOKS), scene)


def test_a_fault_of_our_own_loses_no_message(monkeypatch: pytest.MonkeyPatch):
    async def scene(world: World) -> None:
        await world.ready()
        monkeypatch.setattr("stentor_http.driver.build", lambda *_: 1 / 0)
        batch = world.submit(3)
        await world.resolved(batch)
        assert set(world.outcomes(batch)) == {"Returned"}

    with pytest.raises(AssertionError, match=r"run\(\) raised .*ZeroDivisionError"):
        play(parcel(), scene)
