"""What people read about a PDU, well-formed or not."""

from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp.explain import explain
from tests.plugins.smpp.smpp_strategies import HEX, header


def test_known_tlvs_are_named_and_unknown_ones_are_hexadecimal():
    (found,) = explain(HEX["E34"].hex())
    assert found["tlvs"] == {
        "receipted_message_id": "5f3a09c2",
        "message_state": 5,
        "network_error_code": "03001b",
    }
    (found,) = explain(HEX["E27"].hex())
    assert found["tlvs"] == {"0x1501": "43414d504149474e37"}


def test_an_answer_says_what_its_status_is_called():
    (throttled,) = explain("00000010800000040000005800000065")
    assert (throttled["status"], throttled["status_name"]) == (0x58, "ESME_RTHROTTLED")
    assert explain(HEX["E28"].hex())[0]["status_name"] == "ESME_ROK"
    assert "status_name" not in explain(HEX["E09"].hex())[0]


def test_a_tag_that_repeats_shows_every_value():
    (found,) = explain(_resized(HEX["E12"] + bytes.fromhex("14280001611428000162")).hex())
    assert found["tlvs"] == {"0x1428": ["61", "62"]}


def _resized(octets: bytes) -> bytes:
    return len(octets).to_bytes(4, "big") + octets[4:]


def test_a_known_tlv_of_an_odd_size_is_hexadecimal():
    (found,) = explain(_resized(HEX["E12"] + bytes.fromhex("0427000400000002")).hex())
    assert found["tlvs"] == {"message_state": "00000002"}


def test_several_pdus_are_explained_in_turn_past_a_bad_one():
    bad = header(4, 0, 7, b"\0\1")
    found = explain((HEX["E09"] + bad + HEX["E28"]).hex())
    assert [part.get("command", "error") for part in found] == ["enquire_link", "error", "submit_sm_resp"]
    assert found[1]["error"]["octet"] == 16 + 18
    assert found[1]["error"]["reaction"] == "submit_sm_resp 0x0a"


def test_a_stream_that_cannot_be_followed_ends_the_explanation():
    found = explain("0000000f" + HEX["E09"].hex())
    assert len(found) == 1
    assert found[0]["error"]["reaction"] == "generic_nack 0x02, close"


def test_half_a_pdu_needs_more():
    (found,) = explain(HEX["E12"][:40].hex())
    assert found["error"] == {"octet": 40, "detail": "40 of 69 octets", "reaction": "need more"}
    assert explain("")[0]["error"]["reaction"] == "need more"


def test_blanks_colons_and_a_prefix_are_skipped():
    spaced = " ".join(f"{octet:02X}" for octet in HEX["E09"])
    assert explain("0x" + spaced) == explain(spaced.replace(" ", ":")) == explain(HEX["E09"].hex())


def test_what_is_not_hexadecimal_is_explained_too():
    assert explain("00zz")[0]["error"]["octet"] == 1
    assert explain("000")[0]["error"]["octet"] == 1


@given(st.text(max_size=60) | st.binary(max_size=60).map(bytes.hex))
def test_explaining_never_raises(text):
    assert explain(text)
