"""Tables of what waits and what for, in ``stentor status``."""

from collections.abc import Sequence
from typing import Any

from stentor.cli import screen
from stentor.snapshot import LimitSnapshot


def limits(found: Sequence[LimitSnapshot]) -> Any:
    """Each quota: what may still go, how many wait, and when the next may go."""
    table = screen.table(
        "limit", "for", "allows", "left", "waiting", "next in", right=("left", "waiting", "next in")
    )
    for line in found:
        table.add_row(
            screen.styled(line.name, "bold"),
            screen.styled(" ".join(line.values) or "–"),
            f"{line.limit:,} {line.unit} a {line.every}",
            f"{line.left:,}",
            screen.styled(f"{line.waiting:,}", "yellow" if line.waiting else ""),
            duration(line.ready_in_s) if line.ready_in_s else "–",
        )
    return table


def duration(seconds: float) -> str:
    """The two largest units: "3 d 4 h", "12 min 5 s", "0.4 s"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    parts = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
