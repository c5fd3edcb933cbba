"""Batches and held messages over HTTP: what is shown, what is done, and to whom it is shown."""

from stentor.message import Status
from tests.engine.api.api_world import World, run

TO = "+40712345678"


async def submit(world: World, count: int = 1, **fields: object) -> list[str]:
    body = [{"to": TO, "text": "x", **fields} for _ in range(count)]
    answer = await world.call("POST", "/v1/messages", body)
    return [result["id"] for result in answer.json["results"]]


def test_a_batch_is_counted_by_status_with_progress_and_the_expected_end(socket_dir) -> None:
    async def scene(world: World) -> None:
        await submit(world, 4, batch="june")
        await submit(world, 1)
        first, *_ = world.engine.library.messages.values()
        first.status = Status.DELIVERED
        world.engine.rate = 0.5
        body = (await world.call("GET", "/v1/batches/june")).json
        expected_end = body.pop("expected_end")
        assert body == {
            "batch": "june",
            "state": "active",
            "total": 4,
            "counts": {"delivered": 1, "queued": 3},
            "held": 0,
            "left": 3,
            "progress": 0.25,
            "rate": 0.5,
        }
        submitted_at = (await world.call("GET", "/v1/messages?limit=1")).json["messages"][0]["submitted_at"]
        assert expected_end > submitted_at
        paused = await world.call("POST", "/v1/batches/june/pause")
        assert (paused.status, paused.json["state"], paused.json["expected_end"]) == (200, "paused", None)

    run(scene, socket_dir)


def test_a_batch_of_which_nothing_is_left_to_send_is_finished_until_more_comes(socket_dir) -> None:
    async def scene(world: World) -> None:
        await submit(world, 1, batch="june")
        [message] = world.engine.library.messages.values()
        for status, state in (
            (Status.SENDING, "active"),
            (Status.SENT, "finished"),
            (Status.FAILED, "finished"),
        ):
            message.status = status
            assert (await world.call("GET", "/v1/batches/june")).json["state"] == state
        assert (await world.call("POST", "/v1/batches/june/pause")).json["state"] == "paused"
        await submit(world, 1, batch="june")
        world.engine.batch_states.clear()
        assert (await world.call("GET", "/v1/batches/june")).json["state"] == "active"

    run(scene, socket_dir)


def test_a_batch_is_paused_resumed_and_cancelled_under_any_label(socket_dir) -> None:
    async def scene(world: World) -> None:
        await submit(world, batch="a/b é")
        path = "/v1/batches/a%2Fb%20%C3%A9"
        for word, state in (("pause", "paused"), ("resume", "resuming"), ("cancel", "cancelling")):
            answer = await world.call("POST", f"{path}/{word}")
            assert (answer.json["batch"], answer.json["state"]) == ("a/b é", state)

    run(scene, socket_dir)


def test_a_batch_without_messages_and_one_of_another_account_are_404(socket_dir) -> None:
    async def scene(world: World) -> None:
        await submit(world, batch="mine")
        for message in world.engine.library.messages.values():
            message.account = "other"
        for method, path in (("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel")):
            for label in ("mine", "none"):
                assert (await world.call(method, f"/v1/batches/{label}{path}")).status == 404
        assert not world.engine.batch_states

    run(scene, socket_dir)


def test_a_message_is_held_and_released_and_shows_it(socket_dir) -> None:
    async def scene(world: World) -> None:
        (id,) = await submit(world, batch="b")
        held = await world.call("POST", f"/v1/messages/{id}/hold")
        assert (held.status, held.json["held"], held.json["status"]) == (200, True, "queued")
        assert (await world.call("GET", f"/v1/messages/{id}")).json["batch"] == "b"
        released = await world.call("POST", f"/v1/messages/{id}/release")
        assert (released.status, released.json["held"]) == (200, False)
        again = await world.call("POST", f"/v1/messages/{id}/release")
        assert (again.status, again.json["code"]) == (409, "not_held")
        world.engine.library.messages[next(iter(world.engine.library.messages))].status = Status.SENT
        late = await world.call("POST", f"/v1/messages/{id}/hold")
        assert (late.status, late.json["code"]) == (409, "already_left")

    run(scene, socket_dir)


def test_the_queue_is_shown_to_operators(socket_dir) -> None:
    async def scene(world: World) -> None:
        answer = await world.call("GET", "/v1/queue")
        assert answer.json == {
            "ages_s": [60],
            "lines": [{"prefix": "+40", "counts": [1, 2]}],
            "is_whole": True,
        }

    run(scene, socket_dir)


def test_a_label_is_1_to_64_characters_that_can_be_seen(socket_dir) -> None:
    async def scene(world: World) -> None:
        for label in ("", "x" * 65, "a\nb", 5):
            answer = await world.call("POST", "/v1/messages", {"to": TO, "text": "x", "batch": label})
            assert (answer.status, answer.json["errors"][0]["path"]) == (422, "$.batch")

    run(scene, socket_dir)
