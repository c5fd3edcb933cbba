"""The daemon's own life: start, signals, reload, the service manager, and what survives all of it."""

import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.contract_world import (
    LATER,
    PASSWORD,
    Client,
    Daemon,
    Json,
    Smsc,
    channel,
    number,
    running,
    smsc,
    text,
    toml,
    unix_socket,
)
from tests.contract.hand_smsc import HandSmsc
from tests.support.ports import free_port
from tests.support.source import ROOT
from tests.support.waiting import WITHIN_S, eventually


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp") as found:
        yield Path(found)


@pytest.fixture
def own(folder: Path, carrier: Smsc) -> Iterator[Daemon]:
    """A daemon for one test, not started."""
    with running(Daemon(folder, {"alpha": channel(carrier.port)})) as daemon:
        yield daemon


# -- start


def test_ready_names_the_listeners_and_comes_once(own: Daemon):
    own.config["api"] = {"tcp": "127.0.0.1:0"}
    own.start()
    word, unix, tcp = own.ready_line.split()
    assert (word, unix) == ("ready", f"unix:{own.socket}")
    assert tcp.startswith("tcp:127.0.0.1:")
    assert oct(own.socket.stat().st_mode & 0o777) == "0o660"
    process = own.process
    assert process is not None
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 0.2)[0] == []


def test_a_stale_socket_is_replaced_after_a_kill(own: Daemon):
    own.start_up()
    id = own.client.submit(send_at=LATER)["id"]
    assert own.end(signal.SIGKILL) == -signal.SIGKILL
    assert own.socket.exists()
    own.start_up()
    assert own.client.message(id)["status"] == "scheduled"


def test_a_second_daemon_on_one_state_directory_is_refused(own: Daemon):
    own.start()
    other = Daemon(own.folder / "other", own.config["channels"])
    other.folder.mkdir()
    other.config["daemon"]["state_dir"] = own.config["daemon"]["state_dir"]
    process = other.launch()
    assert process.wait(WITHIN_S) == 1
    assert process.stdout is not None
    assert process.stdout.read() == ""
    process.stdout.close()
    said = other.log_file.read_text()
    assert "journal" in said
    assert "Traceback" not in said
    assert own.client.get("/readyz").status == 200


def test_a_second_daemon_on_one_socket_is_refused_and_the_first_goes_on(own: Daemon):
    own.start_up()
    other = Daemon(own.folder / "other", own.config["channels"])
    other.folder.mkdir()
    other.config["daemon"]["runtime_dir"] = str(own.folder)
    process = other.launch()
    assert process.wait(WITHIN_S) == 1
    assert process.stdout is not None
    process.stdout.close()
    said = other.log_file.read_text()
    assert "a server answers there already" in said
    assert "Traceback" not in said
    own.client.wait(own.client.submit()["id"], "delivered")


@pytest.mark.parametrize(
    ("command", "wrong", "named"),
    [
        ("serve", {"limits": {"backlg": 5}}, ("limits.backlg", "backlog")),
        ("check", {"daemon": {"drain_timeout": "soon"}}, ("daemon.drain_timeout",)),
        ("check", {"routes": [{"channels": ["alfa"]}]}, ("routes[0].channels", "alpha")),
        ("check", {"routes": [{"channels": ["alpha"], "from": "ABCDEFGHIJKL"}]}, ("routes[0].from", "11")),
        ("check", {"numbers": {"region": "QQ"}}, ("numbers.region",)),
    ],
)
def test_a_wrong_configuration_is_exit_code_2_and_names_the_key(
    own: Daemon, command: str, wrong: Json, named: Json
):
    path = own.folder / "wrong.toml"
    path.write_text(toml(own.config | wrong))
    arguments = [sys.executable, "-m", "stentor", command, "--config", path]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert all(word in done.stderr for word in (str(path), *named)), done.stderr
    assert "Traceback" not in done.stderr


# -- SIGTERM


def test_a_plain_stop_loses_and_repeats_nothing(own: Daemon, carrier: Smsc):
    own.config["channels"]["alpha"]["rate"] = 80
    own.start_up()
    to = [number() for _ in range(400)]
    items = [
        {"to": each, "text": text(), "delivery": ("at_least_once", "at_most_once")[i % 2]}
        for i, each in enumerate(to)
    ]
    ids = [result["id"] for result in own.client.post("/v1/messages", items).json()["results"]]
    eventually(lambda: own.client.fetch("/v1/status")["sent"] > 20)
    assert own.end() == 0
    sent = sum(len(carrier.submits(each)) for each in to)
    assert 20 < sent < 400
    own.config["channels"]["alpha"]["rate"] = 0
    own.start_up()
    for id in ids:
        own.client.wait(id, "delivered")
    assert [len(carrier.submits(each)) for each in to] == [1] * 400


@pytest.fixture
def patient(folder: Path, slow: HandSmsc) -> Iterator[Daemon]:
    """A daemon that is bound to ``slow``, and would wait for it longer than any test does."""
    config = {"alpha": channel(slow.port)}
    with running(Daemon(folder, config, daemon={"drain_timeout": "5m"})) as daemon:
        daemon.start()
        slow.accept()
        yield daemon
        slow.hang_up()


@pytest.fixture
def slow() -> Iterator[HandSmsc]:
    peer = HandSmsc()
    yield peer
    peer.close()


def test_a_stop_waits_for_answers_and_refuses_new_work_meanwhile(patient: Daemon, slow: HandSmsc):
    daemon = patient
    id = daemon.client.submit(delivery="at_most_once")["id"]
    submitted = slow.taken()
    with closing(Client(daemon.socket)) as waiting:
        assert waiting.get("/readyz").status == 200
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        eventually(lambda: waiting.get("/readyz").status == 503)
        refusal = waiting.post("/v1/messages", {"to": number(), "text": text()})
        refusal.problem(503, "stopping")
        assert int(refusal.headers["Retry-After"]) > 0
        assert waiting.get("/healthz").status == 200
        assert waiting.message(id)["status"] == "sending"
    slow.answer(submitted)
    slow.let_go()
    assert daemon.wait() == 0
    daemon.start()
    assert daemon.client.message(id)["status"] == "sent"


@pytest.mark.parametrize("signals", [1, 2])
def test_a_stop_ends_at_its_limit_and_a_second_signal_hurries(folder: Path, signals: int):
    """The SMSC never answers: with one signal the limit of a second ends it, with two nothing is waited for."""
    limit = "1s" if signals == 1 else "5m"
    with smsc(folder, "--lose", "1") as deaf:
        daemon = Daemon(
            folder, {"alpha": channel(deaf.port, response="10m")}, daemon={"drain_timeout": limit}
        )
        with running(daemon):
            client = daemon.start_up().client
            once, again = (client.submit(delivery=word)["id"] for word in ("at_most_once", "at_least_once"))
            eventually(lambda: len(deaf.facts("s")) == 2, what="the carrier has both")
            began = time.monotonic()
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGTERM)
            if signals == 2:
                eventually(lambda: client.get("/readyz").status == 503)
                daemon.process.send_signal(signal.SIGTERM)
            assert daemon.wait() == 0
            assert signals == 2 or time.monotonic() - began > 0.9
            daemon.config["daemon"]["drain_timeout"] = "100ms"
            daemon.start()
            assert daemon.client.wait(once, "unknown")["error"]["code"] == "no_answer"
            assert daemon.client.message(again)["status"] in ("queued", "sending")


def test_the_socket_is_gone_after_a_stop(own: Daemon):
    own.start()
    assert own.end(signal.SIGINT) == 0
    assert not own.socket.exists()
    assert [line["event"] for line in own.log()][-1] == "stopped"


# -- SIGHUP


def test_a_reload_applies_what_changed_and_keeps_other_connections(own: Daemon, carrier: Smsc):
    own.config["channels"]["beta"] = channel(carrier.port, system_id="beta")
    client = own.start_up().client
    binds = carrier.binds
    # A rate, a log level, a route, a limit: nothing reconnects.
    own.config["channels"]["alpha"]["rate"] = 50
    own.config["log"]["level"] = "info"
    own.config["routes"] = [{"prefix": "+36", "channels": ["beta"]}, {"channels": ["alpha"]}]
    (line,) = own.reload()
    assert line["event"] == "reloaded"
    assert client.channel("alpha")["rate_limit"] == 50
    for prefix, name in (("+36", "beta"), ("+40", "alpha")):
        id = client.submit(number(prefix))["id"]
        assert client.wait(id, "delivered")["channel"] == name
    assert carrier.binds == binds
    # A channel's own key: that channel reconnects, and only that.
    own.config["channels"]["beta"]["window"] = 7
    own.reload()
    client.wait_channel("beta", "up")
    assert client.channel("beta")["lanes"][0]["window"] == 7
    assert carrier.binds == binds + 1
    # A channel more, a channel less.
    own.config["channels"]["gamma"] = channel(carrier.port, system_id="gamma")
    del own.config["channels"]["beta"]
    own.config["routes"] = [{"prefix": "+36", "channels": ["gamma"]}, {"channels": ["alpha"]}]
    own.reload()
    client.wait_channel("gamma", "up")
    client.get("/v1/channels/beta").problem(404)
    assert [each["name"] for each in client.fetch("/v1/channels")["channels"]] == ["alpha", "gamma"]
    id = client.submit(number("+36"))["id"]
    assert client.wait(id, "delivered")["channel"] == "gamma"
    assert carrier.binds == binds + 2
    # An operator's pause is not forgotten with a channel that comes back.
    client.pause("gamma")
    gamma = own.config["channels"].pop("gamma")
    own.config["routes"] = [{"channels": ["alpha"]}]
    own.reload()
    own.config["channels"]["gamma"] = gamma
    own.reload()
    assert client.channel("gamma")["state"] == "paused"


@pytest.mark.parametrize("change", ["window", "password", "disabled and enabled"])
def test_what_waits_for_a_channel_survives_its_reconfiguration(own: Daemon, carrier: Smsc, change: str):
    own.config["channels"]["alpha"]["port"] = free_port()
    client = own.start().client
    ids = [client.submit(number(), delivery=word)["id"] for word in ("at_least_once", "at_most_once")]
    settings = own.config["channels"]["alpha"]
    if change == "disabled and enabled":
        settings["enabled"] = False
        own.reload()
        assert client.channel("alpha")["state"] == "disabled"
        settings |= {"enabled": True}
        own.reload()
    elif change == "password":
        settings["password"] = PASSWORD[::-1]
        own.reload()
    settings |= {"port": carrier.port, "window": 10}
    own.reload()
    for id in ids:
        client.wait(id, "delivered")


def test_a_removed_channel_leaves_its_messages_to_the_next_of_their_route(own: Daemon, carrier: Smsc):
    own.config["channels"] = {"dead": channel(free_port()), "alpha": channel(carrier.port)}
    own.config["routes"] = [{"channels": ["dead", "alpha"]}]
    client = own.start_up("alpha").client
    pinned = client.submit(channel="dead")["id"]
    del own.config["channels"]["dead"]
    own.config["routes"] = [{"channels": ["alpha"]}]
    own.reload()
    message = client.wait(pinned, "failed")
    assert message["error"]["code"] == "no_route"


def test_a_faulty_file_changes_nothing_and_is_reported(own: Daemon, carrier: Smsc):
    client = own.start_up().client
    binds = carrier.binds
    before = own.config["channels"]["alpha"].copy()
    own.config["channels"]["alpha"] |= {"rate": 5, "widow": 10}
    (line,) = own.reload()
    assert "refused" in line["event"]
    assert line["level"] == "error"
    assert "channels.alpha.widow" in line["detail"]
    assert "window" in line["detail"]
    own.config_file.write_text("[channels.alpha\n")
    (line,) = own.hangup()
    assert "refused" in line["event"]
    own.config_file.unlink()
    (line,) = own.hangup()
    assert "refused" in line["event"]
    assert client.channel("alpha")["rate_limit"] == 0
    client.wait(client.submit()["id"], "delivered")
    assert carrier.binds == binds
    own.config["channels"]["alpha"] = before


def test_reloads_that_come_in_quick_succession_all_end(own: Daemon, carrier: Smsc):
    client = own.start_up().client
    assert own.process is not None
    for window in (20, 30, 40):
        own.config["channels"]["alpha"]["window"] = window
        own.write_config()
        own.process.send_signal(signal.SIGHUP)
    eventually(
        lambda: [lane["window"] for lane in client.channel("alpha")["lanes"]] == [40], what="the last holds"
    )
    client.wait(client.submit()["id"], "delivered")


def test_a_stop_in_the_middle_of_a_reload_waits_for_answers_all_the_same(patient: Daemon, slow: HandSmsc):
    daemon = patient
    id = daemon.client.submit(delivery="at_most_once")["id"]
    submitted = slow.taken()
    daemon.config["channels"]["alpha"]["window"] = 5
    daemon.write_config()
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: daemon.client.channel("alpha")["state"] == "down", what="the channel drains")
    daemon.process.send_signal(signal.SIGTERM)
    eventually(lambda: daemon.client.get("/readyz").status == 503)
    slow.answer(submitted)
    slow.let_go()
    assert daemon.wait() == 0
    daemon.start()
    assert daemon.client.message(id)["status"] == "sent"


def test_a_start_that_fails_leaves_nothing_behind(own: Daemon):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        own.config["api"] = {"tcp": f"127.0.0.1:{taken.getsockname()[1]}"}
        process = own.launch()
        assert process.wait(WITHIN_S) == 1
        assert process.stdout is not None
        process.stdout.close()
    said = own.log_file.read_text()
    own.log_file.unlink()
    assert "Address already in use" in said
    assert "Traceback" not in said
    assert not own.socket.exists()
    own.start_up()


# -- the service manager


def test_the_manager_is_told_what_happens(own: Daemon):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = own.folder / "notify"
        manager.bind(str(path))
        manager.settimeout(WITHIN_S)
        own.start({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "3000000"})

        def hear(word: str) -> str:
            while word not in (said := manager.recv(4096).decode()):
                pass
            return said

        hear("READY=1")
        hear("WATCHDOG=1")
        assert "queued" in hear("1 of 1 channels up")
        own.reload()
        assert "MONOTONIC_USEC=" in hear("RELOADING=1")
        hear("READY=1")
        assert own.end() == 0
        hear("STOPPING=1")


def test_sockets_the_manager_opened_are_served(own: Daemon, carrier: Smsc):
    """Clients that come while there is no daemon wait in the kernel, also over a restart."""
    path = own.folder / "activated.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(16)
        early = unix_socket(path)
        early.sendall(b"GET /healthz HTTP/1.1\r\nHost: s\r\n\r\n")
        own.config["api"] = {"tcp": "127.0.0.1:0"}
        for _ in range(2):
            _start_activated(own, listener)
            assert f"unix:{path}" in own.ready_line
            assert "tcp:127.0.0.1:" in own.ready_line
            assert early.recv(65536).startswith(b"HTTP/1.1 200")
            early.close()
            client = Client(path)
            client.wait_channel("alpha", "up")
            client.wait(client.submit()["id"], "delivered")
            client.close()
            assert own.end() == 0
            assert path.exists()
            early = unix_socket(path)
            early.sendall(b"GET /healthz HTTP/1.1\r\nHost: s\r\n\r\n")
        early.close()


def _start_activated(daemon: Daemon, listener: socket.socket) -> None:
    """As systemd does: descriptor 3, with the process's own number in LISTEN_PID."""
    shell = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
    daemon.start(prefix=["bash", "-c", shell, "bash"], pass_fds=(listener.fileno(),))


# -- readiness


def test_readyz_is_no_while_the_journal_is_in_trouble_and_yes_again_after(own: Daemon):
    """Somebody else holds the journal's lock for a while."""
    client = own.start_up().client
    stranger = sqlite3.connect(own.folder / "state" / "journal.db", isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    try:
        refusal = client.post("/v1/messages", {"to": number(), "text": text()})
        refusal.problem(503)
        assert int(refusal.headers["Retry-After"]) > 0
        client.get("/readyz").problem(503)
        assert client.get("/healthz").status == 200
    finally:
        stranger.execute("ROLLBACK")
        stranger.close()
    eventually(lambda: client.get("/readyz").status == 200, what="the journal works again")
    client.wait(client.submit()["id"], "delivered")
    allowed = [line for line in own.log() if line["level"] == "error"]
    assert [line["event"] for line in allowed] == ["journal cannot be written"]
