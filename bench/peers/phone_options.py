"""The command line of the simulated phones."""

import argparse
from collections.abc import Sequence
from typing import Final

import msgspec

from bench.peers.arguments import Group
from bench.peers.behaviour import Delay, parse_delay, parse_share
from bench.peers.phone_habits import BASELINE, Habits, Periods, version_of

DESCRIPTION: Final = """
Simulated Android phones that run the SMSGate app against a private server: they register with the token, keep an
event stream open, pull, send and report as the app does. Without options nothing goes wrong. Durations are written
20ms, 1.5s, 2m, 3d; delays are a duration, a range 10-30ms, or exp:2s for an average; shares are between 0 and 1.
Everything random follows from --seed.
"""
EPILOG: Final = """
It prints "ready N" when all phones are switched on. SIGTERM, SIGINT (Ctrl-C) or the end of standard input stop it;
then it prints what it counted as JSON. Lines on standard input are commands: "statistics" prints that JSON at once,
"drop" cuts every stream, "quit" stops.
"""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All options."""

    url: str
    token: str = ""
    phones: int = 1
    over_s: float = 0.0
    hurry: float = 1.0
    seed: int = 0
    record: str = ""
    most_idle: int = 5
    ca: str = ""
    habits: Habits = Habits()


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """Options from a command line; prints usage and exits with 2 for a wrong one."""
    parser = argparse.ArgumentParser("python -m bench.peers.phones", description=DESCRIPTION, epilog=EPILOG)
    usual = Habits()
    _add_fleet(Group(parser, "the fleet"))
    _add_accidents(_Table(parser, "accidents", usual))
    _add_sending(_Table(parser, "sending", usual))
    _add_reports(_Table(parser, "state reports and inbound messages", usual))
    chosen = vars(parser.parse_args(argv))
    if chosen["hurry"] <= 0 or chosen["phones"] < 0:
        parser.error("--hurry is above 0, --phones is a count")
    habits = {name: chosen.pop(name) for name in Habits.__struct_fields__ if name in chosen}
    periods = Periods().hurried(chosen["hurry"])
    return Options(**chosen, habits=Habits(**habits, periods=periods))


def _add_fleet(group: Group) -> None:
    group.add("--url", "API URL as typed into the app", required=True)
    group.add(
        "--ca", "file with the authority whose certificates the phones trust (the machine's)", default=""
    )
    group.add("--token", "private token as typed into the app", default="")
    group.count("--phones", "how many phones (%(default)s)", 1)
    group.time("--over", "over_s", "time over which they are switched on (at once)", 0.0)
    group.add("--hurry", "make the app's own waits so many times shorter (1)", type=float, default=1.0)
    group.count("--seed", "of everything random")
    group.add("--record", "file to append a line to for every message that is sent", default="")
    help = 'app versions and their shares: "1.68.0=0.8,1.60.0=0.2"'
    group.add("--versions", help, type=_versions, default=((BASELINE, 1.0),), metavar="MIX")
    group.count("--most-idle", "connections a phone keeps for its next requests (%(default)s)", 5)
    group.count("--sims", "SIMs in a phone (%(default)s)", 1)


class _Table:
    """Options that are shares and delays of the habits of the same name."""

    def __init__(self, parser: argparse.ArgumentParser, title: str, usual: Habits) -> None:
        self.group = Group(parser, title)
        self._usual = usual

    def share(self, name: str, help: str) -> None:
        self.group.add(
            f"--{name.replace('_', '-')}",
            help,
            dest=name,
            metavar="SHARE",
            type=_share,
            default=getattr(self._usual, name),
        )

    def delay(self, name: str, help: str) -> None:
        self.group.add(
            f"--{name.replace('_', '-')}",
            help,
            dest=name,
            metavar="DELAY",
            type=_delay,
            default=getattr(self._usual, name),
        )


def _add_accidents(table: _Table) -> None:
    table.share("pushed", "share of phones that wait for Firebase and open no stream")
    table.share("foreign", "share of phones that come with another server's token")
    table.share("old_dates", "share of phones that write dates as Android 5 did")
    table.delay("skew", "how far clocks are ahead or behind (0s)")
    table.share("duplicates", "share of starts that open a second stream")
    table.delay("restart_every", "time between restarts of a phone; by default never")
    table.delay("restart_takes", "how long a restart takes (1-5s)")
    table.share("wiped", "share of restarts that clear the app's data")
    table.delay("radio_lost_every", "time between losses of the network; by default never")
    table.delay("radio_lost_for", "how long it is lost (2-20s)")
    table.delay("doze_every", "time awake between two Dozes; by default never")
    table.delay("doze_for", "how long a Doze lasts (30-120s)")


def _add_sending(table: _Table) -> None:
    table.delay("handover", "time Android takes to accept a message (100-400ms)")
    table.delay("sent_after", "time until Android says it is sent (1-3s)")
    table.delay("delivered_after", "time from then to the delivery report (1-5s)")
    table.share("failing", "share of messages that Android fails to send")
    table.share("undelivered", "share of messages whose delivery report says failed")
    table.share("unheard", "share of messages without a delivery report")
    table.share("unsent", "share of messages whose Sent is never seen")
    table.group.count("--parts-limit", "parts a minute that Android allows; 0: any number (%(default)s)", 30)


def _add_reports(table: _Table) -> None:
    table.delay("report_delay", "time from a change to its report (0s)")
    table.share("report_late", "share of reports that come late, behind later ones")
    table.delay("report_late_by", "how late (500ms-5s)")
    table.share("report_twice", "share of reports that are made twice")
    table.share("report_missing", "share of reports that are never made")
    table.delay("inbound_every", "time between inbound messages of a phone; by default none")
    table.share("inbound_twice", "share of inbound messages delivered again under another id")


def _delay(text: str) -> Delay:
    try:
        return parse_delay(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _share(text: str) -> float:
    try:
        return parse_share(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _versions(text: str) -> tuple[tuple[str, float], ...]:
    mix = []
    for word in text.split(","):
        version, _, share = word.partition("=")
        try:
            version_of(version)
            mix.append((version, float(share or 1)))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word!r} is no VERSION=SHARE") from None
    return tuple(mix)
