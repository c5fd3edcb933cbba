"""What ties webhooks to the rest of the daemon: the pump they write through, the client they send with, limits."""

from collections.abc import Callable
from typing import Final

from stentor import __version__
from stentor.aio.http import Client, ClientSettings
from stentor.aio.pump import Pump
from stentor.api.engine import Watcher
from stentor.config import Config
from stentor.guard import AddressGuard
from stentor.message import EventKind
from stentor.webhooks.endpoint import EndpointLimits
from stentor.webhooks.records import WebhookRecords
from stentor.webhooks.subscription import Webhook
from stentor.webhooks.verdict import ANSWER_OCTETS

CONNECTIONS: Final = 400


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
        guard=None if keys.allow_private else AddressGuard(),
        user_agent=f"stentor/{__version__}",
    )
    return Client(settings, random=random)


def webhook_limits(config: Config) -> EndpointLimits:
    """What one webhook may have under way."""
    keys = config.webhooks
    return EndpointLimits(keys.concurrency, disable_after_ms=round(keys.disable_after_s * 1000))
