"""Carriers that refuse for the moment: a limit that nobody was told, and a queue that is full for a while."""

import time
from pathlib import Path

from bench.harness import BenchError, Child, Workplace, channel, wait_until
from bench.scenario import Figure, Size

LIMIT = 200
WITHIN = 0.10
THROTTLED_SHARE = 0.01
QUEUE_FULL = 0x14


def untold_limit(size: Size) -> list[Figure]:
    """A carrier that takes 200 a second and says so only by refusing more: what the daemon settles at."""
    settling_s, measured_s = size.pick((30.0, 30.0), (15.0, 15.0), (0.2, 0.2))
    count = int(LIMIT * (settling_s + measured_s) * 1.5)
    with Workplace() as place:
        smsc, port = place.start_smsc("--throttle", str(LIMIT), "--receipts", "none")
        place.start_daemon(channel(port, window=50))
        place.load("stream", messages=count)
        time.sleep(settling_s)
        accepted, throttled, elapsed_s = _watch(place, smsc, measured_s)
    rate, share = accepted / elapsed_s, throttled / max(1, accepted + throttled)
    note = f"in {elapsed_s:.0f} s, {settling_s:.0f} s after the first"
    return [
        Figure(
            f"untold limit of {LIMIT}/s: accepted, settled",
            rate,
            "/s",
            at_least=(1 - WITHIN) * LIMIT,
            note=note,
        ),
        Figure(
            f"untold limit of {LIMIT}/s: share refused, settled",
            share,
            "",
            at_most=THROTTLED_SHARE,
            note=note,
        ),
    ]


def _watch(place: Workplace, smsc: Child, seconds: float) -> tuple[int, int, float]:
    """Accepted and throttled by the SMSC's own count, and the time between its two counts."""
    started, before = time.monotonic(), place.statistics(smsc)
    time.sleep(seconds)
    elapsed_s, after = time.monotonic() - started, place.statistics(smsc)
    accepted = after["statuses"].get("0x00", 0) - before["statuses"].get("0x00", 0)
    return accepted, after["throttled"] - before["throttled"], elapsed_s


def full_queue(size: Size) -> list[Figure]:
    """A carrier whose queue is full for ten seconds: nothing is lost, and work goes on soon after."""
    full_s, after_s = size.pick((10.0, 2.0), (10.0, 2.0), (0.2, 0.1))
    rate = size.pick(200, 200, 100)
    count = int(rate * (full_s + after_s) * 1.5)
    with Workplace() as place:
        record = place.folder / "record"
        options = ("--queue-full", f"{full_s}s", "--queue-full-after", f"{after_s}s", "--record", str(record))
        smsc, port = place.start_smsc("--slow", *options)
        place.start_daemon(channel(port, window=50, rate=rate))
        load = place.load("stream", messages=count)
        room_at = _first_submit_at(place, smsc) + after_s + full_s
        wait_until(lambda: time.monotonic() > room_at, 2 * full_s + 10, lambda: "the queue is still full")
        place.wait_acknowledged(smsc, count, 120.0)
        refused, resumed_at = _resumed(record, room_at)
        if load["accepted"] != count:
            raise BenchError(f"{load['accepted']} of {count} were accepted")
    name = f"queue full for {full_s:g} s"
    note = f"all {count} delivered; {refused} submissions refused meanwhile, of {rate}/s that were due"
    return [
        Figure(f"{name}: work goes on after", resumed_at - room_at, "s", at_most=5.0, note=note),
        Figure(f"{name}: refused a second", refused / full_s, "/s"),
    ]


def _first_submit_at(place: Workplace, smsc: Child) -> float:
    wait_until(lambda: place.statistics(smsc)["submits"], 30.0, lambda: "nothing was submitted")
    return float(place.statistics(smsc)["first_submit_at"])


def _resumed(record: Path, room_at: float) -> tuple[int, float]:
    """How many submissions the record says found the queue full, and when the first was accepted behind that."""
    answers = [line.split() for line in record.read_text().split("\n")[:-1] if line.startswith("r ")]
    refused = sum(int(words[4]) == QUEUE_FULL for words in answers)
    accepted = [int(words[1]) / 1e6 for words in answers if int(words[4]) == 0]
    return refused, min(at for at in accepted if at >= room_at)
