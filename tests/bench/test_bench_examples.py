"""The whole configurations in config/examples do what they say: served as they stand, against simulated peers.

Nothing is changed but addresses, where secrets are, and the user who runs the test. What is submitted is urgent, which
each of them sends at night too.
"""

import os
import re
import subprocess
import sys
from typing import Any

import msgspec

from bench.harness import Child, Workplace, wait_until
from tests.support.source import ROOT

FINAL_S = 60.0
HURRIED = ("--hurry", "50", "--sent-after", "50ms", "--delivered-after", "50ms")
HOME, ABROAD = "+40712345678", "+12025550123"


def serve(place: Workplace, name: str) -> tuple[Child, dict[str, Child]]:
    """Start an SMSC for each SMPP channel of an example, and the daemon with it; the daemon, and SMSCs by channel."""
    text = (ROOT / "config" / "examples" / f"{name}.toml").read_text()
    peers: dict[str, Child] = {}

    def adapt(found: re.Match[str]) -> str:
        channel = found["channel"]
        peers[channel], port = place.start_smsc("--system-id", "login", "--password", channel)
        secret = place.folder / channel
        secret.touch(0o600)
        secret.write_text(f"{channel}\n")
        login = f'system_id = "login"\npassword_file = "{secret}"'
        return f'[channels.{channel}]\ndriver = "smpp"\nhost = "127.0.0.1"\nport = {port}\n{login}\n'

    text = re.sub(
        r'\[channels\.(?P<channel>\w+)\]\ndriver = "smpp"\nhost = "[\w.]+"\nsystem_id = "login"\n'
        r'password_credential = "(?P=channel)"\n',
        adapt,
        text,
    )
    assert "smsc." not in text
    text = text.replace("front_office = [2000]", f"front_office = [{os.getuid()}]")
    daemon = place.start_daemon(text.replace('tcp = "127.0.0.1:8080"', 'tcp = "127.0.0.1:0"'))
    wait_until(
        lambda: all(bound(place, channel) for channel in peers), FINAL_S, lambda: f"all of {list(peers)} up"
    )
    return daemon, peers


def bound(place: Workplace, channel: str) -> bool:
    found = place.api.json("GET", "/v1/channels")["channels"]
    return bool(next(each for each in found if each["name"] == channel)["state"] == "up")


def command(place: Workplace, *words: str, code: int = 0) -> Any:
    """What ``stentor`` prints as JSON, as a new user would call it."""
    arguments = [sys.executable, "-m", "stentor", *words, "--json", "--socket", str(place.api.path)]
    done = subprocess.run(arguments, capture_output=True, cwd=ROOT, timeout=FINAL_S)
    assert done.returncode == code, done.stderr.decode()
    return msgspec.json.decode(done.stdout) if done.stdout else done.stderr.decode()


def submit(place: Workplace, to: str, account: str = "default", **fields: Any) -> dict[str, Any]:
    """A message on its way to its final status."""
    body = {"to": to, "text": f"{to} {account} {len(fields)}", "priority": "urgent", **fields}
    status, octets = request(place, "POST", "/v1/messages", account, body)
    assert status == 202, octets
    return msgspec.json.decode(octets, type=dict[str, Any])


def request(place: Workplace, method: str, target: str, account: str, body: Any = None) -> tuple[int, bytes]:
    return place.api.request(method, target, body, {"Stentor-Account": account})


def final(place: Workplace, submitted: dict[str, Any], account: str = "default") -> dict[str, Any]:
    """The message once it is final."""
    seen: dict[str, Any] = {}

    def has_ended() -> bool:
        status, octets = request(place, "GET", f"/v1/messages/{submitted['id']}", account)
        assert status == 200
        seen.update(msgspec.json.decode(octets))
        return bool(seen["final_at"])

    wait_until(has_ended, FINAL_S, lambda: str(seen))
    return seen


def went(place: Workplace, to: str, account: str = "default", **fields: Any) -> tuple[str, str, str]:
    """Status, channel and originator of a message that was followed to its end."""
    found = final(place, submit(place, to, account, **fields), account)
    return found["status"], found["channel"], found["from"]


def test_a_phone_has_its_country_and_a_carrier_the_rest() -> None:
    with Workplace() as place:
        daemon, _ = serve(place, "phone-and-carrier")
        token = command(place, "phones", "add", "anna")["token"]
        listener = next(name for name in daemon.announced.split() if name.startswith("tcp:"))
        url = f"http://{listener.removeprefix('tcp:')}/api/mobile/v1"
        words = ("--url", url, "--token", token, *HURRIED)
        fleet = place.start("phones", "-m", "bench.peers.phones", *words)
        fleet.wait_ready()
        wait_until(lambda: bound(place, "phone"), FINAL_S, lambda: "the phone streams")
        assert went(place, "0712345678")[:2] == ("delivered", "phone")
        assert went(place, HOME, tags=["bulk"]) == ("delivered", "carrier", "Example")
        assert went(place, ABROAD) == ("delivered", "carrier", "Example")


def test_three_carriers_take_what_is_cheapest_and_stand_in_for_each_other() -> None:
    with Workplace() as place:
        _, peers = serve(place, "least-cost")
        assert went(place, "+40712345678")[:2] == ("delivered", "east")
        assert went(place, "+40722345678")[:2] == ("delivered", "direct")
        assert went(place, ABROAD)[:2] == ("delivered", "world")
        peers["east"].kill()
        wait_until(lambda: not bound(place, "east"), FINAL_S, lambda: "east is down")
        assert went(place, "+40712345679")[:2] == ("delivered", "direct")
        steps = command(place, "route", "+40900123456", code=1)["steps"]
        assert (steps[-1]["step"], steps[-1]["result"]) == ("destination", "refused")


def test_each_of_many_accounts_is_held_to_what_it_agreed_to() -> None:
    with Workplace() as place:
        _, peers = serve(place, "many-accounts")
        assert went(place, HOME, "clinic")[:2] == ("delivered", "inside")
        assert went(place, ABROAD, "shop")[::2] == ("delivered", "+12025550100")
        assert went(place, HOME, "other", tags=["otp"])[:2] == ("delivered", "inside")
        status, octets = request(place, "POST", "/v1/messages", "clinic", {"to": ABROAD, "text": "x"})
        assert (status, msgspec.json.decode(octets)["code"]) == (422, "destination_not_allowed")
        peers["inside"].kill()
        wait_until(lambda: not bound(place, "inside"), FINAL_S, lambda: "inside is down")
        waiting = submit(place, HOME, "clinic", text="it does not leave the EEA")
        assert went(place, HOME, "other", tags=["otp"], text="this one may")[:2] == ("delivered", "outside")
        _, octets = request(place, "GET", f"/v1/messages/{waiting['id']}", "clinic")
        assert msgspec.json.decode(octets)["status"] == "queued"
