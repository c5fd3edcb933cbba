"""The SMPP driver keeps the driver contract, in every shape its sessions come in."""

import pytest

from stentor.testing.conformance import Subject, conformance_tests
from stentor_smpp.spec import SPEC
from tests.plugins.smpp.smsc_peer import HOST, SMSCPeer


def subject(**table) -> Subject:
    table = {"host": HOST, "system_id": "stentor", **table}
    return Subject(spec=SPEC, peer=SMSCPeer, table=table, entry="stentor_smpp.spec:SPEC")


@conformance_tests(subject())
def test_a_transceiver(check):
    check()


@conformance_tests(subject(bind="transmitter", sessions=2, receivers=2))
def test_transmitters_beside_receivers(check):
    check()


@conformance_tests(subject(sessions=3, long_messages="udh16", message_ids="hex_hex", latin1=True))
def test_several_transceivers(check):
    check()


BINDS = [
    {"kind": "transmitter", "system_id": "send", "window": 10},
    {"kind": "receiver", "system_id": "take"},
    {"kind": "transceiver", "sessions": 2},
]


@conformance_tests(subject(binds=BINDS, query_after=3600.0, cancel=True))
def test_binds_of_every_kind_with_logins_of_their_own(check):
    check()


@pytest.mark.parametrize("latency_s", [0.02, 0.3])
def test_a_peer_far_away_is_only_slower(latency_s):
    from stentor.testing.world import World, play

    async def far(world: World) -> None:
        world.network.latency_s = latency_s
        await world.ready()
        batch = [world.submission() for _ in range(35)]
        began = world.loop.time()
        await world.send(batch)
        assert set(world.outcomes(batch)) == {"Sent"}
        # Four windows of ten, each a way there and back.
        assert 8 * latency_s <= world.loop.time() - began <= 8 * latency_s + 3.0

    play(subject(), far)
