"""``GET /v1/events``: live, replayed without gap or double, across a restart; nobody else's."""

from contextlib import ExitStack

import pytest

from tests.contract.contract_world import LATER, Daemon, Json, Stream, number, text


def kinds(events: list[Json], id: str) -> list[str]:
    return [event["type"] for event in events if event.get("message", {}).get("id") == id]


def test_events_come_live_with_the_whole_message(daemon: Daemon):
    with Stream(daemon.socket) as events:
        assert events.status == 200
        assert events.content_type.startswith("text/event-stream")
        id = daemon.client.submit(ref="live", metadata={"a": [1]})["id"]
        told = events.until("message.delivered", id)
    assert kinds(told, id) == ["message.queued", "message.sent", "message.delivered"]
    for event in (event for event in told if event["type"].startswith("message.")):
        assert {"id", "type", "at", "message"} <= set(event)
        assert event["message"]["ref"] == "live"
        assert event["message"]["metadata"] == {"a": [1]}
        assert event["message"]["status"] == event["type"].removeprefix("message.")
    ids = [int(event["id"]) for event in told]
    assert ids == sorted(set(ids))
    assert told[-1]["message"] == daemon.client.message(id)


def test_scheduled_and_cancelled_are_told_of(daemon: Daemon):
    with Stream(daemon.socket) as events:
        id = daemon.client.submit(send_at=LATER)["id"]
        daemon.client.request("DELETE", f"/v1/messages/{id}")
        assert kinds(events.until("message.cancelled", id), id) == ["message.cancelled"]


def test_a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice(daemon: Daemon):
    client = daemon.client
    with Stream(daemon.socket) as events:
        first = client.submit()["id"]
        seen = events.until("message.delivered", first)
    ids = [client.submit()["id"] for _ in range(30)]
    for id in ids:
        client.wait(id, "delivered")
    # Read a part, go away, come back, and go on into what is live.
    with Stream(daemon.socket, seen[-1]["id"]) as events:
        for event in events:
            seen.append(event)
            if len(seen) == 40:
                break
    with Stream(daemon.socket, seen[-1]["id"]) as events:
        last = client.submit()["id"]
        seen += events.until("message.delivered", last)
    for id in (first, *ids, last):
        assert kinds(seen, id) == ["message.queued", "message.sent", "message.delivered"]
    numbers = [int(event["id"]) for event in seen]
    assert numbers == sorted(set(numbers))


def test_many_readers_see_the_same(daemon: Daemon):
    with ExitStack() as stack:
        streams = [stack.enter_context(Stream(daemon.socket)) for _ in range(20)]
        results = daemon.client.post(
            "/v1/messages", {"to": [number() for _ in range(50)], "text": text()}
        ).json()
        for result in results["results"]:
            daemon.client.wait(result["id"], "delivered")
        last = daemon.client.submit()["id"]
        told = [[event["id"] for event in stream.until("message.delivered", last)] for stream in streams]
    assert len(told[0]) >= 153
    assert all(each == told[0] for each in told)


def test_events_go_on_over_a_restart(daemon: Daemon):
    client = daemon.client
    with Stream(daemon.socket) as events:
        before = client.submit()["id"]
        seen = events.until("message.delivered", before)
        client.pause("alpha")
        waiting = client.submit()["id"]
        seen += events.until("message.queued", waiting)
        seen += events.until("channel.down") if not _has(seen, "channel.down") else []
        daemon.end()
        # The stream ends in good order.
        seen += list(events)
    daemon.start()
    client = daemon.client
    client.resume("alpha")
    client.wait(waiting, "delivered")
    with Stream(daemon.socket, seen[-1]["id"]) as events:
        seen += events.until("message.delivered", waiting)
    assert kinds(seen, waiting) == ["message.queued", "message.sent", "message.delivered"]
    assert kinds(seen, before) == ["message.queued", "message.sent", "message.delivered"]
    numbers = [int(event["id"]) for event in seen]
    assert numbers == sorted(set(numbers))


def _has(events: list[Json], kind: str) -> bool:
    return any(event["type"] == kind for event in events)


@pytest.mark.parametrize("last", ["0", "999999999999999"])
def test_any_number_is_a_place_to_go_on_from(daemon: Daemon, last: str):
    """0 is before everything there is; a number to come is now."""
    with Stream(daemon.socket, last) as events:
        id = daemon.client.submit()["id"]
        told = events.until("message.delivered", id)
    assert len(told) > 3 if last == "0" else kinds(told, id) == [event["type"] for event in told]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30])
def test_what_is_no_event_id_is_refused(daemon: Daemon, last: str):
    daemon.client.get("/v1/events", Last_Event_ID=last).problem(400)
