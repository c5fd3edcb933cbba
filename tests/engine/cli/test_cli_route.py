"""``stentor route``: what is asked, what is shown, and its exit codes."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rich.console import Console

from stentor.cli import screen
from tests.engine.cli.conftest import FakeDaemon, Run

FOUND: dict[str, Any] = {
    "to": "+40712345678",
    "country": "RO",
    "account": "shop",
    "from": "Shop",
    "tags": ["otp"],
    "at": "2026-11-23T12:00:00.000Z",
    "channel": "beta",
    "channels": [
        {"name": "alpha", "state": "down", "price": "0.0125", "currency": "EUR"},
        {"name": "beta", "state": "up", "price": None, "currency": None},
    ],
    "refusal": None,
    "steps": [
        {"step": "number", "subject": "+40712345678", "result": "passed", "detail": "RO"},
        {
            "step": "rule",
            "subject": "routes[1]",
            "result": "skipped",
            "detail": "it asks for another account",
        },
        {"step": "rule", "subject": "home", "result": "chosen", "detail": "country RO"},
    ],
}
REFUSED = {
    **FOUND,
    "channel": None,
    "channels": [],
    "refusal": {"code": "no_route", "detail": "no route leads to this destination"},
}


def ask(run: Run, daemon: FakeDaemon, *options: str):
    return run("route", *options, "--socket", str(daemon.path))


def test_everything_asked_for_is_asked(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["GET /v1/route"] = FOUND
    options = (
        "--from",
        "Shop",
        "--tag",
        "otp",
        "--tag",
        "vip",
        "--at",
        "2026-11-23T12:00Z",
        "--channel",
        "beta",
    )
    assert ask(run, daemon, "+40712345678", *options, "--account", "shop").code == 0
    ((method, target, headers, _),) = daemon.requests
    assert (method, headers["stentor-account"]) == ("GET", "shop")
    assert parse_qs(urlsplit(target).query) == {
        "to": ["+40712345678"],
        "from": ["Shop"],
        "tag": ["otp,vip"],
        "at": ["2026-11-23T12:00:00.000Z"],
        "channel": ["beta"],
    }


def test_the_steps_and_the_channels_are_shown_aligned(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["GET /v1/route"] = FOUND
    lines = ask(run, daemon, "+40712345678").out.splitlines()
    assert lines[0].split() == ["to", "+40712345678", "RO"]
    steps = lines[lines.index(next(line for line in lines if line.startswith("step"))) :]
    column = steps[0].index("result")
    assert [line[column:].split()[0] for line in steps[1:4]] == ["passed", "skipped", "chosen"]
    assert [line.split() for line in lines[-2:]] == [
        ["1", "alpha", "down", "0.0125", "EUR"],
        ["2", "beta", "up", "–"],
    ]


def test_a_message_that_would_be_refused_is_told_with_its_steps_and_exits_1(
    daemon: FakeDaemon, run: Run
) -> None:
    daemon.answers["GET /v1/route"] = REFUSED
    result = ask(run, daemon, "+40712345678")
    assert result.code == 1
    assert "home" in result.out
    assert result.out.splitlines()[-1] == "refused  no_route: no route leads to this destination"


def test_json_is_the_answer_as_it_is(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["GET /v1/route"] = REFUSED
    result = ask(run, daemon, "+40712345678", "--json")
    assert (result.code, result.json) == (1, REFUSED)


def test_a_faulty_question_a_faulty_time_and_no_daemon_have_their_exit_codes(
    daemon: FakeDaemon, run: Run
) -> None:
    fault = {"title": "x", "status": 422, "detail": "no", "errors": [{"path": "$.query.tag", "detail": "no"}]}
    daemon.answers["GET /v1/route"] = (422, fault)
    assert ask(run, daemon, "+40712345678", "--tag", "two words").code == 1
    assert ask(run, daemon, "+40712345678", "--at", "noon").code == 2
    assert run("route").code == 2
    assert run("route", "+40712345678", "--socket", "/nowhere").code == 3


def test_colours_are_shown_on_a_terminal(
    daemon: FakeDaemon, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers["GET /v1/route"] = FOUND
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(screen, "is_terminal", lambda stream=None: True)
    monkeypatch.setattr(
        screen,
        "console",
        lambda: Console(force_terminal=True, color_system="standard", highlight=False, width=120),
    )
    assert "\x1b[32mchosen" in ask(run, daemon, "+40712345678").out


def test_tags_go_along_with_a_message(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["POST /v1/messages"] = (202, {"id": "x", "to": "+4", "from": None, "status": "queued",
                                                 "encoding": "gsm7", "segments": 1, "ref": None})  # fmt: skip
    assert run("send", "--to", "+40712345678", "--tag", "otp", "Hi", "--socket", str(daemon.path)).code == 0
    assert daemon.requests[0][3]["tags"] == ["otp"]
