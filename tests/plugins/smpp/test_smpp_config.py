"""Keys that cannot be are refused with their full path and what would be right; the others say what a channel can."""

import re
from pathlib import Path

import msgspec
import pytest

import stentor_smpp
from stentor.config import ConfigErrors, Secret, effective, parse
from stentor.text.coding import Coding
from stentor_smpp.dialect import Dialect
from stentor_smpp.spec import SPEC
from tests.plugins.smpp.smpp_submissions import config

README = (Path(stentor_smpp.__file__).parent / "README.md").read_text()
HEAD = '[channels.alpha]\ndriver = "smpp"\nhost = "h"\nsystem_id = "s"\n'


def fault(keys: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        parse(HEAD + keys, {"smpp": SPEC}, "f")
    (error,) = caught.value.errors
    return str(error).removeprefix("f:")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("number_ton = 256", "5: channels.alpha.number_ton: must be at most 255"),
        ('mesage_ids = "fold"', '5: channels.alpha.mesage_ids: unknown key (did you mean "message_ids"?)'),
        (
            'long_messages = "usd16"',
            '5: channels.alpha.long_messages: must be one of "udh8", "udh16", "sar", "payload" '
            '(did you mean "udh16"?)',
        ),
        ("validity = true", "5: channels.alpha.validity: must be a text, not true or false"),
        ("message_class = 4", "5: channels.alpha.message_class: must be at most 3"),
        (
            'utc_offset = "5:30"',
            '5: channels.alpha.utc_offset: must be hours and minutes ahead of UTC, like "+05:30"',
        ),
        (
            '[channels.alpha.originators]\n"+12" = { ton = 1 }',
            "6: channels.alpha.originators.+12: is no originator (2 digits: a number has 7 to 15 with its "
            "country code)",
        ),
        (
            "[channels.alpha.originators]\n12345 = { tno = 1 }",
            '6: channels.alpha.originators.12345.tno: unknown key (did you mean "ton"?)',
        ),
        (
            '[channels.alpha.destinations]\n"91" = { ton = 2 }',
            "6: channels.alpha.destinations.91: is no beginning of a number (write the beginning of a number with its "
            'country code, like "+91")',
        ),
        (
            '[channels.alpha.destinations."+91"]\nstrip = "+92"',
            '6: channels.alpha.destinations.+91.strip: "+92" is not how +91 begins (strip "+", "+91" or less of it)',
        ),
        (
            '[channels.alpha.destinations."+91"]\nton = "national"',
            "6: channels.alpha.destinations.+91.ton: must be a whole number, not a text",
        ),
        ("priority_flags = { urgent = 4 }", "5: channels.alpha.priority_flags.urgent: must be at most 3"),
        (
            'intermediate_receipts = true\nregistered_delivery = "none"',
            "5: channels.alpha.intermediate_receipts: asks for receipts that registered_delivery = "
            '"none" does not want (drop one)',
        ),
        (
            "receipts_echo_reference = true",
            "5: channels.alpha.receipts_echo_reference: needs a reference to be echoed (write "
            "user_message_reference = true too)",
        ),
        # TLVs
        ("[[channels.alpha.tlvs]]\ntype = 'int1'", "5: channels.alpha.tlvs[0].tag: is missing"),
        (
            "[[channels.alpha.tlvs]]\ntag = 5121\nvalue='x'\n[[channels.alpha.tlvs]]\ntag = '0x14zz'\nvalue = 'x'",
            '9: channels.alpha.tlvs[1].tag: "0x14zz" is no tag (write it like "0x1400", or as SMPP names it)',
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = 'source_prot'\nvalue = 'x'",
            '6: channels.alpha.tlvs[0].tag: "source_prot" is no tag (did you mean "source_port"?)',
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = '0x10000'\nvalue = 'x'",
            "6: channels.alpha.tlvs[0].tag: 0x10000 does not fit a tag, which is 0x0001 to 0xFFFF (write it like "
            '"0x1400", or as SMPP names it)',
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = '0x0204'\ntype = 'int2'\nvalue = 1",
            "6: channels.alpha.tlvs[0].tag: user_message_reference has a key of its own (write "
            "user_message_reference = true)",
        ),
        (
            "tlvs = [{tag = 0x1400, value = 'x'}, {tag = '0x1400', value = 'y'}]",
            "5: channels.alpha.tlvs[1].tag: 0x1400 is sent by another table already (one table a tag)",
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = '0x1400'",
            '5: channels.alpha.tlvs[0]: has neither value nor metadata (value = "..." for every message alike, '
            'metadata = "key" for its own)',
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = '0x1400'\nvalue = 'x'\nmetadata = 'y'",
            '5: channels.alpha.tlvs[0]: has both value and metadata (value = "..." for every message alike, '
            'metadata = "key" for its own)',
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = '0x1400'\nvalue = 'x'\nrequired = true",
            "8: channels.alpha.tlvs[0].required: goes with metadata only (leave it out: the value is always sent)",
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = '0x1400'\nmetadata = 'x'\nrequired = true\ndefault = 'y'",
            "8: channels.alpha.tlvs[0].required: stands beside a default (leave out one of them)",
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = '0x1400'\ntype = 'int2'\nvalue = 65536",
            '8: channels.alpha.tlvs[0].value: must be a number from 0 to 65535 (type is "int2")',
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = 'source_port'\ntype = 'int1'\nvalue = 5",
            '8: channels.alpha.tlvs[0].value: must be 2 octets, not 1 (type is "int1")',
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = '0x1400'\ntype = 'octets'\nmetadata = 'a'\ndefault = 'xyz'",
            '9: channels.alpha.tlvs[0].default: must be octets in hexadecimal (type is "octets")',
        ),
        (
            "[[channels.alpha.tlvs]]\ntag = '0x1400'\ntype = 'strnig'\nvalue = 'x'",
            '7: channels.alpha.tlvs[0].type: must be one of "string", "text", "octets", "int1", "int2", "int4" (did '
            'you mean "string"?)',
        ),
        # scheduled delivery
        (
            'schedule = "carrier"',
            '5: channels.alpha.schedule: must be one of "relative", "absolute", "none"',
        ),
        (
            'schedule = "relative"\nmessage_mode = "datagram"',
            '5: channels.alpha.schedule: cannot go with message_mode = "datagram" (nothing is stored in that mode, so '
            "nothing can be held until its time)",
        ),
        (
            'schedule = "relative"\nschedule_ahead = "48h"\nvalidity_longest = "48h"',
            "6: channels.alpha.schedule_ahead: is not below validity_longest: messages would expire before they are "
            "due (the validity counts from when the carrier gets a message; write a shorter schedule_ahead)",
        ),
        # statuses and states
        (
            "[channels.alpha.statuses]\nRSUBMITFALI = 'permanent'",
            '6: channels.alpha.statuses.RSUBMITFALI: is no command_status (did you mean "ESME_RSUBMITFAIL"?)',
        ),
        (
            "[channels.alpha.statuses]\n'?' = 'permanent'",
            '6: channels.alpha.statuses.?: is no command_status (write a number like "0x45", or a name like '
            '"ESME_RSUBMITFAIL")',
        ),
        (
            "[channels.alpha.statuses]\n0x45 = 'permanet'",
            '6: channels.alpha.statuses.0x45: must be one of "success", "throttle", "temporary", "permanent", '
            '"session", "bind_fatal" (did you mean "permanent"?)',
        ),
        (
            "[channels.alpha.statuses]\n0x45 = { class = 'permanet' }",
            '6: channels.alpha.statuses.0x45.class: must be one of "success", "throttle", "temporary", "permanent", '
            '"session", "bind_fatal" (did you mean "permanent"?)',
        ),
        (
            "[channels.alpha.statuses]\n0x45 = { class = 'permanent', code = 'no_credti' }",
            '6: channels.alpha.statuses.0x45.code: there is no code "no_credti" (did you mean "no_credit"?)',
        ),
        (
            "[channels.alpha.statuses]\n0x45 = { class = 'permanent', pause = '30s' }",
            "6: channels.alpha.statuses.0x45.pause: has no meaning: nothing is tried again (leave it out)",
        ),
        (
            "[channels.alpha.statuses]\n0x45 = 'permanent'\n69 = 'temporary'",
            "7: channels.alpha.statuses.69: is the same status as 0x45 (leave out one of them)",
        ),
        (
            "[channels.alpha.statuses]\n0x00 = 'permanent'",
            "6: channels.alpha.statuses.0x00: is success, whatever the carrier says (leave it out)",
        ),
        (
            "[channels.alpha.states]\nMY_WORD = 'deliverd'",
            '6: channels.alpha.states.MY_WORD: must be one of "sent", "delivered", "undelivered", "rejected", '
            '"expired", "deleted", "unknown" (did you mean "delivered"?)',
        ),
        (
            "[channels.alpha.states]\n' A' = 'delivered'",
            "6: channels.alpha.states. A: is no word (write it as it stands behind stat:)",
        ),
    ],
)
def test_a_fault_names_the_key_and_what_would_be_right(keys, expected):
    assert fault(keys) == expected


WHOLE = """
number_ton = 0
short_code_service_type = "CMT"
message_mode = "store_and_forward"
priority_flags = { urgent = 3, high = 2 }
message_class = 1
validity = "absolute"
validity_longest = "48h"
schedule = "absolute"
schedule_ahead = "36h"
long_messages = "sar"
statuses = { 0x45 = "permanent", RSYSERR = { class = "temporary", code = "carrier_busy", pause = "30s" } }
states = { MY_WORD = "delivered" }
utc_offset = "-03:00"
user_message_reference = true
receipts_echo_reference = true

[channels.alpha.originators]
12345 = { ton = 6, npi = 0, service_type = "VMA" }

[channels.alpha.destinations."+91"]
ton = 2
strip = "+91"
add = "0"

[[channels.alpha.tlvs]]
tag = "0x1400"
value = "1101234567890"

[[channels.alpha.tlvs]]
tag = 0x1401
metadata = "template_id"
required = true

[[channels.alpha.tlvs]]
tag = "source_port"
type = "int2"
metadata = "port"
default = 5060
"""


def test_a_whole_dialect_is_taken_and_written_back_with_the_same_meaning():
    config = parse(HEAD + WHOLE, {"smpp": SPEC})
    alpha = config.channels["alpha"].settings
    assert parse(effective(config), {"smpp": SPEC}).channels["alpha"].settings == alpha
    assert alpha.originators["12345"].service_type == "VMA"
    assert alpha.destinations["+91"].add == "0"
    assert alpha.statuses["RSYSERR"].pause_s == 30.0
    assert [rule.tag for rule in alpha.tlvs] == ["0x1400", 0x1401, "source_port"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, {"unit": "segment", "coding": Coding(), "receipts": "segment", "honours_validity": True}),
        ({"long_messages": "udh16"}, {"coding": Coding(wide_reference=True), "unit": "segment"}),
        # The network makes the header of 8 bits that the TLVs stand for: segments of 153, 67 or 134.
        ({"long_messages": "sar"}, {"coding": Coding(), "unit": "segment"}),
        ({"long_messages": "payload"}, {"unit": "message", "receipts": "message"}),
        ({"registered_delivery": "none"}, {"receipts": "none"}),
        ({"registered_delivery": "none", "long_messages": "payload"}, {"receipts": "none"}),
        ({"registered_delivery": "failure"}, {"receipts": "segment"}),
        ({"validity": "none"}, {"honours_validity": False}),
        ({"validity": "absolute"}, {"honours_validity": True}),
        ({}, {"schedules_s": 0.0}),
        ({"schedule_ahead_s": 60.0}, {"schedules_s": 0.0}),
        ({"schedule": "relative"}, {"schedules_s": 86_400.0}),
        ({"schedule": "absolute", "schedule_ahead_s": 60.0}, {"schedules_s": 60.0}),
        ({"user_message_reference": True}, {"echoes_reference": False}),
        ({"user_message_reference": True, "receipts_echo_reference": True}, {"echoes_reference": True}),
    ],
)
def test_capabilities_follow_the_keys(keys, expected):
    capabilities = SPEC.capabilities(config(**keys))
    assert {name: getattr(capabilities, name) for name in expected} == expected


# -- the page for operators -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
def test_what_the_page_shows_is_a_configuration(block):
    text = block if "driver =" in block else HEAD + block
    found = parse(text, {"smpp": SPEC}, read_secret=lambda kind, name: Secret("hush"))
    assert len(found.channels) == 1


def test_the_page_names_every_key_of_the_dialect():
    keys = {item.encode_name for item in msgspec.structs.fields(Dialect)}
    assert {key for key in keys if not re.search(rf"\b{key}\b", README)} == set()
    assert {"Addresses", "Validity", "Alphabets"} <= set(re.findall(r"^## (.+)$", README, re.MULTILINE))
