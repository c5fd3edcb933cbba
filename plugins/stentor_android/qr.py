"""QR codes in a terminal: two rows of the code in a row of half blocks, light on dark as terminals are."""

from collections.abc import Sequence
from typing import Final

import segno

_BORDER: Final = 2
_BLOCKS: Final = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
"""By the upper and the lower module, 1 for dark: what is light is drawn."""


def code_lines(text: str) -> list[str]:
    """The lines of a code, all of one width."""
    rows = [list(row) for row in segno.make(text, micro=False, error="m").matrix_iter(border=_BORDER)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    return [
        "".join(_BLOCKS[int(upper), int(lower)] for upper, lower in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]


def beside(left: Sequence[str], right: Sequence[str], gap: int = 4) -> list[str]:
    """Two blocks of lines in one."""
    height = max(len(left), len(right))
    padded = [*left, *[" " * len(left[0])] * (height - len(left))]
    others = [*right, *[""] * (height - len(right))]
    return [f"{first}{' ' * gap}{second}".rstrip() for first, second in zip(padded, others, strict=True)]
