"""The webhook receiver counts what it is for, and fails as it is told to."""

from datetime import UTC, datetime

import msgspec
import pytest
from standardwebhooks import Webhook

from bench.peers.receiver_options import Fate, Fates, Fault, parse_options
from bench.peers.receiver_record import Record, Refused

SECRET = "whsec_c3RlbnRvciBiZW5jaCBldmVudHMgc2NlbmFyaW8="
NOW_S = 1_800_000_000


def body(seq: int, message: str = "m1") -> bytes:
    return msgspec.json.encode(
        {"id": str(seq), "type": "message.sent", "message": {"id": message, "to": "x"}}
    )


def head(seq: int, signature: str = "", timestamp_s: int = NOW_S) -> bytes:
    lines = f"POST / HTTP/1.1\r\nWebhook-Id: {seq}\r\nwebhook-timestamp: {timestamp_s}\r\n"
    return (lines + (f"webhook-signature: {signature}\r\n" if signature else "")).encode()


def take(record: Record, seq: int, message: str = "m1") -> None:
    record.accept(record.arrive(head(seq), body(seq, message), 1.0, NOW_S))


def test_events_are_counted_once_and_repeats_apart() -> None:
    record = Record(())
    for seq in (1, 2, 2, 100_000, 1):
        take(record, seq)
    assert (record.counts.accepted, record.counts.duplicates, record.counts.disordered) == (3, 2, 0)
    assert record.messages == 1


def test_an_event_behind_a_later_one_of_its_message_is_disorder() -> None:
    record = Record(())
    for seq, message in ((5, "a"), (4, "b"), (3, "a"), (5, "a")):
        take(record, seq, message)
    assert record.counts.disordered == 1


def test_two_events_of_a_message_at_once_overlap() -> None:
    record = Record(())
    first = record.arrive(head(1), body(1), 1.0, NOW_S)
    record.arrive(head(2), body(2, "other"), 1.0, NOW_S)
    assert record.counts.overlapping == 0
    second = record.arrive(head(3), body(3), 1.0, NOW_S)
    assert record.counts.overlapping == 1
    record.leave(first)
    record.leave(second)
    record.arrive(head(4), body(4), 1.0, NOW_S)
    assert record.counts.overlapping == 1


@pytest.mark.parametrize("wrong", ["nothing", "content", "old"])
def test_only_what_the_scheme_signed_is_genuine(wrong: str) -> None:
    timestamp_s = NOW_S - (301 if wrong == "old" else 0)
    moment = datetime.fromtimestamp(timestamp_s, UTC)
    signature = Webhook(SECRET).sign("7", moment, body(7).decode())
    record = Record((SECRET,))
    good = Webhook(SECRET).sign("7", datetime.fromtimestamp(NOW_S, UTC), body(7).decode())
    record.accept(record.arrive(head(7, f"v1,AAAA {good}"), body(7), 1.0, NOW_S))
    given = "" if wrong == "nothing" else signature
    told = body(7, "m2") if wrong == "content" else body(7)
    with pytest.raises(Refused) as refused:
        record.arrive(head(7, given, timestamp_s), told, 1.0, NOW_S)
    assert refused.value.status == 401
    assert (record.counts.accepted, record.counts.forged) == (1, 1)


def test_what_is_no_event_is_broken() -> None:
    record = Record(())
    for octets in (b"", b"{}", body(8)):
        with pytest.raises(Refused):
            record.arrive(head(7), octets, 1.0, NOW_S)
    assert record.counts.broken == 3


def test_a_seed_draws_one_course_with_the_shares_that_were_asked_for() -> None:
    words = ["--seed", "4", "--statuses", "500=0.2,429=0.1", "--silent", "0.1", "--latency", "5-10ms"]
    fates = [[Fates(parse_options(words))] * 2000 for _ in range(2)]
    one, other = ([each.draw() for each in row] for row in fates)
    assert one == other
    assert 300 < sum(fate.status == 500 for fate in one) < 500
    assert 100 < sum(fate.fault is Fault.SILENT for fate in one) < 300
    assert all(0.005 <= fate.delay_s <= 0.010 for fate in one)


def test_without_options_nothing_goes_wrong_and_healing_ends_what_does() -> None:
    assert Fates(parse_options([])).draw() == Fate()
    fates = Fates(parse_options(["--silent", "1"]))
    assert fates.draw().fault is Fault.SILENT
    fates.heal()
    assert fates.draw() == Fate()


def test_shares_beyond_all_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--silent", "0.7", "--half", "0.7"])
    assert "add up to more than 1" in capsys.readouterr().err
