"""One message a request: what HTTP, one answer and one wait for a commit cost each."""

from bench.harness import BenchError, Workplace, channel
from bench.scenario import Figure, Result, Scenario, Size, usage_of

CONNECTIONS = 64
WITHIN_S = 120.0
C_GATEWAY_PER_SECOND = 12_000
"""What the best known gateway in C does on the machine this was first run on, without making anything
durable.
"""


def run(size: Size) -> Result:
    count = size.pick(100_000, 15_000, 300)
    with Workplace() as place:
        smsc, port = place.start_smsc()
        daemon = place.start_daemon(channel(port))
        load = place.load("single", messages=count, connections=min(CONNECTIONS, count))
        requests_s = daemon.usage().cpu_s
        counted = place.wait_acknowledged(smsc, count, WITHIN_S)
        place.wait_finished(count, WITHIN_S)
        if load["accepted"] != count or counted["submits"] != count:
            raise BenchError(f"of {count}: {load['accepted']} accepted, {counted['submits']} submitted")
        note = f"a gateway in C that keeps nothing durable: {C_GATEWAY_PER_SECOND:,}"
        figures = [
            Figure("requests a second", load["per_second"], "/s", at_least=8_000, note=note),
            Figure("answer, median", load["latency"]["p50_ms"], "ms"),
            Figure("answer, 99th percentile", load["latency"]["p99_ms"], "ms"),
            Figure("CPU of the daemon a request", requests_s / count * 1e6, "µs"),
        ]
        processes = [daemon.usage(), usage_of(counted, "smsc"), usage_of(load, "load")]
        return Result(figures, processes, {"load": load, "smsc": counted})


SCENARIO = Scenario(
    name="single",
    summary="one message a request over 64 keep-alive connections, with receipts, durability power",
    limit="The daemon's own thread: HTTP parsing, one answer and one write(2) a request.",
    estimate="8,000 to 10,000 requests/s: h11 takes 45 to 60 µs of the server's side of an exchange, read and write "
    "10 µs, the message's whole way behind it 35 µs.",
    refutation="More than 14,000 requests/s: then h11 was not paid for every exchange. Less than 5,000/s with the "
    "daemon below 0.9 of a core: then the 64 connections wait for commits, and more of them would go faster.",
    run=run,
)
