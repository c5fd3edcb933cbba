"""The configuration: what is taken, what is refused and how, and that every document of it is true."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, field

from stentor.aio.plugins import load_plugins
from stentor.config import (
    MASK,
    Config,
    ConfigErrors,
    LocatedError,
    Secret,
    duration_s,
    duration_text,
    effective,
    octets,
    octets_text,
    parse,
    reference,
)
from stentor.config.lines import key_lines, line_of
from stentor.config.routing import PoolKeys, PriceKeys, Route
from stentor.config.schema import ENGINE_KEYS, SECTIONS, Account
from stentor.driver import Capabilities, DriverSpec
from stentor.errors import ConfigError

CONFIG = Path(__file__).resolve().parents[3] / "config"
CANARY = "Canary-5e6f"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A driver's keys, one of each kind."""

    host: Annotated[str, Meta(min_length=1, description="Where it is.")]
    password: str
    token: str = ""
    port: Annotated[int, Meta(ge=1, le=65535)] = 2775
    bind: Literal["transmitter", "receiver", "transceiver"] = "transceiver"
    window: Annotated[int, Meta(ge=1)] = 10
    response_s: Annotated[float, Meta(ge=0)] = field(default=30.0, name="response")
    buffer_octets: int = field(default=65536, name="buffer")


def _check(settings: Settings) -> None:
    if settings.host == settings.password:
        raise ConfigError("host", "is the password", "use another")


def _unused(*_: Any) -> Any:
    raise AssertionError("configuration makes no driver")


SPEC = DriverSpec(
    name="smpp",
    contract=1,
    config=Settings,
    capabilities=lambda settings: Capabilities(),
    make=_unused,
    secrets=frozenset({"password", "token"}),
    check=_check,
)
SPECS = {"smpp": SPEC}
CHANNEL = '[channels.alpha]\ndriver = "smpp"\nhost = "h"\npassword = "p"\n'


def faults(text: str, **arguments: Any) -> list[str]:
    """Every fault of a text, without the file's name."""
    with pytest.raises(ConfigErrors) as caught:
        parse(text, SPECS, "f", **arguments)
    return [str(error).removeprefix("f:") for error in caught.value.errors]


def refused(text: str) -> tuple[LocatedError, ...]:
    """What is wrong with a text; nothing if it is taken."""
    try:
        parse(text, SPECS)
    except ConfigErrors as error:
        return error.errors or (LocatedError("", "refused without a reason"),)
    return ()


def test_an_empty_file_is_the_defaults_and_a_warning_that_nothing_can_be_sent() -> None:
    config = parse("", SPECS)
    assert msgspec.structs.replace(config, warnings=()) == Config()
    assert config.warnings == ("channels: there is none, so no message can leave",)


def test_the_contract_s_example_is_taken_as_it_stands() -> None:
    text = """
        [daemon]
        state_dir   = "/var/lib/stentor"     # journal and nothing else that matters
        runtime_dir = "/run/stentor"         # sockets
        drain_timeout = "20s"
        [api]
        unix = "stentor.sock"
        tcp  = "127.0.0.1:8080"
        [journal]
        durability = "power"
        [limits]
        backlog = 5_000_000
        active  = 50_000
        [channels.alpha]
        driver = "smpp"
        host = "127.0.0.1"
        port = 2775
        system_id = "test"
        password = "test"
        bind = "transceiver"
        sessions = 1
        window = 500
        rate = 0
        [[routes]]
        prefix = ["+40", "+36"]
        channels = ["alpha"]
    """
    config = parse(text, load_plugins().specs)
    assert config.socket_path == "/run/stentor/stentor.sock"
    assert config.tcp_address == ("127.0.0.1", 8080)
    assert config.rules[0].prefixes == ("+40", "+36")
    assert config.channels["alpha"].settings.window == 500
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # unknown keys
        ("[demon]\n", '1: demon: unknown section (did you mean "daemon"?)'),
        ("[daemon]\nx = 1\n", "2: daemon.x: unknown key (there are drain_timeout, runtime_dir, state_dir)"),
        ('state_dir = "/x"\n', "1: state_dir: unknown key (it belongs in [daemon])"),
        ('[daemon]\n\nstate_dri = "/x"\n', '3: daemon.state_dri: unknown key (did you mean "state_dir"?)'),
        ("[api]\nbacklog = 1\n", "2: api.backlog: unknown key (it belongs in [limits])"),
        (CHANNEL + "wndow = 5\n", '5: channels.alpha.wndow: unknown key (did you mean "window"?)'),
        # wrong types and values
        ("daemon = 5\n", "1: daemon: must be a table (write [daemon])"),
        ('[limits]\nactive = "many"\n', "2: limits.active: must be a whole number, not a text"),
        ("[limits]\nactive = 1.5\n", "2: limits.active: must be a whole number, not a number"),
        ("[log]\nreveal = 1\n", "2: log.reveal: must be true or false, not a whole number"),
        ("[limits]\nbacklog = 0\n", "2: limits.backlog: must be at least 1"),
        (
            '[log]\nlevel = "warn"\n',
            '2: log.level: must be one of "debug", "info", "warning", "error" (did you mean "warning"?)',
        ),
        (
            '[daemon]\ndrain_timeout = "5 min"\n',
            '2: daemon.drain_timeout: "5 min" is no duration; '
            'write a number and its unit, like "250ms", "30s", "5m", "48h"',
        ),
        ("[daemon]\ndrain_timeout = -1\n", "2: daemon.drain_timeout: must be at least 0"),
        ('[webhooks]\ndisable_after = "15s"\n', "2: webhooks.disable_after: must be at least 1h"),
        (
            '[webhooks]\nproxy = "http://proxy.example:99999"\n',
            '2: webhooks.proxy: is no proxy (write "http://host:port")',
        ),
        (
            '[webhooks]\nproxy = "http://u:p@h:1"\n',
            '2: webhooks.proxy: is no proxy (write "http://host:port")',
        ),
        ("[daemon]\ndrain_timeout = nan\n", "2: daemon.drain_timeout: nan is not a number to work with"),
        ("[retry]\nfactor = inf\n", "2: retry.factor: inf is not a number to work with"),
        ('[daemon]\nstate_dir = ""\n', "2: daemon.state_dir: must not be empty"),
        ('[numbers]\nregion = "ro"\n', '2: numbers.region: must be two capital letters, like "RO"'),
        (CHANNEL + "window = 0\n", "5: channels.alpha.window: must be at least 1"),
        (CHANNEL + "rate = -1\n", "5: channels.alpha.rate: must be at least 0"),
        (
            CHANNEL + 'buffer = "1 MB"\n',
            '5: channels.alpha.buffer: "1 MB" is no size; write a number and its unit, '
            'like "64KiB" or "16MiB"',
        ),
        # impossible combinations
        (
            '[api]\ntcp = "8080"\n',
            '2: api.tcp: "8080" is no address (write "127.0.0.1:8080" or "[::1]:8080")',
        ),
        (
            '[api]\ntcp = "h:65536"\n',
            '2: api.tcp: "h:65536" is no address (write "127.0.0.1:8080" or "[::1]:8080")',
        ),
        (
            "[limits]\nbacklog = 200\nactive = 300\n",
            "3: limits.active: is more than limits.backlog (a part cannot exceed the whole)",
        ),
        ('[retry]\nfirst = "2h"\n', "2: retry.first: is longer than retry.longest"),
        (
            '[[routes]]\nchannels = ["alpa"]\n' + CHANNEL,
            '2: routes[0].channels[0]: there is no channel "alpa" (did you mean "alpha"?)',
        ),
        (
            '[[routes]]\nchannels = ["beta"]\n',
            '2: routes[0].channels[0]: there is no channel "beta" (declare [channels.beta])',
        ),
        ("[[routes]]\nchannels = []\n", "2: routes[0].channels: must not be empty"),
        ("[[routes]]\n", "1: routes[0].channels: is missing"),
        ("[routes]\n", "1: routes: must be a list of tables (write [[routes]], with two brackets)"),
        (
            '[[routes]]\nchannels = ["alpha", "alpha"]\n' + CHANNEL,
            '2: routes[0].channels[1]: "alpha" is listed twice',
        ),
        (
            '[[routes]]\nprefix = "40"\nchannels = "alpha"\n' + CHANNEL,
            '2: routes[0].prefix[0]: must be digits after "+", like "+40"',
        ),
        (
            '[[routes]]\nchannels = "alpha"\n[[routes]]\nchannels = "alpha"\n' + CHANNEL,
            "3: routes[1].prefix: any destination is claimed by routes[0] already",
        ),
        (
            "[accounts.a]\nunix_users = [5]\n[accounts.b]\nunix_users = [5]\n",
            '4: accounts.b.unix_users[0]: user 5 acts for account "a" already',
        ),
        # channels
        ("[channels.alpha]\n", "1: channels.alpha.driver: is missing"),
        (
            '[channels.alpha]\ndriver = "smp"\n',
            '2: channels.alpha.driver: there is no driver "smp" (did you mean "smpp"?)',
        ),
        (
            '[channels.alpha]\ndriver = "fax"\n',
            '2: channels.alpha.driver: there is no driver "fax" (installed drivers: "smpp")',
        ),
        (
            CHANNEL.replace("alpha", "Alpha"),
            "1: channels.Alpha: not a name (1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit)",
        ),
        ("channels.alpha = 1\n", "1: channels.alpha: must be a table (write [channels.alpha])"),
        (CHANNEL.replace('"h"', '"p"'), "3: channels.alpha.host: is the password (use another)"),
        # secrets
        (
            '[channels.alpha]\ndriver = "smpp"\nhost = "h"\n',
            "1: channels.alpha.password: is missing"
            " (give password_file, password_credential, or password itself)",
        ),
        (
            CHANNEL + 'password_file = "/dev/null"\n',
            "5: channels.alpha.password_file: stands beside password (give exactly one of them)",
        ),
        (CHANNEL + "token_file = 5\n", "5: channels.alpha.token_file: must be a text that is not empty"),
        # syntax
        ("[daemon]\nstate_dir = \n", "2: column 13: is no TOML: Invalid value"),
        ("[daemon\n", "1: column 8: is no TOML: Expected ']' at the end of a table declaration"),
    ],
)
def test_a_fault_names_line_key_and_what_would_be_right(text: str, expected: str) -> None:
    found = faults(text, read_secret=lambda kind, name: Secret("hush"))
    assert found == [expected]


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    text = "x = 1\n[limits]\nactive = true\nbacklgo = 3\n" + CHANNEL + 'window = "w"\nbind = "both"\n'
    places = [error.split(" ")[0] for error in faults(text)]
    assert places == ["1:", "3:", "4:", "9:", "10:"]


def test_a_fault_of_a_known_but_broken_driver_says_why_it_is_broken() -> None:
    text = '[channels.alpha]\ndriver = "fax"\n'
    assert faults(text, broken={"fax": "it needs paper"}) == [
        '2: channels.alpha.driver: driver "fax" cannot be used: it needs paper'
    ]
    assert parse("", SPECS, broken={"fax": "it needs paper"}).channels == {}


def test_a_secret_may_stand_in_a_file_or_a_credential() -> None:
    secrets = {
        ("file", "/etc/p"): Secret("from file", "is readable by everyone"),
        ("credential", "t"): Secret("tok"),
    }
    text = '[channels.alpha]\ndriver = "smpp"\nhost = "h"\npassword_file = "/etc/p"\ntoken_credential = "t"\n'
    config = parse(text, SPECS, read_secret=lambda kind, name: secrets[kind, name])
    assert config.channels["alpha"].settings.password == "from file"
    assert config.channels["alpha"].settings.token == "tok"
    assert config.warnings == ("channels.alpha.password_file: is readable by everyone",)
    dumped = effective(config)
    assert 'password_file = "/etc/p"' in dumped
    assert 'token_credential = "t"' in dumped
    assert "from file" not in dumped


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory"), 'cannot read "/p": No such file or directory'),
        (ValueError("it is a picture"), 'cannot read "/p": it is a picture'),
        (Secret(""), '"/p" is empty'),
    ],
)
def test_a_secret_that_cannot_be_read_is_a_fault(error: Exception | Secret, reason: str) -> None:
    def read(kind: str, name: str) -> Secret:
        if isinstance(error, Secret):
            return error
        raise error

    text = '[channels.alpha]\ndriver = "smpp"\nhost = "h"\npassword_file = "/p"\n'
    assert faults(text, read_secret=read) == [f"4: channels.alpha.password_file: {reason}"]


@pytest.mark.parametrize(
    "text",
    [
        CHANNEL.replace('"p"', f'"{CANARY}"'),
        CHANNEL.replace('"p"', f'"{CANARY}"') + "window = 0\n",
        CHANNEL.replace('"p"', f'["{CANARY}"]'),
        CHANNEL.replace('"p"', f'"{CANARY}" x'),
        CHANNEL.replace('"p"', f'"{CANARY}"').replace('"h"', f'"{CANARY}"'),
    ],
)
def test_a_secret_is_in_no_dump_message_or_representation(text: str) -> None:
    try:
        config = parse(text, SPECS)
    except ConfigErrors as error:
        shown = f"{error} {error!r} {error.errors!r}"
    else:
        shown = f"{effective(config)} {config!r} {config.channels!r} {Secret(CANARY)!r}"
        assert f'password = "{MASK}"' in shown
    assert CANARY not in shown


def test_the_effective_configuration_is_valid_toml_and_means_the_same() -> None:
    text = (
        '[daemon]\ndrain_timeout = 0.25\n[accounts.shop]\nunix_users = ["a\\u0001\\"b", 5]\n'
        + CHANNEL
        + 'token = "p"\nresponse = "1500ms"\nbuffer = "1MiB"\nrate = 12.5\nfrom = "Süd"\n'
        + '[[routes]]\nprefix = "+40"\nchannels = "alpha"\n[[routes]]\nchannels = ["alpha"]\nfrom = "X"\n'
    )
    config = parse(text, SPECS)
    dumped = effective(config)
    assert tomllib.loads(dumped)["channels"]["alpha"]["response"] == "1500ms"
    again = parse(dumped.replace(MASK, "p"), SPECS)
    assert again == config


def test_the_defaults_of_channels_and_routes_reach_the_route_table() -> None:
    config = parse(
        CHANNEL + 'from = "Shop"\nvalid_for = "1h"\n[[routes]]\nchannels = "alpha"\nfrom = "X"\n', SPECS
    )
    assert config.channel_defaults["alpha"].originator == "Shop"
    assert config.channel_defaults["alpha"].valid_for_s == 3600
    assert config.rules[0].originator == "X"
    assert config.retry_policy.attempts == config.retry.attempts


def test_what_is_unwise_is_a_warning() -> None:
    text = '[daemon]\nstate_dir = "here"\n' + CHANNEL + 'enabled = false\n[[routes]]\nchannels = "alpha"\n'
    assert parse(text, SPECS).warnings == (
        "daemon.state_dir: is relative, so it depends on where the daemon is started",
        "channels: none is enabled, so no message can leave",
        "routes[0]: none of its channels is enabled",
    )


def test_a_socket_path_longer_than_the_kernel_takes_is_refused() -> None:
    room = 107 - len("/stentor.sock")
    parse(f'[daemon]\nruntime_dir = "/{"r" * (room - 1)}"\n', SPECS)
    assert "107 octets" in faults(f'[daemon]\nruntime_dir = "/{"r" * room}"\n')[0]


@given(st.text(max_size=200))
def test_any_text_is_taken_or_refused_with_reasons(text: str) -> None:
    assert all(fault.detail and fault.source for fault in refused(text))


_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from([*SECTIONS, "channels.alpha", "accounts.a", "routes"]),
    st.data(),
)
def test_any_value_of_any_key_is_taken_or_refused_with_its_full_path(
    section: str, data: st.DataObject
) -> None:
    keys = {
        "channels.alpha": [
            "driver",
            "rate",
            "enabled",
            "host",
            "password",
            "password_file",
            "bind",
            "window",
        ],
        "accounts.a": ["unix_users"],
        "routes": ["prefix", "channels", "from"],
    }
    known = keys.get(section) or [item.encode_name for item in msgspec.structs.fields(SECTIONS[section])]
    key = data.draw(st.sampled_from(known))
    header = "[[routes]]" if section == "routes" else f"[{section}]"
    text = f"{header}\n{key} = {_toml(data.draw(_VALUES))}\n"
    assert all(fault.path.startswith(section) for fault in refused(text))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    return str(value).lower()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("250ms", 0.25), ("30s", 30), ("1.5s", 1.5), ("5m", 300), ("48h", 172800), ("72h", 259200)],
)
def test_durations_are_read_and_written(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds
    assert duration_s(duration_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 sec", "1h30m", "٣s", "1e3s", "1.s", "9" * 50 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration_s(text)


@given(st.integers(0, 10**12))
def test_every_millisecond_and_octet_count_has_a_spelling_that_means_it(number: int) -> None:
    assert round(duration_s(duration_text(number / 1000)) * 1000) == number
    assert octets(octets_text(number)) == number


def test_a_key_s_line_is_found_in_tables_arrays_and_dotted_keys() -> None:
    text = 'a.b = 1\n[x."y z"]\nk = 1\n\n[[r]]\np = 1\n[[r]]\np = 2\n q = [\n1]\n'
    lines = key_lines(text)
    paths = [("a", "b"), ("x", "y z", "k"), ("r", 0, "p"), ("r", 1, "q", 0)]
    assert [line_of(lines, path) for path in paths] == [1, 3, 6, 9]
    assert line_of(lines, ("nowhere",)) == 0


# -- documents --------------------------------------------------------------------------------


def _uncommented(text: str) -> str:
    """Every key in force: prose begins with "# ", a key with "#" alone."""
    return re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE)


def _read_secret(kind: str, name: str) -> Secret:
    return Secret("hush")


def test_the_shipped_file_changes_nothing_and_its_comments_are_the_defaults() -> None:
    text = (CONFIG / "stentor.toml").read_text()
    specs = load_plugins().specs
    assert msgspec.structs.replace(parse(text, specs), warnings=()) == Config()
    config = parse(_uncommented(text), specs, read_secret=_read_secret)
    for section in SECTIONS:
        assert getattr(config, section) == getattr(Config(), section)
    channel = config.channels["alpha"]
    assert channel.keys == type(channel.keys)(driver="smpp")


def test_the_shipped_file_shows_every_key_of_the_engine() -> None:
    document = tomllib.loads(_uncommented((CONFIG / "stentor.toml").read_text()))
    for section, cls in SECTIONS.items():
        assert list(document[section]) == [item.encode_name for item in msgspec.structs.fields(cls)]
    for name, cls in {"routes": Route, "pools": PoolKeys, "prices": PriceKeys}.items():
        assert document[name][0].keys() == {item.encode_name for item in msgspec.structs.fields(cls)}
    shop = document["accounts"]["shop"]
    assert shop.keys() == {item.encode_name for item in msgspec.structs.fields(Account)}
    assert document["channels"]["alpha"].keys() >= ENGINE_KEYS


@pytest.mark.parametrize("path", sorted((CONFIG / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_each_example_is_valid_and_without_warnings(path: Path) -> None:
    assert parse(path.read_text(), load_plugins().specs, read_secret=_read_secret).warnings == ()


def test_the_reference_in_the_readme_is_the_generated_one() -> None:
    readme = (CONFIG / "README.md").read_text()
    _, _, rest = readme.partition("<!-- reference -->\n")
    written, marker, _ = rest.partition("<!-- end of reference -->")
    assert marker
    generated = reference(load_plugins().specs)
    assert written == generated, "python -m stentor.cli.reference prints what belongs there"


def test_every_key_has_a_sentence_and_drivers_keys_too() -> None:
    rows = re.findall(r"^\| `.*\|$", reference(load_plugins().specs), re.MULTILINE)
    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_readme_lists_every_example() -> None:
    readme = (CONFIG / "README.md").read_text()
    for path in (CONFIG / "examples").glob("*.toml"):
        assert f"`examples/{path.name}`" in readme
