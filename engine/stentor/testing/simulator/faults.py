"""What goes wrong in a simulated world, and how often.

Each world draws its own mixture: some faults are absent, others are common. A world in which everything fails a
little finds less than many worlds in which a few things fail a lot.
"""

from random import Random

import msgspec


class Violation(AssertionError):
    """The engine broke one of its promises."""


class Faults(msgspec.Struct, frozen=True):
    """Probabilities of one event each, unless a unit says otherwise; times are seconds."""

    crash: float = 0.0
    """After any one step."""
    commit_fails: float = 0.0
    commit_slow: float = 0.0
    read_slow: float = 0.0
    told_late: float = 0.0
    """A commit is durable for a while before the dispatcher hears of it."""
    refused: float = 0.0
    deferred: float = 0.0
    throttled: float = 0.0
    returned: float = 0.0
    doubted: float = 0.0
    silent: float = 0.0
    """No answer until the driver's own time limit."""
    answer_slow: float = 0.0
    answer_twice: float = 0.0
    answer_at_once: float = 0.0
    """Before the driver's ``submit`` returns."""
    answer_late: float = 0.0
    """Behind the doubt it was taken for."""
    receipt_unnamed: float = 0.0
    """It repeats the reference of what was never answered, and no id; where receipts do repeat references."""
    receipt_first: float = 0.0
    """Before the response."""
    receipt_twice: float = 0.0
    receipt_missing: float = 0.0
    receipt_late: float = 0.0
    receipt_between: float = 0.0
    """An intermediate receipt comes first."""
    receipt_unknown: float = 0.0
    receipt_bad: float = 0.0
    """It tells of a failure."""
    answer_lost: float = 0.0
    """A part of an inbound message is acknowledged, and comes again all the same."""
    part_missing: float = 0.0
    reference_reused: float = 0.0
    link_lost_s: float = 0.0
    """Mean time between losses of a lane, 0 for never; so also below."""
    lane_changed_s: float = 0.0
    paused_s: float = 0.0
    removed_s: float = 0.0
    adjusted_s: float = 0.0
    clock_jumps_s: float = 0.0
    cancelled_s: float = 0.0
    ordered: float = 0.0
    """No fault: messages that must keep their order."""
    held_s: float = 0.0
    """Messages held or released, batches paused, resumed or cancelled."""

    @property
    def is_prompt(self) -> bool:
        """Journal and clock do what they should."""
        return not (
            self.commit_fails or self.commit_slow or self.read_slow or self.told_late or self.clock_jumps_s
        )

    @classmethod
    def drawn(cls, random: Random) -> "Faults":
        """A mixture: each fault is left out in about half of all worlds."""

        def often(most: float) -> float:
            return random.choice((0.0, 0.0, most / 5, most))

        def every(least_s: float) -> float:
            return random.choice((0.0, 0.0, least_s, least_s * 5))

        drawn = cls(
            crash=often(0.004),
            commit_fails=often(0.2),
            commit_slow=often(0.2),
            read_slow=often(0.5),
            told_late=often(0.5),
            refused=often(0.1),
            deferred=often(0.3),
            throttled=often(0.2),
            returned=often(0.2),
            doubted=often(0.2),
            silent=often(0.1),
            answer_slow=often(0.5),
            answer_twice=often(0.2),
            answer_at_once=often(0.5),
            answer_late=often(0.5),
            receipt_unnamed=often(0.3),
            receipt_first=often(0.5),
            receipt_twice=often(0.3),
            receipt_missing=often(0.1),
            receipt_late=often(0.3),
            receipt_between=often(0.3),
            receipt_unknown=often(0.2),
            receipt_bad=often(0.3),
            link_lost_s=every(60.0),
            lane_changed_s=every(60.0),
            paused_s=every(300.0),
            removed_s=every(400.0),
            adjusted_s=every(400.0),
            clock_jumps_s=every(300.0),
            cancelled_s=every(30.0),
            answer_lost=often(0.4),
            part_missing=often(0.1),
            reference_reused=often(0.5),
            held_s=every(60.0),
            ordered=often(0.5),
        )
        # Only where journal and clock do what they should can the engine be held to being on time.
        return drawn.made_prompt() if random.random() < 0.15 else drawn

    def made_prompt(self) -> "Faults":
        """The same mixture, with a journal and a clock that do what they should."""
        nothing = {
            "commit_fails": 0.0,
            "commit_slow": 0.0,
            "read_slow": 0.0,
            "told_late": 0.0,
            "clock_jumps_s": 0.0,
        }
        return msgspec.structs.replace(self, **nothing)


CALM = Faults()
"""Nothing goes wrong."""
