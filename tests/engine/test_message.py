"""The closed sets that describe a message, and their words."""

from stentor.message import (
    EVENT_OF_STATUS,
    EVENT_WORDS,
    PRIORITY_WORDS,
    EventKind,
    Message,
    Priority,
    Status,
)
from stentor.text.segments import Encoding

FINAL = ["delivered", "undelivered", "rejected", "failed", "expired", "cancelled", "unknown"]


def test_statuses_are_the_contract_s_words() -> None:
    assert {status.word for status in Status} == {
        "scheduled",
        "queued",
        "sending",
        "sent",
        *FINAL,
        "received",
    }


def test_the_numbers_of_statuses_are_those_in_the_journal() -> None:
    assert [status.name for status in sorted(Status)] == [
        "SCHEDULED", "QUEUED", "SENDING", "SENT", "DELIVERED", "UNDELIVERED",
        "REJECTED", "FAILED", "EXPIRED", "CANCELLED", "UNKNOWN", "RECEIVED",
    ]  # fmt: skip


def test_statuses_below_sent_have_not_left() -> None:
    assert [status for status in Status if status < Status.SENT] == [
        Status.SCHEDULED,
        Status.QUEUED,
        Status.SENDING,
    ]


def test_priorities_are_in_order_of_urgency() -> None:
    assert [priority.word for priority in sorted(Priority)] == ["urgent", "high", "normal", "bulk"]
    assert PRIORITY_WORDS[Priority.BULK] == "bulk"


def test_events_are_the_contract_s_words() -> None:
    messages = {f"message.{word}" for word in ("queued", "sent", *FINAL, "received")}
    assert set(EVENT_WORDS.values()) == messages | {"channel.up", "channel.down", "webhook.disabled"}


def test_every_status_that_clients_are_told_of_has_its_event() -> None:
    silent = {Status.SCHEDULED, Status.SENDING}
    assert set(EVENT_OF_STATUS) == set(Status) - silent
    assert all(kind is EventKind[status.name] for status, kind in EVENT_OF_STATUS.items())


def test_a_message_is_final_once_it_says_when() -> None:
    message = Message(256, 0, "a", "+1", "1", "x", Encoding.GSM7, 1, 0, 0, 0, ("alpha",), status=Status.SENT)
    assert not message.is_final
    message.final_at_ms = 1
    assert message.is_final
    assert (
        message.segment_list
        is not Message(512, 0, "a", "+1", "1", "x", Encoding.GSM7, 1, 0, 0, 0, ()).segment_list
    )
