"""Messages as clients see them, put together by SQLite.

Whoever is behind with events reads tens of thousands of messages a second only to show them. Rows made into Structs and
Structs into JSON cost the loop 8 µs each; SQLite writes the same octets in as much time on its own thread, without the
interpreter's lock. Messages with octets of their own (``data``, ``udh``), which are few, are left to
``stentor.api.render``, which says what the octets are: invariant: for every other message they are the same.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from stentor.ids import EPOCH_MS
from stentor.message import NOT_LEFT, PRIORITY_WORDS, STATUS_WORDS, Direction, Status
from stentor.pacing.strands import HELD

_END: Final = b"\x1e"
"""Behind each text: no octet of a JSON text."""

_encode: Final = msgspec.json.Encoder().encode
_decode_tokens: Final = msgspec.json.Decoder(list[int]).decode


def _word(column: str, words: Sequence[str]) -> str:
    """A member of a closed set."""
    return (
        f"CASE {column} "
        + " ".join(f"WHEN {number} THEN '{word}'" for number, word in enumerate(words))
        + " END"
    )


def _text(column: str) -> str:
    """A text or null."""
    return f"json_quote({column})"


def _some(column: str) -> str:
    """The same of a column in which "" stands for none."""
    return f"json_quote(nullif({column}, ''))"


def _stored(column: str) -> str:
    """JSON as it stands in the column."""
    return f"coalesce({column}, 'null')"


def _moment(column: str) -> str:
    """A time. SQLite reckons in whole milliseconds, so a fraction of seconds comes back as it was."""
    return f"""strftime('"%Y-%m-%dT%H:%M:%fZ"', ({column}) / 1000.0, 'unixepoch')"""


def _time(column: str) -> str:
    """A time, 0 for none."""
    return f"iif({column}, {_moment(column)}, 'null')"


def _flag(condition: str) -> str:
    return f"iif({condition}, 'true', 'false')"


def _object(fields: Iterable[tuple[str, str, str]]) -> str:
    """A JSON object of fields, each with its form and its value."""
    named = [(f'"{name}":{form}', value) for name, form, value in fields]
    form = ",".join(form for form, _ in named)
    return f"format('{{{form}}}', {', '.join(value for _, value in named if value)})"


_STAMP: Final = f"((m.key >> 20) + {EPOCH_MS})"
_ID: Final = (
    f"format('%08x-%04x-7%03x-%04x-%012x', {_STAMP} >> 16, {_STAMP} & 65535, (m.key >> 8) & 4095,"
    " 32768 | (m.tail >> 48), m.tail & 281474976710655)"
)
_SEGMENT: Final = _object(
    (
        ("index", "%d", "s.key & 255"),
        ("status", '"%s"', _word("s.status", STATUS_WORDS)),
        ("carrier_id", "%s", _text("s.carrier_id")),
        ("sent_at", "%s", _time("s.sent_at_ms")),
        ("final_at", "%s", _time("s.final_at_ms")),
        ("error", "%s", _stored("s.error")),
    )
)
# Those that are taken back are as if they were not there, as in ``rows``.
_SEGMENTS: Final = f"""(SELECT group_concat({_SEGMENT}, ',') FROM
    (SELECT * FROM segment WHERE key > m.key AND key <= m.key + 255 AND status > {+Status.SENDING} ORDER BY key) s)"""
_MISSING: Final = _object(
    (
        ("index", "%d", "n.i"),
        ("status", '"%s"', _word("m.status", STATUS_WORDS)),
        ("carrier_id", "null", ""),
        ("sent_at", "null", ""),
        ("final_at", "%s", _time("m.final_at_ms")),
        ("error", "%s", _stored("iif(m.final_at_ms, m.error, NULL)")),
    )
)
# A segment that has not left stands in its place with what became of the message.
_ALL_SEGMENTS: Final = f"""(WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < m.segments)
    SELECT group_concat(iif(s.key IS NULL, {_MISSING}, {_SEGMENT}), ',') FROM n
    LEFT JOIN segment s ON s.key = m.key + n.i AND s.status > {+Status.SENDING})"""
_STATUSES: Final = ", ".join(str(+status) for status in sorted(NOT_LEFT))
_MAY_LACK: Final = f"m.direction = {+Direction.MT} AND m.status IN ({_STATUSES})"
_MESSAGE: Final = _object(
    (
        ("id", '"%s"', _ID),
        ("direction", '"%s"', _word("m.direction", [direction.name.lower() for direction in Direction])),
        ("to", "%s", _text("coalesce(m.destination, '')")),
        ("from", "%s", _some("m.originator")),
        ("text", "%s", _text("b.text")),
        ("data", "null", ""),
        ("udh", "null", ""),
        ("flash", "%s", _flag("m.flash")),
        ("status", '"%s"', _word("w.status", STATUS_WORDS)),
        ("priority", '"%s"', _word("m.priority", PRIORITY_WORDS)),
        ("channel", "%s", _some("m.channel")),
        ("encoding", '"%s"', "m.encoding"),
        ("segments", "%d", "m.segments"),
        ("ref", "%s", _text("m.ref")),
        ("metadata", "%s", _stored("CAST(b.metadata AS TEXT)")),
        ("submitted_at", "%s", _moment("m.submitted_at_ms")),
        (
            "send_at",
            "%s",
            _time(f"iif(m.status = {+Status.SCHEDULED}, max(m.send_at_ms, m.due_at_ms), m.send_at_ms)"),
        ),
        ("expires_at", "%s", _time("m.expires_at_ms")),
        ("sent_at", "%s", _time("m.sent_at_ms")),
        ("final_at", "%s", _time("m.final_at_ms")),
        ("attempts", "%d", "m.attempts"),
        ("error", "%s", _stored("m.error")),
        ("segment_list", "[%s]", f"coalesce(iif({_MAY_LACK}, {_ALL_SEGMENTS}, {_SEGMENTS}), '')"),
        ("batch", "%s", _text("m.batch")),
        ("held", "%s", _flag(f"m.strand = {HELD} AND NOT m.final_at_ms")),
        ("ordered", "%s", _flag("m.is_ordered & 1")),
    )
)
# A message's key leaves its low octet free for the status it is to be shown in.
_SHOWN: Final = f"""SELECT CAST(group_concat({_MESSAGE}, char({_END[0]})) AS BLOB), json_group_array(w.token)
    FROM (SELECT value AS token, value & ~255 AS key, value & 255 AS status FROM json_each(:tokens)) w
    CROSS JOIN message m ON m.key = w.key LEFT JOIN body b ON b.key = m.key
    WHERE coalesce(b.data, b.udh) IS NULL"""


def read_shown(db: sqlite3.Connection, tokens: Sequence[int]) -> dict[int, bytes]:
    """JSON of messages by token: a message's key and, in the low octet, the status it is shown in. Those that there
    are not, or that have octets of their own, are left out."""
    texts, found = db.execute(_SHOWN, {"tokens": _encode(tokens).decode()}).fetchone()
    return dict(zip(_decode_tokens(found), texts.split(_END), strict=True)) if texts else {}
