"""TOML text -> Config, or ConfigErrors with every fault in it, each with its line, full key and what would
be right.

Order: syntax; each table by itself; then what must hold between tables. A fault in one table never hides
one in another.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from stentor.address import parse_originator
from stentor.config.check_routing import RoutingCheck
from stentor.config.fields import (
    Faults,
    LocatedError,
    StructT,
    inner_table,
    nearest,
    read_table,
    what_there_is,
)
from stentor.config.limits import LIMIT_LISTS, QUIET_LISTS, check_limits, check_quiet_hours
from stentor.config.lines import Path, key_lines, path_text
from stentor.config.pacing import QuietHours, RateLimit
from stentor.config.price_list import ReadFile, read_price_list
from stentor.config.routing import PoolKeys, PriceKeys, Route
from stentor.config.schema import (
    ENGINE_KEYS,
    SECTIONS,
    TOP_KEYS,
    Account,
    Channel,
    ChannelKeys,
    Config,
    SecretSource,
)
from stentor.config.section import NAME_PATTERN
from stentor.driver import DriverSpec
from stentor.errors import ConfigError, Refusal
from stentor.numbers.numbering import PLANS
from stentor.routing.prices import Price
from stentor.wire.asking import read_proxy
from stentor.wire.calls import InvalidRequest

_SOCKET_PATH_OCTETS: Final = 107  # sun_path of unix(7) is 108 with the closing zero
_NAME: Final = re.compile(NAME_PATTERN)
_SYNTAX_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})")
_INDEX: Final = re.compile(r"\[(\d+)\]", re.ASCII)
_SECRET_FORMS: Final = ("_file", "_credential")
_ROUTE_LISTS: Final = frozenset(
    {"prefix", "country", "account", "originator", "originator_kind", "tag", "hours", "days"}
    | {"channels", "require"}
)
_POOL_LISTS: Final = frozenset({"originators", "no_names"})
_OTHER_LISTS: Final = frozenset({"require", "tags", "allow", "deny"})
_ELSEWHERE: Final = {
    item.encode_name: section for section, cls in SECTIONS.items() for item in msgspec.structs.fields(cls)
}


class Secret(msgspec.Struct, frozen=True):
    """A secret that was read, with a warning about how it is kept, if there is one."""

    text: str
    warning: str = ""

    def __repr__(self) -> str:
        return "Secret(********)"


ReadSecret = Callable[[str, str], Secret]
"""Reads a secret: ``("file", path)`` or ``("credential", name)``. Raises OSError or ValueError saying why
it cannot."""


class ConfigErrors(ConfigError):
    """All that is wrong with one configuration; ``errors`` in the order of the file's lines."""

    def __init__(self, source: str, errors: tuple[LocatedError, ...]) -> None:
        super().__init__(source, "\n".join(str(error) for error in errors))
        self.errors = errors

    def __str__(self) -> str:
        return self.detail


def parse(
    text: str,
    specs: Mapping[str, DriverSpec],
    source: str = "stentor.toml",
    read_secret: ReadSecret | None = None,
    broken: Mapping[str, str] | None = None,
    read_file: ReadFile | None = None,
) -> Config:
    """The configuration in ``text``. Raises ConfigErrors.

    ``specs`` are the usable drivers by name; ``broken`` tells why others are not. Without ``read_secret``
    secrets can stand in the text only, without ``read_file`` prices too.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigErrors(source, (_syntax_error(str(error), source),)) from None
    except RecursionError:
        raise ConfigErrors(source, (LocatedError("", "is nested too deeply", None, source),)) from None
    faults = Faults(source, key_lines(text))
    parser = _Parser(faults, specs, broken or {}, read_secret or _no_secrets, read_file or _no_files)
    config = parser.document(document)
    if config is None:
        errors = sorted(parser.faults.errors, key=lambda error: error.line)
        raise ConfigErrors(source, tuple(errors))
    return config


class _Parser:
    """The state of one parse."""

    def __init__(
        self,
        faults: Faults,
        specs: Mapping[str, DriverSpec],
        broken: Mapping[str, str],
        read_secret: ReadSecret,
        read_file: ReadFile,
    ) -> None:
        self.faults = faults
        self.warnings: list[str] = []
        self._specs = specs
        self._broken = broken
        self._read_secret = read_secret
        self._read_file = read_file

    def document(self, document: dict[str, Any]) -> Config | None:
        for key in document:
            if key not in TOP_KEYS:
                hint = nearest(key, TOP_KEYS)
                if hint is None and key in _ELSEWHERE:
                    hint = f"it belongs in [{_ELSEWHERE[key]}]"
                what = "unknown section" if isinstance(document[key], dict) else "unknown key"
                self.faults.add((key,), what, hint or what_there_is(TOP_KEYS))
        sections = {
            name: read_table(cls, _listed(document.get(name, {})), (name,), self.faults, _ELSEWHERE)
            for name, cls in SECTIONS.items()
        }
        accounts = self._named(
            "accounts", document, lambda table, path: read_table(Account, _listed(table), path, self.faults)
        )
        channels = self._named("channels", document, self._channel)
        routes = self._routes(document)
        pools = self._tables(PoolKeys, "pools", document, _POOL_LISTS)
        prices = self._tables(PriceKeys, "prices", document)
        limits = self._tables(RateLimit, "rate_limits", document, LIMIT_LISTS)
        quiet = self._tables(QuietHours, "quiet_hours", document, QUIET_LISTS)
        usable: dict[str, Any] = {name: section for name, section in sections.items() if section is not None}
        config = Config(
            **usable,
            accounts=_present(accounts),
            channels=_present(channels),
            routes=tuple(_present(routes).values()),
            pools=tuple(_present(pools).values()),
            prices=tuple(_present(prices).values()),
            price_list=self._price_list(sections["routing"], channels),
            rate_limits=tuple(_present(limits).values()),
            quiet_hours=tuple(_present(quiet).values()),
        )
        config = _fitted(config, document)
        self._between(config, channels.keys())
        check_limits(limits, channels.keys(), config.accounts, self.faults)
        check_quiet_hours(config.quiet_hours, config.accounts, self.faults)
        RoutingCheck(config, self.faults, self.warnings, routes, pools, prices, channels.keys()).run()
        if self.faults.errors:
            return None
        return msgspec.structs.replace(config, warnings=tuple(self.warnings))

    def _price_list(self, keys: Any, channels: Mapping[str, Any]) -> tuple[Price, ...]:
        if keys is None or not keys.prices_file:
            return ()
        return read_price_list(keys.prices_file, self._read_file, channels, self.faults)

    def _named(
        self, section: str, document: dict[str, Any], read: Callable[[dict[str, Any], Path], Any]
    ) -> dict[str, Any]:
        """A section of named tables, None for each that has a fault."""
        tables = document.get(section, {})
        if not isinstance(tables, dict):
            self.faults.add((section,), "must hold named tables", f"write [{section}.NAME]")
            return {}
        result: dict[str, Any] = {}
        for name, table in tables.items():
            path = (section, name)
            result[name] = None
            if not _NAME.match(name):
                self.faults.add(
                    path, "not a name", "1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit"
                )
            if not isinstance(table, dict):
                self.faults.add(path, "must be a table", f"write [{path_text(path)}]")
            else:
                result[name] = read(table, path)
        return result

    def _channel(self, table: dict[str, Any], path: Path) -> Channel | None:
        own = _listed({key: table[key] for key in table if key in ENGINE_KEYS})
        keys = read_table(ChannelKeys, own, path, self.faults)
        self._check_originator(keys, path)
        spec = self._driver(table.get("driver"), path)
        if spec is None:
            return None
        rest = {key: value for key, value in table.items() if key not in ENGINE_KEYS}
        sources = self._secrets(rest, spec.config, spec.secrets, path)
        sources |= self._secrets_inside(rest, spec, path)
        settings = self._settings(rest, spec, path)
        if keys is None or settings is None:
            return None
        capabilities = spec.capabilities(settings)
        return Channel(
            name=str(path[-1]),
            keys=keys,
            settings=settings,
            secrets=sources,
            can_send=capabilities.can_send,
            coding=capabilities.coding,
            schedules_s=capabilities.schedules_s,
        )

    def _driver(self, name: object, path: Path) -> DriverSpec | None:
        if not isinstance(name, str):  # missing or of another type: read_table has said so
            return None
        spec = self._specs.get(name)
        if spec is None:
            if name in self._broken:
                self.faults.add((*path, "driver"), f'driver "{name}" cannot be used: {self._broken[name]}')
            else:
                known = ", ".join(f'"{driver}"' for driver in sorted(self._specs)) or "none"
                hint = nearest(name, self._specs) or f"installed drivers: {known}"
                self.faults.add((*path, "driver"), f'there is no driver "{name}"', hint)
        return spec

    def _secrets_inside(self, table: dict[str, Any], spec: DriverSpec, path: Path) -> dict[str, SecretSource]:
        """The same for lists of tables in the channel's table; keys of the result are ``list.index.key``."""
        sources: dict[str, SecretSource] = {}
        for item in msgspec.structs.fields(spec.config):
            kind, key = inner_table(item.type), item.encode_name
            if kind is None or not isinstance(table.get(key), list):
                continue
            inner = [dict(each) if isinstance(each, dict) else each for each in table[key]]
            table[key] = inner
            for index, each in enumerate(inner):
                if isinstance(each, dict):
                    found = self._secrets(each, kind, spec.secrets, (*path, key, index))
                    sources |= {f"{key}.{index}.{name}": source for name, source in found.items()}
        return sources

    def _secrets(
        self, table: dict[str, Any], config: type[msgspec.Struct], secrets: frozenset[str], path: Path
    ) -> dict[str, SecretSource]:
        """Replace ``X_file`` and ``X_credential`` by ``X`` with what they name."""
        sources: dict[str, SecretSource] = {}
        for item in msgspec.structs.fields(config):
            if item.name not in secrets:
                continue
            key = item.encode_name
            given = [form for form in (key, *(key + form for form in _SECRET_FORMS)) if form in table]
            if not given and item.required:
                self.faults.add(
                    (*path, key), "is missing", f"give {key}_file, {key}_credential, or {key} itself"
                )
                table[key] = ""
            if len(given) > 1:
                self.faults.add((*path, given[1]), f"stands beside {given[0]}", "give exactly one of them")
            if given and given[0] == key:
                sources[key] = SecretSource("value")
            for form in given:
                if form != key:
                    sources[key] = self._secret(table, key, form, (*path, form))
        return sources

    def _secret(self, table: dict[str, Any], key: str, form: str, path: Path) -> SecretSource:
        kind = form.removeprefix(key + "_")
        name = table.pop(form)
        table.setdefault(key, "")
        if not isinstance(name, str) or not name:
            self.faults.add(path, "must be a text that is not empty")
            return SecretSource(kind)
        try:
            secret = self._read_secret(kind, name)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.faults.add(path, f'cannot read "{name}": {reason}')
            return SecretSource(kind, name)
        if not secret.text:
            self.faults.add(path, f'"{name}" is empty')
        if secret.warning:
            self.warnings.append(f"{path_text(path)}: {secret.warning}")
        table[key] = secret.text
        return SecretSource(kind, name)

    def _settings(self, table: dict[str, Any], spec: DriverSpec, path: Path) -> msgspec.Struct | None:
        settings = read_table(spec.config, table, path, self.faults)
        if settings is None or spec.check is None:
            return settings
        try:
            spec.check(settings)
        except ConfigError as error:
            self.faults.add((*path, *_inner_path(error.path)), error.detail, error.suggestion)
            return None
        return settings

    def _tables(
        self, cls: type[StructT], section: str, document: dict[str, Any], lists: frozenset[str] = frozenset()
    ) -> dict[int, StructT | None]:
        """A list of tables by their place, None for each that has a fault."""
        tables = document.get(section, [])
        if not isinstance(tables, list):
            self.faults.add((section,), "must be a list of tables", f"write [[{section}]], with two brackets")
            return {}
        return {
            index: read_table(cls, _listed(table, lists), (section, index), self.faults)
            for index, table in enumerate(tables)
        }

    def _routes(self, document: dict[str, Any]) -> dict[int, Route | None]:
        routes = self._tables(Route, "routes", document, _ROUTE_LISTS)
        for index, route in routes.items():
            self._check_originator(route, ("routes", index))
        return routes

    def _check_originator(self, table: ChannelKeys | Route | None, path: Path) -> None:
        """A default goes out with every message that names no originator, so it must be one."""
        if table is None or not table.originator:
            return
        try:
            parse_originator(table.originator)
        except Refusal as error:
            self.faults.add((*path, "from"), error.detail)

    def _check_region(self, config: Config) -> None:
        region = config.numbers.region
        if region and region not in PLANS:
            hint = nearest(region, PLANS) or 'leave it out, and write destinations with "+"'
            self.faults.add(("numbers", "region"), f'the numbers of "{region}" are not known', hint)

    def _between(self, config: Config, channels: Any) -> None:
        """What must hold between tables. ``channels`` are all declared names, those with a fault too."""
        self._addresses(config)
        self._check_region(config)
        if config.limits.active > config.limits.backlog:
            self.faults.add(
                ("limits", "active"), "is more than limits.backlog", "a part cannot exceed the whole"
            )
        if config.retry.first_s > config.retry.longest_s:
            self.faults.add(("retry", "first"), "is longer than retry.longest")
        self._check_users(config)
        if not channels:
            self.warnings.append("channels: there is none, so no message can leave")
        elif config.channels and not any(channel.keys.enabled for channel in config.channels.values()):
            self.warnings.append("channels: none is enabled, so no message can leave")
        elif len(channels) > 1 and not config.routes and not self.faults.errors:
            self.warnings.append("routes: there is none, so only messages that name their channel are taken")

    def _check_proxy(self, proxy: str) -> None:
        try:
            is_known = "@" not in proxy and (not proxy or read_proxy(proxy) is not None)
        except InvalidRequest:
            is_known = False
        if not is_known:
            self.faults.add(("webhooks", "proxy"), "is no proxy", 'write "http://host:port"')

    def _addresses(self, config: Config) -> None:
        if len(config.socket_path.encode()) > _SOCKET_PATH_OCTETS:
            self.faults.add(
                ("api", "unix"),
                f'"{config.socket_path}" is longer than the {_SOCKET_PATH_OCTETS} octets of a socket address',
                "use a shorter daemon.runtime_dir",
            )
        if config.api.tcp:
            match = _ADDRESS.fullmatch(config.api.tcp)
            if match is None or int(match[2]) > 65535:
                self.faults.add(
                    ("api", "tcp"),
                    f'"{config.api.tcp}" is no address',
                    'write "127.0.0.1:8080" or "[::1]:8080"',
                )
        self._check_proxy(config.webhooks.proxy)
        for name in ("state_dir", "runtime_dir"):
            if not getattr(config.daemon, name).startswith("/"):
                self.warnings.append(
                    f"daemon.{name}: is relative, so it depends on where the daemon is started"
                )

    def _check_users(self, config: Config) -> None:
        owners: dict[int | str, str] = {}
        for name, account in config.accounts.items():
            for place, user in enumerate(account.unix_users):
                owner = owners.setdefault(user, name)
                if owner != name:
                    path = ("accounts", name, "unix_users", place)
                    self.faults.add(path, f'user {user} acts for account "{owner}" already')


def _fitted(config: Config, document: Mapping[str, Any]) -> Config:
    """With what was left out made to fit what was given: a small backlog needs no more memory than itself."""
    limits = config.limits
    if limits.active <= limits.backlog or "active" in document.get("limits", {}):
        return config
    fitted = msgspec.structs.replace(limits, active=limits.backlog)
    return msgspec.structs.replace(config, limits=fitted)


def _present(tables: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: table for name, table in tables.items() if table is not None}


def _listed(table: object, lists: frozenset[str] = _OTHER_LISTS) -> object:
    """A list of one, such as a prefix or a channel, may be written without its brackets."""
    if not isinstance(table, dict):
        return table
    return {
        key: [value] if key in lists and isinstance(value, str) else value for key, value in table.items()
    }


def _inner_path(text: str) -> Path:
    """``tlvs[0].tag`` as a driver's check names it."""
    parts: list[str | int] = []
    for part in text.split("."):
        name, _, indexes = part.partition("[")
        if part and part != "$":
            parts += [name, *(int(index) for index in _INDEX.findall(f"[{indexes}"))]
    return tuple(parts)


def _syntax_error(text: str, source: str) -> LocatedError:
    place = _SYNTAX_PLACE.search(text)
    if place is None:
        return LocatedError("", "is no TOML: " + text, None, source)
    column = f"column {place[2]}"
    return LocatedError(column, "is no TOML: " + text[: place.start()], None, source, int(place[1]))


def _no_secrets(kind: str, name: str) -> Secret:
    raise ValueError(f"a {kind} cannot be read here")


def _no_files(name: str) -> str:
    raise ValueError("files cannot be read here")
