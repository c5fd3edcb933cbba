"""Simulated Android phones: the SMSGate app's device protocol, thousands of phones in one process.

For trying out a server of that protocol without a phone::

    python -m bench.peers.phones --url http://127.0.0.1:8080/api/mobile/v1 --token secret --phones 100
    python -m bench.peers.phones --url … --restart-every exp:10m --report-late 0.1 --radio-lost-every exp:5m

What a phone does is decided by ``phone`` and its parts, which are pure; ``phone_wire`` carries it. Lines on standard
input are commands, as the simulated SMSC has them.
"""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from random import Random
from typing import Final

import msgspec
import trio

from bench.peers.console import is_stdin_watched, watch_signals, watch_stdin
from bench.peers.phone import Phone
from bench.peers.phone_agenda import Agenda
from bench.peers.phone_fleet import Fleet
from bench.peers.phone_options import Options, parse_options
from bench.peers.phone_wire import Carrier, Site

TICK_S: Final = 0.005
"""How exact the phones' clocks are: one wake-up for all that is due, and not one for each."""


class Phones:
    """The fleet at work."""

    def __init__(self, options: Options, fleet: Fleet) -> None:
        self.options = options
        self.fleet = fleet
        self.agenda = Agenda()
        self.phones: list[Phone] = []
        self.carriers: list[Carrier] = []

    async def run(self, started: Callable[[], object]) -> None:
        """Until cancelled; ``started`` is called once all phones are made."""
        try:
            async with trio.open_nursery() as nursery:
                self._make(
                    Site(self.options.url, nursery, self.fleet, self.options.most_idle, self.options.ca)
                )
                started()
                while True:
                    self.agenda.run(time.monotonic())
                    await trio.sleep(TICK_S)
        finally:
            for carrier in self.carriers:
                carrier.close()

    def _make(self, site: Site) -> None:
        options, now = self.options, time.monotonic()
        epoch_ms = round(time.time() * 1000 - now * 1000)
        for number in range(options.phones):
            carrier = Carrier(site)
            random = Random(options.seed * 1_000_003 + number)
            phone = Phone(
                number, options.token, options.habits, self.fleet, self.agenda, carrier, random, epoch_ms
            )
            carrier.phone = phone
            self.phones.append(phone)
            self.carriers.append(carrier)
            self.agenda.add(now + options.over_s * number / options.phones, phone.switch_on)

    def drop(self) -> None:
        """Cut every stream at once."""
        for carrier in self.carriers:
            carrier.drop()

    def summary(self) -> bytes:
        """What was counted, as one line of JSON."""
        self.fleet.statistics.pulling = sum(phone.is_pulling for phone in self.phones)
        sent = [phone.handed for phone in self.phones]
        return msgspec.json.encode(self.fleet.statistics.summary(sent, self.fleet.answering))

    def show(self) -> None:
        """Print what was counted."""
        print(self.summary().decode(), flush=True)


# -- the process -------------------------------------------------------------------------------------------


async def _serve(phones: Phones) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_signals, nursery.cancel_scope)
        if is_stdin_watched():
            commands = {b"statistics": phones.show, b"drop": phones.drop}
            nursery.start_soon(watch_stdin, nursery.cancel_scope, "phones", commands)
        nursery.start_soon(phones.run, lambda: print("ready", len(phones.phones), flush=True))


def raise_file_limit() -> None:
    """As many open files as this user may have: a phone has a stream and a connection or two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; 0."""
    options = parse_options(argv)
    raise_file_limit()
    with ExitStack() as stack:
        write = None
        if options.record:
            write = stack.enter_context(open(options.record, "ab", buffering=0)).write
        phones = Phones(options, Fleet(write))
        trio.run(_serve, phones)
    print(phones.summary().decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
