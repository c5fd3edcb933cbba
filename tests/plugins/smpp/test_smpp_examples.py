"""The worked examples, confirmed by independent implementations, hold in both directions."""

import pytest

from stentor_smpp import explain as explaining
from stentor_smpp.fields import DELIVER_SM, SUBMIT_SM
from stentor_smpp.hot import parse_message
from stentor_smpp.pdu import PDU, Malformed, Reaction, decode, encode
from tests.plugins.smpp.smpp_strategies import EXAMPLES, example_pdu

CASES = [pytest.param(example, id=example["id"]) for example in EXAMPLES]


@pytest.mark.parametrize("example", CASES)
def test_an_example_encodes_to_its_octets(example):
    assert encode(example_pdu(example)).hex() == example["hex"]


@pytest.mark.parametrize("example", CASES)
def test_an_example_decodes_whole_and_with_octets_behind_it(example):
    octets = bytes.fromhex(example["hex"])
    wanted = example_pdu(example)
    assert decode(octets) == wanted
    assert decode(octets + b"\x00\x00\x00\x10\x80") == wanted
    assert decode(b"\xff\xff" + octets, 2) == wanted


@pytest.mark.parametrize("example", CASES)
def test_an_example_asks_for_more_until_its_last_octet(example):
    octets = bytes.fromhex(example["hex"])
    for size in range(len(octets)):
        found = decode(octets[:size])
        assert isinstance(found, Malformed)
        assert found.reaction is Reaction.NEED_MORE
        assert found.octet == size


@pytest.mark.parametrize("example", CASES)
def test_the_fast_path_reads_an_example_like_the_codec(example):
    pdu = example_pdu(example)
    octets = bytes.fromhex(example["hex"])
    if pdu.command_id in (SUBMIT_SM, DELIVER_SM):
        found = parse_message(octets, 0, len(octets), pdu.command_id, 0, pdu.sequence)
        is_timed = pdu.fields["validity_period"] or pdu.fields["schedule_delivery_time"]
        assert found == (None if is_timed else pdu)


@pytest.mark.parametrize("example", CASES)
def test_an_example_is_explained_with_the_names_of_the_specification(example):
    fields = example["fields"]
    (found,) = explaining.explain(example["hex"])
    assert found["command"] == fields["command"]
    assert found["status"] == fields["command_status"]
    assert found["sequence"] == fields["sequence_number"]
    outside = ("command", "command_status", "sequence_number", "tlvs", "no_body")
    assert found["fields"] == {name: value for name, value in fields.items() if name not in outside}
    assert len(found["tlvs"]) == len(fields["tlvs"])


def test_every_kind_of_message_pdu_is_among_the_examples():
    assert {type(decode(bytes.fromhex(example["hex"]))) for example in EXAMPLES} == {PDU}
    assert len(EXAMPLES) == 48
