"""The checker finds what it is there to find: each doctored history is told from the true one."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.crash.checker import check, faults
from tests.crash.evidence import (
    AT_LEAST_ONCE,
    AT_MOST_ONCE,
    CANCELLED,
    DELIVERED,
    QUEUED,
    SENDING,
    SENT,
    UNKNOWN,
    Image,
    Life,
    Records,
    Row,
    key_of,
    look_at,
    read_lines,
)  # fmt: skip

A, B, C = (f"01900000-0000-7{n:03x}-8000-00000000000{n}" for n in (1, 2, 3))
KEY_A, KEY_B, KEY_C = (key_of(each)[0] for each in (A, B, C))


def row(text_id: str, to: str, status: int, delivery: int, *carrier_ids: str) -> Row:
    key, tail = key_of(text_id)
    is_final = status not in (QUEUED, SENDING)
    segments = {index: (status, carrier_id, is_final) for index, carrier_id in enumerate(carrier_ids, 1)}
    return Row(key, tail, to, status, delivery, max(1, len(carrier_ids)), is_final, "hi", segments)


def events(*told: tuple[int, str]) -> list[tuple[int, str, int]]:
    return [(seq, word, key) for seq, (key, word) in enumerate(told, 1)]


def history() -> Records:
    """A is delivered in the first life. B was on the wire at its death, and is sent again. C, at most once, as well."""
    first = {
        KEY_A: row(A, "+4071", DELIVERED, AT_LEAST_ONCE, "c1"),
        KEY_B: row(B, "+4072", QUEUED, AT_LEAST_ONCE),
        KEY_C: row(C, "+4073", SENDING, AT_MOST_ONCE),
    }
    told = [
        (KEY_A, "message.queued"), (KEY_B, "message.queued"), (KEY_C, "message.queued"),
        (KEY_A, "message.sent"), (KEY_A, "message.delivered"),
    ]  # fmt: skip
    later = [
        (KEY_C, "message.unknown"), (KEY_B, "message.sent"), (KEY_B, "message.delivered"),
    ]  # fmt: skip
    last = first | {
        KEY_B: row(B, "+4072", DELIVERED, AT_LEAST_ONCE, "c4"),
        KEY_C: row(C, "+4073", UNKNOWN, AT_MOST_ONCE),
    }
    return Records(
        client=[
            *(
                tried(to, delivery)
                for to, delivery in (("+4071", "at_least_once"), ("+4072", "at_least_once"))
            ),
            tried("+4073", "at_most_once"),
            *(
                {"e": "ack", "t": 20, "to": to, "id": i}
                for to, i in (("+4071", A), ("+4072", B), ("+4073", C))
            ),
            {"e": "event", "t": 30, "seq": 1, "type": "message.queued", "id": A},
        ],
        carrier=[
            {"e": "bind", "t": 11, "c": 1, "account": "alpha", "life": 1},
            submit(21, 1, "c1", "4071"),
            submit(22, 1, "c2", "4072"),
            submit(23, 1, "c3", "4073"),
            {"e": "deliver", "t": 24, "c": 1, "m": "c1", "state": "DELIVRD"},
            {"e": "ack", "t": 25, "c": 1, "m": "c1", "status": 0},
            {"e": "bind", "t": 111, "c": 2, "account": "alpha", "life": 2},
            submit(121, 2, "c4", "4072"),
            {"e": "deliver", "t": 124, "c": 2, "m": "c4", "state": "DELIVRD"},
            {"e": "ack", "t": 125, "c": 2, "m": "c4", "status": 0},
        ],
        lives=[Life(1, "", 1, 10, 99, "kill", -9), Life(2, "", 100, 110, 199, "stop", 0)],
        images={
            1: Image("ok", first, frozenset(), events(*told)),
            2: Image("ok", last, frozenset(), events(*told, *later), (), frozenset({KEY_B})),
        },
        window=2,
    )


def tried(to: str, delivery: str) -> dict:
    return {"e": "try", "t": 12, "to": to, "text": "hi", "delivery": delivery, "receipt": True, "key": None}


def submit(t: int, link: int, carrier_id: str, to: str, status: int = 0) -> dict:
    return {
        "e": "submit", "t": t, "c": link, "q": t, "m": carrier_id, "to": to, "esm": 0, "coding": 0,
        "hex": b"hi".hex(), "status": status,
    }  # fmt: skip


def image(records: Records, number: int, **changes: object) -> Records:
    """The history with one image changed."""
    return replace(records, images=records.images | {number: replace(records.images[number], **changes)})


def rows(records: Records, number: int, *changed: Row) -> Records:
    return image(
        records, number, rows=dict(records.images[number].rows) | {each.key: each for each in changed}
    )


def without(records: Records, number: int, key: int) -> Records:
    return image(records, number, rows={k: v for k, v in records.images[number].rows.items() if k != key})


def client(records: Records, *lines: dict) -> Records:
    return replace(records, client=[*records.client, *lines])


def carrier(records: Records, *lines: dict) -> Records:
    return replace(records, carrier=[*records.carrier, *lines])


def last_events(records: Records, change: Callable[[list], list]) -> Records:
    return image(records, 2, events=change(list(records.images[2].events)))


DOCTORED: dict[str, tuple[Callable[[Records], Records], str]] = {
    "a message accepted and gone after the crash": (lambda r: without(r, 1, KEY_B), "LOST"),
    "a message accepted and gone in the end": (lambda r: without(r, 2, KEY_A), "LOST"),
    "a message under another's id": (
        lambda r: rows(r, 2, replace(r.journal.rows[KEY_A], tail=7)), "LOST",
    ),
    "a message that never ended": (
        lambda r: rows(r, 2, row(B, "+4072", QUEUED, AT_LEAST_ONCE)), "LOST",
    ),
    "a message that was given up as unknown": (
        lambda r: rows(r, 2, row(B, "+4072", UNKNOWN, AT_LEAST_ONCE)), "LOST",
    ),
    "a message sent that no carrier took": (
        lambda r: rows(r, 2, row(B, "+4072", DELIVERED, AT_LEAST_ONCE, "c9")), "LOST",
    ),
    "half of a message": (
        lambda r: rows(r, 2, replace(row(B, "+4072", DELIVERED, AT_LEAST_ONCE, "c4"), count=2)), "LOST",
    ),
    "another text on the wire": (
        lambda r: replace(r, carrier=[x | {"hex": "00"} if x.get("m") == "c4" else x for x in r.carrier]), "LOST",
    ),
    "a final message without its receipt": (
        lambda r: rows(r, 2, row(B, "+4072", SENT, AT_LEAST_ONCE, "c4")), "RECEIPT",
    ),
    "a cancel that was confirmed and not kept": (
        lambda r: client(r, {"e": "cancel", "t": 130, "id": A, "status": 200}), "LOST",
    ),
    "a message cancelled by nobody": (
        lambda r: rows(r, 2, row(B, "+4072", CANCELLED, AT_LEAST_ONCE)), "LOST",
    ),
    "one submit stored twice": (
        lambda r: rows(r, 2, replace(r.journal.rows[KEY_A], key=256)), "TWICE",
    ),
    "a repeated submit with another id": (
        lambda r: client(r, {"e": "ack", "t": 150, "to": "+4071", "id": B}), "TWICE",
    ),
    "sent again though its result was durable": (lambda r: carrier(r, submit(126, 2, "c5", "4071")), "TWICE"),
    "sent again in one life": (lambda r: carrier(r, submit(127, 2, "c5", "4072")), "TWICE"),
    "an at-most-once message sent again": (lambda r: carrier(r, submit(128, 2, "c6", "4073")), "TWICE"),
    "sent again in silence": (lambda r: image(r, 2, doubted=frozenset()), "SILENT"),
    "more in doubt than the windows hold": (lambda r: replace(r, window=0), "TWICE"),
    "sent again after a stop in good order": (
        lambda r: replace(r, lives=[replace(r.lives[0], how="stop", code=0), r.lives[1]]), "TWICE",
    ),
    "on the wire without being stored": (lambda r: carrier(r, submit(129, 2, "c7", "4099")), "TWICE"),
    "a receipt acknowledged and not kept by that life": (
        lambda r: carrier(
            r, {"e": "deliver", "t": 26, "c": 1, "m": "c2", "state": "DELIVRD"},
            {"e": "ack", "t": 27, "c": 1, "m": "c2", "status": 0},
        ), "RECEIPT",
    ),
    "a receipt applied and lost later": (
        lambda r: rows(r, 2, replace(r.journal.rows[KEY_A], segments={1: (SENT, "c1", False)})), "RECEIPT",
    ),
    "a receipt that says otherwise": (
        lambda r: replace(r, carrier=[x | {"state": "UNDELIV"} if "state" in x else x for x in r.carrier]), "RECEIPT",
    ),
    "an end without its event": (lambda r: last_events(r, lambda told: told[:-1]), "EVENTS"),
    "an end told twice": (lambda r: last_events(r, lambda told: [*told, (9, *told[-1][1:])]), "EVENTS"),
    "events out of order": (
        lambda r: last_events(r, lambda told: [*told[:6], (7, *told[7][1:]), (8, *told[6][1:])]), "EVENTS",
    ),
    "a gap in the events": (lambda r: image(r, 1, gaps=["events [5]..6 follow event 3"]), "EVENTS"),
    "an event told that was not durable": (
        lambda r: client(r, {"e": "event", "t": 31, "seq": 2, "type": "message.sent", "id": A}), "EVENTS",
    ),
    "an event that was left out": (
        lambda r: client(r, {"e": "event", "t": 31, "seq": 3, "type": "message.queued", "id": C}), "EVENTS",
    ),
    "a damaged journal": (lambda r: image(r, 1, integrity="row 3 missing from index"), "JOURNAL"),
    "a stop that failed": (lambda r: replace(r, lives=[r.lives[0], replace(r.lives[1], code=1)]), "STOP"),
    "a stop that left doubt": (lambda r: rows(r, 2, row(C, "+4073", SENDING, AT_MOST_ONCE)), "STOP"),
    "slow starts": (
        lambda r: replace(r, start_s=0.4, lives=[replace(x, cost_s=2.0) for x in r.lives]), "START",
    ),
    "a fault in the log": (lambda r: replace(r, logs={1: ["Traceback (most recent call last):"]}), "LOG"),
}  # fmt: skip


def test_a_true_history_has_no_contradiction() -> None:
    assert check(history()) == []


@pytest.mark.parametrize("name", DOCTORED)
def test_a_doctored_history_is_found_out(name: str) -> None:
    doctor, rule = DOCTORED[name]
    found = check(doctor(history()))
    assert [sentence for sentence in found if sentence.startswith(rule)], found


def test_a_receipt_that_waits_for_its_message_is_kept() -> None:
    parked = carrier(
        history(),
        {"e": "deliver", "t": 26, "c": 1, "m": "c2", "state": "DELIVRD"},
        {"e": "ack", "t": 27, "c": 1, "m": "c2", "status": 0},
    )
    for number in (1, 2):
        parked = image(parked, number, parked=frozenset({"c2"}))
    assert check(parked) == []


def test_a_link_that_may_die_allows_what_a_crash_does() -> None:
    records = carrier(
        history(),
        {"e": "bind", "t": 131, "c": 3, "account": "alpha", "life": 2},
        submit(132, 3, "c8", "4072"),
    )
    assert any("nothing had happened" in sentence for sentence in check(records))
    records.links_may_die = True
    assert not any("nothing had happened" in sentence for sentence in check(records))


def test_segments_are_known_by_their_headers() -> None:
    header = "050003ab0202"
    line = submit(126, 2, "c5", "4072") | {"esm": 0x40, "hex": header + b"hi".hex()}
    (copy,) = [copy for copy in carrier(history(), line).copies if copy.carrier_id == "c5"]
    assert (copy.index, copy.count, copy.text) == (2, 2, "hi")


def test_a_key_is_the_time_and_the_counter_of_an_id() -> None:
    assert key_of("01900000-0000-7003-8000-000000000003") == (
        ((0x019000000000 - 1_577_836_800_000) << 12 | 3) << 8,
        3,
    )


def test_a_record_ends_before_a_half_written_line(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_bytes(b'{"e":"ack"}\n{"e":"a')
    assert read_lines(path) == [{"e": "ack"}]


def test_a_log_may_hold_lines_of_the_log_alone() -> None:
    quiet = json.dumps({"level": "warning", "event": "link trouble"})
    loud = json.dumps({"level": "error", "event": "driver failed"})
    assert list(faults([quiet, loud, "oops"])) == [loud, "oops"]


def test_a_journal_is_read_with_its_log_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    assert look_at(tmp_path / "absent.db").rows == {}
    path = tmp_path / "journal.db"
    db = sqlite3.connect(path)
    db.executescript((Path(__file__).parents[2] / "engine/stentor/aio/journal/schema.sql").read_text())
    db.execute("PRAGMA user_version = 1")
    block = msgspec.msgpack.encode([[1, 1, 5, "default", KEY_A, "", ""], [3, 2, 5, "default", KEY_A, "", ""]])
    db.execute("INSERT INTO event VALUES (3, 1, 5, ?)", (block,))
    db.execute("INSERT INTO parked VALUES ('f', 'c9', 4, 1, NULL, 0)")
    for at, error in enumerate(('{"code":"no_answer"}', '{"code":"carrier_busy"}', None)):
        db.execute("INSERT INTO history VALUES (?, 1, 0, 1, 1, 'a', ?)", (KEY_A + (at << 8), error))
    db.commit()
    db.close()
    image = look_at(path)
    assert (image.integrity, image.parked) == ("ok", frozenset({"c9"}))
    assert image.doubted == {KEY_A}
    assert image.events == [(1, "message.queued", KEY_A), (3, "message.sent", KEY_A)]
    assert len(image.gaps) == 1, "event 2 is missing"
    octets = bytearray(path.read_bytes())
    octets[4096:4496] = b"\xff" * 400
    path.write_bytes(octets)
    assert look_at(path).integrity != "ok"
