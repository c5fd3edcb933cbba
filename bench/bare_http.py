"""The bare path of HTTP: the client alone against a simulated carrier, as the limit the channel is measured against.

Requests are built and answers read as the driver does, over as many connections; there is no journal, no queue, no
receipt and no state. What it costs a message is what one exchange costs whoever makes it in this language.

    python -m bench.bare_http --description FILE --url URL --messages N --connections N

prints one JSON object.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec
import uvloop

from bench.peers.load import TEXT
from bench.peers.usage import usage
from stentor.aio.http import Client, ClientSettings
from stentor.message import Priority
from stentor.outcome import Sent, Submission
from stentor.text.segments import Encoding
from stentor_http.carrier import Carrier
from stentor_http.catalog import load
from stentor_http.exchange import build, read


def submissions(count: int) -> Iterator[Submission]:
    """As the engine hands them over; they want no receipt."""
    for number in range(count):
        yield Submission(
            token=(1 << 40) + number * 256,
            attempt=1,
            to=f"+407{number:08d}",
            originator="",
            encoding=Encoding.GSM7,
            data=b"",
            udh=b"",
            index=1,
            segments=1,
            wants_receipt=False,
            valid_for_s=86_400,
            priority=Priority.NORMAL,
            text=TEXT.replace("{n}", str(number)),
        )


async def _run(options: argparse.Namespace, carrier: Carrier) -> None:
    waiting = submissions(options.messages)
    settings = ClientSettings(connections=options.connections, connections_per_origin=options.connections)
    client = Client(settings, random=random.random)
    sent = 0

    async def work() -> None:
        nonlocal sent
        while batch := list(islice(waiting, carrier.batch_limit)):
            for exchange in build(carrier, batch, time.time_ns() // 1_000_000).exchanges:
                answer = await client.send(exchange.request)
                reading = read(carrier, exchange, answer, time.time_ns() // 1_000_000)
                sent += sum(type(outcome) is Sent for outcome in reading.outcomes)

    started, used = time.monotonic(), usage()["cpu_s"]
    async with asyncio.TaskGroup() as group:
        for _ in range(options.connections):
            group.create_task(work())
    elapsed_s, cpu_s = time.monotonic() - started, usage()["cpu_s"] - used
    await client.close()
    report = {"sent": sent, "per_second": sent / elapsed_s, **usage(), "cpu_s": cpu_s}
    print(msgspec.json.encode(report).decode(), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until every message has its answer."""
    parser = argparse.ArgumentParser("python -m bench.bare_http", description="The HTTP client alone.")
    parser.add_argument("--description", required=True)
    parser.add_argument("--url", required=True, help="the setting base_url")
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args(argv)
    settings = {"base_url": options.url, "key": "k3y", "sign_key": "s1gn", "hook_token": ""}
    uvloop.run(_run(options, load("", options.description, settings)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
