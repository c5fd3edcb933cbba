"""The driver for phones keeps the driver contract; what a phone cannot be told is left out by its peer."""

import msgspec

from stentor.testing.conformance import Subject, conformance_tests
from stentor_android.spec import SPEC
from tests.plugins.android.phone_peer import PhonePeer

TABLE = {
    "url": "https://gw.example.test",
    "window": 10,
    "parts_a_minute": 600.0,
    "hourly": 0,
    "daily": 0,
    "lease": 60.0,
    "clock_margin": 10.0,
    "ask": 5.0,
    "handover": 5.0,
}


def subject(**changes) -> Subject:
    """The peer and the driver's host of a world find each other when the driver is made."""
    peers = []

    def peer():
        peers.append(PhonePeer())
        return peers[-1]

    def make(config, host):
        peers[-1].adopt(host)
        return SPEC.make(config, host)

    return Subject(
        spec=msgspec.structs.replace(SPEC, make=make),
        peer=peer,
        table={**TABLE, **changes},
        entry="stentor_android.spec:SPEC",
    )


@conformance_tests(subject())
def test_a_fleet_of_one_phone(check):
    check()
