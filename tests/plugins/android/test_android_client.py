"""The published client library works against the third-party API as it is."""

import asyncio
import datetime
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from android_sms_gateway.client import APIClient
from android_sms_gateway.domain import (
    DataMessage,
    Device,
    InboxRefreshRequest,
    Message,
    MessagesQueryFilter,
    QueryPagination,
    SettingsMessages,
    TextMessage,
    TokenRequest,
    Webhook,
)
from android_sms_gateway.domain import DeviceSettings as Settings
from android_sms_gateway.encryption import BaseEncryptor
from android_sms_gateway.enums import MessagePriority, ProcessState, WebhookEvent
from android_sms_gateway.errors import APIError, BadRequestError, NotFoundError, UnauthorizedError

from stentor.aio.server.exchange import Exchange, Peer, Route
from stentor.aio.server.listeners import listen_tcp
from stentor.aio.server.server import Server
from stentor.wire.head import RequestHead
from stentor_android.encryption import Encryption
from tests.plugins.android.thirdparty_world import DEVICE, World

PASSPHRASE = "open sesame 42"


class Addressed:
    """An exchange of the server as drivers are given it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.address = exchange.peer.address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exchange, name)


class Application:
    def __init__(self, world: World) -> None:
        self._world = world

    def route(self, head: RequestHead, peer: Peer) -> Route:
        return Route(body_limit=1 << 20)

    def handle(self, exchange: Exchange) -> None:
        self._world.third.handle(Addressed(exchange))  # type: ignore[arg-type]  # it forwards what it does not define


class Site:
    """The adapter behind a server of ours, on a loop of its own."""

    def __init__(self) -> None:
        self.world = World(PASSPHRASE)
        self.url = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        listener = listen_tcp("127.0.0.1", 0)
        server = Server(Application(self.world))
        self.url = f"http://127.0.0.1:{listener.sock.getsockname()[1]}/api/3rdparty/v1"
        server.start(listener)
        self._ready.set()
        await self._over.wait()
        await server.close(0.1)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()


class Ours(BaseEncryptor):
    """The client's encryption, done by our code: its own needs a library more."""

    def __init__(self, passphrase: str, *, iterations: int = 10) -> None:
        super().__init__(passphrase, iterations=iterations)
        self._encryption = Encryption(passphrase, lambda count: bytes(range(count)), iterations)

    def encrypt(self, cleartext: str) -> str:
        return self._encryption.encrypt(cleartext)

    def decrypt(self, encrypted: str) -> str:
        return self._encryption.decrypt(encrypted)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def client(site: Site) -> Iterator[APIClient]:
    with APIClient("Q7MZ2K", "n4vexq0lahs7td", base_url=site.url) as client:
        yield client


def text(*numbers: str, **fields: Any) -> Message:
    return Message(phone_numbers=[*numbers], text_message=TextMessage("Hi"), **fields)


def test_messages_are_sent_shown_listed_and_cancelled(site: Site, client: APIClient) -> None:
    sent = client.send(text("+15550100050", "+15550100051", id="m1", ttl=60, device_id=DEVICE))
    assert (sent.id, sent.state, sent.device_id) == ("m1", ProcessState.Pending, DEVICE)
    site.world.api.set("delivered", sent_at="2026-07-01T07:13:21.000Z", final_at="2026-07-01T07:13:25.000Z")
    state = client.get_state("m1")
    assert state.state is ProcessState.Delivered
    assert state.created_at is not None
    assert [each.phone_number for each in state.recipients] == ["+15550100050", "+15550100051"]
    client.send(
        text("+15550100052", id="m2", priority=MessagePriority.BYPASS_THRESHOLD), skip_phone_validation=True
    )
    query = MessagesQueryFilter(state="Pending")
    assert [each.id for each in client.get_messages(query=query)] == ["m2"]
    page = client.get_messages(pagination=QueryPagination(limit=1, offset=1), sort="-created_at")
    assert [each.id for each in page] == ["m1"]
    client.cancel_message("m2")
    assert client.get_state("m2").state is ProcessState.Cancelled


def test_data_and_times_arrive(site: Site, client: APIClient) -> None:
    until = datetime.datetime(2026, 7, 1, 8, 13, 20, tzinfo=datetime.UTC)
    data = DataMessage.with_bytes(b"\1\2\3\4", 53739)
    client.send(Message(phone_numbers=["+15550100050"], data_message=data, valid_until=until))
    (submit,) = site.world.api.submitted
    assert (submit["data"], submit["valid_for"]) == ("AQIDBA==", 3600)


def test_an_encrypted_message_is_decrypted_and_its_state_is_readable(site: Site) -> None:
    with APIClient("Q7MZ2K", "n4vexq0lahs7td", base_url=site.url, encryptor=Ours(PASSPHRASE)) as client:
        sent = client.send(text("+15550100050", id="m1"))
        assert sent.recipients[0].phone_number == "+15550100050"
        assert client.get_state("m1").recipients[0].phone_number == "+15550100050"
    assert site.world.api.submitted[0]["text"] == "Hi"


def test_refusals_are_the_errors_it_knows(site: Site, client: APIClient) -> None:
    client.send(text("+15550100050", id="m1"))
    with pytest.raises(APIError) as conflict:
        client.send(text("+15550100050", id="m1"))
    assert conflict.value.status_code == 409
    with pytest.raises(BadRequestError) as refused:
        client.send(text("Alice"))
    assert refused.value.response == {"message": "not a number"}
    with pytest.raises(NotFoundError):
        client.get_state("none")
    with APIClient("Q7MZ2K", "wrong", base_url=site.url) as stranger, pytest.raises(UnauthorizedError):
        stranger.list_devices()


def test_devices_webhooks_settings_inbox_and_health(site: Site, client: APIClient) -> None:
    (device,) = client.list_devices()
    assert isinstance(device, Device)
    assert device.last_seen is not None
    hook = client.create_webhook(Webhook(None, "https://hooks.example.test/", WebhookEvent.SMS_RECEIVED))
    assert [each.id for each in client.get_webhooks()] == [hook.id]
    client.delete_webhook(str(hook.id))
    assert client.get_webhooks() == []
    client.patch_settings(Settings(messages=SettingsMessages(limit_value=7)))
    settings = client.get_settings()
    assert settings.messages is not None
    assert settings.messages.limit_value == 7
    client.update_settings(Settings())
    since = datetime.datetime(2026, 7, 1, tzinfo=datetime.UTC)
    client.refresh_inbox(
        InboxRefreshRequest(since=since, until=since + datetime.timedelta(hours=1), device_id=DEVICE)
    )
    assert site.world.refreshes[0].device_id == DEVICE
    assert client.health_check().status.value == "pass"
    client.remove_device(DEVICE)
    assert client.list_devices() == []


def test_a_token_is_made_used_and_revoked(site: Site, client: APIClient) -> None:
    token = client.generate_token(TokenRequest(scopes=["devices:list"], ttl=3600))
    with APIClient(None, token.access_token, base_url=site.url) as bearer:
        assert len(bearer.list_devices()) == 1
    client.revoke_token(token.id)
    with APIClient(None, token.access_token, base_url=site.url) as bearer, pytest.raises(UnauthorizedError):
        bearer.list_devices()
