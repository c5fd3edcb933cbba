"""Under load, the daemon is stopped and continued, told to stop, hurried, and left without room on its disk."""

import json
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.crash.checker import check
from tests.crash.evidence import Line, Records, read_lines
from tests.crash.harness import World
from tests.support.waiting import eventually

STOPPED_S = 3.0
RESPONSE_S = 30.0
"""After which a link that answers nothing is given up, and with it what is waited for."""
ROOM_OCTETS = 40_000
"""Of each file, on the full disk: less than the log has, less than the journal will have once the log is moved."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A daemon under load, with a carrier and a client of their own."""
    with (
        TemporaryDirectory(prefix="stentor-", dir="/tmp") as runtime,
        World(tmp_path, Path(runtime), 5) as made,
    ):
        yield made


def is_stopped(world: World) -> bool:
    state = Path(f"/proc/{world.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


def finish(world: World, **circumstances: object) -> Records:
    """Let everything come to its end and check the history of it."""
    world.finish()
    records = world.records()
    for name, value in circumstances.items():
        setattr(records, name, value)
    found = check(records)
    assert not found, "\n".join(found[:30])
    return records


def accepted(world: World) -> set[str]:
    """Messages the client has an answer for; one that is repeated is answered what it was answered before."""
    return {line["to"] for line in read_lines(world.client_record) if line["e"] == "ack"}


@pytest.mark.parametrize("failpoint", ["", "after-receipt-commit:5:stop"])
def test_a_daemon_that_is_stopped_for_a_while_goes_on_where_it_was(world: World, failpoint: str) -> None:
    world.start(failpoint)
    assert world.wait_ready()
    if not failpoint:
        world.lives_on(1.0)
        world.signal(signal.SIGSTOP)
    eventually(lambda: is_stopped(world), what="the daemon is stopped")
    world.lives_on(STOPPED_S)
    before = len(accepted(world))
    world.signal(signal.SIGCONT)
    eventually(lambda: len(accepted(world)) > before + 100, what="submissions are answered again")
    records = finish(world, links_may_die=True)
    assert len({line["c"] for line in records.carrier if line["e"] == "bind"}) == 3, "no link was given up"


def test_a_stop_under_load_waits_for_what_is_in_flight_and_loses_nothing(world: World) -> None:
    world.start()
    assert world.wait_ready()
    world.lives_on(1.0)
    world.stop()
    assert world.life.code == 0
    world.look()
    refusals = [line for line in read_lines(world.client_record) if line["e"] == "refused"]
    assert all(line["status"] == 503 for line in refusals)
    world.start()
    assert world.wait_ready()
    records = finish(world)
    assert all(len(copies) == 1 for copies in records.taken.values()), (
        "a stop in good order sends nothing twice"
    )


def in_doubt(world: World, *, drain_s: float) -> None:
    """Start the daemon, and silence the carrier when there is much it has not answered."""
    world.drain_s = drain_s
    world.start()
    assert world.wait_ready()
    eventually(lambda: len(accepted(world)) > 200, what="submissions are answered")
    world.carrier.tell("stall")
    world.lives_on(0.3)


def test_a_stop_ends_by_its_limit_though_the_carrier_is_silent(world: World) -> None:
    in_doubt(world, drain_s=1.0)
    asked = time.monotonic()
    world.signal(signal.SIGTERM)
    world.ended("late stop")
    assert world.life.code == 0
    assert 0.9 < time.monotonic() - asked < RESPONSE_S / 2, "with a limit of a second"
    world.carrier.tell("go on")
    world.start()
    assert world.wait_ready()
    finish(world)


def test_a_second_request_to_stop_hurries(world: World) -> None:
    in_doubt(world, drain_s=300.0)
    world.signal(signal.SIGTERM)
    assert world.lives_on(1.0), "it waits for the carrier, for minutes if need be"
    asked = time.monotonic()
    world.signal(signal.SIGTERM)
    world.ended("hurried stop")
    assert time.monotonic() - asked < RESPONSE_S / 2
    assert world.life.code == 0
    world.carrier.tell("go on")
    world.start()
    assert world.wait_ready()
    finish(world)


def test_a_full_disk_refuses_work_keeps_what_there_is_and_is_over_by_itself(world: World) -> None:
    world.start()
    assert world.wait_ready()
    log, ballast = Path(f"{world.journal}-wal"), world.journal.with_name("ballast")
    assert ballast.stat().st_size == 32 << 20
    eventually(lambda: log.stat().st_size > 600_000, what="the journal is long enough to be cut off")
    resource.prlimit(world.pid, resource.RLIMIT_FSIZE, (ROOM_OCTETS, resource.RLIM_INFINITY))

    def refused() -> list[Line]:
        lines = read_lines(world.client_record)
        return [
            line for line in lines if line["e"] == "refused" and line["of"] == 503 and line["retry_after"]
        ]

    eventually(lambda: len(refused()) > 5, what="submissions are refused with 503 and Retry-After")
    eventually(lambda: not ballast.exists(), what="the ballast is given up")
    # The client works in turns: who is refused so often has read what was accepted before.
    eventually(lambda: len(refused()) > 60, what="everybody is refused")
    full = len(accepted(world))
    world.lives_on(1.5)
    assert len(accepted(world)) == full, "nothing is accepted while there is no room"
    resource.prlimit(world.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    eventually(lambda: len(accepted(world)) > full, what="submissions are accepted again")
    assert ballast.stat().st_size == 32 << 20
    records = finish(world, has_failed_commits=True, logs={})
    assert all(len(copies) == 1 for copies in records.taken.values()), (
        "the results were kept until there was room"
    )
    troubles = [json.loads(line) for line in (world.folder / "daemon-1.log").read_text().splitlines()]
    assert {each["event"] for each in troubles if each["level"] == "error"} == {"journal cannot be written"}
