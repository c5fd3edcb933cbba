"""The options of the simulated carrier."""

import argparse
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from bench.peers.behaviour import Delay, parse_delay, parse_duration, parse_share
from stentor_http.errors import MEANINGS
from stentor_http.hooks import WORDS

T = TypeVar("T")
Mix = tuple[tuple[str, float], ...]

DESCRIPTION: Final = """
A simulated carrier with an HTTP interface. It impersonates any carrier that the HTTP driver has a description of:
reads requests as that one does, answers in its form, posts its receipts and messages signed as it signs them. Without
options it takes everything at once and posts a receipt for every message that asks for one. Durations are written
20ms, 1.5s, 2m; delays are a duration, a range 10-30ms, or exp:2s for an average; shares are between 0 and 1.
Everything random follows from --seed.
"""
EPILOG: Final = """
It prints "ready PORT PATH" when it listens. SIGTERM, SIGINT (Ctrl-C) or the end of standard input stop it; then it
prints what it counted as JSON. Lines on standard input are commands: "statistics" prints that JSON at once, "drop"
cuts every connection, "quit" stops.
"""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All options, as ``--help`` explains them. ``errors`` are classes of a description and their shares."""

    carrier: str
    host: str
    port: int
    settings: tuple[tuple[str, str], ...]
    public_url: str
    hooks: str
    hook_connections: int
    hook_depth: int
    private_key: str
    latency: Delay
    errors: Mix
    throttle: float
    wait: float
    lost: float
    drop: float
    receipt_delay: Delay
    receipt_states: Mix
    receipt_twice: float
    receipt_never: float
    receipt_batch: int
    remember: int
    token_lasts: float
    mo: float
    mo_to: str
    mo_text: str
    seed: int

    @property
    def is_plain(self) -> bool:
        """Nothing is drawn for a message."""
        return (
            not (self.errors or self.throttle or self.lost or self.drop)
            and not (self.receipt_twice or self.receipt_never)
            and self.latency.is_none
            and self.receipt_delay.is_none
            and len(self.receipt_states) == 1
        )


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """Options from a command line; prints usage and exits with 2 for a wrong one."""
    chosen = vars(_parser().parse_args(argv))
    return Options(**{**chosen, "settings": tuple(chosen["settings"])})


def _type(function: Callable[[str], T]) -> Callable[[str], T]:
    """argparse shows a ValueError's own sentence only when it is an ArgumentTypeError."""

    def convert(text: str) -> T:
        try:
            return function(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _mix(known: Sequence[str], *, may_be_alone: bool = False) -> Callable[[str], Mix]:
    def parse(text: str) -> Mix:
        if may_be_alone and "=" not in text:
            text += "=1"
        found: list[tuple[str, float]] = []
        for item in text.split(","):
            name, _, share = item.partition("=")
            if name not in known:
                raise ValueError(f"{name!r} is not one of {', '.join(known)}")
            found.append((name, parse_share(share)))
        if sum(share for _, share in found) > 1.000001:
            raise ValueError(f"{text!r}: the shares add up to more than 1")
        return tuple(found)

    return parse


def _setting(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark:
        raise ValueError(f"{text!r} is not name=value")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.peers.carrier", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("carrier", help="a carrier by name, or the file of a description")
    add("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    add(
        "--port", type=int, default=0, metavar="N", help="and on which port; 0 takes a free one (%(default)s)"
    )
    help = "a setting of the account, secret or not; one that is not given is its default, or its name in capitals"
    add(
        "--setting",
        dest="settings",
        action="append",
        default=[],
        type=_type(_setting),
        metavar="N=V",
        help=help,
    )
    help = "seed of everything random (%(default)s)"
    add("--seed", type=int, default=0, metavar="N", help=help)
    share, delay, seconds = _type(parse_share), _type(parse_delay), _type(parse_duration)
    add = parser.add_argument_group("answers").add_argument
    none = Delay()
    add("--latency", type=delay, default=none, metavar="DELAY", help="time until an answer leaves")
    classes = sorted(MEANINGS)
    help = (
        f"shares of errors by what they mean, throttled=0.01,no_credit=0.001; there are {', '.join(classes)}"
    )
    add("--errors", type=_type(_mix(classes)), default=(), metavar="MIX", help=help)
    help = "requests a second beyond which it answers that the client is too fast"
    add("--throttle", type=float, default=0.0, metavar="N", help=help)
    help = "how long a client that was too fast is told to wait; 0: it is not told"
    add("--wait", type=seconds, default=1.0, metavar="TIME", help=help)
    help = "share of requests that are acted on, and the connection closed in place of an answer"
    add("--lose", dest="lost", type=share, default=0.0, metavar="SHARE", help=help)
    help = "share of requests at which the connection is closed before anything is done"
    add("--drop", type=share, default=0.0, metavar="SHARE", help=help)
    help = "most messages that are remembered, to know one again and to be asked about it (%(default)s)"
    add("--remember", type=int, default=1_000_000, metavar="N", help=help)
    help = "how long a login's token lasts, for a carrier that has such (%(default)g s)"
    add("--token-lasts", type=seconds, default=3600.0, metavar="TIME", help=help)
    _add_hooks(parser.add_argument_group("receipts and messages that come in").add_argument)
    return parser


def _add_hooks(add: Callable[..., object]) -> None:
    share, delay = _type(parse_share), _type(parse_delay)
    help = "the channel's public_url, for a carrier that is told its URLs elsewhere, and for messages that come in"
    add("--public-url", default="", metavar="URL", help=help)
    add("--hooks", default="", metavar="HOST:PORT", help="where to connect to, by default what the URL says")
    add("--hook-connections", type=int, default=64, metavar="N", help="most connections to it (%(default)s)")
    help = "requests on a connection before the first is answered (%(default)s)"
    add("--hook-depth", type=int, default=1, metavar="N", help=help)
    help = "32 octets in hexadecimal that sign where a carrier signs with Ed25519; the key to check with is printed"
    add("--private-key", default="11" * 32, metavar="HEX", help=help)
    add(
        "--receipt-delay", type=delay, default=Delay(), metavar="DELAY", help="from the answer to the receipt"
    )
    words = sorted(WORDS)
    help = f"shares of states, delivered=0.97,undelivered=0.03; there are {', '.join(words)}"
    mix = _type(_mix(words, may_be_alone=True))
    add("--receipt-states", type=mix, default=(("delivered", 1.0),), metavar="MIX", help=help)
    add("--receipt-twice", type=share, default=0.0, metavar="SHARE", help="share of receipts posted twice")
    add("--receipt-never", type=share, default=0.0, metavar="SHARE", help="share of receipts never posted")
    help = "receipts in one request, where the carrier has lists (%(default)s)"
    add("--receipt-batch", type=int, default=1, metavar="N", help=help)
    add("--mo", type=float, default=0.0, metavar="N", help="messages a second that come in (0)")
    help = "number they are sent to (%(default)s)"
    add("--mo-to", default="+40700000000", metavar="NUMBER", help=help)
    help = 'their text; {n} is a number ("%(default)s")'
    add("--mo-text", default="Reply number {n}", metavar="TEXT", help=help)
