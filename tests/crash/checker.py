"""Compares what the client, the carrier and the journal each say of one history, and names every contradiction.

It shares no code with the engine. Every finding is a sentence that begins with its rule:

    LOST       an accepted message is not in the journal, has no end, or not the end it must have
    TWICE      a message or a segment exists more than once without the right to
    SILENT     what was sent more than once does not say so
    RECEIPT    a receipt that was acknowledged was not kept
    EVENTS     a change without its event, or events out of order, or told before they were durable
    JOURNAL    the journal's structure is damaged
    STOP       a stop in good order left something in doubt
    START      the daemon was not ready in time
    LOG        the daemon reported a fault of its own
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from tests.crash.evidence import (
    AT_LEAST_ONCE,
    AT_MOST_ONCE,
    CANCELLED,
    DELIVERED,
    EXPIRED,
    FAILED,
    REJECTED,
    SENDING,
    SENT,
    UNDELIVERED,
    UNKNOWN,
    WORDS,
    Copy,
    Line,
    Records,
    Row,
    key_of,
)  # fmt: skip

READY_S = 1.0
"""How much more processor time a start may take that has something to recover."""


def check(records: Records) -> list[str]:
    """Every contradiction, as sentences; none is what is hoped for."""
    rules = (
        _journals_are_sound,
        _accepted_messages_are_kept,
        _every_message_ends_as_it_must,
        _nothing_exists_twice,
        _nothing_is_sent_twice,
        _what_was_sent_twice_says_so,
        _cancelled_is_cancelled,
        _receipts_are_kept,
        _events_tell_each_change_once,
        _events_told_are_durable,
        _stops_leave_no_doubt,
        _starts_are_quick,
        _logs_are_clean,
    )
    return [sentence for rule in rules for sentence in rule(records)]


def _journals_are_sound(records: Records) -> Iterator[str]:
    for number, image in records.images.items():
        if image.integrity != "ok":
            yield f"JOURNAL after life {number}: {image.integrity}"


def _accepted_messages_are_kept(records: Records) -> Iterator[str]:
    """D1, in the journal each life left and in the last."""
    ends = [(life.ended, records.images[life.number], life.number) for life in records.lives]
    turn = 0
    for ack in records.acks:
        # What was answered before the next life began was answered by this one at the latest.
        while turn + 1 < len(records.lives) and ack["t"] >= records.lives[turn + 1].started:
            turn += 1
        key, tail = key_of(ack["id"])
        for _, image, number in {ends[turn][2]: ends[turn], ends[-1][2]: ends[-1]}.values():
            row = image.rows.get(key)
            if row is None:
                yield f"LOST {ack['to']}: accepted as {ack['id']}, and not in the journal after life {number}"
            elif (row.tail, row.to) != (tail, ack["to"]):
                yield f"LOST {ack['to']}: accepted as {ack['id']}, which is {row.to} after life {number}"


def _every_message_ends_as_it_must(records: Records) -> Iterator[str]:
    """D1: each message of the last journal, acknowledged or not, has one end, and the carrier agrees with it."""
    states = {line["m"]: line["state"] for line in records.carrier if line["e"] == "deliver"}
    refused = {copy.to for copy in records.copies if copy.status == 0x0B}
    for row in records.journal.rows.values():
        to = row.to.removeprefix("+")
        tried = records.tries.get(to)
        if tried is None:
            yield f"TWICE {row.to}: in the journal, and nobody submitted it"
            continue
        if row.text != tried["text"]:
            yield f"LOST {row.to}: its text in the journal is not what was submitted"
        if not row.is_final:
            yield f"LOST {row.to}: {WORDS[row.status]}, and not final when all was done"
        elif row.status in (DELIVERED, UNDELIVERED, SENT):
            yield from _was_taken(records, row, tried, states)
        elif row.status == REJECTED and to not in refused:
            yield f"LOST {row.to}: rejected, and no carrier refused it"
        elif row.status == UNKNOWN and row.delivery == AT_LEAST_ONCE:
            yield f"LOST {row.to}: unknown, though it was to be sent at least once"
        elif row.status in (FAILED, EXPIRED):
            yield f"LOST {row.to}: {WORDS[row.status]} without a cause"


def _was_taken(records: Records, row: Row, tried: Line, states: Mapping[str, str]) -> Iterator[str]:
    to = row.to.removeprefix("+")
    texts = []
    for index in range(1, row.count + 1):
        _, carrier_id, _ = row.segments.get(index, (0, "", False))
        copy = next((copy for copy in records.taken[to, index] if copy.carrier_id == carrier_id), None)
        if copy is None:
            yield f"LOST {row.to}: {WORDS[row.status]}, and the carrier did not take segment {index} as {carrier_id!r}"
            return
        texts.append(copy.text)
        if tried["receipt"]:
            wanted = "UNDELIV" if row.status == UNDELIVERED else "DELIVRD"
            if row.count == 1 and states.get(carrier_id) != wanted:
                yield f"RECEIPT {row.to}: {WORDS[row.status]}, and the carrier said {states.get(carrier_id)}"
    if "".join(texts) != tried["text"]:
        yield f"LOST {row.to}: the carrier was given another text than was submitted"
    if tried["receipt"] is (row.status == SENT):
        yield f"RECEIPT {row.to}: {WORDS[row.status]} with receipt={tried['receipt']}"


def _nothing_exists_twice(records: Records) -> Iterator[str]:
    """Each submit had a destination of its own: however often it was repeated with its key, it is one message."""
    for to, rows in records.journal.by_destination.items():
        if len(rows) > 1:
            yield f"TWICE +{to}: stored {len(rows)} times"
    ids: dict[str, str] = {}
    for ack in records.acks:
        if ids.setdefault(ack["to"], ack["id"]) != ack["id"]:
            yield f"TWICE {ack['to']}: acknowledged as {ids[ack['to']]} and as {ack['id']}"


def _nothing_is_sent_twice(records: Records) -> Iterator[str]:
    """D3: only what had no durable result when its life ended may be sent again, a window of it at most."""
    incidents: Counter[int] = Counter()
    for (to, index), copies in records.taken.items():
        rows = records.journal.by_destination.get(to)
        if not rows:
            yield f"TWICE +{to}: on the wire, and not in the journal"
            continue
        if rows[0].delivery == AT_MOST_ONCE and len(copies) > 1:
            yield f"TWICE +{to}: segment {index} was sent {len(copies)} times, at most once was asked for"
        for before, after in pairwise(copies):
            reason = _wrong_repetition(records, before, after)
            if reason is not None:
                yield f"TWICE +{to}: segment {index} was sent in life {before.life} and {after.life}: {reason}"
            incidents[before.life] += 1
    for life, count in incidents.items():
        if count > records.window:
            yield f"TWICE after life {life}: {count} segments were sent again, the windows hold {records.window}"


def _what_was_sent_twice_says_so(records: Records) -> Iterator[str]:
    """D3: the timeline of a message tells of the attempt that may have left, also where the daemon died under it."""
    for (to, index), copies in records.taken.items():
        for row in records.journal.by_destination.get(to, ()):
            if len(copies) > 1 and row.key not in records.journal.doubted:
                lives = [copy.life for copy in copies]
                yield f"SILENT +{to}: segment {index} was sent in lives {lives}, and its timeline does not say so"


def _wrong_repetition(records: Records, before: Copy, after: Copy) -> str | None:
    if before.life == after.life:
        if before.link == after.link or not records.links_may_die:
            return "nothing had happened in between"
        return None
    if records.life(before.life).how == "stop":
        return "the first was stopped in good order"
    if records.images[after.life - 1].settled(*before.place):
        return f"its result was durable at the end of life {after.life - 1}"
    return None


def _cancelled_is_cancelled(records: Records) -> Iterator[str]:
    """A cancel that was confirmed is an end; what was cancelled is not sent afterwards."""
    for message_id, lines in records.cancels.items():
        row = records.journal.rows.get(key_of(message_id)[0])
        for line in lines:
            if row is not None and line["status"] == 200:
                if row.status != CANCELLED:
                    yield f"LOST {row.to}: its cancel was confirmed, and it is {WORDS[row.status]}"
                to = row.to.removeprefix("+")
                for copy in records.taken.get((to, 1), ()):
                    if copy.at > line["t"]:
                        yield f"TWICE {row.to}: sent after its cancel was confirmed"
            elif row is None and line["status"] in (200, 409):
                yield f"LOST {message_id}: could be cancelled, and is not in the journal"
    confirmed = {key_of(message_id)[0] for message_id in records.cancels}
    for row in records.journal.rows.values():
        if row.status == CANCELLED and row.key not in confirmed:
            yield f"LOST {row.to}: cancelled, and nobody asked for it"


def _receipts_are_kept(records: Records) -> Iterator[str]:
    """D4: an acknowledgement on a life's connection says that this life's journal has the receipt."""
    for line in records.carrier:
        if line["e"] == "ack" and line["status"] == 0:
            place = records.place_of_id.get(line["m"])
            number = records.life_of_link[line["c"]]
            for image, name in (
                (records.images[number], f"life {number}"),
                (records.journal, "the last life"),
            ):
                if not image.keeps(line["m"], place):
                    yield f"RECEIPT {line['m']} for {place}: acknowledged, and not in the journal after {name}"


def _events_tell_each_change_once(records: Records) -> Iterator[str]:
    """D5."""
    for number, image in records.images.items():
        for gap in () if records.has_failed_commits else image.gaps:
            yield f"EVENTS after life {number}: {gap}"
    told: dict[int, list[str]] = defaultdict(list)
    for _, word, key in records.journal.events:
        if key:
            told[key].append(word)
    for row in records.journal.rows.values():
        ways = _event_sequences(WORDS[row.status])
        if row.is_final and told[row.key] not in ways:
            yield f"EVENTS of {row.to}, which is {WORDS[row.status]}: {told[row.key]}"


def _event_sequences(status: str) -> Sequence[list[str]]:
    """The events a message of that final status may have had. A scheduled one is queued when it falls due."""
    end = f"message.{status}"
    if status == "sent":
        return (["message.queued", end],)
    if status in ("delivered", "undelivered"):
        return (["message.queued", "message.sent", end],)
    if status in ("cancelled", "expired"):
        return ([end], ["message.queued", end])
    return (["message.queued", end],)


def _events_told_are_durable(records: Records) -> Iterator[str]:
    """What the event stream said stands in the journal, each event was told once, and none was left out."""
    known = {seq: (word, key) for seq, word, key in records.journal.events}
    following = dict(pairwise([0, *known]))
    last = 0
    for line in records.client:
        if line["e"] != "event":
            continue
        key = key_of(line["id"])[0] if line["id"] else 0
        if line["seq"] != following.get(last):
            yield f"EVENTS: {line['seq']} was told after {last}"
        if known.get(line["seq"]) != (line["type"], key):
            yield f"EVENTS: {line['seq']} was told as {line['type']}, the journal has {known.get(line['seq'])}"
        last = line["seq"]


def _stops_leave_no_doubt(records: Records) -> Iterator[str]:
    """D7."""
    for life in records.lives:
        if life.how != "stop":
            continue
        if life.code != 0:
            yield f"STOP of life {life.number}: exit code {life.code}"
        for row in records.images[life.number].rows.values():
            if row.status == SENDING:
                yield f"STOP of life {life.number}: {row.to} was left in doubt"


def _starts_are_quick(records: Records) -> Iterator[str]:
    """D8: to be ready with something to recover costs no more than a second more than without. What other processes
    take of the machine meanwhile is not the daemon's: so it is processor time that counts."""
    for life in records.lives:
        if records.start_s and life.cost_s > records.start_s + READY_S:
            yield f"START of life {life.number}: it cost {life.cost_s:.2f} s, an empty one {records.start_s:.2f} s"


def _logs_are_clean(records: Records) -> Iterator[str]:
    for number, lines in records.logs.items():
        for line in faults(lines):
            yield f"LOG of life {number}: {line[:2000]}"


def faults(lines: Iterable[str]) -> Iterator[str]:
    """Lines of a log that tell of a fault: errors, and whatever is not a line of the log."""
    for line in lines:
        try:
            level = json.loads(line).get("level")
        except ValueError:
            level = "none"
        if level not in ("debug", "info", "warning"):
            yield line
