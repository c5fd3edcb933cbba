"""The command line against a running daemon: what it prints, and its exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.contract_world import PASSWORD, Daemon, check_silence, number, text, toml
from tests.support.source import ROOT

UNKNOWN_ID = "01a00000-0000-7000-8000-000000000000"


def stentor(daemon: Daemon | None, *arguments: str, code: int = 0, stdin: str = "") -> str:
    """What a command prints: data on standard output, else what it complains of."""
    env = {**os.environ, "STENTOR_SOCKET": str(daemon.socket) if daemon else "/nonexistent/stentor.sock"}
    done = subprocess.run(
        [sys.executable, "-m", "stentor", *arguments],
        cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout or done.stderr


def test_send_and_wait_shows_the_final_status(daemon: Daemon):
    found = json.loads(
        stentor(daemon, "send", "--to", number(), "--from", "Shop", "--wait", "--json", text())
    )
    assert (found["status"], found["from"]) == ("delivered", "Shop")
    assert "delivered" in stentor(daemon, "send", "--to", number(), "--wait", text())


def test_send_answers_at_once_and_show_and_cancel_go_on_from_there(daemon: Daemon):
    sent = json.loads(
        stentor(
            daemon, "send", "--to", number(), "--channel", "idle", "--priority", "urgent", "--json", text()
        )
    )
    assert sent["status"] == "queued"
    assert "idle" in stentor(daemon, "show", sent["id"])
    shown = json.loads(stentor(daemon, "show", "--json", sent["id"]))
    assert shown["priority"] == "urgent"
    assert shown["timeline"][0]["status"] == "queued"
    assert json.loads(stentor(daemon, "cancel", "--json", sent["id"]))["status"] == "cancelled"
    assert "cancelled" in stentor(daemon, "cancel", sent["id"], code=1)


def test_send_with_wait_fails_when_the_message_does_not_arrive(daemon: Daemon):
    arguments = (
        "send",
        "--to",
        number(),
        "--channel",
        "idle",
        "--valid-for",
        "1s",
        "--wait",
        "--json",
        text(),
    )
    env = {**os.environ, "STENTOR_SOCKET": str(daemon.socket)}
    done = subprocess.run(
        [sys.executable, "-m", "stentor", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "expired"


def test_messages_lists_by_filters(daemon: Daemon):
    ids = [
        json.loads(stentor(daemon, "send", "--to", number(), "--ref", "cli", "--json", text()))["id"]
        for _ in range(3)
    ]
    found = json.loads(stentor(daemon, "messages", "--ref", "cli", "--json"))
    assert [message["id"] for message in found["messages"]] == ids[::-1]
    page = json.loads(stentor(daemon, "messages", "--ref", "cli", "--limit", "2", "--json"))
    rest = json.loads(stentor(daemon, "messages", "--ref", "cli", "--cursor", page["next"], "--json"))
    assert [message["id"] for message in page["messages"] + rest["messages"]] == ids[::-1]
    assert ids[0] in stentor(daemon, "messages", "--ref", "cli")


def test_status_shows_channels_and_backlog_and_no_secret(daemon: Daemon):
    daemon.client.submit(channel="idle", priority="bulk")
    shown = stentor(daemon, "status")
    found = stentor(daemon, "status", "--json")
    assert all(word in shown for word in ("alpha", "idle", "bulk"))
    assert [each["name"] for each in json.loads(found)["channels"]] == ["alpha", "idle"]
    check_silence(shown + found)


def test_pause_and_resume_by_hand(daemon: Daemon):
    stentor(daemon, "channels", "pause", "alpha")
    assert daemon.client.channel("alpha")["state"] == "paused"
    stentor(daemon, "channels", "resume", "alpha")
    daemon.client.wait_channel("alpha", "up")
    stentor(daemon, "channels", "pause", "nowhere", code=1)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("show", UNKNOWN_ID), 1),
        (("cancel", UNKNOWN_ID), 1),
        (("send", "--to", "0740", "hello"), 1),
        (("send", "hello"), 2),
        (("send", "--to", "+40740000000", "--priority", "soon", "hello"), 2),
        (("messages", "--limit", "many"), 2),
        (("nonsense",), 2),
        ((), 2),
        (("check",), 2),
        (("check", "--config", "/nonexistent/stentor.toml"), 2),
    ],
)
def test_wrong_usage_is_2_and_a_refusal_is_1(daemon: Daemon, arguments: tuple[str, ...], code: int):
    assert stentor(daemon, *arguments, code=code)


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "--to", "+40740000000", "hi"),
        ("show", UNKNOWN_ID),
        ("messages",),
        ("cancel", UNKNOWN_ID),
        ("status",),
    ],
)
def test_a_daemon_out_of_reach_is_3(arguments: tuple[str, ...]):
    assert "/nonexistent/stentor.sock" in stentor(None, *arguments, code=3)
    assert "/elsewhere" in stentor(None, arguments[0], "--socket", "/elsewhere", *arguments[1:], code=3)


def test_check_says_valid_and_shows_everything_but_secrets(daemon: Daemon, module_dir: Path):
    shown = stentor(None, "check", "--config", str(daemon.config_file))
    assert "valid" in shown
    effective = stentor(None, "check", "--effective", "--config", str(daemon.config_file))
    assert all(word in effective for word in ("[channels.alpha]", "backlog", "drain_timeout", "enquire_link"))
    assert PASSWORD not in shown + effective
    assert json.loads(stentor(None, "check", "--json", "--config", str(daemon.config_file)))["valid"] is True


def test_secrets_come_from_files_and_credentials(daemon: Daemon, module_dir: Path):
    config = json.loads(json.dumps(daemon.config))
    secret = module_dir / "secret"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    path = module_dir / "secrets.toml"
    del config["channels"]["alpha"]["password"]
    for key, value in (("password_file", str(secret)), ("password_credential", "secret")):
        alpha = {**config["channels"]["alpha"], key: value}
        path.write_text(toml({**config, "channels": {"alpha": alpha}}))
        shown = stentor(None, "check", "--effective", "--config", str(path))
        assert value in shown
        assert PASSWORD not in shown
    config["channels"]["alpha"] |= {"password": PASSWORD, "password_file": str(secret)}
    path.write_text(toml(config))
    said = stentor(None, "check", "--config", str(path), code=2)
    assert "channels.alpha.password" in said
    assert PASSWORD not in said


def test_inspect_and_the_smpp_tools_need_no_daemon():
    found = json.loads(stentor(None, "inspect", "--json", "hello €"))
    assert found["encoding"] == "gsm7"
    assert [set(segment) >= {"udh", "data"} for segment in found["segment_list"]] == [True]
    assert "enquire_link" in stentor(None, "smpp", "decode", "00000010000000150000000000000001")
    assert stentor(None, "smpp", "decode", "0000001000000015000000000000", code=1)
    receipt = "id:1 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:"
    assert "DELIVRD" in stentor(None, "smpp", "receipt", receipt)
    lines = stentor(None, "inspect", "-", stdin="one\ntwo €\nвітаю\n").splitlines()
    assert [json.loads(each)["encoding"] for each in lines] == ["gsm7", "gsm7", "ucs2"]


def test_every_command_helps():
    for command in (
        "",
        "serve",
        "check",
        "send",
        "show",
        "messages",
        "cancel",
        "status",
        "inspect",
        "bench",
        "smpp",
    ):
        assert "usage: " in stentor(None, *command.split(), "--help")
