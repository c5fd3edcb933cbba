"""Tables of what waits and what for, in ``stentor status``."""

from collections.abc import Sequence
from typing import Any

from stentor.cli import screen
from stentor.dispatch.snapshot import LimitSnapshot, QueueShape


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


def queue_shape(shape: QueueShape) -> list[Any]:
    """A row for each calling code, a column for each age, and their sums."""
    names = [f"< {duration(age_s)}" for age_s in shape.ages_s] + [f"> {duration(shape.ages_s[-1])}"]
    table = screen.table("to", "all", *names, right=("all", *names))
    sums = [sum(column) for column in zip(*(line.counts for line in shape.lines), strict=True)] or [0] * len(
        names
    )
    for prefix, counts in (("all", sums), *((line.prefix, line.counts) for line in shape.lines)):
        cells = [f"{count:,}" if count else "–" for count in counts]
        table.add_row(screen.styled(prefix, "bold"), f"{sum(counts):,}", *cells)
    return (
        [table]
        if shape.is_whole
        else [table, "", screen.styled("The queue is longer than was looked at.", "yellow")]
    )


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
