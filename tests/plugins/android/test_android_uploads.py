"""What phones upload of their inbox, encrypted, many at once."""

import os

import msgspec
import pytest

from stentor.driver import Inbound
from stentor.errors import ConfigError
from stentor.text.segments import Encoding
from stentor_android.config import AndroidConfig, check
from stentor_android.encryption import Encryption, iterations_of
from stentor_android.uploads import MOST_UPLOADED, read_uploads
from tests.plugins.android.phone_world import played

PASSPHRASE = "open sesame 42"
seal = Encryption(PASSPHRASE, os.urandom, 10).encrypt


def upload(number, text="YES & thanks", **changes):
    item = {
        "id": f"in-{number}",
        "type": "SMS",
        "sender": seal("+15550100077"),
        "recipient": seal("+15550100001"),
        "simNumber": 1,
        "content": seal(text),
        "isEncrypted": True,
        "createdAt": "2026-07-01T09:15:02.000+02:00",
    }
    return {**item, **changes}


def inboxed(scene, **config):
    async def begun(world):
        world.driver.offload = lambda work, done: done(work())
        return await scene(world)

    played(begun, **{"inbox": True, "passphrase": PASSPHRASE, **config})


def test_uploads_are_read_and_answered_when_they_are_durable():
    async def scene(world):
        phone = world.register()
        data = upload(2, "AQIDBA==", type="DATA_SMS", recipient=None)
        picture = upload(3, "see picture", type="MMS_DOWNLOADED", attachments=[{"partId": 1}])
        world.host.settling = "held"
        answer = phone.ask("POST", "/inbox", [upload(1), data, picture])
        assert answer.status == 0
        world.host.settle(True)
        assert answer.status == 201
        first, second, third = world.host.items
        assert first == Inbound("+15550100077", "+15550100001", "YES & thanks", carrier_id="in-1")
        assert (second.data, second.encoding) == (b"\1\2\3\4", Encoding.BINARY)
        assert third.text == "see picture"

    inboxed(scene)


def test_an_upload_that_comes_again_is_taken_once():
    async def scene(world):
        phone = world.register()
        assert phone.ask("POST", "/inbox", [upload(1)]).status == 201
        assert phone.ask("POST", "/inbox", [upload(1), upload(2)]).status == 201
        assert len(world.host.items) == 2
        world.host.settling = "held"
        refused = phone.ask("POST", "/inbox", [upload(3)])
        world.host.settle(False)
        assert refused.status == 503
        again = phone.ask("POST", "/inbox", [upload(3)])
        world.host.settle(True)
        assert again.status == 201

    inboxed(scene)


def test_what_cannot_be_read_is_counted_and_harms_no_neighbour():
    async def scene(world):
        phone = world.register()
        foreign = Encryption("another", os.urandom, 10).encrypt("+15550100077")
        wrong = [
            upload(1, sender=foreign),
            upload(2, type="FAX"),
            {"id": 3},
            None,
            upload(4, content="plain"),
        ]
        assert phone.ask("POST", "/inbox", [*wrong, upload(5)]).status == 201
        assert [each.carrier_id for each in world.host.items] == ["in-5"]
        assert world.counters["inbound_unreadable"] == 5

    inboxed(scene)


def test_too_much_at_once_is_refused_so_that_the_phone_halves_it():
    costly = Encryption(PASSPHRASE, os.urandom, 10).encrypt("x").replace("i=10$", "i=1000000$")
    assert iterations_of(costly) == 1_000_000

    async def scene(world):
        phone = world.register()
        assert phone.ask("POST", "/inbox", [upload(n) for n in range(MOST_UPLOADED + 1)]).status == 413
        assert phone.ask("POST", "/inbox", [upload(n, content=costly) for n in range(11)]).status == 413
        assert phone.ask("POST", "/inbox", b"nonsense").status == 400
        assert world.ask("POST", "/inbox", [], "Bearer foreign").status == 401
        assert not world.host.items

    inboxed(scene)


def test_uploads_are_taken_only_where_that_is_wanted():
    async def scene(world):
        assert world.register().ask("POST", "/inbox", [upload(1)]).status == 404

    played(scene, passphrase=PASSPHRASE, encrypt=["*"])


@pytest.mark.parametrize("body", [b"[]", b"null", b"{}", b"["])
def test_bodies_that_are_lists_or_not(body):
    found = read_uploads(body)
    assert found == (([], 0) if body == b"[]" else None)


def test_uploads_need_the_passphrase_they_are_encrypted_with():
    config = msgspec.convert({"url": "https://gw.example.test", "inbox": True}, AndroidConfig)
    with pytest.raises(ConfigError, match="read uploads"):
        check(config)
