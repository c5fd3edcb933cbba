"""What watches the daemon: health, readiness, metrics, status, channels; and none of it gives anything away."""

import re

from tests.contract.contract_world import Daemon, check_silence, number, text

SAMPLE = re.compile(r'([a-z_]+)(\{([a-z_]+="(\\.|[^"\\\n])*",?)*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)')


def test_alive_and_ready(daemon: Daemon):
    for path in ("/healthz", "/readyz"):
        answer = daemon.client.get(path)
        assert answer.status == 200
        assert daemon.client.request("HEAD", path).body == b""
        daemon.client.post(path).problem(405)


def test_metrics_are_prometheus_text(daemon: Daemon):
    client = daemon.client
    client.wait(client.submit()["id"], "delivered")
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    kinds: dict[str, str] = {}
    values: dict[str, float] = {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds, "each metric is described once"
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            found = SAMPLE.fullmatch(line)
            assert found, line
            assert any(found[1].removesuffix(end) in kinds for end in ("", "_bucket", "_sum", "_count")), line
            assert line.rpartition(" ")[0] not in values, "each sample is given once"
            values[line.rpartition(" ")[0]] = float(found[5])
    assert values["stentor_messages_accepted_total"] >= 1
    assert values['stentor_channel_up{channel="alpha",driver="smpp"}'] == 1
    assert values['stentor_channel_up{channel="idle",driver="smpp"}'] == 0


def test_a_channel_shows_its_lanes_and_counters(daemon: Daemon):
    client = daemon.client
    client.wait(client.submit()["id"], "delivered")
    found = client.channel("alpha")
    assert (found["name"], found["driver"], found["state"], found["paused"]) == ("alpha", "smpp", "up", False)
    (lane,) = found["lanes"]
    assert lane["window"] == 100
    assert lane["sent"] >= 1
    assert found["counters"]["sent"] == lane["sent"]
    assert client.channel("idle")["state"] == "disabled"
    paused = client.post("/v1/channels/alpha/pause").json()
    assert (paused["state"], paused["paused"]) == ("paused", True)
    assert client.post("/v1/channels/alpha/pause").status == 200
    assert client.post("/v1/channels/alpha/resume").json()["state"] == "up"


def test_nothing_that_is_shown_to_operators_gives_anything_away(daemon: Daemon):
    client = daemon.client
    client.submit(channel="idle", ref=text())
    client.post("/v1/messages", {"to": f"{number()}x", "text": text()})
    for path in ("/metrics", "/v1/status", "/v1/channels", "/v1/channels/alpha", "/readyz", "/openapi.json"):
        check_silence(client.get(path).body.decode())


def test_the_backlog_is_shown_by_route_and_priority_with_its_age(daemon: Daemon):
    client = daemon.client
    client.submit(channel="idle", priority="bulk")
    found = [each for each in client.fetch("/v1/status")["backlog"] if each["priority"] == "bulk"]
    assert [(each["route"], each["active"] + each["journal"]) for each in found] == [("idle", 1)]
    assert found[0]["oldest_age_s"] >= 0


def test_a_problem_does_not_repeat_what_was_refused(daemon: Daemon):
    """A problem goes into clients' logs."""
    wrong = number()[1:]
    problem = daemon.client.refused("bad_destination", "$.to", to=wrong)
    assert wrong not in str(problem)
