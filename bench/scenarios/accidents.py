"""Two accidents that cost messages elsewhere: an ordinary service stop, and a full disk."""

import contextlib
import resource
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.harness import BenchError, Workplace, channel, wait_until
from bench.scenario import Figure, Size

ROOM_OCTETS = 3 * 1024 * 1024
"""How large any file of the daemon may grow while its disk counts as full."""
ROUND = 500


class Accepted(msgspec.Struct):
    """What is read of a result; ``error`` stands there instead of an id."""

    ref: str | None = None
    error: dict[str, Any] | None = None


def service_stop(size: Size) -> list[Figure]:
    """SIGTERM while messages come and go, and the next start: what was accepted is sent, once."""
    count = size.pick(20_000, 10_000, 600)
    with Workplace() as place:
        record, results = place.folder / "record", place.folder / "results"
        _, port = place.start_smsc("--latency", "5ms", "--record", str(record))
        config = channel(port, window=20)
        daemon = place.start_daemon(config)
        options = {"ref": "{n}", "text": "stop {n}", "rate": count, "batch": 100, "acknowledged": results}
        load = place.start_load("stream", messages=count, **options)
        wait_until(lambda: _lines(results) >= count // 4, 30.0, lambda: f"{_lines(results)} results")
        code = daemon.stop()
        report = load.read_json(30.0)
        accepted = accepted_refs(results)
        place.start_daemon(config)
        _wait_for_all(len(accepted), record)
        seen = sent_texts(record)
    missing = sum(f"stop {ref}" not in seen for ref in accepted)
    again = sum(seen.values()) - len(seen)
    note = f"{report['accepted']} of {count} accepted before the stop; elsewhere the whole queue is lost"
    return [
        Figure("service stop: accepted and lost", missing, "", at_most=0.0, note=note),
        Figure("service stop: sent more than once", again, "", at_most=0.0),
        Figure("service stop: exit code", code, "", at_most=0.0),
    ]


def disk_full(size: Size) -> list[Figure]:
    """The disk fills and later has room: 503 meanwhile, nothing accepted is lost, work goes on without a restart."""
    rounds = size.pick(40, 40, 20)
    with Workplace() as place:
        record, results = place.folder / "record", place.folder / "results"
        _, port = place.start_smsc("--record", str(record))
        daemon = place.start_daemon(channel(port, rate=2000), before=_limit_files)
        refused = _submit_until_full(place, results, rounds)
        was_full_at = time.monotonic()
        # The soft limit alone was set, so anybody may raise it again: the disk has room.
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        resumed_s = _wait_for_room(place, results) - was_full_at
        accepted = accepted_refs(results)
        _wait_for_all(len(accepted), record)
        seen = sent_texts(record)
    missing = sum(f"full {ref}" not in seen for ref in accepted)
    return [
        Figure(
            "disk full: refused with 503",
            refused,
            "",
            at_least=1.0,
            note="elsewhere it goes on answering 202",
        ),
        Figure(
            "disk full: accepted and lost", missing, "", at_most=0.0, note=f"{len(accepted)} were accepted"
        ),
        Figure("disk full: work goes on after", resumed_s, "s", at_most=3.0, note="without a restart"),
    ]


def _limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_OCTETS, resource.RLIM_INFINITY))


def _submit_until_full(place: Workplace, results: Path, rounds: int) -> int:
    """Submit arrays until one is refused; how many messages were refused with 503."""
    for number in range(rounds * 20):
        status, accepted = _submit(place, results, number * ROUND, ROUND)
        if status == 503:
            return ROUND - accepted
    raise BenchError("the disk never filled")


def _wait_for_room(place: Workplace, results: Path) -> float:
    """Submit single messages until one is accepted; when that was."""
    number = 10_000_000

    def is_accepted() -> bool:
        nonlocal number
        number += 1
        return _submit(place, results, number, 1)[0] == 202

    wait_until(is_accepted, 30.0, lambda: "no message is accepted though the disk has room again")
    return time.monotonic()


def _submit(place: Workplace, results: Path, first: int, count: int) -> tuple[int, int]:
    """Submit an array; its status, and how many results in it were accepted. These go to the file, a line each."""
    body = [{"to": f"+407{n:08d}", "text": f"full {n}", "ref": str(n)} for n in range(first, first + count)]
    status, octets = place.api.request("POST", "/v1/messages", body)
    if status not in (202, 503):
        raise BenchError(f"status {status}: {octets[:300]!r}")
    if status == 503:
        return 503, 0
    items = msgspec.json.decode(octets)["results"]
    with results.open("ab") as file:
        file.writelines(msgspec.json.encode(item) + b"\n" for item in items)
    errors = [item["error"] for item in items if "error" in item]
    if any(error["status"] != 503 for error in errors):
        raise BenchError(f"refused with another status than 503: {errors[0]}")
    return (503 if errors else 202), count - len(errors)


def accepted_refs(results: Path) -> set[str]:
    """The refs of all results in the file that say a message was accepted."""
    whole = results.read_bytes().split(b"\n")[:-1]
    lines = [msgspec.json.decode(line, type=Accepted) for line in whole]
    return {line.ref for line in lines if line.error is None and line.ref is not None}


def sent_texts(record: Path) -> dict[str, int]:
    """How often each text reached the SMSC, by its record; texts must be ASCII that GSM 03.38 leaves alone.

    The SMSC may be writing: a line counts once it is whole.
    """
    texts: dict[str, int] = {}
    for line in record.read_text().split("\n")[:-1]:
        words = line.split()
        if words[0] == "s":
            text = bytes.fromhex(words[8]).decode("ascii")
            texts[text] = texts.get(text, 0) + 1
    return texts


def _wait_for_all(count: int, record: Path) -> None:
    """Wait until so many texts are at the SMSC, or until it takes too long; the caller counts."""
    with contextlib.suppress(BenchError):
        wait_until(lambda: _lines(record) >= count, 60.0, lambda: "")
        wait_until(lambda: len(sent_texts(record)) >= count, 60.0, lambda: "")


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
