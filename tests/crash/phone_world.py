"""A daemon with phones only, one life after another over one journal, and phones that do what the test says.

A phone here is as little as can be: it registers, pulls, hands what it does not know yet to its radio, and reports.
"""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.ports import free_port
from tests.support.source import ROOT

START_S = 60.0
TOKEN = "crash-private-token"
BASE = "/api/mobile/v1"
AGENT = "me.capcom.smsgateway/1.68.0"
CONFIG = """
[daemon]
state_dir = "{state}"
runtime_dir = "{runtime}"

[journal]
durability = "power"

[log]
format = "json"
level = "debug"

[retry]
first = "100ms"
longest = "200ms"
attempts = 50

[api]
tcp = "127.0.0.1:{port}"

[channels.phones]
driver = "android"
url = "https://gw.example.test"
private_token = "{token}"
parts_a_minute = 600
window = 20
hourly = 0
daily = 0
"""


class Gone(Exception):
    """The daemon died before it had answered."""


@dataclass
class Lives:
    """The daemon, life after life. ``radio`` is what all phones have handed to Android, in order."""

    folder: Path
    runtime: Path
    port: int
    daemon: "subprocess.Popen[str] | None" = None
    number: int = 0
    radio: list[tuple[str, str]] = field(default_factory=list)

    def begin(self, failpoint: str = "") -> None:
        """The next life, ready."""
        self.number += 1
        config = self.folder / "stentor.toml"
        config.write_text(
            CONFIG.format(state=self.folder / "state", runtime=self.runtime, port=self.port, token=TOKEN)
        )
        config.chmod(0o600)
        with (self.folder / f"daemon-{self.number}.log").open("wb") as errors:
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "stentor", "serve", "--config", str(config)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "STENTOR_FAILPOINT": failpoint},
                cwd=ROOT,
            )
        assert self.daemon.stdout is not None
        readable, _, _ = select.select([self.daemon.stdout], [], [], START_S)
        assert readable, "the daemon said nothing"
        assert self.daemon.stdout.readline().startswith("ready")

    def kill(self) -> None:
        """SIGKILL at this very moment."""
        assert self.daemon is not None
        self.daemon.kill()
        self.bury(-signal.SIGKILL)

    def bury(self, code: int = -signal.SIGKILL) -> None:
        """It is dead, or about to be."""
        assert self.daemon is not None
        assert self.daemon.wait(20) == code
        self.close()

    def close(self) -> None:
        if self.daemon is not None:
            if self.daemon.poll() is None:
                self.daemon.kill()
                self.daemon.wait()
            assert self.daemon.stdout is not None
            self.daemon.stdout.close()
            self.daemon = None

    def logs(self) -> str:
        """All that was logged in all lives."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("daemon-*.log")))

    # -- clients

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request over the Unix socket; the body of the answer."""
        connection = http.client.HTTPConnection("localhost", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(str(self.runtime / "stentor.sock"))
        try:
            octets = None if body is None else json.dumps(body)
            connection.request(method, path, octets, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            found = json.loads(answer.read())
            assert answer.status < 300, found
            return found
        finally:
            connection.close()

    def submit(self, to: str, **fields: object) -> str:
        """The id of a message that is durable."""
        told = self.ask("POST", "/v1/messages", {"to": to, "text": f"for {to}", "receipt": True, **fields})
        return str(told["id"])

    def message(self, message_id: str) -> Any:
        return self.ask("GET", f"/v1/messages/{message_id}")


@dataclass
class CrashPhone:
    """One phone. ``known`` are messages it holds, by id, with the number each goes to; ``states``: how they stand."""

    lives: Lives
    name: str
    id: str = ""
    token: str = TOKEN
    known: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Raises Gone when no whole answer came."""
        connection = http.client.HTTPConnection("127.0.0.1", self.lives.port, timeout=20)
        headers = {"Authorization": f"Bearer {self.token}", "User-Agent": AGENT}
        try:
            connection.request(method, BASE + path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            raise Gone from None
        finally:
            connection.close()

    def register(self) -> None:
        status, octets = self.request("POST", "/device", {"name": self.name, "simCards": []})
        assert status == 201
        told = json.loads(octets)
        self.id, self.token = told["id"], told["token"]

    def pull(self) -> list[str]:
        """Ids listed; what it does not know yet it hands to its radio, and of the rest it tells how they stand."""
        status, octets = self.request("GET", "/message?order=fifo")
        assert status == 200
        listed = json.loads(octets)
        for item in listed:
            (number,) = item["phoneNumbers"]
            assert item["state"] == "Pending"
            if item["id"] not in self.known:
                self.known[item["id"]] = number
                self.lives.radio.append((self.name, number))
            elif item["id"] in self.states:
                assert self.report(item["id"], self.states[item["id"]]) == 204
        return [item["id"] for item in listed]

    def report(self, message_id: str, state: str) -> int:
        self.states[message_id] = state
        recipient = {"phoneNumber": self.known[message_id], "state": state}
        return self.request(
            "PATCH", "/message", [{"id": message_id, "state": state, "recipients": [recipient], "states": {}}]
        )[0]


@contextmanager
def lives(folder: Path) -> Iterator[Lives]:
    """The folder of one history, and a port that every life listens on."""
    with TemporaryDirectory(prefix="stentor-", dir="/tmp") as runtime:
        made = Lives(folder, Path(runtime), free_port())
        try:
            yield made
        finally:
            made.close()
