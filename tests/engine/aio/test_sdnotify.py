"""What the daemon says to systemd, heard on a real datagram socket."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stentor.aio.sdnotify import Listener, Notifier, listen_fds
from stentor.errors import ConfigError


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(Path(folder, "notify")))
        server.settimeout(5)
        yield server


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    yield notifier
    notifier.close()


@pytest.mark.parametrize(
    ("say", "heard"),
    [
        (lambda n: n.ready(), r"READY=1"),
        (lambda n: n.stopping(), r"STOPPING=1"),
        (lambda n: n.watchdog(), r"WATCHDOG=1"),
        (lambda n: n.extend_timeout(30_000_000), r"EXTEND_TIMEOUT_USEC=30000000"),
        (lambda n: n.status("12 queued, 3 in flight"), r"STATUS=12 queued, 3 in flight"),
        (lambda n: n.reloading(), r"RELOADING=1\nMONOTONIC_USEC=\d+"),
    ],
)
def test_each_word_is_one_datagram(manager: socket.socket, notifier: Notifier, say, heard: str) -> None:
    say(notifier)
    assert re.fullmatch(heard, manager.recv(4096).decode())


def test_reloading_carries_the_monotonic_clock_of_the_machine(
    manager: socket.socket, notifier: Notifier
) -> None:
    def uptime_us() -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    before = uptime_us()
    notifier.reloading()
    said = int(manager.recv(4096).decode().rpartition("=")[2])
    assert before <= said <= uptime_us()


def test_a_status_cannot_smuggle_a_second_assignment(manager: socket.socket, notifier: Notifier) -> None:
    notifier.status("busy\nMAINPID=1")
    assert manager.recv(4096) == b"STATUS=busy MAINPID=1"


def test_an_abstract_name_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0stentor-test-{os.getpid()}")
        server.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": f"@stentor-test-{os.getpid()}"})
        notifier.ready()
        assert server.recv(64) == b"READY=1"
        notifier.close()


def test_the_watchdog_does_not_block_when_the_manager_does_not_read(notifier: Notifier) -> None:
    said = [notifier.watchdog() for _ in range(5000)]
    assert said[0] is True
    assert said[-1] is False


def test_without_systemd_every_word_is_a_no_op() -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    assert notifier.watchdog() is False
    assert notifier.status("idle") is False
    assert notifier.watchdog_interval_s is None


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_interval_is_a_third_of_the_period_if_it_is_meant_for_us(environ, interval_s) -> None:
    assert Notifier(environ).watchdog_interval_s == interval_s


@pytest.mark.parametrize(
    ("environ", "named"),
    [({"NOTIFY_SOCKET": "vsock:2:1"}, "NOTIFY_SOCKET"), ({"WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC")],
)
def test_an_environment_no_manager_would_set_is_refused_by_name(environ, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Notifier(environ)


def test_a_socket_of_a_manager_that_is_gone_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        Notifier({"NOTIFY_SOCKET": "/nonexistent/notify"})


ACTIVATED = """
import os, sys
from stentor.aio.sdnotify import listen_fds
for fd in (3, 4):
    os.dup2(int(sys.argv[1]), fd)
found = listen_fds({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "api:"})
print([(one.name, one.fd, os.get_inheritable(one.fd)) for one in found])
"""


def test_handed_over_sockets_come_with_their_names_and_are_not_inherited() -> None:
    with socket.socket(socket.AF_UNIX) as one:
        command = [sys.executable, "-c", ACTIVATED, str(one.fileno())]
        done = subprocess.run(command, pass_fds=[one.fileno()], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[('api', 3, False), ('unknown', 4, False)]"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "77", "LISTEN_FDS": "0"},
    ],
)
def test_sockets_meant_for_another_process_or_none_at_all_give_an_empty_list(environ) -> None:
    assert listen_fds(environ, pid=77) == []


def test_a_listener_count_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="LISTEN_FDS"):
        listen_fds({"LISTEN_PID": "77", "LISTEN_FDS": "-1"}, pid=77)


def test_a_listener_is_a_value() -> None:
    assert Listener("api", 3) == Listener(name="api", fd=3)
