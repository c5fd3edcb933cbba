"""The request to read phones' inboxes again, as that API writes it and as phones are told of it. Pure."""

from typing import Final

import msgspec

from stentor_android.thirdparty_messages import Moment, Rejected

_TYPES: Final = frozenset({"SMS", "DATA_SMS", "MMS", "MMS_DOWNLOADED"})
_DELIVERIES: Final = frozenset({"Disabled", "Individual", "Batch"})


class Refresh(msgspec.Struct, frozen=True, rename="camel"):
    """The period; ``device_id`` None is all phones. ``trigger_webhooks`` is the older form of ``webhook_delivery``."""

    since: Moment
    until: Moment
    device_id: str | None = None
    message_types: list[str] | None = None
    webhook_delivery: str | None = None
    trigger_webhooks: bool | None = None

    def values(self) -> dict[str, str]:
        """The event's values, all of them texts."""
        values = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        if self.message_types:
            values["messageTypes"] = ",".join(self.message_types)
        if self.webhook_delivery is not None:
            values["webhookDelivery"] = self.webhook_delivery
            values["triggerWebhooks"] = "false" if self.webhook_delivery == "Disabled" else "true"
        elif self.trigger_webhooks is not None:
            values["triggerWebhooks"] = "true" if self.trigger_webhooks else "false"
        return values


def read_refresh(body: bytes) -> Refresh:
    """The request. Raises Rejected."""
    try:
        refresh = msgspec.json.decode(body, type=Refresh)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(400, str(error)) from None
    if refresh.until <= refresh.since:
        raise Rejected(400, "until is not after since")
    if not _TYPES.issuperset(refresh.message_types or ()):
        raise Rejected(400, f"messageTypes are of {', '.join(sorted(_TYPES))}")
    if refresh.webhook_delivery is not None and refresh.webhook_delivery not in _DELIVERIES:
        raise Rejected(400, f"webhookDelivery is one of {', '.join(sorted(_DELIVERIES))}")
    # The app reads three digits of a second or none.
    return msgspec.structs.replace(
        refresh, since=refresh.since.replace(microsecond=0), until=refresh.until.replace(microsecond=0)
    )
