"""Every key of the configuration once: its name, type, limits, default, and the sentence that documents it.

An attribute ending in ``_s`` holds seconds and its key takes a duration in text too; one ending in
``_octets`` holds octets and takes a size in text. Drivers' own Structs follow the same rule. Structs are
immutable and compare by value, which is what a reload works with.
"""

from math import ceil
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from stentor.config.pacing import CapKeys, QuietHours, RateLimit
from stentor.config.routing import PoolKeys, PriceKeys, Route, RoutingKeys
from stentor.config.section import LONGEST_VALIDITY_S, Section, Tag, Text
from stentor.pacing.gate import LimitRule
from stentor.pacing.quiet import QuietRule
from stentor.retry import RetryPolicy
from stentor.routing.prices import Price, PriceTable
from stentor.routing.routes import AccountTerms, ChannelDefaults, RouteTable, Routing, Rule
from stentor.routing.sticky import Sticky
from stentor.text.coding import DEFAULT as DEFAULT_CODING
from stentor.text.coding import Coding

_RETRY = RetryPolicy()
_User = Annotated[int, Meta(ge=0, le=0xFFFF_FFFE)] | Text


class Daemon(Section, frozen=True, kw_only=True):
    """[daemon]: where the daemon lives and how it ends."""

    state_dir: Annotated[
        Text, Meta(description="Holds the journal and nothing else that matters; back it up.")
    ] = "/var/lib/stentor"
    runtime_dir: Annotated[Text, Meta(description="Holds the sockets; may be emptied at each boot.")] = (
        "/run/stentor"
    )
    drain_timeout_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="How long a stop waits for answers to what is in flight; keep it under the service "
            "manager's own limit.",
        ),
    ] = field(default=20.0, name="drain_timeout")


class Api(Section, frozen=True, kw_only=True):
    """[api]: who may come in, and where."""

    unix: Annotated[
        Text, Meta(description="The Unix socket, relative to `daemon.runtime_dir`; created with mode 0660.")
    ] = "stentor.sock"
    unix_users: Annotated[
        tuple[_User, ...],
        Meta(
            description="Users, by name or uid, let in on the Unix socket beside root and the daemon's own. "
            "Users of `[accounts]` need not be repeated."
        ),
    ] = ()
    unix_groups: Annotated[
        tuple[_User, ...], Meta(description="Groups, by name or gid, whose members are let in likewise.")
    ] = ()
    front_office: Annotated[
        tuple[_User, ...],
        Meta(
            description="Users who serve many customers: they name the account they act for in the header "
            "`Stentor-Account`."
        ),
    ] = ()
    tcp: Annotated[
        str,
        Meta(
            description='An address "host:port" to listen on as well. It serves the health paths and what '
            "drivers register there (receipts, phones)."
        ),
    ] = ""
    max_connections: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Clients connected at once, so many on the Unix socket and so many by TCP; more are told so "
            "with 503, or wait in the kernel.",
        ),
    ] = 1000


class Journal(Section, frozen=True, kw_only=True):
    """[journal]: how durable *accepted* is."""

    durability: Annotated[
        Literal["power", "process"],
        Meta(
            description='"power": an accepted message survives a power cut. "process": it survives a crash '
            "of the program, and accepting costs less."
        ),
    ] = "power"


class Limits(Section, frozen=True, kw_only=True):
    """[limits]: what is bounded for the whole daemon."""

    backlog: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000_000,
            description="Messages that have not left; beyond it submissions are refused with 503.",
        ),
    ] = 5_000_000
    active: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Messages held in memory, about 1 KiB each; the rest waits on disk. No more than backlog.",
        ),
    ] = 50_000


class Log(Section, frozen=True, kw_only=True):
    """[log]: what is written to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Lines below it are not written.")
    ] = "info"
    reveal: Annotated[
        bool,
        Meta(
            description="Write phone numbers and texts in full. For a test system only; secrets stay masked."
        ),
    ] = False
    format: Annotated[
        Literal["auto", "json", "console"],
        Meta(description='"auto" is "console" on a terminal and "json", one object a line, elsewhere.'),
    ] = "auto"


class Numbers(Section, frozen=True, kw_only=True):
    """[numbers]: how destinations are read."""

    region: Annotated[
        str,
        Meta(
            pattern="^([A-Z]{2})?$",
            title='two capital letters, like "RO"',
            description="Two letters of the country whose national numbers are accepted; "
            "empty: only numbers with `+`.",
        ),
    ] = ""
    allow: Annotated[
        tuple[Text, ...],
        Meta(
            description="Destinations that may be sent to, by prefix or country; the most specific entry of both "
            "lists decides. Empty: all that is not denied."
        ),
    ] = ()
    deny: Annotated[
        tuple[Text, ...], Meta(description="Destinations that may not be sent to, likewise.")
    ] = ()


class Defaults(Section, frozen=True, kw_only=True):
    """[defaults]: what a message gets that does not say."""

    valid_for_s: Annotated[
        float,
        Meta(
            ge=1,
            le=LONGEST_VALIDITY_S,
            description="How long a message may wait before it expires, unless it or its channel says "
            "otherwise.",
        ),
    ] = field(default=172_800.0, name="valid_for")


class Retry(Section, frozen=True, kw_only=True):
    """[retry]: when an attempt that failed for now is repeated."""

    first_s: Annotated[
        float, Meta(ge=0.1, le=86_400, description="Pause after the first failed attempt.")
    ] = field(default=_RETRY.first_s, name="first")
    factor: Annotated[
        # Jitter takes up to a quarter of a pause; a smaller factor could make a later pause the shorter one.
        float,
        Meta(ge=1.34, le=100, description="Each further pause is this many times longer."),
    ] = _RETRY.factor
    longest_s: Annotated[float, Meta(ge=0.1, le=604_800, description="No pause grows longer than this.")] = (
        field(default=_RETRY.longest_s, name="longest")
    )
    attempts: Annotated[
        int, Meta(ge=1, le=1000, description="Attempts a message is given before it has failed.")
    ] = _RETRY.attempts


class Receipts(Section, frozen=True, kw_only=True):
    """[receipts]: how long a delivery receipt is waited for."""

    horizon_s: Annotated[
        float,
        Meta(
            ge=60,
            le=LONGEST_VALIDITY_S,
            description="How long after the end of its validity a message's receipt is waited for.",
        ),
    ] = field(default=259_200.0, name="horizon")
    doubt_horizon_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="How long something may yet tell of an attempt whose answer was never seen: a late answer, "
            "or a receipt that repeats its reference. What may not be repeated is `sending` until then.",
        ),
    ] = field(default=600.0, name="doubt_horizon")
    on_missing: Annotated[
        Literal["unknown", "sent"],
        Meta(description="The final status of a message whose receipt did not come within the horizon."),
    ] = "unknown"


class Inbound(Section, frozen=True, kw_only=True):
    """[inbound]: messages that come in."""

    join_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=604_800,
            description="How long after its first part a message of several parts is waited for; then what came of "
            "it is delivered, with `[…]` in place of what did not. A part that is repeated is known for as long.",
        ),
    ] = field(default=3600.0, name="join_timeout")


class Webhooks(Section, frozen=True, kw_only=True):
    """[webhooks]: where events may be posted."""

    allow_private: Annotated[
        bool, Meta(description="Let webhooks reach this host and private networks. For a test system only.")
    ] = False
    allow_http: Annotated[
        bool,
        Meta(
            description="Let webhooks be http:// as well: events and configured headers travel readable, only their "
            "signature protects them. With `allow_private` they may be anyway."
        ),
    ] = False
    concurrency: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Deliveries one webhook may have under way; events of one message go one after the other.",
        ),
    ] = 8
    answer_timeout_s: Annotated[
        float, Meta(ge=1, le=60, description="How long a receiver may take to answer a delivery.")
    ] = field(default=15.0, name="answer_timeout")
    disable_after_s: Annotated[
        float,
        Meta(
            ge=3600,
            le=259_200,
            description="A webhook that takes nothing for so long is disabled, with an event. Events are kept for "
            "three days, so a longer time would lose some before anybody is told.",
        ),
    ] = field(default=259_200.0, name="disable_after")
    proxy: Annotated[
        str,
        Meta(
            description="HTTP proxy to post through, as http://host:port; empty for none. It looks names up, so it "
            "must keep them out of private networks."
        ),
    ] = ""


class Account(Section, frozen=True, kw_only=True):
    """[accounts.NAME]: whose messages are whose. Without any, everything belongs to account `default`."""

    unix_users: Annotated[
        tuple[_User, ...],
        Meta(description="Users, by name or uid, who act for this account on the Unix socket."),
    ] = ()
    require: Annotated[
        tuple[Tag, ...],
        Meta(
            description="Tags that a channel must have to carry its messages, like `eea`; whatever routes say."
        ),
    ] = ()
    allow: Annotated[
        tuple[Text, ...],
        Meta(description="Destinations it may send to, like `numbers.allow` and in addition to it."),
    ] = ()
    deny: Annotated[tuple[Text, ...], Meta(description="Destinations it may not send to.")] = ()
    pool: Annotated[
        str,
        Meta(
            max_length=32,
            description="The pool its messages are sent from that name no originator, where their route has none.",
        ),
    ] = ""

    @property
    def terms(self) -> AccountTerms:
        """What routing holds it to."""
        return AccountTerms(frozenset(self.require), self.allow, self.deny, self.pool)


class ChannelKeys(Section, frozen=True, kw_only=True):
    """[channels.NAME]: the engine's own keys of a channel; all others belong to its driver."""

    driver: Annotated[Text, Meta(description="The driver that speaks to the channel's peer.")]
    rate: Annotated[
        float,
        Meta(ge=0, le=1_000_000, description="Segments per second for the whole channel; 0: unlimited."),
    ] = 0.0
    enabled: Annotated[bool, Meta(description="false keeps the channel configured but down.")] = True
    originator: Annotated[
        str, Meta(max_length=21, description="Originator of messages that name none; empty: none.")
    ] = field(default="", name="from")
    valid_for_s: Annotated[
        float,
        Meta(
            ge=0,
            le=LONGEST_VALIDITY_S,
            description="Validity of messages that name none; 0: that of `defaults.valid_for`.",
        ),
    ] = field(default=0.0, name="valid_for")
    tags: Annotated[
        tuple[Tag, ...],
        Meta(description="What it is, in short words that routes and accounts can require, like `eea`."),
    ] = ()


ENGINE_KEYS: Final = frozenset(item.encode_name for item in msgspec.structs.fields(ChannelKeys))
"""Keys a driver may not take for itself."""


class SecretSource(msgspec.Struct, frozen=True):
    """Where a secret came from: ``kind`` is value, file or credential; ``name`` the path or the
    credential's name."""

    kind: str
    name: str = ""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One channel. ``settings`` is an instance of its driver's own config Struct and may hold secrets.

    ``secrets`` tells where each came from, by its key inside the channel's table (``password``, ``binds.0.password``).
    ``can_send`` is False for a channel that only receives; ``coding`` is how the peer takes texts; ``schedules_s`` says
    how long before they are due it takes messages.
    """

    name: str
    keys: ChannelKeys
    settings: Any
    secrets: dict[str, SecretSource] = {}
    can_send: bool = True
    coding: Coding = DEFAULT_CODING
    schedules_s: float = 0.0

    def __repr__(self) -> str:
        return f"Channel(name={self.name!r}, keys={self.keys!r})"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole. ``price_list`` is what ``routing.prices_file`` holds; ``warnings`` are sentences about what is
    allowed but unwise."""

    daemon: Daemon = Daemon()
    api: Api = Api()
    journal: Journal = Journal()
    limits: Limits = Limits()
    caps: CapKeys = CapKeys()
    log: Log = Log()
    numbers: Numbers = Numbers()
    defaults: Defaults = Defaults()
    retry: Retry = Retry()
    receipts: Receipts = Receipts()
    inbound: Inbound = Inbound()
    webhooks: Webhooks = Webhooks()
    routing: RoutingKeys = RoutingKeys()
    accounts: dict[str, Account] = {}
    channels: dict[str, Channel] = {}
    routes: tuple[Route, ...] = ()
    pools: tuple[PoolKeys, ...] = ()
    prices: tuple[PriceKeys, ...] = ()
    price_list: tuple[Price, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    quiet_hours: tuple[QuietHours, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def socket_path(self) -> str:
        """The Unix socket's full path."""
        return str(PurePosixPath(self.daemon.runtime_dir, self.api.unix))

    @property
    def tcp_address(self) -> tuple[str, int] | None:
        """Host and port of ``api.tcp``, or None."""
        if not self.api.tcp:
            return None
        host, _, port = self.api.tcp.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def retry_policy(self) -> RetryPolicy:
        retry = self.retry
        return RetryPolicy(retry.first_s, retry.factor, retry.longest_s, retry.attempts)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The routes in the form the route table is compiled from."""
        return tuple(route.rule for route in self.routes)

    @property
    def limit_rules(self) -> tuple[LimitRule, ...]:
        return tuple(limit.rule for limit in self.rate_limits)

    @property
    def quiet_rules(self) -> tuple[QuietRule, ...]:
        return tuple(hours.rule for hours in self.quiet_hours)

    @property
    def channel_defaults(self) -> dict[str, ChannelDefaults]:
        """By name, in declared order, what each channel gives a message that does not say."""
        return {
            name: ChannelDefaults(
                channel.keys.originator,
                ceil(channel.keys.valid_for_s),
                channel.can_send,
                frozenset(channel.keys.tags),
                channel.coding,
                channel.schedules_s,
            )
            for name, channel in self.channels.items()
        }

    @property
    def all_prices(self) -> tuple[Price, ...]:
        """Those in the file and those in the list it names."""
        return (*(price.entry for price in self.prices), *self.price_list)

    def route_table(self, sticky: Sticky | None = None) -> RouteTable:
        """All that it says about routing, compiled; ``sticky`` outlives a reload."""
        return RouteTable(
            self.rules,
            self.channel_defaults,
            Routing(
                accounts={name: account.terms for name, account in self.accounts.items()},
                allow=self.numbers.allow,
                deny=self.numbers.deny,
                prices=PriceTable(self.all_prices),
                pools=tuple(pool.pool for pool in self.pools),
            ),
            sticky,
        )


SECTIONS: Final[dict[str, type[Section]]] = {
    "daemon": Daemon,
    "api": Api,
    "journal": Journal,
    "limits": Limits,
    "caps": CapKeys,
    "log": Log,
    "numbers": Numbers,
    "defaults": Defaults,
    "retry": Retry,
    "receipts": Receipts,
    "inbound": Inbound,
    "webhooks": Webhooks,
    "routing": RoutingKeys,
}
"""The tables that stand once, in the order of the reference. The others come many times."""

TOP_KEYS: Final = (
    *SECTIONS,
    "accounts",
    "channels",
    "routes",
    "pools",
    "prices",
    "rate_limits",
    "quiet_hours",
)
