"""A carrier is asked: whether it has what was in doubt, what became of a message, to take one back."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stentor.driver import Followed, Receipt
from stentor.errors import ConfigError
from stentor.message import Status
from stentor.outcome import Deferred, Sent, Submission, Unknown
from stentor.testing.host import LoopClock
from stentor.testing.network import Reach
from stentor.testing.peer import Peer
from stentor.testing.world import Subject, World, play
from stentor_http import asking
from stentor_http.config import HTTPConfig, check
from stentor_http.driver import HTTPDriver
from stentor_http.remembered import ACCOUNT
from stentor_http.spec import SPEC, capabilities
from stentor_http.template import own_id
from tests.plugins.http.parcel_peer import ADDRESS, DESCRIPTION, HOOKS

LEDGERMAN = str(Path(DESCRIPTION).with_name("ledgerman.toml"))


class LedgerPeer(Peer):
    """Takes messages into its book. ``loses``: the connection is cut instead of an answer; ``forgets``: and the message
    is not taken; ``is_mute``: questions are answered 500."""

    def __init__(self) -> None:
        super().__init__()
        self.book: dict[str, str] = {}
        self.log: list[dict[str, Any]] = []
        self.sends: list[str] = []
        self.questions: list[str] = []
        self.loses = self.forgets = self.is_mute = False
        self.states: dict[str, str] = {}

    async def start(self, loop: asyncio.AbstractEventLoop) -> None:
        peer = self
        self.clock = LoopClock(loop)

        class Link(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                head, _, body = data.decode().partition("\r\n\r\n")
                assert "Authorization: Bearer " in head
                answer = peer.hear(head.split(" ")[0], head.split(" ")[1], body)
                if answer is None:
                    self.transport.abort()
                    return
                octets = json.dumps(answer[1]).encode()
                self.transport.write(
                    b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (answer[0], len(octets), octets)
                )

        await loop.create_server(Link, *ADDRESS)

    def hear(self, method: str, target: str, body: str) -> tuple[int, Any] | None:
        if target == "/send":
            return self.take(json.loads(body))
        self.questions.append(f"{method} {target}")
        if self.is_mute:
            return 500, {}
        if target.startswith("/list?tag="):
            tag = target.partition("=")[2]
            found = [{"tag": tag, "id": self.book[tag]}] if tag in self.book else []
            return 200, {"messages": found, "more": False}
        if target.startswith("/log?to="):
            return 200, {"messages": self.log, "more": False}
        if target.startswith("/state/"):
            return 200, {"state": self.states.get(target.removeprefix("/state/"), "novel")}
        return 200, {"done": json.loads(body)["id"] in self.states}

    def take(self, message: dict[str, str]) -> tuple[int, Any] | None:
        self.sends.append(message["tag"])
        if not (self.loses and self.forgets):
            self.book[message["tag"]] = f"id{len(self.sends)}"
            self.log.append({**message, "id": self.book[message["tag"]], "at": self.clock.wall_ms()})
        return None if self.loses else (200, {"id": self.book[message["tag"]]})

    def reply(self, seen: Any, answer: Any) -> None:
        raise NotImplementedError


def ledgerman(**table: Any) -> Subject:
    return Subject(spec=SPEC, peer=LedgerPeer, table={"description": LEDGERMAN, **table})


def followed(carrier_id: str, token: int = 17) -> Followed:
    return Followed(token, carrier_id, carrier_id, "Shop", "+447700900123")


def test_a_message_whose_answer_was_lost_is_found_at_the_carrier_and_not_sent_again() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready()
        peer.loses = True
        batch = world.submit(1)
        await world.until(lambda: peer.sends, "on the wire")
        peer.loses = False
        await asyncio.sleep(4)
        assert world.outcomes(batch) == ["none"]
        assert world.driver.status().counters["in_doubt"] == 1
        await world.resolved(batch)
        outcome = world.host.outcomes[batch[0].token]
        assert isinstance(outcome, Sent)
        assert (outcome.carrier_id, outcome.match_id) == ("id1", "id1")
        assert len(peer.sends) == len(peer.questions) == 1
        assert world.driver.status().counters["doubts_taken"] == 1

    play(ledgerman(), scene)


def test_what_the_carrier_proves_not_to_have_is_tried_again_but_only_after_the_last_question() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready()
        peer.loses = peer.forgets = True
        batch = world.submit(1)
        await world.resolved(batch)
        outcome = world.host.outcomes[batch[0].token]
        assert isinstance(outcome, Deferred)
        assert outcome.code == "carrier_error"
        assert len(peer.questions) == 2

    play(ledgerman(), scene)


def test_doubt_stays_doubt_when_nobody_can_tell() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready()
        peer.loses = peer.is_mute = True
        batch = world.submit(1)
        await world.resolved(batch)
        assert world.outcomes(batch) == ["Unknown"]
        assert len(peer.questions) == 2

    play(ledgerman(), scene)


def test_doubt_at_a_carrier_that_is_gone_ends_after_its_patience() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready()
        peer.loses = True
        batch = world.submit(1)
        await world.until(lambda: peer.sends, "on the wire")
        world.network.reach = Reach.SILENT
        began = world.host.clock.now()
        await world.resolved(batch)
        assert world.outcomes(batch) == ["Unknown"]
        assert world.host.clock.now() - began < 120

    play(ledgerman(), scene)


def test_one_doubt_does_not_hold_up_what_comes_behind_it() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready(1)
        peer.loses = True
        first = world.submit(1)
        await world.until(lambda: peer.sends, "on the wire")
        peer.loses = False
        await world.ready(1)
        assert world.host.lanes["http"].window == 2
        second = world.submit(1)
        await world.resolved(second)
        assert world.outcomes(first) == ["none"]
        assert world.outcomes(second) == ["Sent"]
        await world.resolved(first)
        assert world.host.lanes["http"].window == 1

    play(ledgerman(concurrency=1), scene)


def test_too_much_doubt_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(world: World) -> None:
        assert isinstance(world.peer, LedgerPeer)
        await world.ready()
        world.peer.loses = True
        batch = world.submit(1)
        await world.resolved(batch)
        assert world.outcomes(batch) == ["Unknown"]
        assert world.peer.questions == []

    monkeypatch.setattr(asking, "DOUBTS", 0)
    play(ledgerman(), scene)


def test_a_drain_asks_at_once() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready()
        peer.loses = True
        batch = world.submit(1)
        await world.until(lambda: peer.sends, "on the wire")
        peer.loses = False
        await asyncio.sleep(0.1)
        await world.finish(3.0)
        assert world.outcomes(batch) == ["Sent"]

    play(ledgerman(), scene)


def test_a_drain_ends_in_time_though_nobody_answers() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready()
        peer.loses = True
        batch = world.submit(1)
        await world.until(lambda: peer.sends, "on the wire")
        world.network.reach = Reach.SILENT
        await world.finish(3.0)
        outcome = world.host.outcomes[batch[0].token]
        assert isinstance(outcome, Unknown)

    play(ledgerman(), scene)


# -- after a kill -----------------------------------------------------------------------------------------------------


async def restart(world: World) -> None:
    await world.finish()
    world.begin()


def killed(world: World, *, since_s: float = 60.0) -> Submission:
    """What the engine hands over again: it was under way, or kept back, when the daemon was killed."""
    since_ms = world.host.clock.wall_ms() - int(since_s * 1000)
    submission = msgspec.structs.replace(world.submission(), doubtful_since_ms=since_ms)
    world.host.submit(world.driver, world.roomiest(), [submission])
    return submission


def test_after_a_kill_the_carrier_is_asked_and_what_it_has_is_sent() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready()
        submission = killed(world)
        peer.book[own_id(submission)] = "id9"
        await world.resolved([submission])
        outcome = world.host.outcomes[submission.token]
        assert isinstance(outcome, Sent)
        assert (outcome.carrier_id, peer.sends) == ("id9", [])

    play(ledgerman(), scene)


def test_after_a_kill_what_the_carrier_has_not_is_tried_again() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready()
        submission = killed(world)
        await world.resolved([submission])
        assert world.outcomes([submission]) == ["Deferred"]
        assert (len(peer.questions), peer.sends) == (2, [])

    play(ledgerman(), scene)


def test_after_a_kill_another_account_is_not_asked() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        world.memory[ACCOUNT] = b"another"
        await restart(world)
        await world.ready()
        submission = killed(world)
        await world.resolved([submission])
        assert world.outcomes([submission]) == ["Unknown"]
        assert (peer.questions, peer.sends) == ([], [])
        assert world.memory[ACCOUNT] != b"another"

    play(ledgerman(), scene)


def test_a_drain_gives_back_what_it_could_not_ask_to_the_end() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready()
        submission = killed(world)
        await world.finish(3.0)
        assert world.outcomes([submission]) == ["Returned"]
        assert peer.sends == []

    play(ledgerman(), scene)


@pytest.mark.parametrize("is_remembered", [True, False], ids=["its moment is known", "it is not"])
def test_a_carrier_that_repeats_nothing_of_ours_is_believed_if_it_is_known_when_the_request_left(
    is_remembered: bool,
) -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        await world.ready()
        peer.loses = True
        first = world.submit(1)[0]
        await world.until(lambda: peer.sends, "on the wire")
        peer.loses = False
        name = f"doubt/{first.token:x}.{first.attempt}"
        await world.until(lambda: name in world.memory, "it is kept back")
        kept = world.memory[name]
        await world.resolved([first])
        assert name not in world.memory
        if is_remembered:
            world.memory[name] = kept
        await restart(world)
        await world.ready()
        again = msgspec.structs.replace(first, doubtful_since_ms=int.from_bytes(kept))
        world.host.submit(world.driver, world.roomiest(), [again])
        await world.resolved([again])
        assert world.outcomes([again]) == ["Sent" if is_remembered else "Unknown"]
        assert len(peer.sends) == 1
        assert name not in world.memory

    play(ledgerman(description=str(Path(LEDGERMAN).with_name("bookless.toml"))), scene)


def test_the_state_of_a_message_is_received_as_a_receipt() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        assert isinstance(world.driver, HTTPDriver)
        await world.ready()
        peer.states = {"a": "ok", "b": "bad"}
        world.driver.query([followed("a", 1), followed("a", 1), followed("b", 2), followed("c", 3)])
        await world.until(lambda: len(peer.questions) == 3, "asked about each once")
        await world.until(
            lambda: world.driver.status().counters.get("queries_refused") == 1, "and told of all"
        )
        found = [(item.match_id, item.status) for item in world.host.items if isinstance(item, Receipt)]
        assert found == [("a", Status.DELIVERED), ("b", Status.UNDELIVERED)]

    play(ledgerman(**HOOKS), scene)


def test_a_cancellation_goes_first_and_only_what_was_taken_back_is_cancelled() -> None:
    async def scene(world: World) -> None:
        peer = world.peer
        assert isinstance(peer, LedgerPeer)
        assert isinstance(world.driver, HTTPDriver)
        await world.ready()
        peer.states = {"a": "ok"}
        world.driver.query([followed("b", 2)])
        world.driver.cancel([followed("a", 1), followed("x", 3)])
        await world.until(lambda: world.driver.status().counters.get("cancels_refused") == 1, "told of all")
        assert set(peer.questions[:2]) == {"POST /cancel"}
        found = [(item.match_id, item.status) for item in world.host.items if isinstance(item, Receipt)]
        assert ("a", Status.CANCELLED) in found

    play(ledgerman(**HOOKS), scene)


def test_questions_without_a_carrier_are_left_unasked() -> None:
    async def scene(world: World) -> None:
        assert isinstance(world.driver, HTTPDriver)
        world.network.reach = Reach.REFUSED
        world.driver.query([followed("a")])
        await asyncio.sleep(10)
        assert world.driver.status().counters["unasked"] == 1

    play(ledgerman(), scene)


def config(**table: Any) -> HTTPConfig:
    return msgspec.convert({"description": LEDGERMAN, **table}, HTTPConfig)


def test_the_channel_says_what_its_carrier_can_be_asked() -> None:
    found = capabilities(config(**HOOKS))
    assert (found.query_after_s, found.can_cancel) == (600.0, True)
    assert capabilities(config(query_after=0, **HOOKS)).query_after_s == 0.0
    assert capabilities(config(query_after=60, **HOOKS)).query_after_s == 60.0
    assert capabilities(config()).query_after_s == 0.0, "nothing awaits a receipt"
    plain = capabilities(msgspec.convert({"description": DESCRIPTION, "secret": "k"}, HTTPConfig))
    assert (plain.query_after_s, plain.can_cancel) == (0.0, False)


def test_a_carrier_that_cannot_be_asked_has_no_time_to_ask() -> None:
    with pytest.raises(ConfigError, match="query_after: parcel cannot be asked"):
        check(msgspec.convert({"description": DESCRIPTION, "secret": "k", "query_after": 5}, HTTPConfig))
