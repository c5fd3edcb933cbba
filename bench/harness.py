"""Runs the daemon and its peers as processes for a scenario, and looks at them from outside.

Owns every process it starts: whatever happens in a scenario, all are ended by their own id and the folder is
removed. The journal stands below the checkout, not in /tmp, which is memory on many machines.
"""

import ctypes
import http.client
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, cast

import msgspec

ROOT: Final = Path(__file__).resolve().parents[1]
START_S: Final = 60.0
STOP_S: Final = 30.0
POLL_S: Final = 0.02
AUTOGROUP: Final = Path("/proc/self/autogroup")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SAMPLE: Final = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class BenchError(Exception):
    """A scenario could not be run, or a message is missing. The text says which and shows the process's own
    words.
    """


class Usage(msgspec.Struct, frozen=True):
    """What a process has used: CPU seconds since it was ready, and its largest resident set."""

    name: str
    cpu_s: float
    rss_octets: int


_libc: Final = ctypes.CDLL(None)
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG of prctl(2)


def _prepare(before: Callable[[], None] | None, niceness: int, *, is_peer: bool) -> None:
    """In the new process, before its program: it must not outlive a bench that is killed."""
    _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if is_peer:
        os.sched_setaffinity(0, peers_cores(os.sched_getaffinity(0)))
    if niceness:
        os.nice(niceness)
        # Each of our processes is a session, and where sessions are scheduled as groups (sched(7), autogroup) the
        # niceness inside of one means nothing to the others.
        if AUTOGROUP.exists():
            AUTOGROUP.write_text(str(niceness))
    if before is not None:
        before()


def peers_cores(cores: Set[int]) -> Set[int]:
    """Where peers run: on all cores but one, as far as there are others. They stand for machines elsewhere, and what
    wakes them, a packet of the daemon's, wakes them where the daemon is at work: each time they would take its core."""
    return set(cores) - {min(cores)} or set(cores)


class Child:
    """One process. Its standard output is read as lines; its standard error goes to a file."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        before: Callable[[], None] | None = None,
        environment: dict[str, str] | None = None,
        *,
        niceness: int = 0,
        is_peer: bool = True,
    ) -> None:
        self.name = name
        self.log = log
        self._errors: IO[bytes] = log.open("ab")
        self._rest = b""
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            preexec_fn=lambda: _prepare(before, niceness, is_peer=is_peer),
            start_new_session=True,  # Ctrl-C is for us alone; we end our processes in order
            env={**os.environ, **(environment or {})},
        )
        self.cpu_at_ready_s = 0.0
        self.ready_s = 0.0
        self.announced = ""

    def read_line(self, within_s: float) -> str:
        """The next line of output. Raises BenchError when none comes in time or the process has ended."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + within_s
        while b"\n" not in self._rest:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(descriptor, 65536) if ready else b""
            if not data:
                raise BenchError(f"{self.name}: {'ended' if ready else 'silent'}; {self.last_words()}")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def wait_ready(self, within_s: float = START_S) -> str:
        """Wait for the line that begins with ``ready``; what follows that word."""
        started = time.monotonic()
        while True:
            word, _, rest = self.read_line(within_s).partition(" ")
            if word == "ready":
                self.announced = rest
                self.ready_s = time.monotonic() - started
                self.cpu_at_ready_s = self.cpu_s()
                return rest

    def read_json(self, within_s: float) -> dict[str, Any]:
        """The next line as JSON."""
        return cast(dict[str, Any], msgspec.json.decode(self.read_line(within_s)))

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss_octets(self, which: str = "VmHWM") -> int:
        """The largest resident set so far, or with ``VmRSS`` the present one."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{which}:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    def usage(self) -> Usage:
        return Usage(self.name, self.cpu_s() - self.cpu_at_ready_s, self.rss_octets())

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def stop(self, within_s: float = STOP_S) -> int:
        """SIGTERM, and wait; its exit code. Raises BenchError when it does not end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} did not stop within {within_s:g} s; {self.last_words()}") from None

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        self._errors.flush()
        text = self.log.read_text(errors="replace").strip()
        return f"its last words: {text[-1500:]}" if text else "it said nothing"

    def release(self) -> None:
        """End it if it still runs, and close what belongs to it."""
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass  # a line it did not read any more
        self._errors.close()


class Api:
    """The daemon's API over its Unix socket, one connection a request."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def request(
        self, method: str, target: str, body: Any = None, more: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body; ``more`` are further headers. Raises OSError when nobody listens."""
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.settimeout(30)
            connection.sock.connect(str(self.path))
            octets = None if body is None else msgspec.json.encode(body)
            headers = {} if body is None else {"Content-Type": "application/json"}
            headers |= more or {}
            connection.request(method, target, octets, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def json(self, method: str, target: str, body: Any = None) -> Any:
        """The decoded body. Raises BenchError for any status but 2xx."""
        status, octets = self.request(method, target, body)
        if not 200 <= status < 300:
            raise BenchError(f"{method} {target}: {status} {octets[:300]!r}")
        return msgspec.json.decode(octets)

    def metrics(self) -> dict[str, float]:
        """Sums over all labels, by name without the prefix ``stentor_``."""
        status, octets = self.request("GET", "/metrics")
        if status != 200:
            raise BenchError(f"/metrics: {status}")
        sums: dict[str, float] = {}
        for name, _, value in _SAMPLE.findall(octets.decode()):
            key = name.removeprefix("stentor_")
            sums[key] = sums.get(key, 0.0) + float(value)
        return sums


class Workplace:
    """A folder and processes for one scenario. Use as a context manager. ``niceness`` is that of its peers, where they
    would take from the daemon what their own machines would have."""

    def __init__(self, niceness: int = 0) -> None:
        self._niceness = niceness
        base = ROOT / "var" / "bench"
        base.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=base))
        # A Unix socket's path ends at 107 octets; the checkout may lie deeper.
        self.runtime = Path(tempfile.mkdtemp(prefix="stentor-bench-", dir="/tmp"))
        self.state = self.folder / "state"
        self.api = Api(self.runtime / "stentor.sock")
        self._children: list[Child] = []
        self._ports: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            child.release()
        for port in self._ports:
            port.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.runtime, ignore_errors=True)

    def start(
        self,
        name: str,
        *arguments: str,
        before: Callable[[], None] | None = None,
        is_peer: bool = True,
        niceness: int = 0,
        **environment: str,
    ) -> Child:
        """A Python process: ``-m module …`` or a file. One that is no peer may use every core and has no niceness."""
        log = self.folder / f"{name}.log"
        niceness = (niceness or self._niceness) if is_peer else 0
        child = Child(name, arguments, log, before, environment, niceness=niceness, is_peer=is_peer)
        self._children.append(child)
        return child

    def free_port(self) -> int:
        """A port of 127.0.0.1 where nobody listens until somebody is told to: it stays bound, so that the kernel
        gives it to nobody else, and SO_REUSEADDR lets a server that sets it too listen there.
        """
        sock = socket.socket()
        self._ports.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])

    def start_smsc(self, *options: str) -> tuple[Child, int]:
        """The simulated SMSC and its port."""
        smsc = self.start("smsc", "-m", "bench.peers.smsc", *options)
        return smsc, int(smsc.wait_ready())

    def start_daemon(self, config: str, before: Callable[[], None] | None = None) -> Child:
        """The daemon, ready. ``config`` is what stands in its file beside ``[daemon]``."""
        path = self.folder / "stentor.toml"
        path.write_text(
            f'[daemon]\nstate_dir = "{self.state}"\nruntime_dir = "{self.runtime}"\n'
            f'[log]\nformat = "json"\nlevel = "warning"\n{config}'
        )
        path.chmod(0o600)
        serve = ("-m", "stentor", "serve", "--config", str(path))
        daemon = self.start("daemon", *serve, before=before, is_peer=False)
        daemon.wait_ready()
        return daemon

    def start_load(self, way: str, **options: object) -> Child:
        """The load generator; keyword ``some_option=3`` becomes ``--some-option 3``."""
        arguments = [way, "--socket", str(self.api.path)]
        for name, value in options.items():
            arguments += [f"--{name.replace('_', '-')}", str(value)]
        return self.start("load", "-m", "bench.peers.load", *arguments)

    def load(self, way: str, within_s: float = 240.0, **options: object) -> dict[str, Any]:
        """Run the load generator to its end; its report.

        Raises BenchError when it does not end, or a connection failed, with what the daemon was doing.
        """
        child = self.start_load(way, **options)
        try:
            report = child.read_json(within_s)
        except BenchError as error:
            counts = {name: value for name, value in self.api.metrics().items() if value}
            raise BenchError(f"{error}; the daemon meanwhile: {counts}") from error
        if report["failures"]:
            raise BenchError(f"load: {report['failures']}")
        return report

    def statistics(self, smsc: Child) -> dict[str, Any]:
        """What the SMSC has counted so far."""
        smsc.tell("statistics")
        return smsc.read_json(START_S)

    def wait_acknowledged(self, smsc: Child, count: int, within_s: float) -> dict[str, Any]:
        """Wait until so many receipts are acknowledged to the SMSC, which is after their commit; its
        statistics.
        """
        seen: dict[str, Any] = {}

        def has_come() -> bool:
            seen.update(self.statistics(smsc))
            return bool(seen["acknowledged"] >= count)

        wait_until(has_come, within_s, lambda: f"{seen['acknowledged']} of {count} receipts are acknowledged")
        return seen

    def wait_finished(self, count: int, within_s: float) -> dict[str, float]:
        """Wait until so many messages are final; the metrics then."""
        return self.wait_metric("messages_finished_total", count, within_s)

    def wait_metric(self, name: str, value: float, within_s: float) -> dict[str, float]:
        """Wait until a metric has at least this value."""
        seen: dict[str, float] = {}

        def has_come() -> bool:
            seen.update(self.api.metrics())
            return seen.get(name, 0.0) >= value

        wait_until(has_come, within_s, lambda: f"{name} is {seen.get(name)}, {value} expected")
        return seen


def wait_until(condition: Callable[[], object], within_s: float, what: Callable[[], str]) -> None:
    """Look again and again until ``condition()``; BenchError with ``what()`` when the time is over."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"not within {within_s:g} s: {what()}")
        time.sleep(POLL_S)


def channel(port: int, name: str = "alpha", **keys: object) -> str:
    """The configuration of a channel to a simulated SMSC."""
    chosen: dict[str, object] = {"driver": "smpp", "host": "127.0.0.1", "port": port, "system_id": "bench"}
    chosen |= {"password": "bench", "window": 2000, "reconnect_first": 0.1, "reconnect_longest": 0.5, **keys}
    lines = (f"{key} = {msgspec.json.encode(value).decode()}" for key, value in chosen.items())
    return f"[channels.{name}]\n" + "\n".join(lines) + "\n"


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGINT raise KeyboardInterrupt, also where a shell that started us in the background ignores SIGINT;
    so everything that was started is ended in order."""
    before = {code: signal.getsignal(code) for code in (signal.SIGTERM, signal.SIGINT)}
    for code in before:
        signal.signal(code, signal.default_int_handler)
    try:
        yield
    finally:
        for code, handler in before.items():
            signal.signal(code, handler)


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """``with stopwatch() as elapsed_s:``; ``elapsed_s()`` is the time since."""
    started = time.monotonic()
    yield lambda: time.monotonic() - started
