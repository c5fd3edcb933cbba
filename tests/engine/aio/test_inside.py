"""Requests to the API from within the process: the answers of the server without one."""

import asyncio
from collections.abc import Iterable

import msgspec
import pytest

from stentor.aio import inside
from stentor.aio.door import PENDING, Door
from stentor.testing.host import MemoryLog
from tests.engine.api.api_world import World, run

MESSAGE = b'{"to":"+40712345678","text":"hi"}'
Told = tuple[int, bytes]


async def ask(
    world: World,
    method: str,
    target: str,
    body: bytes = b"",
    fields: Iterable[tuple[str, str]] = (),
    account: str = "",
) -> Told:
    """The answer, which is given once."""
    told: list[Told] = []
    done = asyncio.Event()

    def answered(status: int, octets: bytes) -> None:
        told.append((status, octets))
        done.set()

    inside.ask(world.app, method, target, body, answered, fields, account)
    await done.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(told) == 1
    return told[0]


def test_an_account_s_messages_are_stored_and_read_as_over_a_socket(socket_dir) -> None:
    async def scene(world: World) -> None:
        status, body = await ask(world, "POST", "/v1/messages", MESSAGE, account="shop")
        made = msgspec.json.decode(body)
        assert (status, made["status"]) == (202, "queued")
        (stored,) = world.engine.library.messages.values()
        assert stored.account == "shop"
        status, body = await ask(world, "GET", f"/v1/messages/{made['id']}", account="shop")
        assert (status, msgspec.json.decode(body)["id"]) == (200, made["id"])
        assert (await ask(world, "GET", f"/v1/messages/{made['id']}", account="other"))[0] == 404
        status, body = await ask(world, "GET", "/v1/messages?limit=1&account=x", account="shop")
        assert status == 422

    run(scene, socket_dir)


def test_without_a_name_it_is_the_default_account_and_fields_cannot_say_another(socket_dir) -> None:
    async def scene(world: World) -> None:
        fields = (("Stentor-Account", "thief"), ("Idempotency-Key", "k"))
        assert (await ask(world, "POST", "/v1/messages", MESSAGE, fields))[0] == 202
        assert await ask(world, "POST", "/v1/messages", MESSAGE, fields)
        (stored,) = world.engine.library.messages.values()
        assert stored.account == "default"

    run(scene, socket_dir)


@pytest.mark.parametrize(
    ("method", "target", "body", "fields", "account", "status", "code"),
    [
        ("GET", "/nothing", b"", (), "", 404, "not_found"),
        ("GET", "/in/driver", b"", (), "", 404, "not_found"),
        ("DELETE", "/v1/messages", b"", (), "", 405, "method_not_allowed"),
        ("POST", "/v1/messages", b"x", (("Content-Type", "text/plain"),), "", 415, "unsupported_media_type"),
        ("POST", "/v1/messages", b"{", (), "", 400, "malformed"),
        ("POST", "/v1/messages", MESSAGE, (), "no account", 400, "bad_account"),
        ("POST", "/v1/messages", b" " * (16 * 1024 * 1024 + 1), (), "", 413, "body_too_large"),
        ("POST", "/v1/messages", MESSAGE, (("content-type", "application/x-ndjson"),), "", 501, "no_streams"),
        ("GET", "/v1/events", b"", (), "", 501, "no_streams"),
        ("POST", "/v1/channels/alpha/pause", b"", (), "", 403, "not_operator"),
    ],
)
def test_each_refusal_is_an_answer(
    method: str,
    target: str,
    body: bytes,
    fields: Iterable[tuple[str, str]],
    account: str,
    status: int,
    code: str,
    socket_dir,
) -> None:
    async def scene(world: World) -> None:
        Door(world.app).open("alpha", MemoryLog()).serve("/in/driver", lambda exchange: None, 0)
        found, octets = await ask(world, method, target, body, fields, account)
        assert (found, msgspec.json.decode(octets)["code"]) == (status, code)
        assert world.app.subscribers == 0

    run(scene, socket_dir)


def test_an_answer_that_is_too_long_is_a_refusal(socket_dir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "ANSWER_LIMIT", 10)

    async def scene(world: World) -> None:
        status, octets = await ask(world, "GET", "/openapi.json")
        assert (status, msgspec.json.decode(octets)["code"]) == (500, "answer_too_large")

    run(scene, socket_dir)


@pytest.mark.parametrize("place", ["route_for", "handle"])
def test_a_fault_of_the_api_is_answered_and_told(
    place: str, socket_dir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ValueError("boom")

    async def scene(world: World) -> None:
        monkeypatch.setattr(world.app, place, fail)
        status, octets = await ask(world, "GET", "/healthz")
        assert (status, b"boom" in octets) == (500, False)
        assert [repr(fault["exception"]) for fault in world.faults] == ["ValueError('boom')"]
        world.faults.clear()

    run(scene, socket_dir)


def test_a_driver_that_fails_to_take_an_answer_harms_nobody_and_none_is_told_after_its_end(
    socket_dir,
) -> None:
    told: list[int] = []

    def fail(status: int, body: bytes) -> None:
        told.append(status)
        raise ValueError("boom")

    async def scene(world: World) -> None:
        log = MemoryLog()
        desk = Door(world.app).open("alpha", log)
        desk.request("GET", "/healthz", b"", fail, (), "")
        assert (told, [line.values["error"] for line in log.lines]) == ([200], ["ValueError('boom')"])
        world.engine.holds = True
        desk.request("POST", "/v1/messages", MESSAGE, fail, (), "")
        desk.close()
        world.engine.commit()
        await asyncio.sleep(0)
        assert told == [200]

    run(scene, socket_dir)


def test_so_many_requests_may_wait_and_one_more_is_refused(socket_dir) -> None:
    told: list[int] = []

    async def scene(world: World) -> None:
        desk = Door(world.app).open("alpha", MemoryLog())
        world.engine.holds = True
        for _ in range(PENDING + 1):
            desk.request("POST", "/v1/messages", MESSAGE, lambda status, body: told.append(status), (), "")
        assert told == [503]
        world.engine.commit()
        await world.engine.until(lambda: len(told) == PENDING + 1)
        assert set(told) == {503, 202}
        desk.request("GET", "/healthz", b"", lambda status, body: told.append(status), (), "")
        assert told[-1] == 200

    run(scene, socket_dir)
