"""The keys of a channel whose driver is ``android``, each with its default and the sentence that documents it."""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta, field

from stentor.errors import ConfigError
from stentor_android.pacing import Limits
from stentor_android.terms import Terms

SECRETS: Final = frozenset({"private_token", "passphrase"})
_MOST: Final = 1_000_000
_MOST_DESTINATIONS: Final = 5_000
_ADDRESS: Final = re.compile(r"https?://[^\s/?#]+")


class SIMTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the operator of one SIM allows, where it differs from the channel's own limits."""

    phone: Annotated[str, Meta(min_length=1, max_length=60, description="The phone's name.")]
    slot: Annotated[int, Meta(ge=0, le=4, description="The SIM, from 1; 0 for each SIM of the phone.")] = 0
    hourly: Annotated[int, Meta(ge=0, le=_MOST, description="Parts an hour; 0 for no limit.")] = 0
    daily: Annotated[int, Meta(ge=0, le=_MOST, description="Parts a day; 0 for no limit.")] = 0
    monthly: Annotated[int, Meta(ge=0, le=_MOST, description="Parts a month; 0 for no limit.")] = 0
    destinations: Annotated[
        int, Meta(ge=0, le=_MOST_DESTINATIONS, description="Distinct destinations a month; 0 for no limit.")
    ] = 0

    @property
    def limits(self) -> Limits:
        return Limits(self.hourly, self.daily, self.monthly, self.destinations)


class AndroidConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fleet of phones."""

    url: Annotated[
        str,
        Meta(
            max_length=200,
            description="How phones reach this daemon from outside, scheme and host alone: "
            "https://sms.example.com. Phones take http:// only in the insecure build of the app.",
        ),
    ]
    private_token: Annotated[
        str,
        Meta(
            max_length=200,
            description="A token that any number of phones may register with, besides those that `stentor phones "
            "add` makes, of which each is for one phone. Empty: only those.",
        ),
    ] = ""
    window: Annotated[
        int,
        Meta(ge=1, le=20, description="Messages a SIM is given ahead that are not handed to Android yet."),
    ] = 3
    parts_a_minute: Annotated[
        float,
        Meta(gt=0, le=600, description="Parts a minute of one phone. Android asks its user beyond 30."),
    ] = 20.0
    parts_a_message: Annotated[
        int, Meta(ge=1, le=255, description="Longer messages are refused: phones lose parts of them.")
    ] = 6
    hourly: Annotated[int, Meta(ge=0, le=_MOST, description="Parts an hour of one SIM; 0 for no limit.")] = (
        200
    )
    daily: Annotated[int, Meta(ge=0, le=_MOST, description="Parts a day of one SIM; 0 for no limit.")] = 500
    monthly: Annotated[int, Meta(ge=0, le=_MOST, description="Parts a month of one SIM; 0 for no limit.")] = 0
    destinations: Annotated[
        int,
        Meta(
            ge=0,
            le=_MOST_DESTINATIONS,
            description="Distinct destinations a month of one SIM; 0 for no limit. Some unlimited plans end at 99.",
        ),
    ] = 0
    sims: Annotated[
        tuple[SIMTable, ...],
        Meta(max_length=1_000, description="SIMs whose operators allow something else."),
    ] = ()
    pickup_s: Annotated[
        float,
        Meta(
            ge=1, le=3600, description="How long a message waits for its phone to ask; then another gets it."
        ),
    ] = field(default=60.0, name="pickup")
    lease_s: Annotated[
        float,
        Meta(
            ge=30,
            le=86_400,
            description="How long a phone may take to send what it was listed: its validity on the phone, never "
            "longer than the message's own.",
        ),
    ] = field(default=600.0, name="lease")
    clock_margin_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="How wrong a phone's clock may be: so long after the lease a message of which nothing was "
            "heard is in doubt.",
        ),
    ] = field(default=120.0, name="clock_margin")
    handover_s: Annotated[
        float,
        Meta(
            ge=1,
            le=3600,
            description="So long after it was handed to Android a message counts as sent. Some phones never say so.",
        ),
    ] = field(default=60.0, name="handover")
    ask_s: Annotated[
        float, Meta(ge=5, le=3600, description="A phone that is silent about a message is asked this often.")
    ] = field(default=120.0, name="ask")
    keep_alive_s: Annotated[
        float, Meta(ge=5, le=60, description="How often an open event stream carries a comment.")
    ] = field(default=15.0, name="keep_alive")
    ping_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="How often phones tell of battery and network, 0 for never."),
    ] = field(default=120.0, name="ping")
    data_messages: Annotated[
        bool, Meta(description="Take binary messages too, to a port, for phones with app 1.40 or later.")
    ] = False
    inbox: Annotated[
        bool,
        Meta(
            description="Take what phones upload of their inbox (POST /inbox), which no published version of the app "
            "does yet. It is encrypted: needs passphrase."
        ),
    ] = False
    sent_events: Annotated[
        bool, Meta(description="Have phones call for each message sent, delivered and failed, too.")
    ] = False
    account: Annotated[
        str,
        Meta(
            max_length=64,
            description="Whose messages clients of the third-party API submit and see. Empty: the default account.",
        ),
    ] = ""
    forwarded: Annotated[
        bool,
        Meta(description="A reverse proxy stands in front: believe the last address of X-Forwarded-For."),
    ] = False
    trust_clocks: Annotated[
        bool, Meta(description="Refuse what a phone signed more than five minutes ago, or ahead.")
    ] = False
    passphrase: Annotated[
        str,
        Meta(
            max_length=200,
            description="Encrypts texts and numbers on their way; the same is typed into the phone. Needs encrypt or "
            "inbox.",
        ),
    ] = ""
    iterations: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Rounds of the key derivation for each text and each number. Each value costs the daemon time: "
            "1,000 are half a millisecond. A random passphrase needs no more.",
        ),
    ] = 1_000
    encrypt: Annotated[
        tuple[str, ...],
        Meta(max_length=1_000, description='Names of phones whose messages are encrypted, "*" for all.'),
    ] = ()

    @property
    def terms(self) -> Terms:
        """What of this the fleet goes by."""
        default = Limits(self.hourly, self.daily, self.monthly, self.destinations)
        limits: dict[str, dict[int, Limits]] = {"": {0: default}}
        for table in self.sims:
            limits.setdefault(table.phone, {})[table.slot] = table.limits
        return Terms(
            window=self.window,
            parts_a_minute=self.parts_a_minute,
            parts_a_message=self.parts_a_message,
            pickup_s=self.pickup_s,
            lease_s=self.lease_s,
            margin_s=self.clock_margin_s,
            handover_s=self.handover_s,
            ask_s=self.ask_s,
            limits=limits,
        )


def check(config: AndroidConfig) -> None:
    """What types cannot say. Raises ConfigError with the key's path in the channel's table."""
    if not (address := _ADDRESS.match(config.url)):
        raise ConfigError("url", f'"{config.url}" is no https:// address', "https://sms.example.com")
    if address[0] != config.url:
        raise ConfigError("url", "is scheme and host alone, the path is added to it", address[0])
    found: set[tuple[str, int]] = set()
    for place, table in enumerate(config.sims):
        if (table.phone, table.slot) in found:
            raise ConfigError(f"sims[{place}].slot", "this SIM has a table already")
        found.add((table.phone, table.slot))
    if config.encrypt and not config.passphrase:
        raise ConfigError("passphrase", "there is none to encrypt with", "passphrase_file = ...")
    if config.inbox and not config.passphrase:
        raise ConfigError("passphrase", "there is none to read uploads with", "passphrase_file = ...")
