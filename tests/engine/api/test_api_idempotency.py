"""Idempotency keys on objects, arrays and streams."""

import asyncio

import pytest

from stentor.api.idempotency import HELD_MS
from stentor.errors import JournalError, Overloaded
from tests.engine.api.api_world import World, run

PATH = "/v1/messages"
KEY = {"Idempotency-Key": "k 1"}
STREAM = {"content-type": "application/x-ndjson", **KEY}
BODY = {"to": "+40712345678", "text": "x"}


def line(ref: object) -> bytes:
    return b'{"to":"+40712345678","text":"x","ref":"%d"}\n' % ref


@pytest.mark.parametrize("body", [BODY, [BODY, {}], {"to": ["+40712345678", "+1"], "text": "x"}])
def test_the_same_key_and_body_are_answered_the_same_octets_and_store_nothing(body, socket_dir):
    async def check(world: World) -> None:
        first = await world.call("POST", PATH, body, KEY)
        again = await world.call("POST", PATH, body, KEY)
        assert first.status == again.status == 202
        assert again.body == first.body
        assert "idempotency-replayed" not in first.fields
        assert again.fields["idempotency-replayed"] == "true"
        assert len(world.engine.commits) == 1

    run(check, socket_dir)


def test_the_same_key_with_another_body_is_409(socket_dir):
    async def check(world: World) -> None:
        await world.call("POST", PATH, BODY, KEY)
        for body in ({**BODY, "text": "y"}, [BODY]):
            answer = await world.call("POST", PATH, body, KEY)
            assert (answer.status, answer.json["code"]) == (409, "idempotency_key_reused")
        stream = await world.call("POST", PATH, line(0), STREAM)
        assert stream.status == 409
        assert world.engine.commits == [1]

    run(check, socket_dir)


def test_a_key_of_a_stream_is_no_key_of_an_object(socket_dir):
    async def check(world: World) -> None:
        await world.call("POST", PATH, line(0), STREAM)
        assert (await world.call("POST", PATH, BODY, KEY)).status == 409

    run(check, socket_dir)


def test_keys_of_two_accounts_have_nothing_to_do_with_each_other(socket_dir):
    async def check(world: World) -> None:
        first = await world.call("POST", PATH, BODY, {**KEY, "Stentor-Account": "one"})
        other = await world.call("POST", PATH, {**BODY, "text": "y"}, {**KEY, "Stentor-Account": "two"})
        assert (first.status, other.status, len(world.engine.commits)) == (202, 202, 2)

    run(check, socket_dir)


def test_a_refused_body_leaves_its_key_free(socket_dir):
    async def check(world: World) -> None:
        assert (await world.call("POST", PATH, {"to": "1"}, KEY)).status == 422
        assert (await world.call("POST", PATH, BODY, KEY)).status == 202

    run(check, socket_dir)


@pytest.mark.parametrize("body", [[], [{}], {"to": ["+1"], "text": "x"}])
def test_an_array_of_which_nothing_was_accepted_holds_its_key(body, socket_dir):
    async def check(world: World) -> None:
        first = await world.call("POST", PATH, body, KEY)
        assert (first.status, first.json["accepted"]) == (202, 0)
        assert (await world.call("POST", PATH, body, KEY)).body == first.body
        assert (await world.call("POST", PATH, BODY, KEY)).status == 409

    run(check, socket_dir)


def test_a_key_is_free_again_after_a_day(socket_dir):
    async def check(world: World) -> None:
        await world.call("POST", PATH, BODY, KEY)
        world.engine.clock.advance(HELD_MS / 1000 - 1)
        assert (await world.call("POST", PATH, {**BODY, "text": "y"}, KEY)).status == 409
        world.engine.clock.advance(1)
        assert (await world.call("POST", PATH, {**BODY, "text": "y"}, KEY)).status == 202

    run(check, socket_dir)


def test_a_second_request_with_the_key_waits_for_the_first_ones_commit(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = True
        calls = [asyncio.ensure_future(world.call("POST", PATH, BODY, KEY)) for _ in range(5)]
        await engine.until(lambda: engine.waiting == 1)
        for _ in range(50):
            await asyncio.sleep(0)
        assert engine.waiting == 1
        engine.commit()
        bodies = {answer.body for answer in await asyncio.gather(*calls)}
        assert (len(bodies), engine.commits) == (1, [1])

    run(check, socket_dir)


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\u00e9"])
@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
def test_a_key_of_another_form_is_refused(key, content_type, socket_dir):
    async def check(world: World) -> None:
        fields = {"content-type": content_type, "Idempotency-Key": key}
        answer = await world.call("POST", PATH, BODY, fields)
        assert (answer.status, answer.json["errors"][0]["path"]) == (400, "$.headers.idempotency-key")
        assert world.engine.commits == []

    run(check, socket_dir)


def test_a_stream_repeated_after_a_cut_goes_on_where_it_was(socket_dir):
    async def check(world: World) -> None:
        broken = await world.connect()
        await broken.begin(PATH, STREAM)
        await broken.chunk(line(0) + b"bad\n" + line(2) + line(3)[:-9])
        await broken.head()
        first = (await broken.piece()).splitlines()
        broken.writer.transport.abort()
        again = await world.call("POST", PATH, line(0) + b"bad\n" + line(2) + line(3), STREAM)
        assert again.body.splitlines()[:3] == first
        assert [one.get("ref") for one in again.lines] == ["0", None, "2", "3"]
        assert world.engine.commits == [2, 1, 0]

    run(check, socket_dir)


LONG = b"x" * 70_000 + b"\n"


@pytest.mark.parametrize(
    "other",
    [
        line(0) + line(9) + b"bad\n" + LONG,
        LONG + line(1) + b"bad\n" + LONG,
        line(0) + line(1) + line(2) + LONG,
        line(0) + line(1) + b"bad\n" + line(3),
        line(0) + line(1) + b"bad\n",
        line(0) + line(1) + b"bad\n" + LONG + line(4),
    ],
    ids=["another line", "too long", "for a refused one", "for one too long", "fewer", "more"],
)
def test_another_body_than_the_one_before_is_409(other, socket_dir):
    async def check(world: World) -> None:
        body = line(0) + line(1) + b"bad\n" + LONG
        first = await world.call("POST", PATH, body, STREAM)
        answer = await world.call("POST", PATH, other, STREAM)
        # What comes with a second read may find the first one answered.
        fault = answer.json if answer.status == 409 else answer.lines[-1]["error"]
        assert fault["code"] == "idempotency_key_reused"
        assert (await world.call("POST", PATH, body, STREAM)).body == first.body
        assert world.engine.commits == [2, 0]

    run(check, socket_dir)


def test_a_stream_of_which_nothing_was_accepted_holds_its_key(socket_dir):
    async def check(world: World) -> None:
        first = await world.call("POST", PATH, b"bad\n{}\n", STREAM)
        assert (await world.call("POST", PATH, b"bad\n{}\n", STREAM)).body == first.body
        assert (await world.call("POST", PATH, line(0), STREAM)).status == 409

    run(check, socket_dir)


def test_what_found_no_room_is_taken_when_the_stream_is_repeated(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        stream = await world.connect()
        await stream.begin(PATH, STREAM)
        await stream.chunk(line(0))
        await stream.head()
        await stream.piece()
        engine.overload = Overloaded("backlog_full", "the backlog is full", 5)
        await stream.chunk(line(1) + b"bad\n")
        assert b'"status":503' in await stream.piece()
        engine.overload = None
        stream.writer.write(b"0\r\n\r\n")
        assert await stream.piece() == b""
        stream.close()
        again = await world.call("POST", PATH, line(0) + line(1) + b"bad\n", STREAM)
        assert [one.get("ref") for one in again.lines] == ["0", "1", None]
        assert (await world.call("POST", PATH, line(0) + line(1) + b"bad\n" + line(2), STREAM)).status == 409

    run(check, socket_dir)


async def come_and_go(world: World, octets: bytes, *, is_whole: bool = False) -> None:
    """A stream that is cut while it waits for another with its key."""
    gone = await world.connect()
    await gone.begin(PATH, STREAM)
    await gone.chunk(octets)
    if is_whole:
        gone.writer.write(b"0\r\n\r\n")
    for _ in range(20):
        await asyncio.sleep(0)
    gone.writer.transport.abort()


def test_one_that_goes_away_while_it_waits_leaves_the_end_before_it(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = True
        first = asyncio.ensure_future(world.call("POST", PATH, line(0), STREAM))
        await engine.until(lambda: engine.waiting == 1)
        await come_and_go(world, line(0) + line(1), is_whole=True)
        engine.commit()
        await engine.until(lambda: engine.waiting == 1)
        engine.commit()
        assert (await first).status == 202
        again = asyncio.ensure_future(world.call("POST", PATH, line(0) + line(1), STREAM))
        assert (await again).status == 409

    run(check, socket_dir)


def test_lines_behind_the_end_of_the_stream_before_are_409_in_their_places(socket_dir):
    async def check(world: World) -> None:
        await world.call("POST", PATH, line(0) + line(1), STREAM)
        again = await world.connect()
        await again.begin(PATH, STREAM)
        await again.chunk(line(0))
        assert (await again.head())[0] == 202
        await again.piece()
        await again.chunk(line(1) + line(2))
        known, beyond = (await again.piece()).splitlines()
        assert b'"ref":"1"' in known
        assert b'"status":409' in beyond
        await again.chunk(line(3))
        assert b'"status":409' in await again.piece()
        assert world.engine.commits == [2, 0]
        again.close()

    run(check, socket_dir)


def test_a_later_line_that_differs_from_the_stored_one_is_409_in_its_place(socket_dir):
    async def check(world: World) -> None:
        await world.call("POST", PATH, line(0) + line(1), STREAM)
        again = await world.connect()
        await again.begin(PATH, STREAM)
        await again.chunk(line(0))
        assert (await again.head())[0] == 202
        await again.piece()
        await again.chunk(line(9) + line(2))
        differs, beyond = (await again.piece()).splitlines()
        assert b'"status":409' in differs
        assert b'"status":409' in beyond
        again.close()

    run(check, socket_dir)


def test_a_repeated_stream_waits_until_the_broken_one_is_through(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = True
        broken = await world.connect()
        await broken.begin(PATH, STREAM)
        await broken.chunk(line(0))
        await engine.until(lambda: engine.waiting == 1)
        broken.writer.transport.abort()
        repeated = asyncio.ensure_future(world.call("POST", PATH, line(0) + line(1), STREAM))
        for _ in range(50):
            await asyncio.sleep(0)
        assert engine.waiting == 1
        engine.commit()
        for _ in ("the other line", "the end"):
            await engine.until(lambda: engine.waiting == 1)
            engine.commit()
        answer = await repeated
        assert [one["ref"] for one in answer.lines] == ["0", "1"]
        assert engine.commits == [1, 1, 0]

    run(check, socket_dir)


def test_streams_that_go_away_while_they_wait_let_the_next_one_proceed(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = True
        first = asyncio.ensure_future(world.call("POST", PATH, line(0), STREAM))
        await engine.until(lambda: engine.waiting == 1)
        await come_and_go(world, line(7))
        third = asyncio.ensure_future(world.call("POST", PATH, line(0), STREAM))
        for _ in range(20):
            await asyncio.sleep(0)
        engine.commit()
        await engine.until(lambda: engine.waiting == 1)
        engine.commit()
        assert (await first).body == (await third).body
        assert engine.commits == [1, 0]

    run(check, socket_dir)


def test_a_journal_that_cannot_be_read_is_503_and_keeps_nobody_waiting(socket_dir):
    async def check(world: World) -> None:
        world.engine.library.fault = JournalError("unreadable")
        assert (await world.call("POST", PATH, BODY, KEY)).status == 503
        stream = await world.call("POST", PATH, line(0), STREAM)
        assert stream.lines[0]["error"]["status"] == 503
        world.engine.library.fault = None
        assert (await world.call("POST", PATH, BODY, KEY)).status == 202

    run(check, socket_dir)
