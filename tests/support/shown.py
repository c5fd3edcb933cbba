"""Events with their messages as a reader of the journal gives them."""

from collections.abc import Iterable

from stentor.api.render import encode, message_body
from stentor.message import STATUS_OF_EVENT, Event, Message

Pair = tuple[Event, Message | bytes | None]


def shown(pairs: Iterable[tuple[Event, Message | None]], *, as_text: bool) -> list[Pair]:
    """Messages as they are, or as texts in the status their event tells of."""
    return [
        (
            event,
            message and encode(message_body(message, STATUS_OF_EVENT[event.kind])) if as_text else message,
        )
        for event, message in pairs
    ]
