"""The book of requests that were sent and not answered yet: numbers, deadlines, and what came too late.

Owns sequence numbers and the window (SMPP 3.4 section 3.2). Invariants: a number that is outstanding is never
given out again; entries stand in the order of their deadlines, because every request waits equally long; an
entry leaves exactly once, by its answer, by ``expire`` or by ``hand_back``.
"""

from itertools import islice
from typing import Final

from stentor_smpp.events import Token
from stentor_smpp.fields import GENERIC_NACK

LAST_SEQUENCE: Final = 0x7FFFFFFF


class Ledger:
    """The requests of one session. The dictionaries are open to the session's hot paths."""

    __slots__ = ("_late", "_late_kept", "outstanding", "sequence", "undrained", "waiting")

    def __init__(self, first_sequence: int, late_kept: int) -> None:
        # Requests that hold a slot: sequence -> (token, id of the response, deadline), oldest first.
        self.outstanding: dict[int, tuple[Token, int, float]] = {}
        # bind, unbind and enquire_link of ours, which hold none: sequence -> id of the response.
        self.waiting: dict[int, int] = {}
        # Numbers of requests whose octets have not left the session.
        self.undrained: list[int] = []
        # The number that is tried next.
        self.sequence = first_sequence
        self._late: dict[int, tuple[Token, int]] = {}
        self._late_kept = late_kept

    def next_sequence(self) -> int:
        """A number nobody waits for: upward from 1, and after 0x7FFFFFFF comes 1."""
        sequence = self.sequence
        while sequence in self.outstanding or sequence in self.waiting:
            sequence = sequence + 1 if sequence < LAST_SEQUENCE else 1
        self.sequence = sequence + 1 if sequence < LAST_SEQUENCE else 1
        return sequence

    def oldest_deadline(self) -> float | None:
        """When the first outstanding request expires; None when there is none."""
        for _, _, deadline in self.outstanding.values():
            return deadline
        return None

    def expire(self, now: float) -> list[Token]:
        """Take out the requests whose deadline is not after ``now``; they are remembered for late answers."""
        due: list[int] = []
        for sequence, (_, _, deadline) in self.outstanding.items():
            if deadline > now:
                break
            due.append(sequence)
        tokens: list[Token] = []
        for sequence in due:
            token, response_id, _ = self.outstanding.pop(sequence)
            # A number that wrapped around takes its place among the newest.
            self._late.pop(sequence, None)
            self._late[sequence] = (token, response_id)
            tokens.append(token)
        for sequence in list(islice(self._late, max(0, len(self._late) - self._late_kept))):
            del self._late[sequence]
        return tokens

    def take_late(self, sequence: int, command_id: int) -> tuple[Token, int] | None:
        """The expired request that this response answers, and its response id; given out once."""
        late = self._late.get(sequence)
        if late is None or sequence in self.outstanding or command_id not in (late[1], GENERIC_NACK):
            return None
        del self._late[sequence]
        return late

    def forget_waiting(self, response_id: int) -> None:
        """Stop waiting for answers of one kind; older enquire_links are overtaken by the newest."""
        self.waiting = {number: kind for number, kind in self.waiting.items() if kind != response_id}

    def hand_back(self) -> tuple[list[Token], list[Token]]:
        """Everything outstanding, and an empty book: what never left the session, and what may have."""
        undrained = set(self.undrained)
        never_left: list[Token] = []
        in_doubt: list[Token] = []
        for sequence, (token, _, _) in self.outstanding.items():
            (never_left if sequence in undrained else in_doubt).append(token)
        self.outstanding.clear()
        self.waiting.clear()
        self.undrained.clear()
        self._late.clear()
        return never_left, in_doubt
