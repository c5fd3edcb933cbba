"""A carrier ready for work: its description and one account's settings, compiled once when the channel is loaded."""

from collections.abc import Mapping

import msgspec

from stentor_http.description import Description


class Carrier:
    """What the driver holds of a carrier. Immutable once made; never shows a secret.

    ``unit`` of such a channel is ``"message"``. ``is_idempotent``, ``echoes_reference``, ``honours_validity``,
    ``has_receipts``, ``has_inbound`` and ``encodings`` are for its Capabilities; ``batch_limit`` is how many
    messages go into one request, ``connections`` and ``rate`` what the description advises.
    """

    name: str
    is_idempotent: bool
    echoes_reference: bool
    honours_validity: bool
    has_receipts: bool
    has_inbound: bool
    takes_binary: bool
    needs_token: bool
    batch_limit: int
    connections: int
    rate: float

    def mask(self, text: str) -> str:
        """The text without the secrets of this account, as they are and as they are encoded."""
        raise NotImplementedError


def compile_carrier(
    description: Description, settings: Mapping[str, str], public_url: str = ""
) -> Carrier:
    """Raises ConfigError (``settings.api_key``) for settings that are missing, unknown or unusable.

    ``settings``: texts by name, those of ``[settings]`` of the description; which of them are secret it says there,
    so a channel's configuration gives them as ``[[settings]]`` tables of ``name`` and the secret ``value``, or in
    any other shape. ``public_url`` is where carriers reach the channel, ``https://sms.example.org/in/CHANNEL``,
    without ``/receipt`` or ``/mo``; empty: no receipts are asked for.
    """
    raise NotImplementedError
