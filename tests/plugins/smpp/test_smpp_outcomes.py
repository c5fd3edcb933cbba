"""What each command_status does to its submission, by the books and as a channel says."""

import msgspec
import pytest

from stentor.outcome import CODES, Deferred, Refused, Scope, Sent
from stentor_smpp.outcomes import Judge, Verdicts
from stentor_smpp.rules import StatusRule
from stentor_smpp.status import STATUSES, StatusClass, parse_status
from tests.plugins.smpp.smpp_submissions import submission

OURS = submission()


def outcome(status, statuses=None, tlvs=(), now=0.0):
    found = Judge(Verdicts(statuses)).outcome(OURS, status, tlvs, now)
    assert found.submission is OURS
    return msgspec.structs.replace(found, submission=None)


@pytest.mark.parametrize(
    ("statuses", "status", "expected"),
    [
        ({}, 0x0B, Refused(None, "bad_destination", "0x0000000B", "ESME_RINVDSTADR")),
        ({}, 0x45, Deferred(None, "carrier_error", "0x00000045", "ESME_RSUBMITFAIL")),
        ({"0x45": "permanent"}, 0x45, Refused(None, "bad_request", "0x00000045", "ESME_RSUBMITFAIL")),
        ({"69": "permanent"}, 0x45, Refused(None, "bad_request", "0x00000045", "ESME_RSUBMITFAIL")),
        ({"RSUBMITFAIL": "permanent"}, 0x45, Refused(None, "bad_request", "0x00000045", "ESME_RSUBMITFAIL")),
        ({"0x0B": "temporary"}, 0x0B, Deferred(None, "carrier_error", "0x0000000B", "ESME_RINVDSTADR")),
        (
            {"0x45": StatusRule(status_class="temporary", code="carrier_busy", pause_s=30.0)},
            0x45,
            Deferred(None, "carrier_busy", "0x00000045", "ESME_RSUBMITFAIL", Scope.MESSAGE, 30.0),
        ),
        (
            {"0x401": "throttle"},
            0x401,
            Deferred(None, "throttled", "0x00000401", "vendor 0x00000401", Scope.LANE, 0.0, True),
        ),
        (
            {"0x401": StatusRule(status_class="throttle", pause_s=9.0)},
            0x401,
            Deferred(None, "throttled", "0x00000401", "vendor 0x00000401", Scope.LANE, 9.0, True),
        ),
        (
            {"0x401": StatusRule(status_class="permanent", code="no_credit")},
            0x401,
            Refused(None, "no_credit", "0x00000401", "vendor 0x00000401"),
        ),
        (
            {"0x401": "session"},
            0x401,
            Deferred(None, "carrier_busy", "0x00000401", "vendor 0x00000401", Scope.LANE, 1.0),
        ),
        (
            {"0x401": "bind_fatal"},
            0x401,
            Deferred(None, "carrier_busy", "0x00000401", "vendor 0x00000401", Scope.LANE, 1.0),
        ),
        ({"0x401": "success"}, 0x401, Sent(None)),
        ({"0x401": "success"}, 0x402, Deferred(None, "carrier_error", "0x00000402", "vendor 0x00000402")),
        (
            {"0x14": "temporary"},
            0x14,
            Deferred(None, "carrier_error", "0x00000014", "ESME_RMSGQFUL"),
        ),
        ({}, 0, Sent(None)),
    ],
)
def test_a_status_becomes_what_its_row_says(statuses, status, expected):
    assert outcome(status, statuses) == expected


@pytest.mark.parametrize("code", [*STATUSES, 0x400, 0x4FF, 0x500, 0xFFFF_FFFF])
def test_every_status_has_an_outcome_with_a_code_of_the_catalogue(code):
    found = outcome(code)
    assert isinstance(found, Sent) is (code == 0)
    if code:
        assert found.code in CODES
        assert found.carrier_code == f"0x{code:08X}"


@pytest.mark.parametrize("status_class", StatusClass)
def test_every_class_can_be_given_to_a_status(status_class):
    found = outcome(0x499, {"0x499": status_class.value})
    assert isinstance(found, Sent) is (status_class is StatusClass.SUCCESS)
    assert isinstance(found, Sent) or found.code in CODES


@pytest.mark.parametrize(
    ("tlvs", "detail"),
    [
        ((), "ESME_RSYSERR"),
        (((0x1D, b"no route to HLR\0"),), "ESME_RSYSERR: no route to HLR"),
        (((0x1D, b"\0"),), "ESME_RSYSERR"),
        (((0x1400, b"x"),), "ESME_RSYSERR"),
        (((0x1D, b"x" * 500),), "ESME_RSYSERR: " + "x" * 186),
    ],
)
def test_what_the_carrier_says_in_words_stands_in_the_detail(tlvs, detail):
    assert outcome(0x08, tlvs=tlvs).detail == detail


# -- a full queue ---------------------------------------------------------------------------------------------------


def pauses(events, status=0x14, statuses=None):
    """Pauses of the refusals in ``events``: a time is a refusal at that time, None is something that gets through."""
    judge = Judge(Verdicts(statuses))
    found = []
    for at in events:
        if at is None:
            judge.got_through()
            continue
        deferred = judge.outcome(OURS, status, (), at)
        assert deferred.is_throttle
        assert deferred.scope is Scope.LANE
        found.append(deferred.retry_after_s)
    return found


def test_a_queue_that_stays_full_is_left_alone_for_longer_and_longer():
    assert pauses([0, 1, 2, 4, 8, 16, 32, 64, 124, 184]) == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_what_left_together_counts_once_and_waits_for_the_rest_of_the_pause():
    assert pauses([0, 0.0, 0.5, 1.0, 1.25, 1.5, 2.0, 3.0]) == [0, 0, 0, 1, 0.75, 0.5, 2, 1]


def test_one_full_queue_among_messages_that_get_through_stops_nothing():
    assert pauses([0, None, 1, None, 2, None, 9, None]) == [0, 0, 0, 0]


def test_what_gets_through_ends_the_pauses():
    assert pauses([0, 1, 2, None, 4, 5]) == [0, 1, 2, 0, 1]


def test_too_fast_is_no_full_queue():
    assert pauses([0, 1, 2, 4], status=0x58) == [0, 0, 0, 0]


def test_a_carriers_own_status_can_mean_a_full_queue():
    statuses = {"0x4A1": StatusRule(status_class="throttle", code="carrier_busy")}
    assert pauses([0, 1, 2], 0x4A1, statuses) == [0, 1, 2]


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0x45", 0x45),
        ("0X45", 0x45),
        ("0x00000045", 0x45),
        ("69", 69),
        ("ESME_RSUBMITFAIL", 0x45),
        ("rsubmitfail", 0x45),
        ("0", 0),
        ("0xffffffff", 0xFFFF_FFFF),
        ("0x100000000", None),
        ("RSUBMITFALI", None),
        ("-1", None),
        ("+1", None),
        ("1_0", None),
        ("0x", None),
        ("", None),
        ("٣", None),
    ],
)
def test_a_status_is_written_as_number_or_name(text, code):
    assert parse_status(text) == code


def test_every_name_means_its_code():
    for code, info in STATUSES.items():
        assert parse_status(info.name) == parse_status(info.name.removeprefix("ESME_")) == code
