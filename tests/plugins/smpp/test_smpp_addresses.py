"""A destination that was rewritten for the carrier is E.164 again when a receipt names it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp.addresses import Addressing, written
from stentor_smpp.rules import DestinationRule
from tests.plugins.smpp.smpp_submissions import config

RULES = {
    "+91": DestinationRule(ton=2, strip="+91"),
    "+9180": DestinationRule(ton=4, strip="+91", add="0"),
    "+1": DestinationRule(ton=6, strip=""),
    "+4": DestinationRule(ton=0, add="00"),
}


@pytest.mark.parametrize(
    ("ton", "address", "expected"),
    [
        (1, "46701234567", "+46701234567"),
        (1, "+46701234567", "+46701234567"),
        (0, "33612345678", "+33612345678"),
        (2, "9812345678", "+919812345678"),
        (4, "08012345678", "+918012345678"),
        (6, "+12025550123", "+12025550123"),
        (0, "0046701234567", "+46701234567"),
        (5, "Stentor", "Stentor"),
        (1, "", ""),
    ],
)
def test_what_a_carrier_writes_is_read_back(ton, address, expected):
    assert Addressing(config(destinations=RULES)).e164(ton, address) == expected


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_every_destination_survives_the_way_there_and_back(to):
    addressing = Addressing(config(destinations=RULES))
    rule = addressing.rule(to)
    assert addressing.e164(rule.ton, written(to, rule)) == to
