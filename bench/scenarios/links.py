"""Carriers whose connections fail: a restart while many sessions stand, and one session of several that stalls."""

import select
import socket
import time
from collections import Counter
from pathlib import Path

from bench.harness import BenchError, Workplace, channel, wait_until
from bench.scenario import Figure, Size

SESSIONS = 16
STALLED_SESSIONS = 4
RATE_OF_A_SESSION = 250


def carrier_restart(size: Size) -> list[Figure]:
    """A carrier goes away and comes back: how often the sessions knock meanwhile, and when all stand again."""
    outage_s = size.pick(15.0, 8.0, 0.3)
    sessions = size.pick(SESSIONS, SESSIONS, 4)
    first_s = size.pick(1.0, 1.0, 0.05)
    with Workplace() as place:
        smsc, port = place.start_smsc()
        place.start_daemon(channel(port, sessions=sessions, reconnect_first=first_s, reconnect_longest=60.0))
        wait_until(lambda: place.statistics(smsc)["binds"] == sessions, 30.0, lambda: "not all are bound")
        smsc.kill()
        attempts = _knocks(port, outage_s)
        smsc, _ = place.start_smsc("--port", str(port))
        back_at = time.monotonic()
        wait_until(
            lambda: place.statistics(smsc)["binds"] == sessions,
            10 * outage_s + 20,
            lambda: f"{place.statistics(smsc)['binds']} of {sessions} are bound again",
        )
        bound_s = place.statistics(smsc)["last_bind_at"] - back_at
    busiest = max(Counter(int(at) for at in attempts).values(), default=0)
    name = f"carrier away for {outage_s:g} s, {sessions} sessions"
    note = f"{len(attempts)} in all; pauses double from {first_s:g} s"
    return [
        Figure(f"{name}: attempts in the busiest second", busiest, "", at_most=float(sessions), note=note),
        Figure(f"{name}: attempts a second", len(attempts) / outage_s, "/s", at_most=sessions / 2),
        Figure(f"{name}: all bound again after", bound_s, "s", at_most=2 * outage_s),
    ]


def _knocks(port: int, seconds: float) -> list[float]:
    """Stand in the carrier's place and turn everybody away; when they came, in seconds from now."""
    found: list[float] = []
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        while (left_s := started + seconds - time.monotonic()) > 0:
            if select.select([listener], [], [], left_s)[0]:
                caller, _ = listener.accept()
                caller.close()
                found.append(time.monotonic() - started)
    return found


def stalled_session(size: Size) -> list[Figure]:
    """One session of four stops answering: the other three keep their rate."""
    before_s, after_s = size.pick((5.0, 10.0), (3.0, 6.0), (1.0, 0.4))
    rate = RATE_OF_A_SESSION
    stall_after = int(rate * before_s)
    # A window of 10 and answers after 40 ms: 250/s for each session, and the processor is not what limits them.
    options = ("--latency", "40ms", "--receipts", "none")
    faults = ("--faulty", "1", "--stall-after", str(stall_after), "--stall", "1h")
    with Workplace() as place:
        record = place.folder / "record"
        smsc, port = place.start_smsc(*options, *faults, "--record", str(record))
        place.start_daemon(channel(port, sessions=STALLED_SESSIONS, window=10))
        wait_until(
            lambda: place.statistics(smsc)["binds"] == STALLED_SESSIONS, 60.0, lambda: "not all are bound"
        )
        place.load("stream", messages=int(rate * STALLED_SESSIONS * (before_s + after_s) * 1.5))
        stalled_at = _wait_for_stall(record, stall_after)
        time.sleep(max(0.0, stalled_at + after_s - time.monotonic()))
        moments = _submits(record)
    others = [at for number, at in moments if number != 1]
    before = sum(stalled_at - before_s / 2 <= at < stalled_at for at in others) / (before_s / 2)
    after = sum(stalled_at <= at < stalled_at + after_s for at in others) / after_s
    if not before:
        raise BenchError("the other sessions had nothing to do before")
    name = f"one session of {STALLED_SESSIONS} stalls: rate of the others, beside before"
    return [Figure(name, after / before, "", at_least=0.9, note=f"{after:.0f}/s beside {before:.0f}/s")]


def _wait_for_stall(record: Path, stall_after: int) -> float:
    """When the first connection had its last submission."""

    def count() -> int:
        return sum(number == 1 for number, _ in _submits(record)) if record.exists() else 0

    wait_until(lambda: count() >= stall_after, 60.0, lambda: f"{count()} of {stall_after} submissions")
    return max(at for number, at in _submits(record) if number == 1)


def _submits(record: Path) -> list[tuple[int, float]]:
    """Connection and moment of every submission in the record."""
    lines = (line.split(" ", 3) for line in record.read_text().split("\n")[:-1] if line.startswith("s "))
    return [(int(words[2]), int(words[1]) / 1e6) for words in lines]
