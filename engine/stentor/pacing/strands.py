"""What divides a queue: messages that may have to wait for the same things form a *strand* of it.

A queue of the backlog is read from the journal in order, so what stands at its head and may not go would keep back all
behind it. Messages of a batch, and messages that a rate limit concerns, are therefore put into one of a few strands of
their queue, by what they have in common; each strand is read by itself. A strand is only where a message waits: two
that share one by chance wait behind each other, nothing worse, and a strand chosen under an older configuration is as
good as any.

Messages that must keep their order wait in strands of their own, from ORDERED on: no other message waits for what these
may have to wait for (``stentor.journal.backlog``).

Messages that nothing divides are in strand PLAIN, and so are those that find room in memory when they come: a strand
is a place of its own to write to, and they are hardly ever read from there. Strand HELD is never read: there stands
what is held back, until it is released.
"""

from collections.abc import Hashable
from typing import Final
from zlib import crc32

HELD: Final = -1
PLAIN: Final = 0
COUNT: Final = 32
"""Strands of a queue beside HELD, PLAIN among them. More separate better, and are more reads of fewer messages."""
ORDERED: Final = COUNT
"""The first of the strands, COUNT of them, of messages that must keep their order."""


def mark_of(*common: Hashable) -> int:
    """A number for what has all of this in common: the same in every run, and hardly ever another's."""
    return crc32(repr(common).encode("utf-8", "surrogatepass")) or 1


def strand_of(marks: int, *common: Hashable) -> int:
    """The strand of what shares a sum of marks, and all of ``common``; the same in every run. PLAIN for nothing."""
    if any(common):
        marks += mark_of(*common)
    return marks and 1 + marks % (COUNT - 1)


def strand_in_order(account: str, to: str) -> int:
    """The strand of an account's ordered messages to one destination."""
    return ORDERED + mark_of(account, to) % COUNT
