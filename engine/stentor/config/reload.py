"""What a changed configuration asks of a running daemon: ``diff(old, new) -> Plan``.

Every key has exactly one way of taking effect, in the tables below. Values of drivers' own keys never
appear in a plan, for they may be secrets. Applying the plan is the daemon's work; a plan that needs a
restart for one key can still be applied for all others.
"""

import enum
from collections.abc import Iterator
from typing import Final

import msgspec

from stentor.config.schema import SECTIONS, Channel, ChannelKeys, Config


class Action(enum.Enum):
    """What becomes of a channel."""

    ADD = "add"
    REMOVE = "remove"
    RESTART = "restart"
    ADJUST = "adjust"


RESTART_REASONS: Final = {
    "daemon.state_dir": "the journal is open in the old directory",
    "daemon.runtime_dir": "the sockets listen in the old directory",
    "api.unix": "the socket listens under the old name",
    "api.tcp": "the socket listens at the old address",
    "api.max_connections": "the listeners are bounded when they open",
    "journal.durability": "the journal's durability is fixed when it is opened",
    "log.format": "the log's form is fixed at the start",
}
"""Keys that a running daemon cannot change, and why."""

LIVE_KEYS: Final = frozenset(
    {
        "daemon.drain_timeout",
        "api.unix_users",
        "api.unix_groups",
        "api.front_office",
        "limits.backlog",
        "limits.active",
        "caps.hour",
        "caps.day",
        "caps.same_text_hour",
        "caps.same_text_day",
        "caps.over",
        "caps.exempt",
        "log.level",
        "log.reveal",
        "numbers.region",
        "defaults.valid_for",
        "retry.first",
        "retry.factor",
        "retry.longest",
        "retry.attempts",
        "receipts.horizon",
        "receipts.doubt_horizon",
        "receipts.on_missing",
        "inbound.join_timeout",
        "webhooks.allow_http",
        "webhooks.allow_private",
        "webhooks.answer_timeout",
        "webhooks.concurrency",
        "webhooks.disable_after",
        "webhooks.proxy",
        "numbers.allow",
        "numbers.deny",
        "routing.prices_file",
        "routing.unpriced",
        "routing.sticky_destinations",
    }
)
"""Keys that take effect at once."""


class Change(msgspec.Struct, frozen=True):
    """A key that takes effect at once: full path, what it was, what it is."""

    path: str
    old: object
    new: object


class ChannelChange(msgspec.Struct, frozen=True):
    """What becomes of one channel. ``keys`` are those that differ; ADJUST changes engine keys alone and
    keeps every connection, unless ``enabled`` is among them."""

    name: str
    action: Action
    keys: tuple[str, ...] = ()


class NeedsRestart(msgspec.Struct, frozen=True):
    """A key whose new value waits for the next start."""

    path: str
    reason: str


class Plan(msgspec.Struct, frozen=True):
    """All differences. ``routes``, ``accounts``, ``rate_limits`` and ``quiet_hours`` are true when those tables
    changed as a whole; routes also when the channels they are compiled with did."""

    live: tuple[Change, ...] = ()
    channels: tuple[ChannelChange, ...] = ()
    restart: tuple[NeedsRestart, ...] = ()
    routes: bool = False
    accounts: bool = False
    rate_limits: bool = False
    quiet_hours: bool = False

    @property
    def is_empty(self) -> bool:
        tables = self.routes or self.accounts or self.rate_limits or self.quiet_hours
        return not (self.live or self.channels or self.restart or tables)

    def named(self, action: Action) -> tuple[str, ...]:
        """Names of the channels with this action, in the order of the configuration."""
        return tuple(change.name for change in self.channels if change.action is action)


def diff(old: Config, new: Config, started: Config | None = None) -> Plan:
    """The plan that leads from ``old`` to ``new``. ``started``: what the daemon started with, if ``old`` is another; it
    is what keys that need a restart are compared with, for the start alone put them in force."""
    live = [change for change in _section_changes(old, new) if change.path not in RESTART_REASONS]
    unknown = [change.path for change in live if change.path not in LIVE_KEYS]
    assert not unknown, f"{unknown} are in neither table"
    restart = [
        NeedsRestart(change.path, RESTART_REASONS[change.path])
        for change in _section_changes(started or old, new)
        if change.path in RESTART_REASONS
    ]
    return Plan(
        live=tuple(live),
        channels=tuple(_channel_changes(old.channels, new.channels)),
        restart=tuple(restart),
        routes=_is_routed_otherwise(old, new),
        accounts=old.accounts != new.accounts,
        rate_limits=old.rate_limits != new.rate_limits,
        quiet_hours=old.quiet_hours != new.quiet_hours,
    )


def _section_changes(old: Config, new: Config) -> Iterator[Change]:
    for section, cls in SECTIONS.items():
        before, after = getattr(old, section), getattr(new, section)
        for item in msgspec.structs.fields(cls):
            was, now = getattr(before, item.name), getattr(after, item.name)
            if was != now:
                yield Change(f"{section}.{item.encode_name}", was, now)


def _channel_changes(old: dict[str, Channel], new: dict[str, Channel]) -> Iterator[ChannelChange]:
    for name in old:
        if name not in new:
            yield ChannelChange(name, Action.REMOVE)
    for name, channel in new.items():
        if name not in old:
            yield ChannelChange(name, Action.ADD)
        elif change := _channel_change(old[name], channel):
            yield change


def _channel_change(old: Channel, new: Channel) -> ChannelChange | None:
    keys = [
        item.encode_name
        for item in msgspec.structs.fields(ChannelKeys)
        if getattr(old.keys, item.name) != getattr(new.keys, item.name)
    ]
    if "driver" in keys or type(old.settings) is not type(new.settings):
        return ChannelChange(new.name, Action.RESTART, tuple(keys))
    settings = [
        item.encode_name
        for item in msgspec.structs.fields(type(new.settings))
        if getattr(old.settings, item.name) != getattr(new.settings, item.name)
    ]
    if settings:
        return ChannelChange(new.name, Action.RESTART, (*keys, *settings))
    return ChannelChange(new.name, Action.ADJUST, tuple(keys)) if keys else None


def _is_routed_otherwise(old: Config, new: Config) -> bool:
    return _routing(old) != _routing(new)


def _routing(config: Config) -> tuple[object, ...]:
    """All that a route table is compiled from."""
    lists = (config.numbers.allow, config.numbers.deny)
    terms = [
        (name, account.terms) for name, account in config.accounts.items() if not account.terms.are_plain
    ]
    prices = (config.prices, config.price_list)
    return config.routes, list(config.channel_defaults.items()), config.pools, prices, lists, terms
