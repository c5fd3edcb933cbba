"""The command line of the simulated SMSC."""

import argparse
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from bench.peers.behaviour import (
    Behaviour,
    Delay,
    ReceiptForm,
    parse_delay,
    parse_duration,
    parse_errors,
    parse_share,
    parse_states,
)

T = TypeVar("T")

DESCRIPTION: Final = """
A simulated SMSC for trying out SMPP clients: SMPP 3.4 over TCP, any number of binds of any kind. Without
options it accepts everybody, answers everything at once and sends a delivery receipt for every message that
asks for one. Durations are written 20ms, 1.5s, 2m; delays are a duration, a range 10-30ms, or exp:2s for an
average; shares are between 0 and 1. Everything random follows from --seed.
"""
EPILOG: Final = """
It prints "ready PORT" when it listens. SIGTERM, SIGINT (Ctrl-C) or the end of standard input stop it; then it
prints what it counted as JSON. Lines on standard input are commands: "statistics" prints that JSON at once,
"drop" cuts every connection, "quit" stops.
"""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All options, checked."""

    host: str = "127.0.0.1"
    port: int = 0
    system_id: str = ""
    password: str = ""
    name: str = "SMSC"
    refuse_bind: int = 0
    window: int = 100_000
    deliver_window: int = 1000
    deliver_timeout_s: float = 60.0
    enquire_link_s: float | None = None
    has_delayed_acks: bool = False
    is_slow: bool = False
    inbound_rate: float = 0.0
    inbound_to: str = "40700000000"
    inbound_text: str = "Reply number {n}"
    record: str = ""
    seed: int = 0
    first_id: int = 0
    behaviour: Behaviour = Behaviour()


def _type(function: Callable[[str], T]) -> Callable[[str], T]:
    """argparse shows a ValueError's own sentence only when it is an ArgumentTypeError."""

    def convert(text: str) -> T:
        try:
            return function(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


_delay = _type(parse_delay)
_duration = _type(parse_duration)
_share = _type(parse_share)
_status = _type(lambda text: int(text, 0))


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """Options from a command line; prints usage and exits with 2 for a wrong one."""
    chosen = vars(_parser().parse_args(argv))
    chosen["receipts"] = ReceiptForm(chosen["receipts"])
    behaviour = {name: chosen.pop(name) for name in Behaviour.__struct_fields__}
    return Options(**chosen, behaviour=Behaviour(**behaviour))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.peers.smsc", description=DESCRIPTION, epilog=EPILOG)
    _add_listening(parser)
    _add_answers(parser)
    _add_receipts(parser)
    _add_connection_faults(parser)
    _add_inbound(parser)
    return parser


def _add_listening(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who may come")
    add = group.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=0, help="TCP port; 0, the default, takes a free one")
    add("--system-id", default="", help="the only login accepted; by default everybody is")
    add("--password", default="", help="the only password accepted; by default any is")
    add("--name", default="SMSC", help="system_id the SMSC answers binds with (%(default)s)")
    add("--refuse-bind", metavar="STATUS", type=_status, default=0, help="answer every bind with this status")
    add("--seed", type=int, default=0, help="what everything random follows from (%(default)s)")
    add(
        "--first-id",
        metavar="N",
        type=int,
        default=0,
        help="the first message_id; by default the time",
    )
    add("--record", metavar="FILE", default="", help="append a line for every fact (bench/peers/record.py)")
    add("--slow", dest="is_slow", action="store_true", help="never take the fast way for fault-free traffic")


def _add_answers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("answers to submit_sm")
    add = group.add_argument
    add("--latency", metavar="DELAY", type=_delay, default=Delay(), help="time an answer takes (0)")
    help = "shares of submissions refused, by status: 0x08=0.01,0x0b=0.001"
    add("--errors", metavar="MIX", type=_type(parse_errors), default=(), help=help)
    help = "share of submissions that are taken and never answered"
    add("--lose", dest="lost", metavar="SHARE", type=_share, default=0.0, help=help)
    help = "answer in disorder, within 5 ms"
    add("--reorder", dest="is_reordering", action="store_true", help=help)
    add(
        "--throttle",
        metavar="N",
        type=float,
        default=0.0,
        help="most submissions a second; 0: any",
    )
    help = "count --throttle by whole seconds instead of a bucket of a tenth"
    add("--throttle-window", dest="is_throttle_window", action="store_true", help=help)
    help = "leave what is too much unanswered instead of answering ESME_RTHROTTLED"
    add("--throttle-silently", dest="is_throttle_silent", action="store_true", help=help)
    help = "unanswered submissions of a connection at which more are throttled (%(default)s)"
    add("--window", metavar="N", type=int, default=100_000, help=help)


def _add_receipts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("delivery receipts")
    add = group.add_argument
    forms = [form.value for form in ReceiptForm]
    help = "where a receipt names its message (%(default)s)"
    add("--receipts", choices=forms, default="text", help=help)
    add(
        "--receipt-delay",
        metavar="DELAY",
        type=_delay,
        default=Delay(),
        help="time from answer to receipt (0)",
    )
    states: tuple[tuple[str, float], ...] = (("DELIVRD", 1.0),)
    help = "shares of final states: DELIVRD=0.97,UNDELIV=0.02,EXPIRED=0.01"
    add("--receipt-states", metavar="MIX", type=_type(parse_states), default=states, help=help)
    help = "share of receipts that are sent before the answer"
    add("--receipt-first", metavar="SHARE", type=_share, default=0.0, help=help)
    help = "share of receipts that are sent twice"
    add("--receipt-twice", metavar="SHARE", type=_share, default=0.0, help=help)
    help = "share of receipts that are never sent"
    add("--receipt-never", metavar="SHARE", type=_share, default=0.0, help=help)
    help = "deliver_sm in flight on a connection (%(default)s)"
    add("--deliver-window", metavar="N", type=int, default=1000, help=help)
    help = "time after which an unacknowledged deliver_sm is sent again (60s)"
    add(
        "--deliver-timeout", dest="deliver_timeout_s", metavar="TIME", type=_duration, default=60.0, help=help
    )


def _add_connection_faults(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the connection")
    add = group.add_argument
    help = "share of submissions at which the connection is cut"
    add("--drop", metavar="SHARE", type=_share, default=0.0, help=help)
    help = "submissions of a connection after which it is cut"
    add("--drop-after", metavar="N", type=int, default=0, help=help)
    help = "cut in the middle of an answer"
    add("--drop-mid-pdu", dest="is_drop_mid_pdu", action="store_true", help=help)
    help = "submissions of a connection after which it stands still for --stall"
    add("--stall-after", metavar="N", type=int, default=0, help=help)
    help = "how long it stands still (5s)"
    add("--stall", dest="stall_s", metavar="TIME", type=_duration, default=5.0, help=help)
    help = "let the kernel delay its TCP acknowledgements, as many carriers' do"
    add("--delayed-acks", dest="has_delayed_acks", action="store_true", help=help)
    help = "silence after which enquire_link is sent; by default never"
    add("--enquire-link", dest="enquire_link_s", metavar="TIME", type=_duration, default=None, help=help)


def _add_inbound(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("messages from handsets (MO)")
    add = group.add_argument
    add("--mo", dest="inbound_rate", metavar="N", type=float, default=0.0, help="messages a second (0)")
    help = "number they are sent to (%(default)s)"
    add("--mo-to", dest="inbound_to", metavar="NUMBER", default="40700000000", help=help)
    help = 'their text; {n} is a number (default: "%(default)s")'
    add("--mo-text", dest="inbound_text", metavar="TEXT", default="Reply number {n}", help=help)
