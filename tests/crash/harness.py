"""Runs the daemon, the carrier and the client as processes, and keeps the history of what was done to the daemon.

A *life* is one process of the daemon, from its start to its end; lives are numbered from 1 and share one state
directory. After each life the journal is copied, and the copy is looked at by the checker.
"""

import os
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.evidence import Image, Life, Records, look_at, read_lines
from tests.support.source import ROOT
from tests.support.waiting import eventually

HERE = Path(__file__).parent
START_S = 60.0
END_S = 60.0

CONFIG = """
[daemon]
state_dir = "{state}"
runtime_dir = "{runtime}"
drain_timeout = "{drain_s}s"

[journal]
durability = "power"

[log]
format = "json"
level = "{log_level}"

[retry]
first = "100ms"
factor = 1.5
longest = "300ms"
attempts = 100

[channels.alpha]
driver = "smpp"
host = "127.0.0.1"
port = {port}
system_id = "alpha"
password = "x"
system_type = "{life}"
sessions = 2
window = {window}
message_ids = "exact"
reconnect_first = 0.02
reconnect_longest = 0.1
{more}
[channels.beta]
driver = "smpp"
host = "127.0.0.1"
port = {port}
system_id = "beta"
password = "x"
system_type = "{life}"
window = {window}
message_ids = "exact"
reconnect_first = 0.02
reconnect_longest = 0.1

[[routes]]
prefix = ["+36"]
channels = ["beta", "alpha"]

[[routes]]
channels = ["alpha", "beta"]
"""
SESSIONS = 3


class Peer:
    """The carrier or the client: a process that reads commands and prints words."""

    def __init__(self, module: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / f"{module}.py", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def tell(self, *words: object) -> None:
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)

    def hear(self, within_s: float) -> str:
        """The next line it prints."""
        return hear(self.process, within_s)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def hear(process: subprocess.Popen[str], within_s: float) -> str:
    """The next line a process prints; empty when it ended, AssertionError when it kept silent."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], within_s)
    assert readable, f"{process.args!r} said nothing for {within_s} s"
    return process.stdout.readline().strip()


def processor_time(pid: int) -> float:
    """Seconds a process has computed, its threads and the kernel's work for it included (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class World:
    """One history: the folder of everything, the peers, and one daemon after the other."""

    folder: Path
    runtime: Path
    seed: int
    window: int = 50
    drain_s: float = 20.0
    more: str = ""
    slowness: float = 1.0
    pace: float = 1.0
    lives: list[Life] = field(default_factory=list)
    images: dict[int, Image] = field(default_factory=dict)
    daemon: "subprocess.Popen[str] | None" = None
    stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "World":
        self.state = self.folder / "state"
        self.config = self.folder / "stentor.toml"
        self.carrier_record, self.client_record = self.folder / "carrier.log", self.folder / "client.log"
        self.carrier = Peer(
            "carrier", "--record", self.carrier_record, "--seed", self.seed, "--slowness", self.slowness
        )
        self.stack.callback(self.carrier.close)
        self.port = int(self.carrier.hear(START_S).removeprefix("port "))
        self.client = Peer(
            "client", "--socket", self.socket, "--record", self.client_record, "--seed", self.seed, "--pace", self.pace
        )  # fmt: skip
        self.stack.callback(self.client.close)
        self.stack.callback(self.end_daemon)
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    @property
    def socket(self) -> Path:
        return self.runtime / "stentor.sock"

    @property
    def journal(self) -> Path:
        return self.state / "journal.db"

    @property
    def life(self) -> Life:
        return self.lives[-1]

    @property
    def pid(self) -> int:
        assert self.daemon is not None
        return self.daemon.pid

    # -- one life

    def write_config(self, *, log_level: str = "info", window: int | None = None, more: str = "") -> None:
        text = CONFIG.format(
            state=self.state, runtime=self.runtime, drain_s=self.drain_s, port=self.port, life=len(self.lives),
            window=window or self.window, log_level=log_level, more=more or self.more,
        )  # fmt: skip
        self.config.write_text(text)

    def start(self, failpoint: str = "") -> None:
        """Begin a life; it is not waited for."""
        self.lives.append(Life(len(self.lives) + 1, failpoint, time.monotonic_ns()))
        self.write_config()
        with (self.folder / f"daemon-{self.life.number}.log").open("wb") as errors:
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "stentor", "serve", "--config", self.config],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "STENTOR_FAILPOINT": failpoint},
                cwd=ROOT,
            )

    def wait_ready(self) -> bool:
        """False if it died before it was ready."""
        assert self.daemon is not None
        line = hear(self.daemon, START_S)
        if line.startswith("ready"):
            self.life.ready = time.monotonic_ns()
            self.life.cost_s = processor_time(self.pid)
        return line.startswith("ready")

    def lives_on(self, seconds: float) -> bool:
        """Let it live; False as soon as it is dead."""
        assert self.daemon is not None
        try:
            self.daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def signal(self, number: signal.Signals) -> None:
        assert self.daemon is not None
        if self.daemon.poll() is None:
            self.daemon.send_signal(number)

    def ended(self, how: str) -> None:
        """The daemon is dead, or dies now: note how, and copy what it left."""
        assert self.daemon is not None
        self.life.how = how
        self.life.code = self.daemon.wait(END_S)
        self.life.ended = time.monotonic_ns()
        assert self.daemon.stdout is not None
        self.daemon.stdout.close()
        self.daemon = None
        folder = self.folder / f"image-{self.life.number}"
        folder.mkdir()
        for name in ("journal.db", "journal.db-wal"):
            if (self.state / name).exists():
                shutil.copyfile(self.state / name, folder / name)

    def look(self) -> None:
        """Have the newest copies looked at that were not yet; may be done while the next life starts."""
        for life in self.lives:
            folder = self.folder / f"image-{life.number}"
            if life.ended and life.number not in self.images:
                image = self.images[life.number] = look_at(folder / "journal.db")
                if image.integrity == "ok":
                    shutil.rmtree(folder)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.ended("kill")

    def stop(self) -> None:
        self.signal(signal.SIGTERM)
        self.ended("stop")

    def end_daemon(self) -> None:
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()
            assert self.daemon.stdout is not None
            self.daemon.stdout.close()

    # -- the end of it all

    def finish(self, within_s: float = 60.0) -> None:
        """Let the client finish and every message reach its end; stop the daemon in good order."""
        self.client.tell("finish")
        assert self.client.hear(within_s) == "finished"
        eventually(lambda: self.open_messages() == 0, within_s, "every message is final")
        last = self.ask("SELECT max(last_seq) FROM event")
        try:
            eventually(lambda: self.last_event_read() >= last, within_s)
        except AssertionError:
            raise AssertionError(
                f"the client has read events up to {self.last_event_read()} of {last}"
            ) from None
        self.stop()
        self.look()

    def open_messages(self) -> int:
        return self.ask("SELECT count(*) FROM message WHERE final_at_ms = 0")

    def last_event_read(self) -> int:
        """The newest event in the client's record; much else may stand behind it."""
        record = self.client_record.read_bytes()
        last = record.rfind(b'{"e":"event"')
        found = re.match(rb'.*"seq":(\d+),', record[last:]) if last >= 0 else None
        return int(found[1]) if found else 0

    def ask(self, sql: str) -> int:
        """A number out of the living journal, read by a connection that cannot write."""
        db = sqlite3.connect(f"{self.journal.as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            (found,) = db.execute(sql).fetchone()
            return int(found or 0)
        finally:
            db.close()

    def records(self) -> Records:
        """All there is to be checked."""
        logs: dict[int, Sequence[str]] = {
            life.number: (self.folder / f"daemon-{life.number}.log").read_text(errors="replace").splitlines()
            for life in self.lives
        }
        return Records(
            client=read_lines(self.client_record),
            carrier=read_lines(self.carrier_record),
            lives=self.lives,
            images=self.images,
            logs=logs,
            window=self.window * SESSIONS,
        )
