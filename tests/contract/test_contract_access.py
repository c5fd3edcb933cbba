"""Who is let in, for which account, and what others see: nothing."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.contract_world import (
    Answer,
    Client,
    Daemon,
    Json,
    Smsc,
    Stream,
    channel,
    number,
    running,
    text,
)
from tests.support.source import ROOT

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root may speak as other users")

ACME, OTHER, OFFICE, STRANGER = 4001, 4002, 4003, 4004

# Speaks as another user: the kernel tells the daemon who connected.
AS = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from tests.contract.contract_world import Client  # while it may still read a checkout that is nobody else's
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
client = Client(sys.argv[3])
for line in sys.stdin:
    method, target, body, headers = json.loads(line)
    answer = client.request(method, target, body, **headers)
    print(json.dumps([answer.status, answer.headers["Content-Type"], answer.body.decode()]), flush=True)
client.close()
"""


class User:
    """A process of a user of its own that speaks to the daemon."""

    def __init__(self, uid: int, socket: Path) -> None:
        arguments = [sys.executable, "-c", AS, ROOT, str(uid), socket]
        self._process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "User":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)

    def request(self, method: str, target: str, body: Json = None, **headers: str) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([method, target, body, headers]), file=self._process.stdin, flush=True)
        status, content_type, octets = json.loads(self._process.stdout.readline())
        found = http.client.HTTPMessage()
        found["Content-Type"] = content_type
        return Answer(status, found, octets.encode())

    def submit(self, **headers: str) -> str:
        answer = self.request("POST", "/v1/messages", {"to": number(), "text": text()}, **headers)
        assert answer.status == 202, answer
        return answer.json()["id"]


@pytest.fixture(scope="module")
def daemon(carrier: Smsc) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        sections: Json = {
            "api": {"front_office": [OFFICE], "tcp": "127.0.0.1:0"},
            "accounts": {"acme": {"unix_users": [ACME]}, "other": {"unix_users": [OTHER]}},
        }
        with running(Daemon(Path(folder), {"alpha": channel(carrier.port)}, **sections)) as found:
            found.start_up()
            # Who may reach the socket at all is the file's mode; here it is everybody.
            found.socket.chmod(0o666)
            yield found


def test_each_user_acts_for_its_account_and_sees_no_other(daemon: Daemon):
    with User(ACME, daemon.socket) as acme, User(OTHER, daemon.socket) as other:
        id = acme.submit()
        assert acme.request("GET", f"/v1/messages/{id}").status == 200
        for method, path in (("GET", id), ("GET", f"{id}/timeline"), ("DELETE", id)):
            other.request(method, f"/v1/messages/{path}").problem(404, "not_found")
        assert other.request("GET", "/v1/messages").json()["messages"] == []
        own = other.submit()
        listed = other.request("GET", "/v1/messages").json()["messages"]
        assert [message["id"] for message in listed] == [own]


def test_an_idempotency_key_belongs_to_its_account(daemon: Daemon):
    with User(ACME, daemon.socket) as acme, User(OTHER, daemon.socket) as other:
        assert acme.submit(Idempotency_Key="one") != other.submit(Idempotency_Key="one")


def test_events_of_others_are_not_told(daemon: Daemon):
    with Stream(daemon.socket, Stentor_Account="acme") as events, User(OTHER, daemon.socket) as other:
        foreign = other.submit()
        own = Client(daemon.socket, {"Stentor-Account": "acme"})
        last = own.submit()["id"]
        told = events.until("message.delivered", last)
        own.close()
    ids = {event["message"]["id"] for event in told if "message" in event}
    assert last in ids
    assert foreign not in ids


def test_a_stranger_is_refused_everywhere_but_on_the_health_paths(daemon: Daemon):
    with User(STRANGER, daemon.socket) as stranger:
        for method, target in (
            ("POST", "/v1/messages"), ("GET", "/v1/messages"), ("GET", "/v1/events"), ("GET", "/v1/channels"),
            ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/nowhere"), ("POST", "/v1/inspect"),
        ):  # fmt: skip
            stranger.request(method, target).problem(403)
        assert stranger.request("GET", "/healthz").status == 200
        assert stranger.request("GET", "/readyz").status == 200


def test_a_front_office_names_the_account_it_acts_for(daemon: Daemon):
    with User(OFFICE, daemon.socket) as office, User(ACME, daemon.socket) as acme:
        id = office.submit(Stentor_Account="acme")
        assert acme.request("GET", f"/v1/messages/{id}").status == 200
        office.request("GET", f"/v1/messages/{id}").problem(404)
        assert office.request("GET", f"/v1/messages/{id}", Stentor_Account="acme").status == 200
        office.request("GET", "/v1/messages", Stentor_Account="no such/name").problem(400)


def test_nobody_else_may_name_another_account(daemon: Daemon):
    with User(ACME, daemon.socket) as acme:
        acme.request("GET", "/v1/messages", Stentor_Account="other").problem(403)
        assert acme.request("GET", "/v1/messages", Stentor_Account="acme").status == 200


def test_customers_may_look_at_channels_and_not_stop_them(daemon: Daemon):
    with User(ACME, daemon.socket) as acme:
        assert acme.request("GET", "/v1/channels").status == 200
        acme.request("POST", "/v1/channels/alpha/pause").problem(403)
    assert daemon.client.channel("alpha")["paused"] is False


def test_users_and_groups_of_the_configuration_are_let_in_after_a_reload(daemon: Daemon):
    with User(STRANGER, daemon.socket) as stranger:
        stranger.request("GET", "/v1/messages").problem(403)
        daemon.config["api"]["unix_users"] = [STRANGER]
        daemon.config["accounts"]["acme"]["unix_users"] = [ACME, STRANGER]
        daemon.reload()
        assert stranger.request("GET", "/v1/messages").status == 200
        daemon.config["api"]["unix_users"] = []
        daemon.config["accounts"]["acme"]["unix_users"] = [ACME]
        daemon.reload()
        stranger.request("GET", "/v1/messages").problem(403)


def test_tcp_serves_the_health_paths_and_asks_for_a_key_elsewhere(daemon: Daemon):
    host, _, port = daemon.ready_line.rpartition("tcp:")[2].rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)

    def request(method: str, target: str, **headers: str) -> Answer:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, headers=fields)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    for target in ("/healthz", "/readyz"):
        assert request("GET", target).status == 200
    for method, target in (
        ("GET", "/v1/messages"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
    ):
        for headers in ({}, {"Authorization": "Bearer abc"}, {"Stentor_Account": "acme"}):
            refusal = request(method, target, **headers)
            refusal.problem(401)
            assert refusal.headers["WWW-Authenticate"].startswith("Bearer")
    request("GET", "/x").problem(404)
    connection.close()
