"""Lists of tables inside a channel's table: their secrets, their faults, and what they make of the channel."""

import tomllib
from typing import Any, Literal

import msgspec
import pytest

from stentor.config import MASK, ConfigErrors, Secret, effective, parse
from stentor.driver import Capabilities, DriverSpec
from stentor.errors import ConfigError
from stentor.routing.routes import RouteTable

CANARY = "Canary-5e6f"


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a list in a driver's keys."""

    kind: Literal["send", "take"]
    password: str | None = None
    window: int | None = None


class Outer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A driver whose keys hold tables."""

    password: str = ""
    binds: tuple[Inner, ...] = ()
    tls: bool | Inner = False


def _outer_check(settings: Outer) -> None:
    if settings.binds and settings.binds[-1].window == 0:
        raise ConfigError(f"binds[{len(settings.binds) - 1}].window", "is nothing")


def _unused(*_: Any) -> Any:
    raise AssertionError("configuration makes no driver")


OUTER = {
    "smpp": DriverSpec(
        name="smpp",
        contract=1,
        config=Outer,
        capabilities=lambda settings: Capabilities(
            can_send=not settings.binds or any(each.kind == "send" for each in settings.binds)
        ),
        make=_unused,
        secrets=frozenset({"password"}),
        check=_outer_check,
    )
}
INNER = (
    '[channels.alpha]\ndriver = "smpp"\npassword = "' + CANARY + '"\ntls = { kind = "send" }\n'
    '[[channels.alpha.binds]]\nkind = "send"\npassword_file = "/etc/inner"\n'
    '[[channels.alpha.binds]]\nkind = "take"\npassword = "' + CANARY + '2"\n'
)


def test_a_secret_in_a_list_of_tables_is_one_too() -> None:
    config = parse(INNER, OUTER, read_secret=lambda kind, name: Secret(f"{CANARY}3"))
    assert [each.password for each in config.channels["alpha"].settings.binds] == [f"{CANARY}3", f"{CANARY}2"]
    dumped = effective(config)
    assert CANARY not in dumped
    inside = tomllib.loads(dumped)["channels"]["alpha"]["binds"]
    assert inside == [{"kind": "send", "password_file": "/etc/inner"}, {"kind": "take", "password": MASK}]
    again = parse(dumped, OUTER, read_secret=lambda kind, name: Secret("x"))
    assert again.channels["alpha"].settings.tls == Inner(kind="send")


def test_a_secret_in_a_list_of_tables_that_cannot_be_read_is_named() -> None:
    def read(kind: str, name: str) -> Secret:
        raise ValueError("it is a picture")

    with pytest.raises(ConfigErrors, match=r"channels\.alpha\.binds\[0\]\.password_file.*it is a picture"):
        parse(INNER, OUTER, read_secret=read)


def test_a_check_may_name_a_key_in_a_list_of_tables() -> None:
    text = INNER.replace('password_file = "/etc/inner"\n', "") + "window = 0\n"
    with pytest.raises(ConfigErrors, match=r"channels\.alpha\.binds\[1\]\.window: is nothing"):
        parse(text, OUTER)


def test_a_route_may_not_lead_to_a_channel_that_only_receives() -> None:
    text = (
        '[channels.alpha]\ndriver = "smpp"\n[[channels.alpha.binds]]\nkind = "take"\n'
        '[channels.beta]\ndriver = "smpp"\n'
    )
    config = parse(text, OUTER)
    assert not config.channels["alpha"].can_send
    table = RouteTable(config.rules, config.channel_defaults)
    assert table.lookup("+40") == ("beta",)
    with pytest.raises(ConfigErrors, match=r'routes\[0\]\.channels\[0\]: "alpha" only receives'):
        parse(text + '[[routes]]\nchannels = ["alpha", "beta"]\n', OUTER)
