"""The third-party API beside messages: who may come in, tokens, phones, webhooks, settings, inboxes, health."""

import base64
from typing import Any

import pytest

from tests.plugins.android.thirdparty_world import DEVICE, START, World

SUBMIT = {"id": "m-000009", "textMessage": {"text": "Hi"}, "phoneNumbers": ["+15550100050"]}


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !!!!",
        "Basic " + base64.b64encode(b"Q7MZ2K:wrong").decode(),
        "Bearer x.y.z",
        "Digest x",
    ],
)
def test_strangers_are_refused_and_told_of(authorization: str) -> None:
    world = World()
    answer = world.ask("GET", "/devices", authorization=authorization)
    assert (answer.status, answer.value) == (401, {"message": "Unauthorized"})
    assert world.suspects == ([authorization] if authorization else [])
    world.is_barred = True
    again = world.ask("GET", "/devices", authorization=authorization)
    assert again.status == (429 if authorization else 401)


def test_a_password_is_checked_once_a_minute_until_it_is_forgotten() -> None:
    world = World()
    for _ in range(5):
        assert world.ask("GET", "/devices").status == 200
    assert world.checks == 1
    world.api.clock.at_ms += 61_000
    world.ask("GET", "/devices")
    assert world.checks == 2
    world.password = "another"
    world.third.tokens.forget_passwords()
    assert world.ask("GET", "/devices").status == 401


def granted(world: World, *scopes: str, **fields: Any) -> dict[str, Any]:
    answer = world.ask("POST", "/auth/token", {"scopes": scopes, **fields})
    assert answer.status == 201
    value: dict[str, Any] = answer.value
    return value


def test_a_token_allows_its_scopes_until_it_expires_or_is_revoked() -> None:
    world = World()
    grant = granted(world, "messages:send", ttl=60)
    assert grant["access_token"] == grant["accessToken"]
    assert grant["expires_at"] == grant["expiresAt"] == "2026-07-01T07:14:20Z"
    bearer = f"Bearer {grant['access_token']}"
    assert world.ask("POST", "/messages", SUBMIT, bearer).status == 202
    assert world.ask("GET", "/devices", authorization=bearer).status == 403
    assert world.ask("POST", "/auth/token", {"scopes": ["all:any"]}, bearer).status == 403
    world.api.clock.at_ms += 61_000
    assert world.ask("GET", "/messages/m-000009", authorization=bearer).status == 401
    other = granted(world, "all:any")
    bearer = f"Bearer {other['access_token']}"
    assert world.ask("GET", "/devices", authorization=bearer).status == 200
    assert world.ask("DELETE", f"/auth/token/{other['id']}").status == 204
    assert world.ask("GET", "/devices", authorization=bearer).status == 401
    assert world.ask("POST", "/auth/token/refresh", None, f"Bearer {other['refresh_token']}").status == 401


def test_a_renewal_token_is_good_for_one_exchange_and_nothing_else() -> None:
    world = World()
    grant = granted(world, "devices:list")
    renewal = f"Bearer {grant['refresh_token']}"
    assert world.ask("GET", "/devices", authorization=renewal).status == 403
    renewed = world.ask("POST", "/auth/token/refresh", None, renewal)
    assert renewed.status == 201
    assert world.ask("GET", "/devices", authorization=f"Bearer {renewed.value['access_token']}").status == 200
    assert world.ask("POST", "/auth/token/refresh", None, renewal).status == 401
    assert world.ask("POST", "/auth/token/refresh", None, f"Bearer {grant['access_token']}").status == 403


def test_tokens_hold_over_a_restart_and_end_with_their_login() -> None:
    world = World()
    grant, revoked = granted(world, "devices:list"), granted(world, "devices:list")
    world.ask("DELETE", f"/auth/token/{revoked['id']}")
    later = World(api=world.api)
    bearer = f"Bearer {grant['access_token']}"
    assert later.ask("GET", "/devices", authorization=bearer).status == 200
    assert later.ask("GET", "/devices", authorization=f"Bearer {revoked['access_token']}").status == 401
    later.is_known = False
    assert later.ask("GET", "/devices", authorization=bearer).status == 401


def test_a_forged_token_is_refused() -> None:
    world = World()
    header, claims, signature = granted(world, "devices:list")["access_token"].split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    for token in (
        f"{unsigned}.{claims}.",
        f"{header}.{claims}.{signature[:-2]}AA",
        f"{header}.{claims}",
        ".",
    ):
        assert world.ask("GET", "/devices", authorization=f"Bearer {token}").status == 401


def test_phones_are_listed_and_removed() -> None:
    world = World()
    (phone,) = world.ask("GET", "/devices").value
    assert (phone["id"], phone["lastSeen"]) == (DEVICE, START)
    assert world.ask("DELETE", f"/device/{DEVICE}").status == 204
    assert world.ask("DELETE", f"/devices/{DEVICE}").status == 404
    assert world.ask("GET", "/devices").value == []


def test_webhooks_are_kept_for_the_phones_which_are_told() -> None:
    world = World()
    hook = {"url": "https://hooks.example.test/x", "event": "sms:received"}
    made = world.ask("POST", "/webhooks", {**hook, "id": None})
    assert made.status == 201
    assert made.value == {**hook, "id": made.value["id"]}
    world.ask("POST", "/webhooks", {**hook, "id": "mine", "deviceId": DEVICE})
    assert world.told == ["hooks", "hooks"]
    later = World(api=world.api)
    assert len(later.ask("GET", "/webhooks").value) == 2
    assert later.third.kept("Q7MZ2K").hooks["mine"].device_id == DEVICE
    assert later.ask("DELETE", "/webhooks/mine").status == 204
    assert later.ask("DELETE", "/webhooks/mine").status == 204
    assert [each["id"] for each in later.ask("GET", "/webhooks").value] == [made.value["id"]]
    later.third.forget("Q7MZ2K")
    assert World(api=world.api).ask("GET", "/webhooks").value == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://x/", "event": "sms:received"},
        {"url": "https://", "event": "sms:received"},
        {"url": "https://[", "event": "sms:received"},
        {"url": "https://x/" + "y" * 512, "event": "sms:received"},
        {"url": "https://x/", "event": "sms:unheard"},
        {"url": "https://x/", "event": "sms:received", "id": "a|b"},
        {"url": "https://x/"},
    ],
)
def test_a_wrong_webhook_is_refused(wrong: dict[str, str]) -> None:
    world = World()
    assert world.ask("POST", "/webhooks", wrong).status == 400
    assert world.told == []


def test_the_number_of_webhooks_is_bounded() -> None:
    world = World()
    hook = {"url": "https://hooks.example.test/x", "event": "sms:received"}
    statuses = [world.ask("POST", "/webhooks", hook).status for _ in range(51)]
    assert statuses == [201] * 50 + [400]


def test_settings_are_merged_replaced_and_shown_without_secrets() -> None:
    world = World()
    world.ask("PATCH", "/settings", {"messages": {"limit_value": 5}, "encryption": {"passphrase": "s"}})
    shown = world.ask("PATCH", "/settings", {"messages": {"limit_period": "PerHour"}, "unknown": {"x": 1}})
    assert shown.value == {"messages": {"limit_value": 5, "limit_period": "PerHour"}}
    kept = World(api=world.api).third.kept("Q7MZ2K").settings
    assert kept["encryption"] == {"passphrase": "s"}
    half = {"messages": {"limit_period": "Per30Minutes"}}
    assert world.ask("PATCH", "/settings", half).value["messages"]["limit_period"] == "Per30Minutes"
    world.ask("PATCH", "/settings", {"messages": {"limit_value": None, "limit_period": "PerHour"}})
    assert world.ask("GET", "/settings").value == {"messages": {"limit_period": "PerHour"}}
    assert world.ask("PUT", "/settings", {"ping": {"interval_seconds": 60}}).value == {
        "ping": {"interval_seconds": 60}
    }
    assert world.told == ["settings"] * 5


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"messages": {"limit_period": "PerYear"}}, 400),
        ({"messages": {"limit_value": -1}}, 400),
        ({"messages": {"limit_value": True}}, 400),
        ({"ping": {"interval_seconds": "60"}}, 400),
        ({"messages": []}, 400),
        ({"gateway": {"cloud_url": "https://elsewhere.example.test"}}, 403),
        ({"gateway": {"private_token": "x"}}, 403),
    ],
)
def test_settings_the_app_would_stumble_over_and_privileged_ones_are_refused(
    wrong: dict[str, Any], status: int
) -> None:
    world = World()
    assert world.ask("PATCH", "/settings", wrong).status == status
    assert world.told == []


def test_reading_inboxes_again_is_passed_on_in_the_phones_form() -> None:
    world = World()
    period = {"since": "2026-07-01T00:00:00.123456Z", "until": "2026-07-01T06:00:00Z"}
    asked = {**period, "deviceId": DEVICE, "messageTypes": ["SMS", "MMS"], "triggerWebhooks": True}
    assert world.ask("POST", "/messages/inbox/export", asked).status == 202
    assert world.refreshes[0].values() == {
        "since": "2026-07-01T00:00:00+00:00",
        "until": "2026-07-01T06:00:00+00:00",
        "messageTypes": "SMS,MMS",
        "triggerWebhooks": "true",
    }
    assert world.ask("POST", "/inbox/refresh", {**period, "webhookDelivery": "Batch"}).status == 202
    assert world.refreshes[1].values()["webhookDelivery"] == "Batch"
    assert world.ask("POST", "/inbox/refresh", {**period, "deviceId": "nobody"}).status == 404
    for wrong in ({"until": period["since"]}, {"messageTypes": ["FAX"]}, {"webhookDelivery": "Now"}):
        assert world.ask("POST", "/inbox/refresh", {**period, **wrong}).status == 400


def test_health_needs_no_credentials() -> None:
    world = World()
    healthy = world.ask("GET", "/health", authorization="")
    assert (healthy.status, healthy.value["status"]) == (200, "pass")
    world.api.overload = True
    assert world.ask("GET", "/health", authorization="").status == 503


def test_what_cannot_be_remembered_is_refused_and_not_half_done() -> None:
    world = World()
    world.api.is_full = True
    hook = {"url": "https://hooks.example.test/x", "event": "sms:received"}
    assert world.ask("POST", "/webhooks", hook).status == 503
    assert world.ask("PATCH", "/settings", {"messages": {"limit_value": 5}}).status == 503
    world.api.is_full = False
    assert world.ask("GET", "/webhooks").value == []
    assert world.ask("GET", "/settings").value == {}
    assert world.told == []
