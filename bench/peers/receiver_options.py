"""The command line of the webhook receiver, and what it draws for each request from one seed.

Invariant: the same seed and the same number of requests give the same mixture of fates, in the same order.
"""

import argparse
from collections.abc import Callable, Sequence
from enum import Enum
from random import Random
from typing import Final, TypeVar

import msgspec

from bench.peers.arguments import Group
from bench.peers.behaviour import Delay, parse_delay, parse_errors

T = TypeVar("T")

DESCRIPTION: Final = """
A receiver of webhooks that fails in every way there is. Without options it takes everything and answers 200 at once.
Durations are written 20ms, 1.5s, 2m, 3d; delays are a duration, a range 10-30ms, or exp:2s for an average; shares are
between 0 and 1, of requests. Everything random follows from --seed.
"""
EPILOG: Final = """
It prints "ready PORT" when it listens. SIGTERM, SIGINT (Ctrl-C) or the end of standard input stop it; then it
prints what it counted as JSON. Lines on standard input are commands: "statistics" prints that JSON at once,
"drop" cuts every connection, "heal" ends all faults, "quit" stops.
"""


class Fault(Enum):
    """What is wrong with an answer beside its status."""

    NONE = "none"
    RESET_UNREAD = "reset_unread"
    """The connection is reset while the request stands in it unread."""
    RESET_READ = "reset_read"
    """The request is read, and the connection reset: whoever sent it cannot know."""
    HALF = "half"
    """Half of an answer, and the connection closed."""
    HUGE = "huge"
    """An answer with a body of --huge-octets."""
    SILENT = "silent"
    """The request is read, and that is all."""


class Fate(msgspec.Struct, frozen=True, gc=False):
    """What becomes of one request."""

    status: int = 200
    delay_s: float = 0.0
    fault: Fault = Fault.NONE


PLAIN: Final = Fate()


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All options. Shares are of requests."""

    host: str = "127.0.0.1"
    port: int = 0
    secrets: tuple[str, ...] = ()
    seed: int = 0
    latency: Delay = Delay()
    statuses: tuple[tuple[int, float], ...] = ()
    retry_after: str = ""
    location: str = "/elsewhere"
    reset_unread: float = 0.0
    reset_read: float = 0.0
    half: float = 0.0
    huge: float = 0.0
    huge_octets: int = 16 * 1024 * 1024
    silent: float = 0.0
    is_closing: bool = False

    @property
    def is_faultless(self) -> bool:
        shares = self.reset_unread, self.reset_read, self.half, self.huge, self.silent
        return self.latency.is_none and not self.statuses and not any(shares)


class Fates:
    """Draws one fate after the other."""

    def __init__(self, options: Options) -> None:
        self._random = Random(options.seed)
        self._latency = options.latency
        self._is_plain = options.is_faultless
        self._statuses = options.statuses
        self._faults = (
            (Fault.RESET_UNREAD, options.reset_unread),
            (Fault.RESET_READ, options.reset_read),
            (Fault.HALF, options.half),
            (Fault.HUGE, options.huge),
            (Fault.SILENT, options.silent),
        )

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self._is_plain = True

    def draw(self) -> Fate:
        if self._is_plain:
            return PLAIN
        random = self._random
        fault = _chosen(self._faults, random.random(), Fault.NONE)
        status = _chosen(self._statuses, random.random(), 200)
        return Fate(status, self._latency.draw(random), fault)


def _chosen(shares: Sequence[tuple[T, float]], at: float, otherwise: T) -> T:
    for each, share in shares:
        at -= share
        if at < 0:
            return each
    return otherwise


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """Options from a command line; prints usage and exits with 2 for a wrong one."""
    parser = argparse.ArgumentParser("python -m bench.peers.receiver", description=DESCRIPTION, epilog=EPILOG)
    usual = Options()
    group = Group(parser, "listening")
    group.add("--host", "address to listen on (%(default)s)", default=usual.host)
    group.add("--port", "TCP port; 0, the default, takes a free one", type=int, default=0)
    help = "refuse what is not signed with it (401); may be repeated, and either is good"
    group.add("--secret", help, dest="secrets", metavar="whsec_…", action="append", default=[])
    group.count("--seed", "of everything random")
    _add_answers(Group(parser, "answers"), usual)
    _add_faults(Group(parser, "faults"), usual)
    chosen = vars(parser.parse_args(argv))
    faults = sum(chosen[name] for name in ("reset_unread", "reset_read", "half", "huge", "silent"))
    if faults > 1.000001:
        parser.error("the shares of faults add up to more than 1")
    return Options(**{**chosen, "secrets": tuple(chosen["secrets"])})


def _add_answers(group: Group, usual: Options) -> None:
    group.add(
        "--latency", "time an answer takes (0)", metavar="DELAY", type=_typed(parse_delay), default=Delay()
    )
    help = "shares of answers by status: 500=0.1,410=0.001,302=0.01"
    group.add("--statuses", help, metavar="MIX", type=_typed(parse_errors), default=())
    help = "Retry-After of each 429 and 503: seconds, or a date"
    group.add("--retry-after", help, metavar="VALUE", default=usual.retry_after)
    group.add("--location", "Location of each 3xx (%(default)s)", metavar="URL", default=usual.location)
    group.flag("--closing", "is_closing", "close the connection after each answer")


def _add_faults(group: Group, usual: Options) -> None:
    group.share("--reset-unread", "share of requests at which the connection is reset before they are read")
    group.share("--reset-read", "share of requests that are read, and the connection reset")
    group.share("--half", "share of answers that end in the middle")
    group.share("--huge", "share of answers with a huge body")
    group.count("--huge-octets", "its length (%(default)s)", usual.huge_octets)
    group.share("--silent", "share of requests that are never answered")


def _typed(function: Callable[[str], T]) -> Callable[[str], T]:
    """argparse shows a ValueError's own sentence only when it is an ArgumentTypeError."""

    def convert(text: str) -> T:
        try:
            return function(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert
