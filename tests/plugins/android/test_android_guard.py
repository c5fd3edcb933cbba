"""Who is believed what: wrong credentials of one address, and phones that come over from another server."""

import asyncio
import json

from stentor_android import registry
from tests.plugins.android.phone_world import PRIVATE, played


def test_a_fleet_with_tokens_of_another_server_moves_over_from_one_address():
    async def scene(world):
        for number in range(100):
            foreign = f"Bearer foreign-{number}"
            for method, path in (("PATCH", "/device"), ("GET", "/message"), ("GET", "/events")):
                assert world.ask(method, path, {"id": "x"}, foreign).status == 401
            assert world.register().visit.status == 201
        assert world.counters["barred"] == 0

    played(scene)


def test_who_tries_too_many_private_tokens_is_barred_and_what_nobody_guesses_never():
    async def scene(world):
        phone = world.register()
        invited = json.loads(world.people("POST", "", {"name": "anna"}).sent)["token"]
        statuses = [world.register(f"Bearer guess-{number}").visit.status for number in range(40)]
        assert statuses == [401] * 30 + [429] * 10
        assert world.register().visit.status == 429
        assert world.ask("GET", "/user/code", authorization="Basic QTpC").status == 429
        assert phone.ask("GET", "/message").status == 200
        assert world.register(f"Bearer {invited}").visit.status == 201
        assert world.register(phone.basic).visit.status == 201
        body = {"name": "samsung/beyond0ltexx"}
        elsewhere = world.ask("POST", "/device", body, f"Bearer {PRIVATE}", address="198.51.100.1:1")
        assert elsewhere.status == 201
        assert world.counters["barred"] == 12
        await asyncio.sleep(61)
        assert world.register().visit.status == 201

    played(scene)


def test_who_tries_too_many_addresses_of_webhooks_is_barred_and_a_wrong_key_counts_once():
    async def scene(world):
        phone = world.register()
        url = json.loads(phone.ask("GET", "/webhooks").sent)[0]["url"].partition("test")[2]
        assert {world.ask("POST", url, {}, base="").status for _ in range(50)} == {401}
        assert world.counters["forged"] == 50
        guesses = [world.ask("POST", f"{url[:-3]}{number:03}", {}, base="").status for number in range(40)]
        assert guesses == [401] * 29 + [429] * 11
        assert world.ask("POST", url, {}, base="", address="198.51.100.1:1").status == 401
        assert json.loads(world.people("GET").sent)["refused"] == {
            "unauthorised": 29,
            "barred": 11,
            "forged": 51,
        }

    played(scene)


def test_beyond_the_most_phones_only_those_come_in_that_were_invited(monkeypatch):
    monkeypatch.setattr(registry, "MAX_PHONES", 2)

    async def scene(world):
        token = json.loads(world.people("POST", "", {"name": "anna"}).sent)["token"]
        assert [world.register().visit.status for _ in range(3)] == [201, 201, 429]
        assert world.counters["full"] == 1
        assert world.register(f"Bearer {token}").visit.status == 201
        assert world.register(f"Bearer {token}").visit.status == 201

    played(scene)


def test_the_same_wrong_token_again_and_again_bars_nobody():
    async def scene(world):
        assert {world.register("Bearer mistyped").visit.status for _ in range(50)} == {401}
        assert world.register().visit.status == 201

    played(scene)


def test_a_password_that_was_chosen_is_not_believed_of_who_is_barred():
    async def scene(world):
        phone = world.register()
        change = {"currentPassword": phone.password, "newPassword": "correct horse battery"}
        assert phone.ask("PATCH", "/user/password", change).status == 204
        phone.password = "correct horse battery"
        assert world.register(phone.basic).visit.status == 201
        for number in range(30):
            wrong = {"currentPassword": f"guess {number}", "newPassword": "longer-than-14-chars"}
            assert phone.ask("PATCH", "/user/password", wrong).status == 401
        assert world.register(phone.basic).visit.status == 429

    played(scene)
