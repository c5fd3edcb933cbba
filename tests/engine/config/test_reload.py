"""What a changed configuration asks of a running daemon."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from stentor.aio.plugins import load_plugins
from stentor.config import Config, Secret, parse
from stentor.config.reload import LIVE_KEYS, RESTART_REASONS, Action, Plan, diff
from stentor.config.schema import SECTIONS

SPECS = load_plugins().specs
BASE = '[channels.alpha]\ndriver = "smpp"\nhost = "h"\nsystem_id = "s"\npassword = "p"\n'
README = Path(__file__).resolve().parents[3] / "config" / "README.md"


def config(text: str) -> Config:
    return parse(text, SPECS, read_secret=lambda kind, name: Secret("p"))


def plan(old: str, new: str) -> Plan:
    return diff(config(old), config(new))


def all_keys() -> set[str]:
    return {
        f"{section}.{item.encode_name}"
        for section, cls in SECTIONS.items()
        for item in msgspec.structs.fields(cls)
    }


def test_every_key_takes_effect_in_exactly_one_way() -> None:
    assert LIVE_KEYS.isdisjoint(RESTART_REASONS)
    assert all_keys() == LIVE_KEYS | RESTART_REASONS.keys()


def test_the_readme_tells_of_each_key_how_it_takes_effect() -> None:
    live, restart = [line for line in README.read_text().splitlines() if line.startswith("| `daemon.")]
    assert set(live.split("`")[1::2]) == LIVE_KEYS
    assert RESTART_REASONS.keys() == set(restart.split("`")[1::2])


def test_the_same_configuration_asks_for_nothing() -> None:
    assert plan(BASE, BASE + "# a remark\n").is_empty


@pytest.mark.parametrize(
    ("added", "path", "new"),
    [
        ('[log]\nlevel = "debug"\n', "log.level", "debug"),
        ("[limits]\nbacklog = 60000\n", "limits.backlog", 60000),
        ('[daemon]\ndrain_timeout = "5s"\n', "daemon.drain_timeout", 5.0),
    ],
)
def test_limits_times_and_the_log_level_take_effect_at_once(added: str, path: str, new: Any) -> None:
    found = plan(BASE, BASE + added)
    assert [(change.path, change.new) for change in found.live] == [(path, new)]
    assert msgspec.structs.replace(found, live=()).is_empty


def test_what_was_opened_at_the_start_needs_a_restart_and_says_why() -> None:
    found = plan(BASE, BASE + '[daemon]\nstate_dir = "/other"\n[journal]\ndurability = "process"\n')
    assert [item.path for item in found.restart] == ["daemon.state_dir", "journal.durability"]
    assert all(item.reason for item in found.restart)
    assert found.live == ()


def test_a_key_that_needs_a_restart_is_compared_with_what_was_started() -> None:
    started, other = config(""), config('[journal]\ndurability = "process"\n')
    assert [item.path for item in diff(other, other, started).restart] == ["journal.durability"]
    assert diff(other, started, started).is_empty


@pytest.mark.parametrize(
    ("added", "action", "keys"),
    [
        ("rate = 5\n", Action.ADJUST, ("rate",)),
        ("enabled = false\n", Action.ADJUST, ("enabled",)),
        ('from = "X"\n', Action.ADJUST, ("from",)),
        ("window = 5\n", Action.RESTART, ("window",)),
        ("rate = 5\nwindow = 5\n", Action.RESTART, ("rate", "window")),
    ],
)
def test_a_channel_connects_anew_only_for_keys_of_its_driver(
    added: str, action: Action, keys: tuple[str, ...]
) -> None:
    (change,) = plan(BASE, BASE + added).channels
    assert (change.name, change.action, change.keys) == ("alpha", action, keys)


def test_only_the_channels_concerned_are_touched() -> None:
    beta = BASE.replace("alpha", "beta")
    found = plan(BASE + beta, BASE.replace('"h"', '"g"') + beta + BASE.replace("alpha", "gamma"))
    assert found.named(Action.RESTART) == ("alpha",)
    assert found.named(Action.ADD) == ("gamma",)
    assert plan(BASE + beta, BASE).named(Action.REMOVE) == ("beta",)


def test_a_changed_secret_restarts_its_channel_and_is_not_in_the_plan() -> None:
    found = plan(BASE, BASE.replace('"p"', '"canary"'))
    assert found.channels[0].keys == ("password",)
    assert "canary" not in repr(found)


def test_a_secret_that_only_moved_to_a_file_changes_nothing() -> None:
    assert plan(BASE, BASE.replace('password = "p"', 'password_file = "/p"')).is_empty


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", '[[routes]]\nchannels = "alpha"\n'),
        (
            '[[routes]]\nprefix = "+4"\nchannels = "alpha"\n',
            '[[routes]]\nprefix = "+40"\nchannels = "alpha"\n',
        ),
        ("", BASE.replace("alpha", "beta")),
        ("", 'from = "X"\n'),
    ],
)
def test_routes_change_with_the_table_and_with_the_channels_it_is_made_of(old: str, new: str) -> None:
    assert plan(BASE + old, BASE + new).routes
    assert not plan(BASE + new, BASE + new).routes


def test_a_changed_rate_or_window_leaves_the_routes_alone() -> None:
    assert not plan(BASE, BASE + "rate = 7\nwindow = 9\n").routes


def test_accounts_are_told_of() -> None:
    found = plan(BASE, BASE + "[accounts.shop]\nunix_users = [5]\n")
    assert found.accounts
    assert not found.routes
