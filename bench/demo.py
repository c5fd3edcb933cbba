"""The demo: a daemon, a simulated SMSC, a few simulated phones, a few thousand messages in many languages, and a table
of what became of them.

    python -m bench.demo            runs by itself, for a few seconds; 0 only if every message was delivered
    python -m bench.demo --keep     leaves them running until Ctrl-C, to send messages by hand

Destinations are below +999, a country code that belongs to nobody, and nothing leaves the machine.
"""

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.harness import POLL_S, ROOT, BenchError, Child, Workplace, interruptible, wait_until

MESSAGES: Final = 5000
PREFIX: Final = "+999"
PHONES: Final = 8
PHONE_PREFIX: Final = "+99971"
"""Goes by phone, as bench/demo.toml says."""
PHONE_MESSAGES: Final = 40
PHONE_TOKEN: Final = "demo"
PHONE_HABITS: Final = (
    "--handover",
    "20-50ms",
    "--sent-after",
    "100-300ms",
    "--delivered-after",
    "200ms-1s",
    "--parts-limit",
    "0",
)
PRIORITIES: Final = "normal,bulk,normal,high,bulk,normal,urgent,bulk"
CORPUS: Final = ROOT / "bench" / "corpus" / "messages.ndjson"
KEPT: Final = ROOT / "var" / "demo"
LIMIT_S: Final = 25.0
_LONGEST_SOCKET_PATH: Final = 100


class Line(msgspec.Struct):
    """What the demo reads of a result."""

    encoding: str
    segments: int


class Outcome(msgspec.Struct, frozen=True):
    """What became of the messages."""

    accepted: int
    sent: int
    statuses: dict[str, int]
    segments: dict[str, int]
    carrier_segments: int
    phone_segments: int
    accept_per_second: float
    sent_per_second: float

    @property
    def is_complete(self) -> bool:
        """True when nothing is missing: every message accepted, every segment at the SMSC or a phone, every one
        delivered.
        """
        total = sum(self.segments.values())
        left = self.carrier_segments + self.phone_segments
        return self.statuses == {"delivered": self.accepted} and left == total


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0, or 1 if a message is missing."""
    options = _parser().parse_args(argv)
    console = Console(highlight=False)
    try:
        with interruptible(), Workplace() as place:
            if options.keep:
                _move_to(place, KEPT)
            return _run(place, options, console)
    except BenchError as error:
        console.print(f"[red]The demo failed:[/] {error}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench.demo", description="Messages in, receipts back, a table."
    )
    help = "leave the daemon, the SMSC and the phones running until Ctrl-C"
    parser.add_argument("--keep", action="store_true", help=help)
    help = "how many messages (%(default)s)"
    parser.add_argument("--messages", type=int, default=MESSAGES, metavar="N", help=help)
    return parser


def _run(place: Workplace, options: argparse.Namespace, console: Console) -> int:
    count = options.messages
    console.print(f"Starting a simulated SMSC, {PHONES} simulated phones and the daemon.")
    smsc, port = place.start_smsc("--latency", "1-3ms", "--receipt-delay", "200ms-1.5s")
    daemon = _start_daemon(place, port)
    phones = _start_phones(place, daemon)
    console.print(f"Submitting {count:,} messages as lines of JSON over {place.api.path}", soft_wrap=True)
    outcome = _submit(place, smsc, phones, count, console)
    console.print(_table(outcome))
    if not outcome.is_complete:
        console.print("[red]Messages are missing[/]; a healthy daemon delivers every one of them here.")
    if options.keep:
        _keep(place, daemon, console)
    else:
        code = daemon.stop()
        if code:
            raise BenchError(f"the daemon ended with {code}; {daemon.last_words()}")
        _show_commands(console, _socket_of(KEPT), is_running=False)
    return 0 if outcome.is_complete else 1


def _start_daemon(place: Workplace, port: int) -> Child:
    template = Template((ROOT / "bench" / "demo.toml").read_text())
    path = place.folder / "demo.toml"
    path.write_text(template.substitute(state_dir=place.state, runtime_dir=place.runtime, port=port))
    path.chmod(0o600)  # it holds a password
    daemon = place.start("daemon", "-m", "stentor", "serve", "--config", str(path), is_peer=False)
    daemon.wait_ready()
    return daemon


def _start_phones(place: Workplace, daemon: Child) -> Child:
    """The phones, once each holds its event stream."""
    port = next(name for name in daemon.announced.split() if name.startswith("tcp:")).rpartition(":")[2]
    url = f"http://127.0.0.1:{port}/api/mobile/v1"
    options = ("--url", url, "--token", PHONE_TOKEN, "--phones", str(PHONES), *PHONE_HABITS)
    phones = place.start("phones", "-m", "bench.peers.phones", *options)
    phones.wait_ready()
    wait_until(
        lambda: place.statistics(phones)["streams"] == PHONES, LIMIT_S, lambda: "the phones hold no streams"
    )
    return phones


def _move_to(place: Workplace, folder: Path) -> None:
    """Let the demo live where the printed commands find it."""
    socket = _socket_of(folder)
    if socket.exists():
        place.api.path = socket
        try:
            place.api.request("GET", "/healthz")
        except OSError:
            pass  # left behind by one that was killed
        else:
            raise BenchError(f"a demo runs already: {socket} answers")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(place.folder, ignore_errors=True)
    shutil.rmtree(place.runtime, ignore_errors=True)
    place.folder, place.runtime, place.state = folder, socket.parent, folder / "state"
    place.folder.mkdir(parents=True)
    place.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.api.path = socket


def _socket_of(folder: Path) -> Path:
    path = folder / "run" / "stentor.sock"
    if len(str(path)) <= _LONGEST_SOCKET_PATH:
        return path
    return Path(f"/tmp/stentor-demo-{os.getuid()}/stentor.sock")


# -- the work ----------------------------------------------------------------------------------------------


def _submit(place: Workplace, smsc: Child, phones: Child, count: int, console: Console) -> Outcome:
    """The messages for the SMSC and those for the phones at the same time."""
    results, by_phone = place.folder / "results.ndjson", min(PHONE_MESSAGES, count // 10)
    phone_results = place.folder / "phone-results.ndjson"
    phone_load = place.start_load(
        "stream",
        messages=by_phone,
        text="Message {n} goes by phone",
        to=PHONE_PREFIX,
        ref="phone-{n}",
        acknowledged=phone_results,
    )
    load = place.start_load(
        "stream",
        messages=count - by_phone,
        texts=CORPUS,
        to=PREFIX,
        priority=PRIORITIES,
        ref="demo-{n}",
        acknowledged=results,
        batch=100,
        outstanding=1000,
    )
    progress = _follow(place, count, console)
    report = load.read_json(LIMIT_S)
    for each in (report, phone_load.read_json(LIMIT_S)):
        if each["failures"] or each["refused"]:
            raise BenchError(f"not everything was accepted: {each['failures'] or each['refusals']}")
    segments: Counter[str] = Counter()
    for line in (results.read_bytes() + phone_results.read_bytes()).splitlines():
        result = msgspec.json.decode(line, type=Line)
        segments[result.encoding] += result.segments
    counted = place.statistics(smsc)
    sending_s = counted["last_submit_at"] - report["first_submit_at"]
    return Outcome(
        accepted=report["accepted"] + by_phone,
        sent=int(progress["messages_sent_total"]),
        statuses=_statuses(place),
        segments=dict(segments.most_common()),
        carrier_segments=counted["submits"],
        phone_segments=place.statistics(phones)["parts"],
        accept_per_second=report["per_second"],
        sent_per_second=report["accepted"] / sending_s if sending_s > 0 else 0.0,
    )


def _follow(place: Workplace, count: int, console: Console) -> dict[str, float]:
    """Wait until every message is final or the time is over; the last metrics."""
    names = {
        "accepted": "messages_accepted_total",
        "sent": "messages_sent_total",
        "final": "messages_finished_total",
    }
    bars = Progress(
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    deadline = time.monotonic() + LIMIT_S
    with bars:
        tasks: dict[str, TaskID] = {word: bars.add_task(word, total=count) for word in names}
        while True:
            metrics = place.api.metrics()
            for word, name in names.items():
                bars.update(tasks[word], completed=int(metrics[name]))
            if metrics[names["final"]] >= count or time.monotonic() > deadline:
                return metrics
            time.sleep(2 * POLL_S)


def _statuses(place: Workplace) -> dict[str, int]:
    """Every message once, by status, as the API lists them."""
    statuses: Counter[str] = Counter()
    cursor = ""
    while True:
        page: dict[str, Any] = place.api.json("GET", f"/v1/messages?limit=1000{cursor}")
        statuses.update(message["status"] for message in page["messages"])
        if page["next"] is None:
            return dict(statuses)
        cursor = f"&cursor={page['next']}"


# -- what is shown -----------------------------------------------------------------------------------------


def _table(outcome: Outcome) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("accepted", f"{outcome.accepted:,}")
    table.add_row("sent", f"{outcome.sent:,}")
    for status, number in sorted(outcome.statuses.items()):
        colour = "green" if status == "delivered" else "red"
        table.add_row(status, f"[{colour}]{number:,}[/]")
    total = sum(outcome.segments.values())
    table.add_row("segments", f"{total:,}")
    for encoding, number in outcome.segments.items():
        table.add_row(f"  {encoding}", f"{number:,}")
    table.add_row("segments at the SMSC", f"{outcome.carrier_segments:,}")
    table.add_row("segments sent by phones", f"{outcome.phone_segments:,}")
    table.add_row("messages a second, accepted", f"{outcome.accept_per_second:,.0f}")
    table.add_row("messages a second, sent", f"{outcome.sent_per_second:,.0f}")
    return table


def _keep(place: Workplace, daemon: Child, console: Console) -> None:
    _show_commands(console, place.api.path, is_running=True)
    console.print("They run until Ctrl-C.")
    try:
        daemon.process.wait()
        raise BenchError(f"the daemon has ended; {daemon.last_words()}")
    except KeyboardInterrupt:
        console.print("Stopping.")
        daemon.stop()


def _show_commands(console: Console, socket: Path, *, is_running: bool) -> None:
    path = os.path.relpath(socket, ROOT) if socket.is_relative_to(ROOT) else str(socket)
    python, stentor = (
        os.path.relpath(Path(sys.executable).parent / name, ROOT) for name in ("python", "stentor")
    )
    intro = f"""
In another terminal, in {ROOT}:
"""
    if not is_running:
        intro = f"""
To send one by hand, start them again and leave them running:

  {python} -m bench.demo --keep

and in another terminal:
"""
    body = f"""
  {stentor} send --socket {path} --to {PREFIX}12345678 --wait "Hello from the command line"
  curl --unix-socket {path} -H 'Content-Type: application/json' \\
       -d '{{"to": "{PREFIX}12345678", "text": "Hello from curl"}}' http://localhost/v1/messages
  {stentor} send --socket {path} --to {PHONE_PREFIX}12345678 --wait "Hello by phone"
  {stentor} status --socket {path}
  {stentor} phones --socket {path}
"""
    console.print(intro + body, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
