"""A configuration back as text: ``effective`` writes it whole as TOML, ``reference`` documents every key."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from stentor.config.fields import choices, holds_names, inner_table
from stentor.config.pacing import QuietHours, RateLimit
from stentor.config.routing import PoolKeys, PriceKeys, Route
from stentor.config.schema import SECTIONS, Account, Channel, ChannelKeys, Config, SecretSource
from stentor.config.values import duration_text, octets_text
from stentor.driver import DriverSpec

MASK: Final = "********"
"""What stands for a secret wherever one would be shown."""


def effective(config: Config) -> str:
    """Valid TOML of everything, defaults included. A secret given in the file is masked; one kept elsewhere
    is shown by where it is kept."""
    blocks = [_block(f"[{name}]", _items(getattr(config, name))) for name in SECTIONS]
    blocks += [_block(f"[accounts.{name}]", _items(account)) for name, account in config.accounts.items()]
    blocks += [
        _block(f"[channels.{channel.name}]", _channel_items(channel)) for channel in config.channels.values()
    ]
    blocks += [_block("[[routes]]", _route_items(route)) for route in config.routes]
    blocks += [_block("[[pools]]", _items(pool)) for pool in config.pools]
    blocks += [_block("[[prices]]", _items(price)) for price in config.prices]
    blocks += [_block("[[rate_limits]]", _items(limit)) for limit in config.rate_limits]
    blocks += [_block("[[quiet_hours]]", _items(hours)) for hours in config.quiet_hours]
    return "\n".join(blocks)


def reference(specs: Mapping[str, DriverSpec]) -> str:
    """Markdown: a table of keys for each section, then for each driver, generated from the Structs."""
    parts = []
    for name, cls in SECTIONS.items():
        parts.append(_reference_table(f"[{name}]", cls))
    parts.append(_reference_table("[accounts.NAME]", Account))
    parts.append(_reference_table("[[routes]]", Route))
    parts.append(_reference_table("[[pools]]", PoolKeys))
    parts.append(_reference_table("[[prices]]", PriceKeys))
    parts.append(_reference_table("[[rate_limits]]", RateLimit))
    parts.append(_reference_table("[[quiet_hours]]", QuietHours))
    parts.append(_reference_table("[channels.NAME]", ChannelKeys))
    for name, spec in sorted(specs.items()):
        parts.append(_reference_table(f'[channels.NAME] with driver = "{name}"', spec.config, spec.secrets))
        parts += _inner_references(name, spec)
    return "\n".join(parts)


def toml_value(value: object) -> str:
    """One value as TOML. Values are what TOML has, or Structs as inline tables."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _toml_string(value)
    if isinstance(value, msgspec.Struct):
        value = dict(_given(_items(value)))
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_toml_string(str(key))} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, Iterable):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return _toml_string(str(getattr(value, "value", value)))


def _toml_string(text: str) -> str:
    # JSON's escapes are a subset of TOML's basic string, but for DEL, which TOML wants escaped.
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def _block(header: str, items: Iterable[tuple[str, object]]) -> str:
    lines = [header]
    for key, value in items:
        lines.append(f"# {key}: not set" if value is None else f"{key} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


def _items(struct: msgspec.Struct) -> list[tuple[str, object]]:
    return [
        (item.encode_name, _with_unit(item.name, getattr(struct, item.name)))
        for item in _own_first(type(struct))
    ]


def _own_first(cls: type[msgspec.Struct]) -> list[msgspec.structs.FieldInfo]:
    """The keys a Struct declares itself, before those it inherits."""
    items = msgspec.structs.fields(cls)
    return sorted(items, key=lambda item: item.name not in cls.__annotations__)


def _with_unit(name: str, value: object) -> object:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if name.endswith("_s"):
            return duration_text(value)
        if name.endswith("_octets"):
            return octets_text(int(value))
    return value


def _route_items(route: Route) -> list[tuple[str, object]]:
    # An empty prefix list reads as "no destination"; leaving it out says "any".
    return [(key, value) for key, value in _items(route) if key != "prefix" or value]


def _channel_items(channel: Channel) -> list[tuple[str, object]]:
    return _items(channel.keys) + _masked(channel.settings, channel.secrets, "")


def _masked(
    settings: msgspec.Struct, secrets: Mapping[str, SecretSource], place: str
) -> list[tuple[str, object]]:
    """The items of a table, ``place`` its key and a dot; a secret is masked or told by where it is kept."""
    items: list[tuple[str, object]] = []
    for key, value in _items(settings):
        source = secrets.get(place + key)
        if source is not None and source.kind != "value":
            items.append((f"{key}_{source.kind}", source.name))
        elif source is not None:
            items.append((key, MASK))
        elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
            tables = [_masked(each, secrets, f"{place}{key}.{index}.") for index, each in enumerate(value)]
            items.append((key, [dict(_given(table)) for table in tables]))
        else:
            items.append((key, value))
    return items


def _given(items: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    return [(key, value) for key, value in items if value is not None]


def _reference_table(title: str, cls: type[msgspec.Struct], secrets: frozenset[str] = frozenset()) -> str:
    lines = [f"### `{title}`", "", "| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for item in _own_first(cls):
        sentence = _description(item.type)
        if item.name in secrets:
            sentence += f" Also `{item.encode_name}_file` and `{item.encode_name}_credential`."
        lines.append(
            f"| `{item.encode_name}` | {_type_word(item)} | {_default_word(item)} | {sentence.strip()} |"
        )
    return "\n".join(lines) + "\n"


def _inner_references(driver: str, spec: DriverSpec) -> list[str]:
    """The tables that stand in a driver's keys."""
    found = [(item, inner_table(item.type)) for item in _own_first(spec.config)]
    return [
        _reference_table(f'{_inner_title(item)} with driver = "{driver}"', inner, spec.secrets)
        for item, inner in found
        if inner is not None
    ]


def _inner_title(item: msgspec.structs.FieldInfo) -> str:
    name = f"channels.NAME.{item.encode_name}"
    if _plain_type(item.type) == "list":
        return f"[[{name}]]"
    return f"[{name}.KEY]" if holds_names(item.type) else f"[{name}]"


def _description(kind: Any) -> str:
    """The sentence of a field: that of the outermost Meta which has one, also inside a union."""
    if get_origin(kind) is Annotated:
        for meta in reversed(get_args(kind)[1:]):
            if isinstance(meta, msgspec.Meta) and meta.description:
                return meta.description
    for part in get_args(kind):
        if sentence := _description(part):
            return sentence
    return ""


def _type_word(item: msgspec.structs.FieldInfo) -> str:
    if words := choices(item.type):
        listed = ", ".join(f'`"{word}"`' for word in words)
        return f"table of {listed}" if holds_names(item.type) else listed
    if item.name.endswith("_s"):
        return "duration"
    if item.name.endswith("_octets"):
        return "size"
    return _plain_type(item.type)


def _plain_type(kind: Any) -> str:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    origin = get_origin(kind)
    if origin in (tuple, list, set, frozenset):
        return "list"
    if origin is dict:
        return "table"
    if parts := get_args(kind):
        return " or ".join(dict.fromkeys(_plain_type(part) for part in parts if part is not type(None)))
    return {int: "integer", float: "number", str: "text", bool: "boolean"}.get(kind, "table")


def _default_word(item: msgspec.structs.FieldInfo) -> str:
    if item.required:
        return "required"
    default = item.default if item.default is not msgspec.NODEFAULT else item.default_factory()
    if default is None:
        return "–"
    return f"`{toml_value(_with_unit(item.name, default))}`"
