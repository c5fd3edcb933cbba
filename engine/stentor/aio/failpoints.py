"""Named points at which a test makes the process die, so that any order of crash and commit can be had at will.

Nothing happens at a point unless the environment names it: ``STENTOR_FAILPOINT=NAME[:COUNT[:ACTION]]`` kills
the process when the point is reached for the COUNT-th time (1 by default). It is killed by SIGKILL, so nothing
is tidied up. A point costs one comparison, and points stand where batches pass, never where single messages do.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Mapping
from enum import Enum
from typing import Final

from stentor.journal.records import Commit
from stentor.settling.ledger import Effects

VARIABLE: Final = "STENTOR_FAILPOINT"

LATE_S: Final = 0.0005
"""How long after its point a late death comes: within the system calls that follow."""

POINTS: Final[Mapping[str, str]] = {
    "migration-step": "a statement of a migration ran; the step is not committed",
    "recovered": "the journal was read after the start; what it left in doubt is not settled",
    "before-ready": "the listeners are open; nobody was told",
    "body-decoded": "submissions were decoded and admitted; nothing of them is written",
    "before-accept-commit": "a commit with new messages is about to be written",
    "after-accept-commit": "new messages are durable; their clients have no answer",
    "after-answer": "the answers have left for the clients",
    "before-lease-commit": "the leases of at-most-once attempts are about to be written",
    "after-lease-commit": "the leases are durable; nothing was handed to a driver",
    "handing-over": "a batch is about to be handed to its driver",
    "handed-over": "the octets of a batch have left for the carrier",
    "outcomes-reported": "a driver reported outcomes; nothing of them is written",
    "before-result-commit": "results are about to be written; their window slots are still taken",
    "after-result-commit": "results are durable; nobody was told, no slot is free again",
    "receipts-reported": "a driver reported receipts or messages; nothing of them is written",
    "before-receipt-commit": "receipts are about to be written",
    "after-receipt-commit": "receipts are durable; the carrier has no acknowledgement",
    "after-acknowledgement": "the acknowledgements of receipts have left for the carrier",
    "before-memory-commit": "what a driver keeps is about to be written, such as what a phone is to be told of",
    "after-memory-commit": "what a driver keeps is durable; the driver does not know",
    "before-events": "events are durable; no subscriber was told",
    "open-transaction": "every statement of a transaction ran; it is not committed",
    "closed-transaction": "a transaction is committed; the loop does not know",
    "checkpoint": "the log is about to be moved into the main file",
    "checkpointed": "the log was moved",
    "pruning": "old events and answers are about to be deleted",
    "reload-planned": "a new configuration was read and compared; nothing of it is applied",
    "reload-applied": "channels follow the new configuration; the rest does not yet",
    "stopping": "the daemon was told to stop; its channels are not drained",
    "drained": "the channels have drained; their last results may not be written",
    "closing": "everything is written; the journal is still open",
}
"""Every point, and what is true when it is reached."""


class Action(Enum):
    """What happens at a point: the process is killed, killed a moment later, or stopped until it is continued."""

    KILL = "kill"
    LATE = "late"
    STOP = "stop"


class Armed:
    """The one point that does something in this process; reached on the loop's thread or the journal's."""

    def __init__(self, name: str, count: int = 1, action: Action = Action.KILL) -> None:
        self.name = name
        self.action = action
        self._left = count

    def hit(self) -> None:
        self._left -= 1
        if self._left:
            return
        if self.action is Action.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.action is Action.LATE:
            threading.Timer(LATE_S, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def parse(text: str) -> Armed:
    """What the environment asks for. Raises ValueError for a point there is not."""
    name, _, rest = text.partition(":")
    count, _, action = rest.partition(":")
    if name not in POINTS:
        raise ValueError(f"{VARIABLE}: there is no point {name!r}")
    return Armed(name, int(count or 1), Action(action or "kill"))


_armed: Final = parse(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def hit(name: str) -> None:
    """The point was reached."""
    if _armed is not None and _armed.name == name:
        _armed.hit()


def hit_soon(name: str) -> None:
    """The point is reached once the octets written in this turn of the loop have gone to the kernel."""
    if _armed is not None and _armed.name == name:
        # uvloop sends at the end of a turn; what is called soon runs in the next.
        asyncio.get_running_loop().call_soon(_armed.hit)


def before_commit(commit: Commit, effects: Effects) -> None:
    """The points before a commit, by what it carries."""
    if _armed is None:
        return
    if commit.accepted:
        hit("before-accept-commit")
    if effects.leases:
        hit("before-lease-commit")
    if commit.segments and effects.slots:
        hit("before-result-commit")
    if effects.tickets:
        hit("before-receipt-commit")
    if commit.memory:
        hit("before-memory-commit")


def after_commit(commit: Commit, effects: Effects) -> None:
    """The points behind a commit that is durable and that nobody knows of."""
    if _armed is None:
        return
    if commit.accepted:
        hit("after-accept-commit")
    if effects.leases:
        hit("after-lease-commit")
    if commit.segments and effects.slots:
        hit("after-result-commit")
    if effects.tickets:
        hit("after-receipt-commit")
    if commit.memory:
        hit("after-memory-commit")
