"""A carrier with an HTTP interface: lines in, journal, HTTP requests out, receipts posted back into the journal."""

from pathlib import Path
from typing import Any

from bench.harness import BenchError, Child, Workplace
from bench.scenario import Figure, Result, Scenario, Size, usage_of

WITHIN_S = 300.0
HOOK_CONNECTIONS = 256
CONCURRENCY = 64
WINDOW = 2000
BATCH = 100
BATCH_WINDOW = 5000

SINGLE = """
schema = 1
name = "single"
[settings]
base_url = { description = "where the simulated carrier listens" }
key = { description = "key", secret = true }
sign_key = { description = "key of signed receipts", secret = true }
[send]
url = "{settings.base_url}/v1/messages"
auth = { kind = "bearer", token = "{settings.key}" }
[send.body]
to = "{to}"
from = "{from}"
text = "{text}"
validity = "{valid_for_s}"
callback = "{receipt_url}"
reference = "{id}"
[reply]
result = { id = "id" }
[[verify]]
kind = "hmac"
key = "{settings.sign_key}"
header = "X-Signature"
[receipt]
id = "id"
own = "reference"
to = "to"
status = "status"
map = { delivered = "delivered", failed = "undelivered" }
"""
BATCHED = SINGLE.replace('name = "single"', 'name = "batched"').replace(
    "[send.body]", f"batch = {{ max = {BATCH} }}\n[send.body.each]"
)
BATCHED = BATCHED.replace("[reply]", '[reply]\nresults = "messages"').replace(
    "[receipt]", '[receipt]\nitems = "receipts"'
)


def configuration(description: Path, carrier_port: int, own_port: int, concurrency: int, window: int) -> str:
    """A channel to the simulated carrier, and the listener for its receipts."""
    return f"""
[api]
tcp = "127.0.0.1:{own_port}"
[channels.alpha]
driver = "http"
description = "{description}"
settings = {{ base_url = "http://127.0.0.1:{carrier_port}" }}
public_url = "http://127.0.0.1:{own_port}/in/alpha"
concurrency = {concurrency}
window = {window}
obey_rate = false
[[channels.alpha.secrets]]
name = "key"
secret = "k3y"
[[channels.alpha.secrets]]
name = "sign_key"
secret = "s1gn"
"""


def start_carrier(place: Workplace, text: str, *options: str) -> tuple[Child, int, Path]:
    """The simulated carrier, its port, and the file of its description."""
    description = place.folder / "carrier.toml"
    description.write_text(text)
    arguments = ["-m", "bench.peers.carrier", str(description), *options]
    arguments += ["--hook-connections", str(HOOK_CONNECTIONS)]
    for setting in ("base_url=http://127.0.0.1", "key=k3y", "sign_key=s1gn"):
        arguments += ["--setting", setting]
    carrier = place.start("carrier", *arguments)
    return carrier, int(carrier.wait_ready().split()[0]), description


def measure_bare(text: str, count: int, connections: int) -> dict[str, Any]:
    """The report of the client alone."""
    with Workplace() as place:
        _, port, description = start_carrier(place, text)
        arguments = {"description": description, "url": f"http://127.0.0.1:{port}", "messages": count}
        arguments |= {"connections": connections}
        options = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
        bare = place.start("bare", "-m", "bench.bare_http", *options, is_peer=False)
        report = bare.read_json(WITHIN_S)
        if report["sent"] != count:
            raise BenchError(f"of {count} messages the client alone sent {report['sent']}")
        return report


def measure(
    text: str, count: int, concurrency: int, window: int, *options: str
) -> tuple[float, Result, dict[str, Any]]:
    """Messages a second from the first submit to the last receipt answered, which is after its commit."""
    with Workplace() as place:
        carrier, port, description = start_carrier(place, text, *options)
        daemon = place.start_daemon(configuration(description, port, place.free_port(), concurrency, window))
        load = place.load("stream", messages=count)
        counted = place.wait_acknowledged(carrier, count, WITHIN_S)
        metrics = place.wait_finished(count, WITHIN_S)
        if load["accepted"] != count or counted["submits"] != count or counted["twice"]:
            detail = f"{load['accepted']} accepted, {counted['submits']} submitted, {counted['twice']} twice"
            raise BenchError(f"of {count}: {detail}")
        per_second = count / (counted["last_acknowledged_at"] - load["first_submit_at"])
        processes = [daemon.usage(), usage_of(counted, "carrier"), usage_of(load, "load")]
        return per_second, Result([], processes), {"load": load, "carrier": counted, "metrics": metrics}


def run(size: Size) -> Result:
    count = size.pick(100_000, 10_000, 200)
    # Lines come four times as fast as single requests leave. What memory has no room for would be read back from the
    # journal; `backlog` is about that.
    few = min(count, 40_000)
    bare = measure_bare(SINGLE, few, CONCURRENCY)
    one, single, single_details = measure(SINGLE, few, CONCURRENCY, WINDOW)
    many, batched, batched_details = measure(BATCHED, count, 16, BATCH_WINDOW, "--receipt-batch", str(BATCH))
    figures = [
        Figure("messages a second, one a request, one receipt a request", one, "/s", at_least=5_000),
        Figure("messages a second, batches of 100", many, "/s", at_least=15_000),
        Figure("requests a second, the client alone in the same run", bare["per_second"], "/s"),
        Figure("CPU of the client alone a request", bare["cpu_s"] / few * 1e6, "µs"),
        Figure("CPU of the daemon a message, one a request", single.processes[0].cpu_s / few * 1e6, "µs"),
        Figure("CPU of the daemon a message, batches of 100", batched.processes[0].cpu_s / count * 1e6, "µs"),
        Figure("CPU of the carrier a message, one a request", single.processes[1].cpu_s / few * 1e6, "µs"),
    ]
    details = {"bare": bare, "single": single_details, "batched": batched_details}
    return Result(figures, [*single.processes, *batched.processes], details)


SCENARIO = Scenario(
    name="http",
    summary="NDJSON submit to journalled receipt over a carrier's HTTP interface: 40,000 messages, one a request, "
    "then 100,000 in batches of 100",
    limit="The daemon's own thread: two exchanges of HTTP a message, or two for a hundred messages.",
    estimate="One a request: 5,500 to 8,000/s, 125 to 180 µs a message: 35 to 40 for the message, 50 to 70 for the "
    "request out and its answer, 35 to 60 for the receipt's request. In batches: 18,000 to 25,000/s, 40 to 55 µs.",
    refutation="A daemon below 0.9 of a core while carrier and load generator are idle; or batches that cost "
    "twice what a message of `line` costs.",
    run=run,
)
