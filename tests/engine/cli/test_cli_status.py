"""status and channels: what an operator sees."""

from typing import Any

import msgspec
import pytest
from rich.console import Console

from stentor.api.channels import channel_body
from stentor.cli import screen
from stentor.cli.status import duration, size
from stentor.dispatch.snapshot import (
    BacklogSnapshot,
    ChannelSnapshot,
    EngineSnapshot,
    JournalSnapshot,
    LaneSnapshot,
    LimitSnapshot,
    QueueSnapshot,
)
from stentor.driver import DriverStatus
from tests.engine.cli.conftest import FakeDaemon, Run

LANES = (
    LaneSnapshot("0", "ready", 312, 500, 500, 0.0, 1203450, 1, peer="smsc.example.com:2775"),
    LaneSnapshot("1", "throttled", 7, 120, 500, 12.5, 5, 0, peer="smsc.example.com:2775"),
)
CHANNELS = (
    ChannelSnapshot(
        "alpha",
        "smpp",
        "up",
        False,
        0,
        200.0,
        5120,
        319,
        LANES,
        {},
        DriverStatus(),
        "bind refused",
        1_800_000_000_000,
        pace=150.4,
        waits_for=("answers, the window is full", "limit fair-share (4321)"),
    ),
    ChannelSnapshot("beta", "smpp", "down", False, 0, 0, 0, 0, (), {}, DriverStatus()),
)
SNAPSHOT = EngineSnapshot(
    version="1.2.3", state="ready", started_at_ms=1, uptime_s=212_345.5, accepted=1203450, sent=9, finished=8,
    received=1, scheduled=2, channels=CHANNELS,
    backlog=(BacklogSnapshot("alpha beta", "bulk", 3, 1200345, 812.5, held=17),),
    queues=(QueueSnapshot("commit", 90, 100, "submissions are refused with 503"),),
    journal=JournalSnapshot(
        "failing", "power", 3, 4, 1.5, 4096, 100, "3.40.1", True, "the disk is full", "short", 3 << 20
    ),
    counters={}, clock_held_ms=-7_200_000,
    limits=(LimitSnapshot("fair-share", ("shop",), "messages", 1000, "hour", 7, 4321, 3.6),),
)  # fmt: skip


@pytest.fixture
def socket(daemon: FakeDaemon) -> tuple[str, str]:
    daemon.answers["GET /v1/status"] = msgspec.to_builtins(SNAPSHOT)
    bodies = [msgspec.to_builtins(channel_body(channel)) for channel in CHANNELS]
    daemon.answers["GET /v1/channels"] = {"channels": bodies}
    daemon.answers["POST /v1/channels/alpha/pause"] = bodies[0]
    return ("--socket", str(daemon.path))


def test_status_shows_channels_lanes_backlog_queues_and_journal(run: Run, socket: tuple[str, str]) -> None:
    result = run("status", *socket)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "stentor 1.2.3  ready  up 2 d 10 h, loop lag 0 ms"
    assert "1,203,450 accepted" in lines[1]
    cells = [line.split() for line in lines]
    assert [
        "alpha",
        "up",
        "319",
        "/",
        "620",
        "150/s",
        "of",
        "200/s",
        "5,120",
        "1,203,455",
        "1",
        "smpp",
    ] in cells
    assert [
        "1",
        "throttled",
        "7",
        "/",
        "120",
        "of",
        "500",
        "12/s",
        "5",
        "0",
        "smsc.example.com:2775",
    ] in cells
    assert any(line.startswith("alpha: bind refused  ") for line in lines)
    assert "alpha: waits for answers, the window is full, limit fair-share (4321)" in lines
    assert ["alpha", "beta", "bulk", "3", "1,200,345", "17", "13", "min", "32", "s"] in cells
    assert ["commit", "90", "100", *["submissions", "are", "refused", "with", "503"]] in cells
    assert ["fair-share", "shop", "1,000", "messages", "a", "hour", "7", "4,321", "3.6", "s"] in cells
    assert "the disk is full" in result.out
    assert "room on its disk is short: 3.0 MiB are free" in result.out
    assert "the machine's clock is 2 h behind ours" in result.out
    assert "SQLite 3.40.1 can damage the journal" in result.out
    assert "\x1b" not in result.out
    assert not [line for line in lines if line != line.rstrip()]


def test_status_as_json_is_the_daemon_s_picture(run: Run, socket: tuple[str, str]) -> None:
    assert run("status", *socket, "--json").json == msgspec.json.decode(msgspec.json.encode(SNAPSHOT))


def test_the_socket_may_come_from_the_environment_and_the_option_wins(
    run: Run, socket: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STENTOR_SOCKET", socket[1])
    assert run("status", "--json").code == 0
    assert run("status", "--socket", "/nowhere/s").code == 3


def test_channels_are_listed_and_paused(run: Run, daemon: FakeDaemon, socket: tuple[str, str]) -> None:
    listed = run("channels", *socket)
    assert [line.split()[0] for line in listed.out.splitlines() if line][:5] == [
        "channel",
        "alpha",
        "0",
        "1",
        "beta",
    ]
    paused = run("channels", *socket, "pause", "alpha")
    assert "beta" not in paused.out
    assert daemon.requests[-1][:2] == ("POST", "/v1/channels/alpha/pause")
    assert run("channels", *socket, "--json").json["channels"][1]["name"] == "beta"


@pytest.mark.parametrize("arguments", [("pause",), ("stop", "alpha")])
def test_a_half_said_channel_command_is_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("channels", *arguments).code == 2


def test_a_daemon_of_another_version_is_told_of(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    daemon.answers["GET /v1/status"] = {"version": "9"}
    result = run("status", *socket)
    assert result.code == 1
    assert "another version" in result.err


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("command", ["status", "channels"])
def test_nothing_is_wider_than_the_terminal(
    run: Run, socket: tuple[str, str], monkeypatch: pytest.MonkeyPatch, width: int, command: str
) -> None:
    monkeypatch.setattr(screen, "is_terminal", lambda stream=None: True)
    monkeypatch.setattr(screen, "console", lambda: Console(width=width, force_terminal=True, no_color=True))
    lines = run(command, *socket).out.splitlines()
    assert max(map(len, map(_plain, lines))) <= width
    assert any("1,203,455" in line for line in lines)


def _plain(line: str) -> str:
    from rich.text import Text

    return Text.from_ansi(line).plain


def test_colour_needs_a_terminal_and_no_objection(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    terminal: Any = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert screen.paint("x", "red", terminal) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert screen.paint("x", "red", terminal) == "x"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (10, "10 s"), (3600, "1 h"), (3601, "1 h 1 s"), (90061, "1 d 1 h")],
)
def test_durations_are_the_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("octets", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")]
)
def test_sizes_are_in_the_largest_unit(octets: int, text: str) -> None:
    assert size(octets) == text


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_watch_shows_picture_after_picture_until_the_daemon_is_gone(
    run: Run,
    daemon: FakeDaemon,
    socket: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    picture = daemon.answers["GET /v1/status"]
    daemon.answers["GET /v1/status"] = [picture, picture, (503, {"detail": "the daemon is draining"})]
    pauses: list[float] = []
    monkeypatch.setattr(screen, "pause", pauses.append)
    result = run("status", *socket, "--watch", *options)
    assert result.out.count("1.2.3") == 2
    assert (result.code, result.err) == (1, "stentor: Refused: the daemon is draining\n")
    assert len(pauses) == 2


def test_a_channel_whose_circuit_is_open_says_why(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    channel = ChannelSnapshot(
        "beta", "smpp", "up", False, 0, 0, 0, 0, (), {}, DriverStatus(),
        breaker="open", breaker_reason="no_answer: no response in time",
    )  # fmt: skip
    daemon.answers["GET /v1/channels"] = {"channels": [msgspec.to_builtins(channel_body(channel))]}
    lines = [_plain(line).rstrip() for line in run("channels", *socket).out.splitlines()]
    assert lines[1].split()[:2] == ["beta", "open"]
    assert "beta: circuit open, nothing gets through: no_answer: no response in time" in lines
