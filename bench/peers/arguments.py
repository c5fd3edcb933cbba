"""The command line of the simulated SMSC. Names of destinations are those of ``options.Options`` and its parts."""

import argparse
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, TypeVar

from bench.peers.behaviour import (
    THROTTLED,
    Delay,
    Garbage,
    ReceiptForm,
    parse_delay,
    parse_duration,
    parse_errors,
    parse_share,
    parse_states,
    parse_words,
)
from bench.peers.dialect import Notation, Shape, names, parse_shapes
from bench.peers.inbound import Coding, Order, Way

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

DESCRIPTION: Final = """
A simulated SMSC for trying out SMPP clients: SMPP 3.4 over TCP or TLS, any number of binds of any kind. Without
options it accepts everybody, answers everything at once and sends a delivery receipt for every message that
asks for one. Durations are written 20ms, 1.5s, 2m, 3d; delays are a duration, a range 10-30ms, or exp:2s for an
average; shares are between 0 and 1; a STATUS is a command_status like 0x58. Everything random follows from --seed.
"""
EPILOG: Final = """
It prints "ready PORT" when it listens. SIGTERM, SIGINT (Ctrl-C) or the end of standard input stop it; then it
prints what it counted as JSON. Lines on standard input are commands: "statistics" prints that JSON at once,
"drop" cuts every connection, "quit" stops.
"""


def _type(function: Callable[[str], T]) -> Callable[[str], T]:
    """argparse shows a ValueError's own sentence only when it is an ArgumentTypeError."""

    def convert(text: str) -> T:
        try:
            return function(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _member(kind: type[E]) -> Callable[[str], E]:
    def convert(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {names(list(kind))}") from None

    return convert


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError(f"{text!r} is no HOST:PORT")
    return host, int(port)


def _load(text: str) -> int:
    if not text.isdecimal() or int(text) > 100:
        raise ValueError(f"{text!r}: a load is a whole number between 0 and 100")
    return int(text)


_delay = _type(parse_delay)
_duration = _type(parse_duration)
_share = _type(parse_share)
_status = _type(lambda text: int(text, 0))


class Group:
    """One group of options, a line each."""

    def __init__(self, parser: argparse.ArgumentParser, title: str) -> None:
        self._group = parser.add_argument_group(title)

    def add(self, name: str, help: str, **details: Any) -> None:
        self._group.add_argument(name, help=help, **details)

    def flag(self, name: str, dest: str, help: str) -> None:
        self._group.add_argument(name, dest=dest, action="store_true", help=help)

    def share(self, name: str, help: str, dest: str | None = None) -> None:
        self.add(name, help, dest=dest or _dest(name), metavar="SHARE", type=_share, default=0.0)

    def count(self, name: str, help: str, default: int = 0) -> None:
        self.add(name, help, metavar="N", type=int, default=default)

    def time(self, name: str, dest: str, help: str, default: float | None) -> None:
        self.add(name, help, dest=dest, metavar="TIME", type=_duration, default=default)

    def member(
        self, name: str, kind: type[Enum], help: str, default: Enum | None, dest: str | None = None
    ) -> None:
        words = f"{help}: {names(list(kind))}" + (f" ({default.value})" if default is not None else "")
        self.add(name, words, dest=dest or _dest(name), metavar="WORD", type=_member(kind), default=default)


def _dest(name: str) -> str:
    return name.removeprefix("--").replace("-", "_")


def make_parser() -> argparse.ArgumentParser:
    """Everything with its help."""
    parser = argparse.ArgumentParser("python -m bench.peers.smsc", description=DESCRIPTION, epilog=EPILOG)
    _add_listening(Group(parser, "who may come"))
    _add_tls(Group(parser, "TLS"))
    _add_answers(Group(parser, "answers to submit_sm"))
    _add_queries(Group(parser, "query_sm and cancel_sm"))
    _add_receipts(Group(parser, "delivery receipts"))
    _add_dialect(Group(parser, "how ids and receipts are written"))
    _add_connection(Group(parser, "the connection"))
    _add_faults(Group(parser, "faults of the connection"))
    _add_inbound(Group(parser, "messages from handsets (MO)"))
    return parser


def _add_listening(group: Group) -> None:
    group.add("--host", "address to listen on (%(default)s)", default="127.0.0.1")
    group.add("--port", "TCP port; 0, the default, takes a free one", type=int, default=0)
    group.add("--system-id", "the only login accepted; by default everybody is", default="")
    group.add("--password", "the only password accepted; by default any is", default="")
    group.add("--name", "system_id the SMSC answers binds with (%(default)s)", default="SMSC")
    help = "answer binds with this status instead of success"
    group.add("--refuse-bind", help, metavar="STATUS", type=_status, default=0)
    group.count("--refuse-binds", "refuse only so many binds, then accept; by default all are refused")
    group.count(
        "--most-sessions", "most sessions bound at once for a login; more get ESME_RALYBND (any number)"
    )
    group.flag("--deliver-early", "is_deliver_early", "send a deliver_sm before the answer to each bind")
    help = "call this address first and ask there for a bind (outbind)"
    group.add("--outbind", help, metavar="HOST:PORT", type=_type(_address), default=None)
    group.add("--seed", "what everything random follows from (%(default)s)", type=int, default=0)
    group.count("--first-id", "the number of the first message; by default the time")
    group.add("--record", "append a line for every fact (bench/peers/record.py)", metavar="FILE", default="")
    group.flag("--slow", "is_slow", "never take the fast way for fault-free traffic")


def _add_tls(group: Group) -> None:
    group.add("--tls-cert", "speak TLS with this certificate (PEM)", metavar="FILE", default="")
    group.add("--tls-key", "its key, if it is not in the same file", metavar="FILE", default="")
    help = "ask clients for a certificate of the authorities in this file"
    group.add("--tls-ca", help, metavar="FILE", default="")


def _add_answers(group: Group) -> None:
    group.add("--latency", "time an answer takes (0)", metavar="DELAY", type=_delay, default=Delay())
    help = "shares of submissions refused, by status: 0x08=0.01,0x0b=0.001"
    group.add("--errors", help, metavar="MIX", type=_type(parse_errors), default=())
    group.share("--lose", "share of submissions that are taken and never answered", "lost")
    group.flag("--reorder", "is_reordering", "answer in disorder, within 5 ms")
    help = "most submissions a second; 0: any. No answer tells it"
    group.add("--throttle", help, metavar="N", type=float, default=0.0)
    help = "count --throttle by whole seconds instead of a bucket of a tenth"
    group.flag("--throttle-window", "is_throttle_window", help)
    help = "what is beyond --throttle gets; 0x14 is ESME_RMSGQFUL (0x58, ESME_RTHROTTLED)"
    group.add("--throttle-status", help, metavar="STATUS", type=_status, default=THROTTLED)
    help = "leave what is too much unanswered instead of refusing it"
    group.flag("--throttle-silently", "is_throttle_silent", help)
    group.time("--queue-full", "queue_full_s", "refuse everything with ESME_RMSGQFUL for so long (0s)", 0.0)
    help = "time from the first submission to the beginning of --queue-full (0s)"
    group.time("--queue-full-after", "queue_full_after_s", help, 0.0)
    help = "load of 0 to 100 in every response, as congestion_state (SMPP 5.0)"
    group.add("--congestion", help, metavar="LOAD", type=_type(_load), default=None)
    help = (
        "how far ahead schedule_delivery_time may lie; the message is held until then (query_sm: SCHEDULED from SMPP "
        "5.0 on), beyond it refused with ESME_RINVSCHED (30d)"
    )
    group.time("--schedule-ahead", "schedule_ahead_s", help, 30 * 86_400.0)
    help = "unanswered submissions of a connection at which more are throttled (%(default)s)"
    group.count("--window", help, 100_000)


def _add_queries(group: Group) -> None:
    help = "messages remembered, the newest, for query_sm and cancel_sm (10,000; none on the fast way)"
    group.count("--store", help)
    help = "answer every query_sm and cancel_sm with this status, as carriers without them do"
    group.add("--query-status", help, metavar="STATUS", type=_status, default=0)


def _add_receipts(group: Group) -> None:
    group.member("--receipts", ReceiptForm, "where a receipt names its message", ReceiptForm.TEXT)
    help = "time from answer to receipt (0)"
    group.add("--receipt-delay", help, metavar="DELAY", type=_delay, default=Delay())
    states: tuple[tuple[str, float], ...] = (("DELIVRD", 1.0),)
    help = "shares of final states: DELIVRD=0.97,UNDELIV=0.02,EXPIRED=0.01"
    group.add("--receipt-states", help, metavar="MIX", type=_type(parse_states), default=states)
    help = "states told before the final one, evenly over the delay: ENROUTE,ACCEPTD"
    group.add("--receipt-intermediate", help, metavar="STATES", type=_type(parse_words), default=())
    group.share("--receipt-first", "share of receipts that are sent before the answer")
    group.share("--receipt-twice", "share of receipts that are sent twice")
    group.share("--receipt-never", "share of receipts that are never sent")
    group.count("--deliver-window", "deliver_sm in flight on a connection (%(default)s)", 1000)
    help = "time after which an unacknowledged deliver_sm is sent again (60s)"
    group.time("--deliver-timeout", "deliver_timeout_s", help, 60.0)


def _add_dialect(group: Group) -> None:
    group.member("--ids", Notation, "how responses write message ids", Notation.PADDED_HEX)
    group.member("--receipt-ids", Notation, "how receipts write them, by default alike", None)
    help = f'shapes of receipts, one, a mix "usual=0.9,ucs2=0.1", or all: {names(list(Shape))}'
    group.add("--receipt-shapes", help, dest="shapes", metavar="MIX", type=_type(parse_shapes), default=())
    help = "repeat a submission's user_message_reference in its receipt"
    group.flag("--echo-reference", "is_reference_echoed", help)


def _add_connection(group: Group) -> None:
    help = "silence after which enquire_link is sent; by default never"
    group.time("--enquire-link", "enquire_link_s", help, None)
    help = "let the kernel delay its TCP acknowledgements, as many carriers' do"
    group.flag("--delayed-acks", "has_delayed_acks", help)
    group.count("--piece", "most octets sent at once, so that PDUs come in pieces; 0: any number")


def _add_faults(group: Group) -> None:
    group.count("--faulty", "these strike only the first N connections; 0, the default: all")
    group.share("--drop", "share of submissions at which the connection is cut")
    group.count("--drop-after", "submissions of a connection after which it is cut")
    group.flag("--drop-mid-pdu", "is_drop_mid_pdu", "cut in the middle of an answer")
    group.count("--stall-after", "submissions of a connection after which it stands still for --stall")
    group.time("--stall", "stall_s", "how long it stands still (5s)", 5.0)
    group.flag("--stall-mid-pdu", "is_stall_mid_pdu", "begin to stand still in the middle of an answer")
    group.count("--unbind-after", "submissions of a connection after which the SMSC says goodbye")
    group.count("--garbage-after", "send --garbage behind every so many submissions of a connection")
    help = "octets that make no sense: noise, an unknown request, a stray answer, a broken deliver_sm"
    group.member("--garbage", Garbage, help, Garbage.NOISE)


def _add_inbound(group: Group) -> None:
    group.add("--mo", "messages a second (0)", dest="inbound_rate", metavar="N", type=float, default=0.0)
    help = "number they are sent to (%(default)s)"
    group.add("--mo-to", help, dest="inbound_to", metavar="NUMBER", default="40700000000")
    help = 'their text; {n} is a number (default: "%(default)s"). A long one comes in parts'
    group.add("--mo-text", help, dest="inbound_text", metavar="TEXT", default="Reply number {n}")
    group.member("--mo-coding", Coding, "their alphabet", Coding.GSM, "inbound_coding")
    group.member("--mo-way", Way, "how a long one travels", Way.UDH8, "inbound_way")
    group.member("--mo-order", Order, "in which order its parts come", Order.STRAIGHT, "inbound_order")
    group.share(
        "--mo-late", "share of long messages with a part that comes --mo-late-by later", "inbound_late"
    )
    group.time("--mo-late-by", "inbound_late_s", "how late (1s)", 1.0)
    group.share("--mo-missing", "share of long messages of which a part never comes", "inbound_missing")
    group.share("--mo-twice", "share of long messages of which a part comes twice", "inbound_twice")
    help = "alert_notification a second for every receiver (0)"
    group.add("--alerts", help, dest="alert_rate", metavar="N", type=float, default=0.0)
