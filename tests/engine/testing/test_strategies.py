"""The strategies make what they say they make, and the kit can be imported without hypothesis."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from stentor.address import parse_destination, parse_originator
from stentor.testing import strategies
from stentor.text import gsm0338
from stentor.text.segments import Encoding


@given(strategies.destinations(), strategies.originators())
def test_addresses_are_what_admission_accepts(to, originator):
    assert parse_destination(to) == to
    assert parse_originator(originator).text == originator


@given(strategies.gsm_texts())
def test_gsm_texts_fit_the_alphabet(text):
    assert gsm0338.is_encodable(text)


@given(strategies.submissions())
def test_submissions_fit_one_segment(submission):
    limit = {Encoding.GSM7: 160, Encoding.UCS2: 140, Encoding.BINARY: 140}[submission.encoding]
    assert len(submission.data) <= limit
    assert submission.text is None


@given(st.data(), st.binary(max_size=50))
def test_pieces_join_to_the_whole(data, octets):
    pieces = data.draw(strategies.splits(octets))
    assert b"".join(pieces) == octets


def test_the_kit_needs_neither_hypothesis_nor_pytest():
    probe = (
        "import sys; sys.modules['hypothesis'] = sys.modules['pytest'] = None\n"
        "import stentor.testing.conformance, stentor.testing.strategies, stentor.testing.loopback"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
