"""POST /v1/messages as a stream of lines: order, bounds, places of faults, and the end."""

import asyncio

import msgspec
import pytest

from stentor.api.patience import LONG_S
from stentor.api.stream import IN_FLIGHT
from stentor.errors import JournalFull, Overloaded
from tests.engine.api.api_world import Connection, World, run

PATH = "/v1/messages"
NDJSON = {"content-type": "application/x-ndjson"}


def line(ref: object, to: str = "+40712345678") -> bytes:
    return b'{"to":"%b","text":"x","ref":"%b"}\n' % (to.encode(), str(ref).encode())


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(50):
        await asyncio.sleep(0)


async def refs(connection: Connection, count: int) -> list[str]:
    """References of the next results, in order."""
    found: list[str] = []
    while len(found) < count:
        piece = await connection.piece()
        found += [msgspec.json.decode(one).get("ref", "error") for one in piece.splitlines()]
    return found


def test_each_line_is_answered_in_its_place(socket_dir):
    async def check(world: World) -> None:
        lines = [
            line(0),
            b"\n",
            b"nope\n",
            b'{"to":"\xff"}\n',
            b'{"to":"' + b"x" * 70_000 + b'"}\n',
            b'{"to":["+40712345678","+1"],"text":"x"}\r\n',
            line(6).rstrip(),
        ]
        answer = await world.call("POST", PATH, b"".join(lines), NDJSON)
        first, bad, encoding, overlong, several, last = answer.lines
        assert (answer.status, first["ref"], last["ref"]) == (202, "0", "6")
        assert [one["error"]["status"] for one in (bad, encoding, overlong)] == [400, 400, 413]
        assert bad["error"]["errors"][0]["path"] == "$"
        assert (several["accepted"], several["rejected"]) == (1, 1)
        assert several["results"][1]["error"]["errors"][0]["path"] == "$.to[1]"
        assert sum(world.engine.commits) == 3

    run(check, socket_dir)


@pytest.mark.parametrize("body", [b"", b"\n\n"])
def test_a_stream_of_nothing_is_answered_by_nothing(body, socket_dir):
    async def check(world: World) -> None:
        answer = await world.call("POST", PATH, body, NDJSON)
        assert (answer.status, answer.body) == (202, b"")

    run(check, socket_dir)


def test_results_come_while_the_body_is_still_arriving(socket_dir):
    async def check(world: World) -> None:
        connection = await world.connect()
        await connection.begin(PATH, NDJSON)
        for number in range(3):
            await connection.chunk(line(2 * number) + line(2 * number + 1)[:10])
            if number == 0:
                status, fields = await connection.head()
                assert (status, fields["content-type"]) == (202, "application/x-ndjson")
            assert await refs(connection, 1) == [str(2 * number)]
            await connection.chunk(line(2 * number + 1)[10:])
            assert await refs(connection, 1) == [str(2 * number + 1)]
        await connection.chunk(b"")
        assert await connection.piece() == b""

    run(check, socket_dir)


def test_a_stream_stops_reading_while_its_batches_wait_and_goes_on_after(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = True
        connection = await world.connect()
        await connection.begin(PATH, NDJSON)
        for number in range(IN_FLIGHT):
            await connection.chunk(line(number))
            await engine.until(lambda number=number: engine.waiting > number)
        await connection.chunk(line(IN_FLIGHT))
        await settle()
        assert engine.waiting == IN_FLIGHT
        engine.commit()
        await connection.head()
        assert await refs(connection, IN_FLIGHT) == [str(number) for number in range(IN_FLIGHT)]
        await engine.until(lambda: engine.waiting == 1)
        engine.commit()
        assert await refs(connection, 1) == [str(IN_FLIGHT)]

    run(check, socket_dir)


def test_lines_are_patient_until_no_more_of_them_are_read(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = True
        connection = await world.connect()
        await connection.begin(PATH, NDJSON)
        for number in range(IN_FLIGHT):
            await connection.chunk(line(number))
            await engine.until(lambda number=number: engine.waiting > number)
        assert engine.patient == [True] * (IN_FLIGHT - 1) + [False]
        engine.commit()

    run(check, socket_dir)


def test_a_client_that_waits_for_each_answer_is_not_patient(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = True
        connection = await world.connect()
        await connection.begin(PATH, NDJSON)
        for number in range(2):
            await connection.chunk(line(number))
            await engine.until(lambda: engine.waiting == 1)
            engine.clock.advance(2 * LONG_S)
            engine.commit()
        await connection.chunk(line(2))
        await engine.until(lambda: engine.waiting == 1)
        assert engine.patient == [True, True, False]
        engine.commit()

    run(check, socket_dir)


def test_a_stream_stops_reading_while_commits_fall_behind(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = True
        connection = await world.connect()
        await connection.begin(PATH, NDJSON)
        await connection.chunk(line(0))
        await engine.until(lambda: engine.waiting == 1)
        engine.is_behind = True
        await connection.chunk(line(1))
        await settle()
        assert engine.waiting == 1
        engine.is_behind = False
        engine.commit()
        await engine.until(lambda: engine.waiting == 1)
        engine.commit()
        await connection.head()
        assert await refs(connection, 2) == ["0", "1"]

    run(check, socket_dir)


def test_a_stream_that_begins_while_commits_are_behind_waits(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = engine.is_behind = True
        first = await world.connect()
        await first.begin(PATH, NDJSON)
        await first.chunk(line(0))
        await settle()
        assert engine.waiting == 0
        engine.is_behind = False
        second = await world.connect()
        await second.begin(PATH, NDJSON)
        await second.chunk(line(1))
        await engine.until(lambda: engine.waiting == 1)
        engine.commit()
        await engine.until(lambda: engine.waiting == 1)
        engine.commit()
        await first.head()
        assert await refs(first, 1) == ["0"]

    run(check, socket_dir)


def test_no_room_at_the_beginning_refuses_the_whole_stream(socket_dir):
    async def check(world: World) -> None:
        world.engine.overload = Overloaded("backlog_full", "the backlog is full", 10)
        answer = await world.call("POST", PATH, line(0), NDJSON)
        assert (answer.status, answer.fields["retry-after"]) == (503, "10")

    run(check, socket_dir)


def test_no_room_later_is_answered_line_by_line_and_the_stream_goes_on(socket_dir):
    async def check(world: World) -> None:
        connection = await world.connect()
        await connection.begin(PATH, NDJSON)
        await connection.chunk(line(0))
        await connection.head()
        assert await refs(connection, 1) == ["0"]
        world.engine.overload = Overloaded("backlog_full", "the backlog is full", 10)
        await connection.chunk(line(1) + b"bad\n" + line(2))
        errors = [msgspec.json.decode(one)["error"] for one in (await connection.piece()).splitlines()]
        assert [error["status"] for error in errors] == [503, 400, 503]
        assert errors[0]["retry_after"] == 10
        world.engine.overload = None
        await connection.chunk(line(3))
        assert await refs(connection, 1) == ["3"]

    run(check, socket_dir)


def test_lines_of_a_commit_that_failed_are_answered_503_in_their_places(socket_dir):
    async def check(world: World) -> None:
        world.engine.error = JournalFull("no room")
        answer = await world.call("POST", PATH, line(0) + b"bad\n", NDJSON)
        assert [one["error"]["status"] for one in answer.lines] == [503, 400]
        assert world.engine.library.messages == {}

    run(check, socket_dir)


def test_a_body_that_breaks_off_is_answered_and_told(socket_dir):
    async def check(world: World) -> None:
        connection = await world.connect()
        await connection.begin(PATH, NDJSON)
        await connection.chunk(line(0) + b'{"to":')
        connection.writer.write(b"nonsense\r\n")
        answer = await connection.response()
        result, fault = answer.lines
        assert (result["ref"], fault["error"]["status"]) == ("0", 400)
        assert world.engine.commits == [1]

    run(check, socket_dir)


def test_a_client_that_goes_away_leaves_what_it_sent_accepted(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = True
        connection = await world.connect()
        await connection.begin(PATH, NDJSON)
        await connection.chunk(line(0))
        await engine.until(lambda: engine.waiting == 1)
        connection.writer.transport.abort()
        await settle()
        engine.commit()
        assert len(engine.library.messages) == 1

    run(check, socket_dir)


def test_a_server_that_stops_answers_what_it_took_and_ends_the_stream(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.holds = True
        connection = await world.connect()
        await connection.begin(PATH, NDJSON)
        await connection.chunk(line(0))
        await engine.until(lambda: engine.waiting == 1)
        closing = asyncio.ensure_future(world.server.close(5))
        await settle()
        engine.commit()
        assert (await connection.response()).lines[0]["ref"] == "0"
        connection.close()
        assert await closing == 0

    run(check, socket_dir)


def test_ten_thousand_lines_in_odd_pieces_come_back_in_order(socket_dir):
    async def check(world: World) -> None:
        body = b"".join(line(number) for number in range(10_000))
        connection = await world.connect()
        await connection.begin(PATH, NDJSON)

        async def write() -> None:
            for start in range(0, len(body), 30_011):
                await connection.chunk(body[start : start + 30_011])
            await connection.chunk(b"")

        writing = asyncio.ensure_future(write())
        answer = await connection.response()
        await writing
        assert [one["ref"] for one in answer.lines] == [str(number) for number in range(10_000)]
        assert sum(world.engine.commits) == 10_000
        assert len(world.engine.commits) < 200

    run(check, socket_dir)
