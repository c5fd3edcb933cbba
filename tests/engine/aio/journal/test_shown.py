"""Messages put together by SQLite: to the octet what ``stentor.api.render`` makes of what the journal gives back."""

import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from stentor.aio.journal.reader import Reader
from stentor.aio.journal.shown import read_shown
from stentor.api.events import event_body, event_text
from stentor.api.render import encode, message_body
from stentor.journal.records import Commit
from stentor.message import EVENT_OF_STATUS, Event, EventKind, Message, Segment, Status
from tests.conftest import SCALE
from tests.engine.aio.journal.journal_helpers import (
    WALL_MS,
    Opened,
    accept,
    events,
    message,
    messages_of,
    run,
    segments_of,
    texts,
)

TOLD = sorted(EVENT_OF_STATUS)
documents = st.none() | st.dictionaries(texts, texts | st.integers() | st.none(), max_size=3).map(
    msgspec.json.encode
)


@st.composite
def messages(draw: st.DrawFn) -> list[Message]:
    """Up to four, of any shape, with their segments and what clients may have sent along."""
    found = [draw(messages_of(st.just(number))) for number in range(draw(st.integers(0, 4)))]
    for one in found:
        one.metadata = draw(documents)
        parts = draw(
            st.lists(segments_of(st.integers(1, 255)), max_size=3, unique_by=lambda part: part.index)
        )
        one.segment_list = parts
    return found


async def shown(reader: Reader, tokens: list[int]) -> dict[int, bytes]:
    return await reader._disk.run(read_shown, tokens)


@settings(max_examples=SCALE(gate=60, nightly=5_000, release=50_000))
@given(all_messages=messages(), statuses=st.lists(st.sampled_from(TOLD), min_size=1, max_size=3, unique=True))
def test_every_text_is_the_rendered_one(all_messages: list[Message], statuses: list[Status]) -> None:
    async def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with Opened(Path(folder) / "journal.db") as (journal, reader):
                rows = {
                    one.key + part.index: (one, part) for one in all_messages for part in one.segment_list
                }
                await journal.commit(Commit(1, accepted=all_messages, segments=rows))
                stored = await reader.messages([one.key for one in all_messages])
                wanted = {
                    one.key | status: encode(message_body(one, status))
                    for one in stored
                    if one.data is None and one.udh is None
                    for status in statuses
                }
                tokens = [one.key | status for one in all_messages for status in statuses]
                assert await shown(reader, tokens) == wanted

    run(work)


def test_what_there_is_not_and_what_has_octets_is_left_out(tmp_path: Path) -> None:
    plain, data, udh = message(), message(text=None, data=b"\0"), message(udh=b"")
    stranger = message()

    async def work() -> None:
        async with Opened(tmp_path / "journal.db") as (journal, reader):
            assert await shown(reader, []) == {}
            await accept(journal, plain, data, udh)
            found = await shown(reader, [one.key | 4 for one in (plain, data, stranger, udh)])
            assert list(found) == [plain.key | 4]

    run(work)


def test_many_segments_are_shown_in_their_order_and_those_taken_back_are_not(tmp_path: Path) -> None:
    one = message(segments=255)
    parts = [Segment(index, Status.SENT, f"c{index}", channel="alpha") for index in range(255, 0, -1)]
    parts[7].status = Status.QUEUED

    async def work() -> None:
        async with Opened(tmp_path / "journal.db") as (journal, reader):
            await accept(journal, one)
            await journal.commit(Commit(2, segments={one.key + part.index: (one, part) for part in parts}))
            (text,) = (await shown(reader, [one.key | Status.SENT])).values()
            ids = [(part["index"], part["carrier_id"]) for part in msgspec.json.decode(text)["segment_list"]]
            assert ids == [(index, None if index == 248 else f"c{index}") for index in range(1, 256)]

    run(work)


def test_a_page_shows_a_message_in_the_status_of_each_of_its_events(tmp_path: Path) -> None:
    one, data = message(), message(text=None, data=b"\1")
    told = (
        events(1, one) + events(2, one, data, kind=EventKind.SENT) + events(4, one, kind=EventKind.DELIVERED)
    )
    told.append(Event(5, EventKind.CHANNEL_UP, WALL_MS, "", 0, "alpha", "up"))
    told += events(6, message())

    async def work() -> None:
        async with Opened(tmp_path / "journal.db") as (journal, reader):
            await accept(journal, one, data)
            await journal.commit(Commit(1, events=told))
            page = await reader.told(0, 100, lambda event: True, as_text=True)
            assert [event for event, _ in page.pairs] == told
            assert [type(shown) for _, shown in page.pairs] == [
                bytes,
                bytes,
                Message,
                bytes,
                type(None),
                type(None),
            ]
            stored = {each.key: each for each in await reader.messages([one.key, data.key])}
            for event, shown in page.pairs[:4]:
                assert event_text(event, shown) == encode(event_body(event, stored[event.key]))

    run(work)
