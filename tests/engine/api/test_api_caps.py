"""Caps over HTTP: each form of a submit refuses what is too much to one number, and nothing else of it."""

from stentor.api.render import time_text
from stentor.pacing.caps import CapRules
from stentor.pacing.quiet import Quiet, QuietRule
from tests.engine.api.api_world import World, run

TO = "+40712345678"


def test_an_object_too_many_is_refused_with_429(socket_dir) -> None:
    async def scene(world: World) -> None:
        world.app.set_caps(CapRules(hour=1))
        body = {"to": TO, "text": "x"}
        assert (await world.call("POST", "/v1/messages", body)).status == 202
        answer = await world.call("POST", "/v1/messages", body)
        assert (answer.status, answer.json["code"]) == (429, "too_many_to_number")
        world.app.set_caps(CapRules())
        assert (await world.call("POST", "/v1/messages", body)).status == 202

    run(scene, socket_dir)


def test_arrays_lists_and_streams_refuse_item_by_item(socket_dir) -> None:
    async def scene(world: World) -> None:
        world.app.set_caps(CapRules(same_text_day=1))
        array = [{"to": TO, "text": text} for text in ("a", "a", "b")]
        results = (await world.call("POST", "/v1/messages", array)).json["results"]
        assert [result.get("error", {}).get("status") for result in results] == [None, 429, None]
        listed = {"to": [TO, "+40712000000"], "text": "a"}
        results = (await world.call("POST", "/v1/messages", listed)).json["results"]
        assert [result.get("error", {}).get("status") for result in results] == [429, None]
        lines = b'{"to": "%b", "text": "a"}\n{"to": "%b", "text": "c"}\n' % (TO.encode(), TO.encode())
        kind = {"content-type": "application/x-ndjson"}
        streamed = (await world.call("POST", "/v1/messages", lines, kind)).lines
        assert [line.get("error", {}).get("code") for line in streamed] == ["too_many_to_number", None]

    run(scene, socket_dir)


def test_one_too_many_is_accepted_and_held_if_the_caps_say_so(socket_dir) -> None:
    async def scene(world: World) -> None:
        world.app.set_caps(CapRules(hour=1, over="hold"))
        body = [{"to": TO, "text": "x"}] * 2
        results = (await world.call("POST", "/v1/messages", body)).json["results"]
        shown = [(await world.call("GET", f"/v1/messages/{result['id']}")).json["held"] for result in results]
        assert shown == [False, True]

    run(scene, socket_dir)


def test_what_would_be_late_is_refused_if_it_asks_for_that(socket_dir) -> None:
    async def scene(world: World) -> None:
        world.engine.is_late = True
        body = {"to": TO, "text": "x", "ordered": True}
        accepted = await world.call("POST", "/v1/messages", body)
        shown = await world.call("GET", f"/v1/messages/{accepted.json['id']}")
        assert (accepted.status, shown.json["ordered"]) == (202, True)
        late = await world.call("POST", "/v1/messages", body | {"refuse_if_late": True})
        assert (late.status, late.json["code"]) == (409, "would_be_late")
        results = (await world.call("POST", "/v1/messages", [body | {"refuse_if_late": True}, body])).json
        assert (results["accepted"], results["rejected"]) == (1, 1)

    run(scene, socket_dir)


def test_what_is_submitted_in_quiet_hours_is_scheduled_for_their_end(socket_dir) -> None:
    """The test's clock stands at 10:00 in Romania."""

    async def scene(world: World) -> None:
        hours = QuietRule(start_min=9 * 60, end_min=12 * 60, exempt_priorities=(0,), exempt_tags=("otp",))
        world.app.set_quiet(Quiet((hours,)))
        now = world.engine.clock.wall_ms()
        opens = time_text(now // 60_000 * 60_000 - now // 60_000 % 60 * 60_000 + 2 * 3_600_000)
        body = {"to": TO, "text": "x"}
        answer = await world.call("POST", "/v1/messages", body)
        shown = (await world.call("GET", f"/v1/messages/{answer.json['id']}")).json
        assert (answer.json["status"], shown["status"], shown["send_at"]) == ("scheduled", "scheduled", opens)
        assert shown["error"]["code"] == "quiet_hours"
        array = [body | {"priority": "urgent"}, body, body | {"tags": ["otp"]}]
        results = (await world.call("POST", "/v1/messages", array)).json["results"]
        assert [result["status"] for result in results] == ["queued", "scheduled", "queued"]

    run(scene, socket_dir)
