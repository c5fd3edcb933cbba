"""The daemon and the simulated SMSC as processes, and a client that knows nothing but HTTP and the contract.

Nothing of the engine is imported here or in the tests beside it: what they hold the program to is its outside. Every
text a test submits holds ``CANARY`` and every channel's password is ``PASSWORD``; when a daemon ends, neither of them
and no whole number that was used may stand in its log.
"""

import http.client
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.source import ROOT
from tests.support.waiting import WITHIN_S, eventually

CANARY = "Zanzibar"
PASSWORD = "pwCanary"
START_S = 60.0
FINAL = ("delivered", "undelivered", "rejected", "failed", "expired", "cancelled", "unknown")
EXPECTED_ERRORS = ("reload refused, nothing was changed", "journal cannot be written")
"""Errors that tests bring about; any other is a fault of the daemon."""
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"

Json = Any


def rfc3339(at_s: float) -> str:
    """A moment, seconds since the epoch, as the API writes it: in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


LATER = rfc3339(time.time() + 30 * 86_400)
"""After every test, whenever they run."""
_numbers = itertools.count(1)
_used: list[str] = []


def number(prefix: str = "+4074") -> str:
    """A destination nobody else in this run uses."""
    found = prefix + f"{next(_numbers):0{12 - len(prefix)}d}"
    _used.append(found.lstrip("+"))
    return found


def text(what: str = "") -> str:
    return f"{CANARY} {what}".strip()


class Answer(NamedTuple):
    """A response, whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Json:
        return json.loads(self.body)

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]

    def problem(self, status: int, code: str = "") -> Json:
        """The body of a refusal, after checking that it is one (RFC 9457)."""
        assert self.status == status, (self.status, self.body)
        assert self.content_type == PROBLEM
        found = self.json()
        assert found["status"] == status
        assert found["title"]
        assert found["type"]
        assert "Traceback" not in self.body.decode()
        if code:
            assert found["code"] == code, found
        return found


class UnixConnection(http.client.HTTPConnection):
    """http.client over a Unix socket."""

    def __init__(self, path: str | Path, timeout: float = WITHIN_S) -> None:
        super().__init__("stentor", timeout=timeout)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = unix_socket(self._path, self.timeout or WITHIN_S)


def unix_socket(path: str | Path, timeout: float = WITHIN_S) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout)
        sock.connect(str(path))
    except BaseException:
        sock.close()
        raise
    return sock


class Client:
    """Requests to one daemon, over one connection that is kept."""

    def __init__(self, path: str | Path, headers: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._headers = dict(headers or {})
        self._connection: UnixConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def request(self, method: str, target: str, body: Json = None, **headers: str) -> Answer:
        """``body``: octets as they are, anything else as JSON."""
        octets = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        fields = {name.replace("_", "-"): value for name, value in (self._headers | headers).items()}
        if octets is not None:
            fields.setdefault("Content-Type", "application/json")
        for attempt in (1, 2):
            connection = self._connection or UnixConnection(self._path)
            is_new, self._connection = self._connection is None, connection
            try:
                connection.request(method, target, octets, fields)
                response = connection.getresponse()
                return Answer(response.status, response.headers, response.read())
            except (http.client.HTTPException, OSError):
                self.close()
                if is_new or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def get(self, target: str, **headers: str) -> Answer:
        return self.request("GET", target, **headers)

    def fetch(self, target: str) -> Json:
        """The JSON of a GET that succeeds."""
        answer = self.get(target)
        assert answer.status == 200, (target, answer.status, answer.body)
        return answer.json()

    def post(self, target: str, body: Json = None, **headers: str) -> Answer:
        return self.request("POST", target, body, **headers)

    def submit(self, to: str | None = None, what: str = "", **fields: Json) -> Json:
        """Submit one message that is accepted; the answer."""
        body = {"to": to or number(), "text": text(what)} | fields
        body = {name.rstrip("_"): value for name, value in body.items() if value is not None}
        answer = self.post("/v1/messages", body)
        assert answer.status == 202, (answer.status, answer.body)
        return answer.json()

    def refused(self, code: str, path: str = "", status: int = 422, **fields: Json) -> Json:
        """Submit one message that is refused, for a fault at ``path``."""
        body = {"to": number(), "text": text()} | fields
        body = {name.rstrip("_"): value for name, value in body.items() if value is not ...}
        problem = self.post("/v1/messages", body).problem(status, code)
        if path:
            assert [fault["path"] for fault in problem["errors"]] == [path], problem
        return problem

    def message(self, id: str) -> Json:
        return self.fetch(f"/v1/messages/{id}")

    def timeline(self, id: str) -> list[Json]:
        return self.fetch(f"/v1/messages/{id}/timeline")["timeline"]

    def wait(self, id: str, status: str, within_s: float = WITHIN_S) -> Json:
        """The message once it has this status; fails at once when it is final with another."""
        message: Json = None

        def is_there() -> bool:
            nonlocal message
            message = self.message(id)
            assert message["status"] == status or message["status"] not in FINAL, f"not {status}: {message}"
            return message["status"] == status

        eventually(is_there, within_s, f"{id} is {status}")
        return message

    def channel(self, name: str) -> Json:
        return self.fetch(f"/v1/channels/{name}")

    def wait_channel(self, name: str, state: str, within_s: float = WITHIN_S) -> None:
        eventually(lambda: self.channel(name)["state"] == state, within_s, f"{name} is {state}")

    def pause(self, name: str) -> None:
        assert self.post(f"/v1/channels/{name}/pause").status == 200

    def resume(self, name: str) -> None:
        assert self.post(f"/v1/channels/{name}/resume").status == 200


class Stream:
    """An event stream, read as it comes."""

    def __init__(self, path: str | Path, last_id: str | None = None, **headers: str) -> None:
        self._sock = unix_socket(path)
        head = ["GET /v1/events HTTP/1.1", "Host: stentor"]
        head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if last_id is not None:
            head.append(f"Last-Event-ID: {last_id}")
        self._sock.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        self._response = http.client.HTTPResponse(self._sock)
        self._response.begin()
        self.status = self._response.status
        self.content_type = self._response.headers["Content-Type"]

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._sock.close()

    def __iter__(self) -> Iterator[Json]:
        """Every event's data, checked against its lines ``id`` and ``event``; ends with the stream."""
        fields: dict[str, str] = {}
        while line := self._response.readline():
            name, _, value = line.decode().rstrip("\n").partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            elif fields:
                if "data" in fields:
                    event = json.loads(fields["data"])
                    assert event["id"] == fields["id"]
                    assert event["type"] == fields["event"]
                    yield event
                fields = {}

    def until(self, type: str, id: str = "") -> list[Json]:
        """All events up to the first of a type (and of a message)."""
        seen: list[Json] = []
        for event in self:
            seen.append(event)
            if event["type"] == type and (not id or event["message"]["id"] == id):
                return seen
        raise AssertionError(f"the stream ended without {type}: {seen}")


class Smsc:
    """A simulated SMSC in a process of its own."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self._record = folder / f"smsc-{next(_numbers)}.record"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.peers.smsc", "--port", str(port), "--record", self._record, *options],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self.port = int(self._hear().removeprefix("ready "))

    def _hear(self) -> str:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], START_S)
        assert readable, "the SMSC says nothing"
        return self._process.stdout.readline().strip()

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        print(word, file=self._process.stdin, flush=True)

    def statistics(self) -> Json:
        self.tell("statistics")
        return json.loads(self._hear())

    def close(self) -> None:
        """The end of its standard input ends it; what it then says is of no interest."""
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    # -- the record

    def facts(self, kind: str) -> list[list[str]]:
        lines = self._record.read_text().splitlines() if self._record.exists() else []
        return [words for line in lines if (words := line.split())[0] == kind]

    def submits(self, to: str) -> list[list[str]]:
        """``s TIME CONNECTION SEQUENCE ID DESTINATION ESM CODING HEX`` of every submit_sm to a destination."""
        return [words for words in self.facts("s") if words[5] == to.lstrip("+")]

    def order(self) -> list[str]:
        """Destinations, as they came."""
        return ["+" + words[5] for words in self.facts("s")]

    @property
    def binds(self) -> int:
        return len(self.facts("c"))


def channel(port: int, **keys: Json) -> dict[str, Json]:
    """The table of a channel to an SMSC here."""
    return {
        "driver": "smpp",
        "host": "127.0.0.1",
        "port": port,
        "system_id": "test",
        "password": PASSWORD,
        "window": 100,
        "reconnect_first": "50ms",
        "reconnect_longest": "200ms",
        **keys,
    }


class Daemon:
    """``stentor serve`` as a child process, in a folder that outlives it. ``config`` may be changed between starts."""

    def __init__(self, folder: Path, channels: Mapping[str, Json], **sections: Json) -> None:
        self.folder = folder
        self.config: dict[str, Json] = {
            "daemon": {"state_dir": str(folder / "state"), "runtime_dir": str(folder), "drain_timeout": "5s"},
            "log": {"level": "debug", "format": "json"},
            "retry": {"first": "100ms", "factor": 1.5, "longest": "300ms"},
            "channels": dict(channels),
        }
        for name, table in sections.items():
            known = self.config.get(name, {})
            self.config[name] = known | table if isinstance(table, dict) else table
        self.process: subprocess.Popen[str] | None = None
        self.client = Client(self.socket)
        self.ready_line = ""
        self._lives = 0

    @property
    def socket(self) -> Path:
        return self.folder / "stentor.sock"

    @property
    def config_file(self) -> Path:
        return self.folder / "stentor.toml"

    @property
    def log_file(self) -> Path:
        return self.folder / f"daemon-{self._lives}.log"

    def write_config(self) -> None:
        """In one step: a reload under way must not read half of it, or nothing."""
        new = self.config_file.with_suffix(".new")
        new.write_text(toml(self.config))
        new.chmod(0o640)
        new.replace(self.config_file)

    def launch(
        self, env: Mapping[str, str] | None = None, prefix: Sequence[str] = (), **popen: Json
    ) -> subprocess.Popen[str]:
        """Start the process, by way of the command ``prefix`` if there is one, and do not wait for it."""
        self.write_config()
        self._lives += 1
        self.client.close()
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "stentor", "serve", "--config", self.config_file],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(env or {})}, **popen,
            )  # fmt: skip
        return self.process

    def start(self, env: Mapping[str, str] | None = None, **popen: Json) -> "Daemon":
        process = self.launch(env, **popen)
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], START_S)
        assert readable, "the daemon says nothing"
        self.ready_line = process.stdout.readline().strip()
        assert self.ready_line.startswith("ready"), self.log_file.read_text()
        return self

    def start_up(self, *names: str) -> "Daemon":
        """Start, and wait until the channels named (all, if none is) are up."""
        self.start()
        for name in names or self.config["channels"]:
            self.client.wait_channel(name, "up")
        return self

    def reload(self) -> list[Json]:
        """SIGHUP with the configuration as it is now; the log's lines about it."""
        self.write_config()
        return self.hangup()

    def hangup(self) -> list[Json]:
        assert self.process is not None
        before = len(self.log())
        self.process.send_signal(signal.SIGHUP)

        def said() -> list[Json]:
            return [line for line in self.log()[before:] if line["event"].startswith("reload")]

        eventually(said, what="the reload is reported")
        return said()

    def end(self, number: int = signal.SIGTERM, within_s: float = WITHIN_S) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(within_s)

    def wait(self, within_s: float = WITHIN_S) -> int:
        assert self.process is not None
        code = self.process.wait(within_s)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.client.close()
        return code

    def restart(self) -> "Daemon":
        assert self.end() == 0, self.log_file.read_text()
        return self.start()

    def close(self) -> None:
        """End, if it still runs, and look through everything it ever logged."""
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            assert self.end() == 0, self.log_file.read_text()
        for life in self.folder.glob("daemon-*.log"):
            check_log(life.read_text())

    def log(self) -> list[Json]:
        """The lines of this life, whole ones."""
        return [
            json.loads(line)
            for line in self.log_file.read_text().splitlines(keepends=True)
            if line[-1] == "\n"
        ]

    def rss_mib(self) -> float:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def check_log(log: str) -> None:
    """JSON lines without text, whole number, secret or traceback."""
    for line in log.splitlines():
        found = json.loads(line)
        assert {"time", "level", "event"} <= found.keys(), line
        assert found["level"] != "error" or found["event"] in EXPECTED_ERRORS, line
    check_silence(log)


def check_silence(output: str) -> None:
    """No text, no whole number, no secret."""
    assert CANARY not in output
    assert PASSWORD not in output
    leaked = [used for used in _used if used in output]
    assert not leaked, leaked[:5]


@contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    try:
        yield daemon
    except BaseException:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
        raise
    finally:
        if daemon.process is not None and daemon.process.stdout is not None:
            daemon.close()
            daemon.process.stdout.close()


@contextmanager
def smsc(folder: Path, *options: str, port: int = 0) -> Iterator[Smsc]:
    peer = Smsc(folder, *options, port=port)
    try:
        yield peer
    finally:
        peer.close()


def toml(document: Mapping[str, Json], prefix: str = "") -> str:
    """TOML of tables, lists of tables and plain values, which look as they do in JSON."""
    values = [f"{key} = {json.dumps(value)}" for key, value in document.items() if not _is_table(value)]
    parts = ["\n".join(values)]
    for key, value in document.items():
        if isinstance(value, dict):
            parts.append(f"[{prefix}{key}]\n" + toml(value, f"{prefix}{key}."))
        elif _is_table(value):
            parts += [f"[[{prefix}{key}]]\n" + toml(table) for table in value]
    return "\n\n".join(part for part in parts if part)


def _is_table(value: Json) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))
