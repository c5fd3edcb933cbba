"""The stream of events: nothing lost, nothing twice, nothing of others, no subscriber that holds us up."""

import asyncio

import msgspec
import pytest

from stentor.api.events import event_body
from stentor.errors import JournalError
from stentor.message import Event, EventKind, Message, Status
from stentor.text.segments import Encoding
from stentor.wire.sse import KEEP_ALIVE, EventReader, ServerSentEvent
from tests.engine.api.api_world import Connection, World, run

PATH = "/v1/events"


def message(key: int, status: Status = Status.QUEUED, account: str = "default") -> Message:
    at = 1_800_000_000_000
    return Message(
        key << 8, 5, account, "+40712345678", "", "x", Encoding.GSM7, 1, at, at, at, ("alpha",), status=status
    )


class Subscriber:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.reader = EventReader()
        self.events: list[ServerSentEvent] = []

    @classmethod
    async def open(cls, world: World, **fields: str) -> "Subscriber":
        subscriber = cls(await world.connect())
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        await subscriber.connection.send("GET", PATH, b"", headers)
        status, fields = await subscriber.connection.head()
        assert (status, fields["content-type"]) == (200, "text/event-stream")
        assert await subscriber.connection.piece() == KEEP_ALIVE
        return subscriber

    async def take(self, count: int) -> list[str]:
        while len(self.events) < count:
            self.events += self.reader.feed(await self.connection.piece())
        taken, self.events = self.events[:count], self.events[count:]
        return [event.id for event in taken]


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_an_event_is_the_contracts_object(socket_dir):
    async def check(world: World) -> None:
        subscriber = await Subscriber.open(world)
        world.engine.tell(message(1, Status.SENT))
        while not subscriber.events:
            subscriber.events += subscriber.reader.feed(await subscriber.connection.piece())
        (event,) = subscriber.events
        body = msgspec.json.decode(event.data)
        assert (event.id, event.event) == (body["id"], body["type"]) == ("1", "message.sent")
        assert (body["at"], body["message"]["status"]) == ("2027-01-15T08:00:00.000Z", "sent")
        assert set(body) == {"id", "type", "at", "message"}

    run(check, socket_dir)


def test_an_event_of_a_channel_names_the_channel():
    body = event_body(Event(7, EventKind.CHANNEL_DOWN, 1, "", 0, "alpha", "refused"), None)
    decoded = msgspec.json.decode(msgspec.json.encode(body))
    assert decoded["channel"] == {"name": "alpha", "detail": "refused"}
    assert (decoded["type"], "message" in decoded) == ("channel.down", False)


def test_an_event_shows_the_status_it_tells_of():
    body = event_body(Event(7, EventKind.QUEUED, 1, "a", 256), message(1, Status.DELIVERED))
    assert body.message is not None
    assert body.message.status == "queued"


def test_from_now_on_means_nothing_of_before(socket_dir):
    async def check(world: World) -> None:
        world.engine.tell(message(1))
        subscriber = await Subscriber.open(world)
        world.engine.tell(message(2), message(3))
        assert await subscriber.take(2) == ["2", "3"]
        assert world.engine.library.reads == 0

    run(check, socket_dir)


def test_only_the_accounts_own_events_and_those_of_channels_are_told(socket_dir):
    async def check(world: World) -> None:
        one = await Subscriber.open(world, Stentor_Account="one")
        two = await Subscriber.open(world, Stentor_Account="two")
        world.engine.tell(message(1, account="one"), message(2, account="two"), message(3, account="three"))
        world.engine.tell_channel(EventKind.CHANNEL_UP, "alpha")
        assert await one.take(2) == ["1", "4"]
        assert await two.take(2) == ["2", "4"]
        late = await Subscriber.open(world, Stentor_Account="two", Last_Event_ID="0")
        assert await late.take(2) == ["2", "4"]

    run(check, socket_dir)


def test_after_an_id_everything_since_is_told_in_order(socket_dir):
    async def check(world: World) -> None:
        for number in range(1, 1_300):
            world.engine.tell(message(number))
        subscriber = await Subscriber.open(world, Last_Event_ID="7")
        assert await subscriber.take(1_292) == [str(number) for number in range(8, 1_300)]
        world.engine.tell(message(1))
        assert await subscriber.take(1) == ["1300"]

    run(check, socket_dir)


def test_what_is_committed_while_the_journal_is_read_is_told_once(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        engine.tell(message(1), message(2))
        engine.library.hold.clear()
        subscriber = await Subscriber.open(world, Last_Event_ID="0")
        await settle()
        engine.tell(message(3))
        engine.tell(message(4))
        engine.library.hold.set()
        await settle()
        engine.tell(message(5))
        assert await subscriber.take(5) == ["1", "2", "3", "4", "5"]

    run(check, socket_dir)


def test_more_than_can_be_kept_aside_is_read_again(socket_dir, monkeypatch):
    monkeypatch.setattr("stentor.api.events._ASIDE", 10)

    async def check(world: World) -> None:
        engine = world.engine
        engine.library.hold.clear()
        engine.tell(message(1))
        subscriber = await Subscriber.open(world, Last_Event_ID="0")
        await settle()
        for number in range(2, 40):
            engine.tell(message(number))
        engine.library.hold.set()
        assert await subscriber.take(39) == [str(number) for number in range(1, 40)]
        assert engine.library.reads == 2

    run(check, socket_dir)


def test_an_event_told_without_its_message_is_read(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        subscriber = await Subscriber.open(world)
        engine.tell(message(1))
        engine.last_seq += 1
        event = Event(engine.last_seq, EventKind.SENT, 1, "default", 256)
        engine.library.told.append((event, message(1, Status.SENT)))
        for watcher in tuple(engine._watchers):
            watcher([(event, None)])
        engine.tell(message(3))
        assert await subscriber.take(3) == ["1", "2", "3"]

    run(check, socket_dir)


def test_an_id_from_the_future_waits_for_what_comes_next(socket_dir):
    async def check(world: World) -> None:
        subscriber = await Subscriber.open(world, Last_Event_ID="999")
        await settle()
        world.engine.tell(message(1))
        assert await subscriber.take(1) == ["1"]

    run(check, socket_dir)


@pytest.mark.parametrize("last_id", ["x", "-1", "", "1" * 19])
def test_an_id_that_is_none_is_400(last_id, socket_dir):
    async def check(world: World) -> None:
        answer = await world.call("GET", PATH, b"", {"Last-Event-ID": last_id})
        assert (answer.status, answer.json["errors"][0]["path"]) == (400, "$.headers.last-event-id")

    run(check, socket_dir)


def test_a_subscriber_that_takes_nothing_is_dropped_and_holds_up_nobody(socket_dir, monkeypatch):
    monkeypatch.setattr("stentor.api.table.OUTPUT_LIMIT", 256 * 1024)

    async def check(world: World) -> None:
        engine = world.engine
        lazy = await Subscriber.open(world)
        diligent = await Subscriber.open(world)
        lazy.connection.reader._transport.pause_reading()
        number = 0
        while world.app.subscribers == 2:
            engine.tell(*(message(number) for _ in range(50)))
            number += 50
            assert len(await diligent.take(50)) == 50
            assert number < 50_000

    run(check, socket_dir)


def test_a_subscriber_that_goes_away_is_forgotten_and_watching_ends_with_the_last(socket_dir):
    async def check(world: World) -> None:
        engine = world.engine
        first, second = await Subscriber.open(world), await Subscriber.open(world)
        assert engine.watchers == 1
        first.connection.close()
        second.connection.close()
        for _ in range(3):
            engine.tell(message(1))  # a client that closed is noticed when it is written to
            await settle()
        await engine.until(lambda: engine.watchers == 0)

    run(check, socket_dir)


def test_a_quiet_stream_is_kept_alive_by_comments(socket_dir, monkeypatch):
    monkeypatch.setattr("stentor.api.events.KEEP_ALIVE_S", 0.01)

    async def check(world: World) -> None:
        subscriber = await Subscriber.open(world)
        assert await subscriber.connection.piece() == KEEP_ALIVE
        assert await subscriber.connection.piece() == KEEP_ALIVE

    run(check, socket_dir)


def test_a_server_that_stops_ends_the_stream(socket_dir):
    async def check(world: World) -> None:
        subscriber = await Subscriber.open(world)
        closing = asyncio.ensure_future(world.server.close(5))
        assert await subscriber.connection.piece() == b""
        subscriber.connection.close()
        assert await closing == 0
        assert world.engine.watchers == 0

    run(check, socket_dir)


def test_a_journal_that_cannot_be_read_breaks_the_stream_off(socket_dir):
    async def check(world: World) -> None:
        world.engine.library.fault = JournalError("unreadable")
        subscriber = await Subscriber.open(world, Last_Event_ID="0")
        with pytest.raises(asyncio.IncompleteReadError):
            await subscriber.connection.piece()

    run(check, socket_dir)


def test_subscribers_that_were_left_behind_read_on_together_and_miss_nothing(socket_dir, monkeypatch):
    monkeypatch.setattr("stentor.api.events._DEBT_S", -1.0)
    monkeypatch.setattr("stentor.api.events._SENT_A_ROUND", 60)

    async def check(world: World) -> None:
        engine = world.engine
        some = [await Subscriber.open(world) for _ in range(3)]
        other = await Subscriber.open(world, Stentor_Account="other")
        wanted = []
        for number in range(1, 200, 2):
            engine.tell(message(number), message(number + 1, account="other"))
            wanted.append(str(number))
            if number % 20 == 1:
                await settle()
        late = await Subscriber.open(world, Last_Event_ID="0")
        for subscriber in (*some, late):
            assert await subscriber.take(100) == wanted
        assert await other.take(100) == [str(number) for number in range(2, 201, 2)]
        # Pages are read for all of an account at once.
        assert engine.library.reads < 100

    run(check, socket_dir)


def test_one_far_behind_is_served_with_the_others_and_then_hears_of_commits(socket_dir):
    async def check(world: World) -> None:
        for number in range(1, 3_000):
            world.engine.tell(message(number))
        early = await Subscriber.open(world, Last_Event_ID="0")
        later = await Subscriber.open(world, Last_Event_ID="1700")
        assert await early.take(2_999) == [str(number) for number in range(1, 3_000)]
        assert await later.take(1_299) == [str(number) for number in range(1_701, 3_000)]
        await settle()
        reads = world.engine.library.reads
        world.engine.tell(message(7))
        assert await early.take(1) == await later.take(1) == ["3000"]
        assert world.engine.library.reads - reads <= 2

    run(check, socket_dir)
