"""What ties webhooks to the rest of the daemon: the pump they write through, the client they send with, limits."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from stentor import __version__
from stentor.aio.http import Client, ClientSettings
from stentor.aio.journal.reader import Reader
from stentor.aio.pump import Pump
from stentor.aio.webhooks.delivering import Spawn
from stentor.aio.webhooks.subscribers import Webhooks
from stentor.api.engine import Watcher
from stentor.config import Config
from stentor.driver import Log
from stentor.guard import AddressGuard
from stentor.ids import IdGenerator
from stentor.message import EventKind
from stentor.webhooks.endpoint import EndpointLimits
from stentor.webhooks.records import WebhookRecords, WebhookRecovery
from stentor.webhooks.subscription import Reach, Webhook
from stentor.webhooks.verdict import ANSWER_OCTETS

CONNECTIONS: Final = 400
RETIRE_S: Final = 60.0
"""What a client that is replaced gets to finish what it has under way: longer than any answer may take."""


class PumpKeeper:
    """The pump as webhooks see it."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump

    @property
    def records(self) -> WebhookRecords:
        return self._pump.dispatcher.ledger.commit.webhooks

    @property
    def last_seq(self) -> int:
        return self._pump.last_seq

    def kept(self, done: Callable[[], None] | None) -> None:
        if done is None:
            self._pump.kick()
        else:
            self._pump.when_durable(done)

    def disabled(self, webhook: Webhook, wall_ms: int) -> None:
        ledger = self._pump.dispatcher.ledger
        kind = EventKind.WEBHOOK_DISABLED
        ledger.webhook_event(kind, webhook.account, webhook.id, wall_ms, webhook.reason)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        return self._pump.watch(watcher)


def webhook_client(config: Config, random: Callable[[], float]) -> Client:
    """The client that all webhooks share. Few connections to one host, so that a slow one leaves most to others."""
    keys = config.webhooks
    settings = ClientSettings(
        connections=CONNECTIONS,
        connections_per_origin=max(keys.concurrency, CONNECTIONS // 4),
        answer_s=keys.answer_timeout_s,
        body_s=keys.answer_timeout_s,
        body_limit=ANSWER_OCTETS,
        cuts_body=True,
        proxy=keys.proxy,
        guard=None if keys.allow_private else AddressGuard(),
        user_agent=f"stentor/{__version__}",
    )
    return Client(settings, random=random)


def webhook_limits(config: Config) -> EndpointLimits:
    """What one webhook may have under way."""
    keys = config.webhooks
    return EndpointLimits(keys.concurrency, disable_after_ms=round(keys.disable_after_s * 1000))


def webhook_reach(config: Config) -> Reach:
    """Which addresses webhooks may have."""
    if config.webhooks.allow_private:
        return Reach.ANYWHERE
    return Reach.PUBLIC if config.webhooks.allow_http else Reach.TLS


class WebhookService:
    """All webhooks with the client they send by, for as long as the daemon lives."""

    def __init__(
        self,
        config: Config,
        pump: Pump,
        reader: Reader,
        ids: IdGenerator,
        log: Log,
        random: Callable[[], float],
        spawn: Spawn,
    ) -> None:
        self._random = random
        self._spawn = spawn
        self._client = webhook_client(config, random)
        self.desk = Webhooks(
            PumpKeeper(pump),
            reader,
            self._client,
            pump.clock,
            ids,
            log,
            random,
            spawn,
            webhook_limits(config),
            reach=webhook_reach(config),
        )

    def start(self, recovered: Sequence[WebhookRecovery]) -> None:
        self.desk.start(recovered)

    async def stop(self, within_s: float) -> None:
        await self.desk.stop(within_s)
        await self._client.close()

    def adjust(self, config: Config) -> None:
        """What a reloaded configuration says of webhooks."""
        before, self._client = self._client, webhook_client(config, self._random)
        self.desk.adjust(webhook_limits(config), self._client, reach=webhook_reach(config))
        self._spawn("webhooks' last client", _retire(before))


async def _retire(client: Client) -> None:
    await asyncio.sleep(RETIRE_S)
    await client.close()
