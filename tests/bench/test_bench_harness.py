"""Where the bench's processes run."""

import os

import pytest

from bench.harness import Workplace, peers_cores

SHOW = "import os; print(*sorted(os.sched_getaffinity(0)))"


@pytest.mark.parametrize(
    ("cores", "left"),
    [({0, 1}, {1}), ({0, 1, 2, 3}, {1, 2, 3}), ({2, 5}, {5}), ({0}, {0}), ({7}, {7})],
)
def test_peers_leave_a_core_to_the_daemon_where_there_are_two(cores: set[int], left: set[int]) -> None:
    assert peers_cores(cores) == left


def test_a_peer_keeps_to_its_cores_and_what_is_measured_may_use_all() -> None:
    own = os.sched_getaffinity(0)
    with Workplace() as place:
        peer = place.start("peer", "-c", SHOW)
        measured = place.start("measured", "-c", SHOW, is_peer=False)
        assert set(map(int, peer.read_line(10.0).split())) == peers_cores(own)
        assert set(map(int, measured.read_line(10.0).split())) == own
