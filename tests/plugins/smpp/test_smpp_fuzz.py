"""Random octets, split anywhere, fed to a session of either role in any state.

Invariants: nothing raises; how the octets are split changes neither what the session says nor what it sends,
but for the number of a nack for a bad length, which is judged before the header is whole; what it holds of an
unfinished PDU is bounded; every request is handed back exactly once.
"""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stentor_smpp import fields as f
from stentor_smpp.events import Ended, Faults
from stentor_smpp.pdu import encode
from tests.plugins.smpp.smpp_strategies import (
    BODY,
    CREDENTIALS,
    HEX,
    bound_esme,
    bound_mc,
    esme,
    header,
    mc,
    pdus,
    sent,
    split,
)


def binding_esme():
    session = esme()
    session.bind(f.BIND_TRANSCEIVER, CREDENTIALS, 0.0)
    return session


def submitting_esme():
    session = bound_esme()
    session.submit([(token, BODY) for token in range(5)], 0.0)
    sent(session)
    session.submit([(token, BODY) for token in range(5, 8)], 0.0)
    return session


def unbinding_esme():
    session = submitting_esme()
    session.unbind(0.0)
    return session


MAKERS = (mc, esme, binding_esme, bound_esme, bound_mc, submitting_esme, unbinding_esme)
framed = st.builds(
    header,
    st.sampled_from(sorted(f.LAYOUTS)) | st.integers(0, 0xFFFFFFFF),
    st.sampled_from([0, 0x58]) | st.integers(0, 0xFFFFFFFF),
    st.integers(0, 9) | st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=60),
)
streams = st.lists(
    st.one_of(st.binary(max_size=40), framed, pdus().map(encode), st.sampled_from(list(HEX.values()))),
    max_size=8,
).map(b"".join)


def told(session) -> list[object]:
    """What a session said, without regard to how it was gathered into events."""
    parts: list[object] = []
    for event in session.drain_events():
        if isinstance(event, Faults):
            parts += [replace(fault, sequence=0) if fault.length == 0 else fault for fault in event.faults]
            continue
        values = [getattr(event, name) for name in event.__struct_fields__]
        if len(values) == 1 and isinstance(values[0], list):
            parts += [(type(event), value) for value in values[0]]
        else:
            parts.append(event)
    return sorted(map(repr, parts))


@given(st.sampled_from(MAKERS), streams, st.lists(st.integers(0, 10_000), max_size=8))
def test_any_octets_split_anywhere_are_taken_alike_and_never_raise(make, data, cuts):
    whole, pieces = make(), make()
    whole.receive(data, 1.0)
    for piece in split(data, cuts):
        pieces.receive(piece, 1.0)
        assert len(pieces._partial) <= len(data)
    assert pieces.state is whole.state
    assert pieces.outstanding == whole.outstanding
    said = told(whole)
    assert told(pieces) == said
    output, wanted = pieces.drain_output(), whole.drain_output()
    is_framing_lost = any("NACK_AND_CLOSE" in part for part in said)
    assert output == wanted or (is_framing_lost and output[:-4] == wanted[:-4])


@given(streams, st.lists(st.floats(0, 100), max_size=5))
def test_any_octets_and_any_time_hand_each_request_back_once(data, moments):
    session = submitting_esme()
    now = 0.0
    back: Counter[int] = Counter()
    for piece, pause in zip([*split(data, [7, 90, 200]), b""] * 2, [*moments, 0, 0, 0], strict=False):
        now += pause
        session.receive(piece, now)
        session.tick(now)
        session.drain_output()
        assert session.next_deadline() > now
        back += collect(session)
    session.connection_lost()
    back += collect(session)
    assert back == Counter(range(8))


def collect(session) -> Counter[int]:
    back: Counter[int] = Counter()
    for event in session.drain_events():
        name = type(event).__name__
        if isinstance(event, Ended):
            back.update(event.never_left + event.in_doubt)
        elif name == "Expired":
            back.update(event.tokens)
        elif name == "Responses":
            back.update(token for token, *_ in event.responses)
        elif name == "Answers":
            back.update(token for token, _ in event.answers)
    return back


def test_a_pdu_that_never_ends_holds_no_more_than_its_limit():
    session = bound_mc()
    session.receive((65_536).to_bytes(4, "big") + f.SUBMIT_SM.to_bytes(4, "big"), 0.0)
    for _ in range(2000):
        session.receive(bytes(37), 0.0)
        assert len(session._partial) <= 65_536 + 37
