"""Ordered messages leave one after the other: what left is held against what should have left before it."""

from stentor.message import Delivery, Message, Status
from stentor.pacing.strands import HELD
from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.scene import Scene


def check_order(world: Scene, message: Message) -> None:
    """A message is handed over. Raises Violation if another to the same destination should be on its way, or be sent,
    before it.

    Looked at are messages whose place in the order is beyond doubt: of one segment, to be repeated until they are sent,
    never held; of one queue, for the journal orders within queues. What is scheduled, or was moved by quiet hours, has
    its place when it is due: another came before if it was accepted and due before. Where somebody sets the clock, that
    can be said only of what never waited for its time.
    """
    dispatcher = world.dispatcher
    if dispatcher is None or not _is_plain(message) or world.are_held:
        return
    for key in world.journal.unsent:
        other = world.journal.messages[key]
        if key >= message.key or not _is_plain(other) or _queue(other) != _queue(message):
            continue
        other = dispatcher.backlog.open.get(key) or dispatcher.ledger.uncommitted(key) or other
        if world.is_clock_set and not (_is_immediate(other) and _is_immediate(message)):
            continue
        if other.due_at_ms > message.due_at_ms and not world.is_clock_set:
            continue
        if key not in world.accepted or world.fates.is_settled(key + 1) or other.strand == HELD:
            continue
        if other.status <= Status.SENDING:
            raise Violation(f"message {message.key} left before message {key}, both are ordered")


def _queue(message: Message) -> tuple[object, ...]:
    return message.account, message.to, message.route, message.priority


def _is_immediate(message: Message) -> bool:
    return not message.send_at_ms and message.due_at_ms == message.submitted_at_ms


def _is_plain(message: Message) -> bool:
    return (
        message.is_ordered
        and message.segments == 1
        and message.delivery is Delivery.AT_LEAST_ONCE
        and message.status <= Status.QUEUED
    )
