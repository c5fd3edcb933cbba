"""How much room there is on a disk."""

import pytest

from stentor.journal.space import MIB, Space, judge

GIB = 1024 * MIB
ROOMY, LOW, SHORT = Space.ROOMY, Space.LOW, Space.SHORT


@pytest.mark.parametrize(
    ("before", "free", "total", "after"),
    [
        (ROOMY, 51, 1000, ROOMY),
        (ROOMY, 49, 1000, LOW),
        (ROOMY, 19, 1000, SHORT),
        (LOW, 51, 1000, LOW),
        (LOW, 76, 1000, ROOMY),
        (LOW, 21, 1000, LOW),
        (LOW, 19, 1000, SHORT),
        (SHORT, 21, 1000, SHORT),
        (SHORT, 31, 1000, LOW),
        (SHORT, 76, 1000, ROOMY),
        (ROOMY, 0, 1000, SHORT),
        # A file system that does not say how large it is.
        (ROOMY, 0, 0, ROOMY),
        (ROOMY, 3 * GIB, 4096 * GIB, ROOMY),
        (ROOMY, GIB, 4096 * GIB, LOW),
        (ROOMY, 500 * MIB, 4096 * GIB, SHORT),
        (SHORT, 700 * MIB, 4096 * GIB, SHORT),
        (SHORT, 800 * MIB, 4096 * GIB, LOW),
    ],
)
def test_a_disk_is_judged_by_what_is_free_of_it(before: Space, free: int, total: int, after: Space) -> None:
    assert judge(before, free, total) is after


def test_the_judgement_does_not_go_to_and_fro_at_an_edge() -> None:
    space, seen = ROOMY, []
    for free in [49, 51] * 10 + [19, 21] * 10:
        space = judge(space, free, 1000)
        seen.append(space)
    assert seen == [LOW] * 20 + [SHORT] * 20
