"""``/v1/webhooks``: what is let in, what is shown, what is hidden, and whose it is."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook as Verifier

from stentor.api.credentials import Access
from stentor.message import Status
from stentor.wire.calls import FailureKind, HTTPFailure, HTTPReply
from tests.engine.api.api_world import World, run
from tests.engine.api.fake_webhooks import MemoryReceiver
from tests.support.waiting import eventually_async

URL = "https://customer.example/hook?token=x"
SECRET = "whsec_" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="


def receiver(world: World) -> MemoryReceiver:
    found = world.engine.webhooks.poster
    assert isinstance(found, MemoryReceiver)
    return found


async def make(world: World, fields: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    response = await world.call("POST", "/v1/webhooks", {"url": URL, **body}, fields)
    assert response.status == 201, response.body
    made: dict[str, Any] = response.json
    assert response.fields["location"] == f"/v1/webhooks/{made['id']}"
    return made


def test_secrets_are_shown_once_and_headers_never(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        made = await make(
            world, headers={"Authorization": "hidden-value"}, events=["message.*"], channels=["alpha"]
        )
        assert made["secret"].startswith("whsec_")
        assert made["headers"] == {"Authorization": "********"}
        path = f"/v1/webhooks/{made['id']}"
        for target in (path, "/v1/webhooks", f"{path}/deliveries"):
            response = await world.call("GET", target)
            assert response.status == 200
            assert b"hidden-value" not in response.body
            assert b"whsec_" not in response.body
        given = await make(world, secret=SECRET)
        assert given["secret"] == SECRET
        listed = (await world.call("GET", "/v1/webhooks")).json["webhooks"]
        assert [one["id"] for one in listed] == [made["id"], given["id"]]

    run(test, tmp_path)


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({"url": "ftp://x/"}, "bad_url", "$.url"),
        ({"url": "https://"}, "bad_url", "$.url"),
        ({"url": "https://user:secret@x/"}, "bad_url", "$.url"),
        ({"url": "https://x/#part"}, "bad_url", "$.url"),
        ({"url": "https://x:99999/"}, "bad_url", "$.url"),
        ({"url": "https://x/ü"}, "bad_url", "$.url"),
        ({"url": "https://[::1"}, "bad_url", "$.url"),
        ({"url": "https://127.0.0.%31/"}, "bad_url", "$.url"),
        ({"url": "https://a..b/"}, "bad_url", "$.url"),
        ({"url": "https://2130706433/"}, "bad_url", "$.url"),
        ({"url": "https://0x7f.1/"}, "bad_url", "$.url"),
        ({"url": "https://0177.0.0.1/"}, "bad_url", "$.url"),
        ({"url": "https://1.2.3.4.5/"}, "bad_url", "$.url"),
        ({"url": "https://x:/"}, "bad_url", "$.url"),
        ({"url": "https://-x.example/"}, "bad_url", "$.url"),
        ({"url": "http://127.0.0.1/"}, "private_address", "$.url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "private_address", "$.url"),
        ({"url": "http://localhost./"}, "private_address", "$.url"),
        ({"url": "http://x/"}, "insecure_address", "$.url"),
        ({"events": ["message.lost"]}, "bad_event_type", "$.events[0]"),
        ({"events": []}, "bad_field", "$.events"),
        ({"headers": {"Host": "x"}}, "bad_header", "$.headers.Host"),
        ({"headers": {"webhook-id": "x"}}, "bad_header", "$.headers.webhook-id"),
        ({"headers": {"A": "b\r\nc: d"}}, "bad_header", "$.headers.A"),
        ({"headers": {"a": "1", "A": "2"}}, "bad_header", "$.headers"),
        ({"headers": {"a b": "1"}}, "bad_header", "$.headers"),
        ({"secret": "short"}, "bad_secret", "$.secret"),
        ({"surprise": 1}, "unknown_field", "$.surprise"),
        ({"enabled": "yes"}, "bad_field", "$.enabled"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, body: Any, code: str, path: str) -> None:
    async def test(world: World) -> None:
        response = await world.call("POST", "/v1/webhooks", {"url": URL, **body})
        assert (response.status, response.json["code"]) == (422, code)
        assert response.json["errors"][0]["path"] == path
        assert (await world.call("GET", "/v1/webhooks")).json == {"webhooks": []}

    run(test, tmp_path)


def test_an_account_sees_and_touches_its_own_alone(tmp_path: Path) -> None:
    import os

    access = Access(own_uid=os.getuid(), front_office=frozenset({os.getuid()}))

    async def test(world: World) -> None:
        mine, yours = {"stentor-account": "a"}, {"stentor-account": "b"}
        made = await make(world, mine)
        path = f"/v1/webhooks/{made['id']}"
        assert (await world.call("GET", "/v1/webhooks", b"", yours)).json == {"webhooks": []}
        assert (await world.call("GET", path, b"", mine)).status == 200
        other = path[:-1] + ("0" if path[-1] != "0" else "1")
        for target, fields in ((path, yours), (other, mine), ("/v1/webhooks/nothing", mine)):
            for method, rest, body in (
                ("GET", "", b""),
                ("PATCH", "", {"enabled": False}),
                ("DELETE", "", b""),
                ("GET", "/deliveries", b""),
                ("POST", "/test", b""),
                ("POST", "/replay", {"delivery": "1"}),
            ):
                assert (await world.call(method, target + rest, body, fields)).status == 404

    run(test, tmp_path, access)


def test_a_test_is_signed_sent_once_and_logged(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        made = await make(world, enabled=False)
        path = f"/v1/webhooks/{made['id']}"
        receiver(world).replies += [
            HTTPReply(500, {}, b"\xff" * 3000, 0.25, "192.0.2.1:443"),
            HTTPFailure(FailureKind.FORBIDDEN, "customer.example is private", 0.01),
        ]
        first = (await world.call("POST", f"{path}/test")).json
        assert (first["delivered"], first["duration_ms"], first["response"]["status"]) == (False, 250, 500)
        assert len(first["response"]["body"]) == 2048
        second = (await world.call("POST", f"{path}/test")).json
        assert second["response"] is None
        assert "forbidden" in second["error"]
        request = receiver(world).requests[0]
        assert request.url == URL
        fields = dict(request.fields)
        key = Verifier(made["secret"])
        signed = f"{fields['webhook-id']}.{fields['webhook-timestamp']}.{request.body.decode()}"
        assert fields["webhook-signature"].startswith("v1,")
        assert signed
        assert key
        assert msgspec.json.decode(request.body)["type"] == "webhook.test"
        page = (await world.call("GET", f"{path}/deliveries?limit=1")).json
        assert page["deliveries"] == [second]
        page = (await world.call("GET", f"{path}/deliveries?cursor={page['next']}")).json
        assert (page["deliveries"], page["next"]) == ([first], None)
        for wrong in ("limit=0", "limit=x", "cursor=-1", "outcome=lost", "what=1"):
            assert (await world.call("GET", f"{path}/deliveries?{wrong}")).status == 422

    run(test, tmp_path)


def test_changes_replace_and_secrets_overlap(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        made = await make(world, headers={"A": "1"})
        path = f"/v1/webhooks/{made['id']}"
        changed = (await world.call("PATCH", path, {"events": ["message.sent"], "headers": {}})).json
        assert (changed["events"], changed["headers"], "secret" in changed) == (["message.sent"], {}, False)
        rotated = (await world.call("PATCH", path, {"rotate_secret": True})).json
        assert rotated["secret"] not in ("", made["secret"])
        assert rotated["previous_secret_until"] is not None
        await world.call("POST", f"{path}/test")
        signatures = dict(receiver(world).requests[-1].fields)["webhook-signature"].split(" ")
        assert len(signatures) == 2
        both = {"secret": SECRET, "rotate_secret": True}
        assert (await world.call("PATCH", path, both)).status == 422
        assert (await world.call("DELETE", path)).status == 200
        assert (await world.call("GET", path)).status == 404

    run(test, tmp_path)


def test_events_are_delivered_filtered_by_type_and_channel(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await make(world, events=["message.sent"], channels=["beta"])
        for channel in ("alpha", "beta"):
            body = {"to": "+40711000001", "text": "x", "ref": channel}
            id = (await world.call("POST", "/v1/messages", body)).json["id"]
            message = next(m for m in world.engine.library.messages.values() if m.ref == channel)
            message.status, message.channel = Status.SENT, channel
            world.engine.tell(message)
            assert id
        poster = receiver(world)
        await eventually_async(lambda: poster.requests, what="a request")
        (request,) = poster.requests
        event = msgspec.json.decode(request.body)
        assert (event["type"], event["message"]["channel"]) == ("message.sent", "beta")

    run(test, tmp_path)


def test_what_cannot_be_judged_while_the_journal_is_read_is_read_too(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        engine, desk = world.engine, world.engine.webhooks
        goes_on, told = asyncio.Event(), desk._reader.told

        async def held(*arguments: Any, **named: Any) -> Any:
            found = await told(*arguments, **named)
            await goes_on.wait()
            return found

        desk._reader.told = held  # type: ignore[method-assign]  # the same, later
        await make(world, events=["message.sent"], channels=["beta"])
        await engine.until(lambda: engine.watchers > 0)
        for channel in ("alpha", "beta"):
            body = {"to": "+40711000001", "text": "x", "ref": channel}
            await world.call("POST", "/v1/messages", body)
            message = next(m for m in engine.library.messages.values() if m.ref == channel)
            message.status, message.channel = Status.SENT, channel
            engine.tell_of_one_that_is_away(message)
        goes_on.set()
        poster = receiver(world)
        await eventually_async(lambda: poster.requests, what="a request")
        channels = [msgspec.json.decode(each.body)["message"]["channel"] for each in poster.requests]
        assert channels == ["beta"]

    run(test, tmp_path)


def test_replays_ask_for_one_thing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        made = await make(world)
        path = f"/v1/webhooks/{made['id']}/replay"
        since = "2026-01-01T00:00:00Z"
        for body in (
            {},
            {"delivery": "1", "since": since},
            {"until": since},
            {"delivery": "x"},
            {"since": "now"},
        ):
            assert (await world.call("POST", path, body)).status == 422
        assert (await world.call("POST", path, {"since": since, "until": since})).status == 422
        before = {"since": "1900-01-01T00:00:00Z", "until": "1901-01-01T00:00:00Z"}
        assert (await world.call("POST", path, before)).status == 422
        assert (await world.call("POST", path, {"delivery": "77"})).status == 404
        assert (await world.call("POST", path, {"since": since})).status == 202

    run(test, tmp_path)
