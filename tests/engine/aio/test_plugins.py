"""Plugins and settings: what is installed, and a configuration from its file."""

import os
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from stentor.aio.plugins import GROUP, Plugins, load_plugins
from stentor.aio.settings import load_config, secret_reader
from stentor.config import ConfigErrors
from stentor.driver import CONTRACT_VERSION, Capabilities, DriverSpec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str = "h"
    password: str = ""


class Lax(msgspec.Struct):
    host: str = "h"


class Greedy(msgspec.Struct, forbid_unknown_fields=True):
    rate: float = 0


def spec(**changes: Any) -> DriverSpec:
    fields: dict[str, Any] = {
        "name": "fax",
        "contract": CONTRACT_VERSION,
        "config": Settings,
        "capabilities": lambda settings: Capabilities(),
        "make": lambda settings, host: None,
        "secrets": frozenset({"password"}),
    }
    return DriverSpec(**(fields | changes))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An importable module to put specs into."""
    made = ModuleType("fax_plugin")
    monkeypatch.setitem(sys.modules, "fax_plugin", made)
    return made


def point(attribute: str = "SPEC", name: str = "fax", module: str = "fax_plugin") -> EntryPoint:
    return EntryPoint(name, f"{module}:{attribute}", GROUP)


def test_the_drivers_that_are_installed_are_found() -> None:
    plugins = load_plugins()
    assert plugins.problems == ()
    assert plugins.specs["smpp"].name == "smpp"


def test_a_good_plugin_is_taken(module: Any) -> None:
    module.SPEC = spec()
    assert load_plugins([point()]) == Plugins({"fax": module.SPEC})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            spec(contract=CONTRACT_VERSION + 1),
            "is written for contract 2, this is contract 1; use a newer stentor",
        ),
        (spec(contract=0), "use a newer version of the plugin"),
        (spec(name="telex"), 'its entry point says "fax", its spec "telex"'),
        (spec(config=dict), "its config is no msgspec.Struct"),
        (spec(config=Lax, secrets=frozenset()), "its config Struct lacks forbid_unknown_fields"),
        (spec(config=Greedy, secrets=frozenset()), "its config claims keys of the engine: rate"),
        (spec(secrets=frozenset({"pin"})), "it lists secrets that its config has not: pin"),
        ("fax", "fax_plugin:SPEC is no DriverSpec but str"),
    ],
)
def test_a_plugin_that_breaks_the_contract_is_a_value(module: Any, value: Any, reason: str) -> None:
    module.SPEC = value
    plugins = load_plugins([point()])
    assert plugins.specs == {}
    assert reason in plugins.broken["fax"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (point(module="fax_plugin_that_is_not_there"), "ModuleNotFoundError"),
        (point("MISSING"), "AttributeError"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_a_value(module: Any, broken: EntryPoint, reason: str) -> None:
    assert reason in load_plugins([broken]).broken["fax"]


def test_a_plugin_that_ends_the_program_on_import_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fax_plugin_exit.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "SystemExit" in load_plugins([point(module="fax_plugin_exit")]).broken["fax"]


def test_two_plugins_of_one_name_are_both_left_out(module: Any) -> None:
    module.SPEC = module.OTHER = spec()
    plugins = load_plugins([point(), point("OTHER")])
    assert plugins.specs == {}
    assert "fax_plugin:OTHER, fax_plugin:SPEC" in plugins.broken["fax"]


def test_one_plugin_found_twice_is_one_plugin(module: Any) -> None:
    module.SPEC = spec()
    assert load_plugins([point(), point()]).problems == ()


def test_a_broken_plugin_next_to_a_good_one_is_nobody_s_problem_until_a_channel_needs_it(
    module: Any, tmp_path: Path
) -> None:
    module.SPEC = spec()
    plugins = load_plugins([point(), point("MISSING", name="telex")])
    path = tmp_path / "stentor.toml"
    path.write_text('[channels.alpha]\ndriver = "fax"\n')
    assert load_config(path, plugins).channels["alpha"].settings == Settings()
    path.write_text('[channels.alpha]\ndriver = "telex"\n')
    with pytest.raises(
        ConfigErrors, match=r'stentor\.toml:2: .* driver "telex" cannot be used: .*AttributeError'
    ):
        load_config(path, plugins)


# -- settings --------------------------------------------------------------------------------


@pytest.fixture
def plugins(module: Any) -> Plugins:
    module.SPEC = spec()
    return load_plugins([point()])


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read: No such file or directory"), (b"a = '\xff'\n", "is not UTF-8 at octet 5")],
)
def test_a_file_that_cannot_be_read_is_a_fault_of_the_configuration(
    tmp_path: Path, plugins: Plugins, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "stentor.toml"
    if content is not None:
        write(path, content)
    with pytest.raises(ConfigErrors) as caught:
        load_config(path, plugins)
    assert str(caught.value) == f"{path}: {reason}"


def test_a_secret_s_file_gives_its_text_without_the_last_newline(tmp_path: Path) -> None:
    read = secret_reader({})
    assert read("file", str(write(tmp_path / "p", "hush\n"))).text == "hush"
    assert read("file", str(write(tmp_path / "p", "hush \n\n"))).text == "hush \n"
    assert read("file", str(write(tmp_path / "p", "hush\r\n"))).text == "hush"


def test_a_secret_everybody_can_read_is_warned_about(tmp_path: Path, plugins: Plugins) -> None:
    secret = write(tmp_path / "p", "hush", 0o644)
    path = write(
        tmp_path / "c.toml", f'[channels.alpha]\ndriver = "fax"\npassword_file = "{secret}"\n', 0o644
    )
    config = load_config(path, plugins)
    assert config.warnings == (
        f"channels.alpha.password_file: {secret} is readable by everyone; chmod o-r it",
    )
    secret.chmod(0o640)
    assert load_config(path, plugins).warnings == ()
    path = write(tmp_path / "c.toml", '[channels.alpha]\ndriver = "fax"\npassword = "hush"\n', 0o644)
    (warning,) = load_config(path, plugins).warnings
    assert "holds a secret and is readable by everyone" in warning
    assert "hush" not in warning


def test_a_credential_comes_from_the_service_s_directory(tmp_path: Path) -> None:
    write(tmp_path / "alpha", "hush\n")
    read = secret_reader({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert read("credential", "alpha").text == "hush"
    with pytest.raises(FileNotFoundError):
        read("credential", "beta")
    for name in ("../alpha", "..", "."):
        with pytest.raises(ValueError, match="is no path"):
            read("credential", name)


def test_without_the_service_a_credential_is_a_fault_or_in_a_trial_a_warning(
    tmp_path: Path, plugins: Plugins
) -> None:
    path = write(tmp_path / "c.toml", '[channels.alpha]\ndriver = "fax"\npassword_credential = "alpha"\n')
    with pytest.raises(ConfigErrors, match="no credentials directory; LoadCredential="):
        load_config(path, plugins, environ={})
    (warning,) = load_config(path, plugins, environ={}, is_trial=True).warnings
    assert "not checked" in warning


def test_a_secret_too_large_to_be_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64 KiB"):
        secret_reader({})("file", str(write(tmp_path / "p", "x" * 70_000)))


def test_a_user_nobody_has_is_a_fault_with_its_line(tmp_path: Path, plugins: Plugins) -> None:
    path = write(tmp_path / "c.toml", f'[api]\nunix_users = [{os.getuid()}, "no-such-user-5e6f"]\n')
    with pytest.raises(ConfigErrors) as caught:
        load_config(path, plugins)
    assert str(caught.value).startswith(f"{path}:2: api.unix_users: there is no user 'no-such-user-5e6f'")
