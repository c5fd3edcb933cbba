"""Every command_status has a name and a class."""

import pytest

from stentor_smpp.status import STATUSES, StatusClass, lookup

UNUSED = [
    *(0x09, 0x10, 0x12, 0x41, 0x46, 0x47, 0x52, 0x56, 0x57),
    *range(0x16, 0x33),
    *range(0x35, 0x40),
    *range(0x59, 0x61),
    *range(0x68, 0xC0),
    *range(0xC5, 0xFE),
]


@pytest.mark.parametrize(
    ("code", "name", "status_class"),
    [
        (0x00, "ESME_ROK", StatusClass.SUCCESS),
        (0x04, "ESME_RINVBNDSTS", StatusClass.SESSION),
        (0x08, "ESME_RSYSERR", StatusClass.TEMPORARY),
        (0x0B, "ESME_RINVDSTADR", StatusClass.PERMANENT),
        (0x0E, "ESME_RINVPASWD", StatusClass.BIND_FATAL),
        (0x14, "ESME_RMSGQFUL", StatusClass.THROTTLE),
        (0x45, "ESME_RSUBMITFAIL", StatusClass.TEMPORARY),
        (0x53, "ESME_RINVSYSTYP", StatusClass.BIND_FATAL),
        (0x58, "ESME_RTHROTTLED", StatusClass.THROTTLE),
        (0xC0, "ESME_RINVOPTPARSTREAM", StatusClass.PERMANENT),
        (0x102, "ESME_RSERTYPUNAVAIL", StatusClass.TEMPORARY),
        (0x112, "ESME_RINVBCASTCHANIND", StatusClass.PERMANENT),
    ],
)
def test_a_listed_code_has_its_name_and_class(code, name, status_class):
    found = lookup(code)
    assert (found.code, found.name, found.status_class, found.is_listed) == (code, name, status_class, True)


@pytest.mark.parametrize("code", [0x400, 0x4FF, 0x3FF, 0x500, 0xFFFFFFFF, *UNUSED])
def test_a_code_without_a_row_is_temporary_and_keeps_its_number(code):
    found = lookup(code)
    assert (found.code, found.status_class, found.is_listed) == (code, StatusClass.TEMPORARY, False)
    assert found.name.startswith("vendor" if 0x400 <= code <= 0x4FF else "reserved")
    assert f"{code:08x}" in found.name


def test_the_table_lists_sixty_seven_codes():
    assert len(STATUSES) == 67
    assert sum(row.status_class is StatusClass.BIND_FATAL for row in STATUSES.values()) == 4
