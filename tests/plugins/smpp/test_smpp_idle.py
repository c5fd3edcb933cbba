"""Idle sessions cost next to nothing."""

import json
import subprocess
import sys

OCTETS_A_SESSION = 20_000
# A thousand sessions that ask for a sign of life every 30 s may take a fiftieth of a core.
SECONDS_AN_ENQUIRY = 0.02 / (1_000 / 30)


def test_an_idle_session_costs_little_memory_and_less_time():
    sessions, seconds, enquire_link_s = 400, 1.0, 1.0
    command = [sys.executable, "-m", "tests.plugins.smpp.idle_sessions"]
    command += [str(sessions), str(seconds), str(enquire_link_s)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout)
    assert found["octets_a_session"] <= OCTETS_A_SESSION, found
    assert 0 < found["share_of_a_core"] <= SECONDS_AN_ENQUIRY * sessions / enquire_link_s, found
