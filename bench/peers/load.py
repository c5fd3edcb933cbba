"""A load generator for the daemon's Unix socket. Four ways to submit, one report as JSON on standard output::

    python -m bench.peers.load --socket run/stentor.sock stream --messages 200000
    python -m bench.peers.load --socket run/stentor.sock single --connections 64 --messages 50000
    python -m bench.peers.load --socket run/stentor.sock array --batch 500 --messages 50000
    python -m bench.peers.load --socket run/stentor.sock connect --connections 500

``stream`` is one request of lines for each connection, read and written at once; ``single`` sends a message a
request on keep-alive connections; ``array`` sends many a request; ``connect`` opens all connections at once
and asks each for the daemon's health. With ``--rate`` submissions come at that rate whether or not they are
answered in time.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import trio

from bench.peers.lines import MessageMaker, read_texts
from bench.peers.report import LoadReport
from bench.peers.stream import Stream
from bench.peers.swarm import Request, Swarm

TEXT: Final = "Your parcel {n} arrives today between 14:00 and 16:00. Track it at example.com/t"
_ACCEPTED: Final = re.compile(rb'^\{"accepted":(\d+),"rejected":(\d+)')
_IDLE_S: Final = 0.5
_PACE_S: Final = 0.001


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 when every message was accepted, else 1."""
    options = _parser().parse_args(argv)
    report = LoadReport(options.acknowledged)
    run = _run_streams if options.way == "stream" else _run_swarm
    try:
        trio.run(run, options, report)
    except KeyboardInterrupt:
        report.failed("interrupted")
    report.close()
    print(report.to_json().decode(), flush=True)
    expected = options.messages if options.way != "connect" else 0
    return 0 if report.accepted == expected and not report.failures else 1


async def _run_streams(options: argparse.Namespace, report: LoadReport) -> None:
    maker = _maker(options)
    share, rest = divmod(options.messages, options.connections)
    first = options.first
    async with trio.open_nursery() as nursery:
        for number in range(options.connections):
            count = share + (number < rest)
            stream = Stream(
                options.socket, maker, report, first=first, count=count, batch=options.batch or 500
            )
            stream.outstanding = options.outstanding
            stream.rate = options.rate / options.connections
            stream.header_lines = _header_lines(options).replace("{n}", str(number))
            first += count
            nursery.start_soon(stream.run)


async def _run_swarm(options: argparse.Namespace, report: LoadReport) -> None:
    if options.way == "connect":
        requests: Callable[[float], Request | None] = _health_requests(options.connections)
        on_answer: Callable[[int, bytes], None] = _ignore
    else:
        size = (options.batch or 500) if options.way == "array" else 1
        requests = _submit_requests(options, size)
        on_answer = _count_array(report) if options.way == "array" else _count_single(report)
    swarm = Swarm(options.socket, options.connections, requests, on_answer, report)
    await swarm.run(_PACE_S if options.rate else _IDLE_S)


def _submit_requests(options: argparse.Namespace, size: int) -> Callable[[float], Request | None]:
    maker, rate = _maker(options), options.rate
    head = (
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"{_header_lines(options)}Content-Length: "
    ).encode()
    sent = 0
    started = 0.0

    def next_request(now: float) -> Request | None:
        nonlocal sent, started
        count = min(size, options.messages - sent)
        if count <= 0:
            raise StopIteration
        started = started or now
        due = started + sent / rate if rate else now
        if due > now:
            return None
        messages = maker.make(options.first + sent, count)
        sent += count
        body = messages[0] if options.way == "single" else b"[" + b",".join(messages) + b"]"
        return b"%b%d\r\n\r\n%b" % (head, len(body), body), due

    return next_request


def _health_requests(count: int) -> Callable[[float], Request | None]:
    started, sent = time.monotonic(), 0

    def next_request(now: float) -> Request | None:
        nonlocal sent
        if sent == count:
            raise StopIteration
        sent += 1
        return b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", started

    return next_request


def _ignore(status: int, body: bytes) -> None:
    """The report has counted the status."""


def _count_single(report: LoadReport) -> Callable[[int, bytes], None]:
    def count(status: int, body: bytes) -> None:
        if status == 202:
            report.accepted += 1
            if report.acknowledged_fd is not None:
                report.keep(body.rstrip(b"\n") + b"\n")
        else:
            report.refused += 1
            report.refused_lines(b'{"error":' + body, 1)

    return count


def _count_array(report: LoadReport) -> Callable[[int, bytes], None]:
    def count(status: int, body: bytes) -> None:
        found = _ACCEPTED.match(body)
        if status != 202 or found is None:
            report.failed(f"status {status}: {body[:300].decode(errors='replace')}")
            return
        report.accepted += int(found[1])
        report.refused += int(found[2])
        if report.acknowledged_fd is not None:
            report.keep(body.rstrip(b"\n") + b"\n")

    return count


def _maker(options: argparse.Namespace) -> MessageMaker:
    texts = read_texts(Path(options.texts)) if options.texts else [options.text]
    fields: dict[str, Any] = {"ref": options.ref} if options.ref else {}
    named = {"from": options.originator, "channel": options.channel, "delivery": options.delivery}
    fields |= {name: value for name, value in named.items() if value}
    if options.no_receipt:
        fields["receipt"] = False
    if options.valid_for:
        fields["valid_for"] = options.valid_for
    priorities = options.priority.split(",") if options.priority else ()
    return MessageMaker(texts, options.to, fields, priorities, options.stride)


def _header_lines(options: argparse.Namespace) -> str:
    return "".join(f"{line}\r\n" for line in options.header)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench.peers.load", description="A load generator for the daemon's Unix socket."
    )
    add = parser.add_argument
    add("way", choices=("stream", "single", "array", "connect"), help="how to submit")
    add("--socket", required=True, metavar="PATH", help="the daemon's Unix socket")
    add("--messages", type=int, default=1000, metavar="N", help="how many in all (%(default)s)")
    add("--first", type=int, default=0, metavar="N", help="number of the first message (%(default)s)")
    add("--connections", type=int, default=1, metavar="N", help="connections (%(default)s)")
    add("--batch", type=int, default=0, metavar="N", help="lines a write, or messages an array (500)")
    help = "most lines of a stream without their result (%(default)s)"
    add("--outstanding", type=int, default=10_000, metavar="N", help=help)
    add(
        "--rate", type=float, default=0.0, metavar="N", help="messages a second; 0: as fast as they are taken"
    )
    help = "append every result line to FILE as soon as it came"
    add("--acknowledged", default="", metavar="FILE", help=help)
    help = "a further header line of each request; {n} is the number of the stream"
    add("--header", action="append", default=[], metavar="LINE", help=help)
    group = parser.add_argument_group("the messages")
    add = group.add_argument
    help = "their text; {n} is the message's number, {t} the moment in nanoseconds"
    add("--text", default=TEXT, help=help)
    add("--texts", default="", metavar="FILE", help="NDJSON file whose members `text` are taken in turn")
    add("--to", default="+407", metavar="PREFIX", help="destinations: this and eight digits (%(default)s)")
    help = "how far apart their digits are (%(default)s)"
    add("--stride", type=int, default=1, metavar="N", help=help)
    add("--from", dest="originator", default="", metavar="ORIGINATOR", help="their originator")
    add("--ref", default="", help="their ref, which may hold {n}")
    add("--priority", default="", metavar="LIST", help="priorities to be taken in turn")
    add("--channel", default="", metavar="NAME", help="pin them to a channel")
    add("--delivery", default="", choices=("at_least_once", "at_most_once"), help="what to do in doubt")
    add("--valid-for", default="", metavar="TIME", help="how long they are valid")
    add("--no-receipt", action="store_true", help="ask for no receipt")
    return parser


if __name__ == "__main__":
    sys.exit(main())
