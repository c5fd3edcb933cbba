"""What the journal keeps of webhooks, as they *are*, like all its records (``stentor.journal.records``)."""

import msgspec

from stentor.message import Event
from stentor.webhooks.subscription import Webhook


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far a webhook is. All that concerns it up to event ``seq`` is delivered, given up or :class:`Waiting`.

    A replay goes on after ``replay_seq`` up to ``replay_end_seq`` with events from ``replay_since_ms`` to before
    ``replay_until_ms``; it is over when the two are equal. ``failing_since_ms``: nothing was delivered since that
    first failure, 0 for a webhook that works. ``delivered_at_ms``: when something last was.
    """

    webhook: int
    seq: int
    failing_since_ms: int = 0
    delivered_at_ms: int = 0
    replay_seq: int = 0
    replay_end_seq: int = 0
    replay_since_ms: int = 0
    replay_until_ms: int = 0


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A delivery that was or may have been tried, and waits to be tried again. The journal may forget the event
    meanwhile, so it is here; its age counts from ``since_ms``."""

    webhook: int
    event: Event
    attempts: int
    due_at_ms: int
    since_ms: int


class AttemptBlock(msgspec.Struct, frozen=True, gc=False):
    """Attempts of one webhook, as octets (``attempts``). A ring of a fixed number of slots holds them: block
    ``number`` of ``ring`` replaces the one of that many before it. ``last_attempt`` is the newest in it."""

    webhook: int
    ring: int
    slot: int
    number: int
    last_attempt: int
    at_ms: int
    octets: bytes


class WebhookRecords(msgspec.Struct):
    """The webhooks' part of a commit. None: gone. A webhook that is gone takes all that is kept of it along."""

    webhooks: dict[int, Webhook | None] = msgspec.field(default_factory=dict)
    progress: dict[int, Progress] = msgspec.field(default_factory=dict)
    waiting: dict[tuple[int, int], Waiting | None] = msgspec.field(default_factory=dict)
    attempts: dict[tuple[int, int, int], AttemptBlock] = msgspec.field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.webhooks) + len(self.progress) + len(self.waiting) + len(self.attempts)

    def merged(self, later: "WebhookRecords") -> "WebhookRecords":
        """These, and then ``later`` ones."""
        return WebhookRecords(
            self.webhooks | later.webhooks,
            self.progress | later.progress,
            self.waiting | later.waiting,
            self.attempts | later.attempts,
        )


class WebhookRecovery(msgspec.Struct, frozen=True):
    """One webhook as the journal holds it. ``blocks`` is the newest block's number by ring, -1 for none."""

    webhook: Webhook
    progress: Progress
    waiting: tuple[Waiting, ...] = ()
    blocks: tuple[int, ...] = ()
    last_attempt: int = 0
