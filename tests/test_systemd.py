"""The units are well formed, shut the daemon in, and agree with what the daemon promises."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stentor.config.schema import Daemon
from tests.support.source import ROOT

UNITS = ROOT / "systemd"
MAX_EXPOSURE = 1.2

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine"
)


def directives(unit: str) -> dict[str, list[str]]:
    """Key -> its values in order; sections are left out, their keys do not overlap here."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


SERVICE, SOCKET = directives("stentor.service"), directives("stentor.socket")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)


def exposure(unit: Path) -> float:
    done = analyze("security", "--offline=yes", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    return float(found[1])


@needs_analyze
def test_the_service_is_exposed_no_more_than_the_goal() -> None:
    assert exposure(UNITS / "stentor.service") <= MAX_EXPOSURE


@needs_analyze
def test_the_figure_notices_a_sandbox_that_was_opened(tmp_path: Path) -> None:
    opened = tmp_path / "stentor.service"
    text = (UNITS / "stentor.service").read_text()
    opened.write_text(text.replace("PrivateDevices=yes", "PrivateDevices=no"))
    assert exposure(opened) > MAX_EXPOSURE


@needs_analyze
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for unit in ("stentor.service", "stentor.socket"):
        # The command must exist for the check, and on this machine nothing is installed below /opt.
        text = (UNITS / unit).read_text().replace("/opt/stentor/bin/stentor", sys.executable)
        (tmp_path / unit).write_text(text)
    done = analyze("verify", "--man=no", str(tmp_path / "stentor.service"), str(tmp_path / "stentor.socket"))
    about_us = [line for line in done.stderr.splitlines() if "stentor" in line]
    assert about_us == []


def test_stopping_takes_longer_than_draining() -> None:
    assert float(SERVICE["TimeoutStopSec"][0]) > 2 * Daemon().drain_timeout_s


def test_the_daemon_tells_systemd_itself_and_is_watched() -> None:
    assert SERVICE["Type"] == ["notify"]
    assert SERVICE["NotifyAccess"] == ["main"]
    assert SERVICE["WatchdogSec"] == ["30"]


def test_a_crash_loop_ends_in_failed() -> None:
    interval_s, burst = int(SERVICE["StartLimitIntervalSec"][0]), int(SERVICE["StartLimitBurst"][0])
    assert SERVICE["Restart"] == ["always"]
    # Restarting at once, the burst must fit into the interval, or the limit is never reached.
    assert burst * int(SERVICE["RestartSec"][0]) < interval_s
    assert SERVICE["RestartPreventExitStatus"] == ["2"]


def test_reload_checks_the_file_before_the_signal() -> None:
    check, signal = SERVICE["ExecReload"]
    config = SERVICE["ExecStart"][0].rpartition(" ")[2]
    assert check.endswith(f"stentor check --config {config}")
    assert signal == "kill -HUP $MAINPID"


def test_the_socket_is_where_clients_look_and_for_their_group_alone() -> None:
    assert SOCKET["ListenStream"] == [f"{Daemon().runtime_dir}/stentor.sock"]
    assert (SOCKET["SocketMode"], SOCKET["SocketGroup"], SOCKET["Backlog"]) == (
        ["0660"],
        ["stentor"],
        ["1024"],
    )
    assert re.search(r"^g stentor ", (UNITS / "sysusers.d/stentor.conf").read_text(), re.MULTILINE)


def test_the_service_cannot_take_the_socket_along_when_it_stops() -> None:
    assert "stentor.socket" in SERVICE["Requires"]
    assert "RuntimeDirectory" not in SERVICE


def test_the_dynamic_user_does_not_share_its_name_with_the_clients_group() -> None:
    assert SERVICE["DynamicUser"] == ["yes"]
    assert SERVICE["User"] != SOCKET["SocketGroup"]


def test_clients_keep_their_identity() -> None:
    assert SERVICE["PrivateUsers"] == ["no"]


def test_state_is_for_the_daemon_alone() -> None:
    assert [f"/var/lib/{folder}" for folder in SERVICE["StateDirectory"]] == [Daemon().state_dir]
    assert SERVICE["StateDirectoryMode"] == ["0700"]
    assert SERVICE["UMask"] == ["0077"]
