"""A simulated SMSC: SMPP 3.4 over TCP, with every kind of misbehaviour to be had by option and by seed.

Any number of clients, bound in any way, useful for trying out an SMPP client without a carrier::

    python -m bench.peers.smsc --port 2775 --system-id test --password test
    python -m bench.peers.smsc --port 2775 --latency 10-30ms --throttle 100 --receipt-delay exp:2s

It prints ``ready PORT`` when it listens and, on SIGTERM, SIGINT or the end of its standard input, what it
counted as one JSON object. Lines on standard input are commands: ``statistics`` prints that object at once,
``drop`` cuts every connection, ``quit`` ends. Receipts that were not acknowledged are sent again on the next
bind.
"""

import os
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

import msgspec
import trio

from bench.peers.accounts import Account
from bench.peers.behaviour import OK, Judge
from bench.peers.connection import Connection
from bench.peers.console import is_stdin_watched, watch_signals, watch_stdin
from bench.peers.inbound import make_inbound
from bench.peers.options import Options, parse_options
from bench.peers.receipts import Delivery
from bench.peers.record import Record
from bench.peers.statistics import Statistics
from bench.peers.store import Store
from bench.peers.timer import Agenda
from bench.peers.tls import server_context
from bench.peers.usage import usage
from stentor_smpp import status as codes

TICK_S: Final = 0.25
INBOUND_TICK_S: Final = 0.01
INBOUND_WAITING: Final = 10_000
"""Inbound messages of an account that may wait; beyond it new ones are not made."""
BACKLOG: Final = 1024
OUTBIND_PAUSE_S: Final = 0.5


class SMSC:
    """Everything that is shared by the connections."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.judge = Judge(options.behaviour, options.seed)
        self.record = Record(options.record) if options.record else None
        self.store = Store(options.store)
        self.statistics = Statistics()
        self.context: ssl.SSLContext | None = None
        if options.tls_cert:
            self.context = server_context(options.tls_cert, options.tls_key, options.tls_ca)
        # Microseconds since 1970: a later SMSC does not give the ids of an earlier one again.
        self.ids: Iterator[int] = iter(range(options.first_id or time.time_ns() // 1000, 1 << 52))
        self.accounts: dict[str, Account] = {}
        self.connections: set[Connection] = set()
        self.nursery: trio.Nursery
        self._touched: set[Connection] = set()
        self._agenda = Agenda(self.push)
        self.later = self._agenda.later
        self._date = b""
        self._date_until = 0.0

    # -- what connections ask ------------------------------------------------------------------------------

    def check(self, system_id: str, password: str) -> int:
        """The command_status of a bind."""
        options = self.options
        if options.refuse_bind and (
            not options.refuse_binds or self.statistics.refused_binds < options.refuse_binds
        ):
            return options.refuse_bind
        if options.system_id and system_id != options.system_id:
            return codes.RINVSYSID
        if options.password and password != options.password:
            return codes.RINVPASWD
        if options.most_sessions and self.account(system_id).sessions >= options.most_sessions:
            return codes.RALYBND
        return OK

    def account(self, system_id: str) -> Account:
        if system_id not in self.accounts:
            self.accounts[system_id] = Account(system_id)
        return self.accounts[system_id]

    def date(self, now: float) -> bytes:
        """The minute, as receipts write it."""
        if now >= self._date_until:
            wall_s = time.time()
            self._date = time.strftime("%y%m%d%H%M", time.gmtime(wall_s)).encode()
            self._date_until = now + 60 - wall_s % 60
        return self._date

    def early_deliveries(self, system_id: str) -> list[Delivery]:
        """What is to be sent before the answer to a bind."""
        if not self.options.is_deliver_early:
            return []
        waiting = self.account(system_id).waiting
        if waiting:
            return [waiting.popleft()]
        self.statistics.inbound += 1
        return [part.delivery for part in make_inbound(self.options.inbound, 0, self.judge.random)][:1]

    def touched(self, connection: Connection) -> None:
        """The connection has something to send when this turn is over."""
        self._touched.add(connection)

    def ended(self, connection: Connection, number: int) -> None:
        self.connections.discard(connection)
        self._touched.discard(connection)
        if self.record is not None:
            self.record.lost(time.monotonic(), number)
            self.record.flush()

    # -- tasks ---------------------------------------------------------------------------------------------

    async def run(self, listener: socket.socket) -> None:
        """Until cancelled."""
        try:
            async with trio.open_nursery() as self.nursery:
                self.nursery.start_soon(self._agenda.run)
                self.nursery.start_soon(self._tick)
                if self.options.inbound_rate:
                    self.nursery.start_soon(self._make_inbound)
                if self.options.alert_rate:
                    self.nursery.start_soon(self._make_alerts)
                if self.options.outbind:
                    self.nursery.start_soon(self._outbind, *self.options.outbind)
                await self._accept(listener)
        finally:
            self._agenda.close()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue
            self._connect(sock)

    def _connect(self, sock: socket.socket) -> Connection:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.options.has_delayed_acks:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        self.statistics.connections += 1
        connection = Connection(self, sock, self.statistics.connections)
        self.connections.add(connection)
        self.nursery.start_soon(connection.run)
        return connection

    async def _outbind(self, host: str, port: int) -> None:
        """Call a client until it answers, and ask it to bind."""
        while True:
            try:
                stream = await trio.open_tcp_stream(host, port)
            except OSError:
                await trio.sleep(OUTBIND_PAUSE_S)
                continue
            sock = socket.socket(fileno=os.dup(stream.socket.fileno()))
            await stream.aclose()
            self._connect(sock).outbind(self.options.system_id or "smsc", self.options.password)
            return

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_S)
            now = time.monotonic()
            for connection in tuple(self.connections):
                connection.tick(now)

    async def _make_inbound(self) -> None:
        options, made = self.options, 0
        started = time.monotonic()
        while True:
            await trio.sleep(INBOUND_TICK_S)
            due = int((time.monotonic() - started) * options.inbound_rate)
            accounts = [each for each in self.accounts.values() if each.receivers]
            for number in range(made, due if accounts else made):
                account = accounts[number % len(accounts)]
                if len(account.waiting) < INBOUND_WAITING:
                    self._send_inbound(account, number)
            made = due
            self.push()

    def _send_inbound(self, account: Account, number: int) -> None:
        for part in make_inbound(self.options.inbound, number, self.judge.random):
            self.statistics.inbound += 1
            if part.delay_s:
                self.later(part.delay_s, account.waiting.append, part.delivery)
            else:
                account.waiting.append(part.delivery)

    async def _make_alerts(self) -> None:
        number = 0
        while True:
            await trio.sleep(1 / self.options.alert_rate)
            number += 1
            for connection in tuple(self.connections):
                self.statistics.alerts += connection.alert(f"407{number % 10**8:08d}")
            self.push()

    def push(self) -> None:
        """Send everything that a turn produced."""
        for account in self.accounts.values():
            if account.waiting:
                account.flush()
        while self._touched:
            self._touched.pop().push()

    def summary(self) -> bytes:
        """What was counted, as one line of JSON."""
        counts = msgspec.to_builtins(self.statistics)
        counts["statuses"] = {f"0x{status:02x}": count for status, count in self.statistics.statuses.items()}
        counts["waiting"] = sum(len(account.waiting) for account in self.accounts.values())
        return msgspec.json.encode({**counts, **usage()})

    def show(self) -> None:
        """Print what was counted."""
        print(self.summary().decode(), flush=True)

    def drop(self) -> None:
        """Cut every connection."""
        for connection in tuple(self.connections):
            connection.close()


# -- the process -------------------------------------------------------------------------------------------


async def _serve(smsc: SMSC, listener: socket.socket) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_signals, nursery.cancel_scope)
        if is_stdin_watched():
            commands = {b"statistics": smsc.show, b"drop": smsc.drop}
            nursery.start_soon(watch_stdin, nursery.cancel_scope, "smsc", commands)
        nursery.start_soon(smsc.run, listener)
        print("ready", listener.getsockname()[1], flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; 0, or 1 if it cannot listen or has no certificate."""
    options = parse_options(argv)
    try:
        smsc = SMSC(options)
    except OSError as error:
        print(f"smsc: cannot use the certificate {options.tls_cert} or its key: {error}", file=sys.stderr)
        return 1
    try:
        listener = socket.create_server((options.host, options.port), backlog=BACKLOG)
    except OSError as error:
        print(
            f"smsc: cannot listen on {options.host}:{options.port}: {os.strerror(error.errno or 0)}",
            file=sys.stderr,
        )
        return 1
    with closing(listener):
        listener.setblocking(False)
        trio.run(_serve, smsc, listener)
    if smsc.record is not None:
        smsc.record.close()
    print(smsc.summary().decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
