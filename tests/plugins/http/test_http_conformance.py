"""The HTTP driver keeps the driver contract, with one connection and with several."""

from stentor.testing.conformance import Subject, conformance_tests
from stentor_http.spec import SPEC
from tests.plugins.http.parcel_peer import DESCRIPTION, ManyLinks, ParcelPeer


def subject(peer: type[ParcelPeer], **table) -> Subject:
    table = {"description": DESCRIPTION, **table}
    return Subject(spec=SPEC, peer=peer, table=table, entry="stentor_http.spec:SPEC")


@conformance_tests(subject(ParcelPeer, concurrency=1))
def test_one_connection(check):
    check()


@conformance_tests(subject(ManyLinks, concurrency=8))
def test_several_connections(check):
    check()
