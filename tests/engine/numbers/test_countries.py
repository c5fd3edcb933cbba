"""Countries from numbers, held to the library that knows every numbering plan."""

import pytest

from stentor.numbers.countries import CALLING_CODES, COUNTRIES, country_of, country_prefix, prefixes_of

# Plans that are not divided, or not in a way a prefix tells: the library takes whichever country it looks at first.
UNDIVIDED = {"BL", "MF", "GP", "EH", "MA", "YT"}


@pytest.mark.parametrize(
    ("number", "country", "prefix"),
    [
        ("+40712345678", "RO", "+40"),
        ("+12025550123", "US", "+1"),
        ("+12045550123", "CA", "+1204"),
        ("+18765550123", "JM", "+1876"),
        ("+79161234567", "RU", "+7"),
        ("+77011234567", "KZ", "+77"),
        ("+447400123456", "GB", "+44"),
        ("+447781123456", "GG", "+447781"),
        ("+3906698123", "VA", "+3906698"),
        ("+35312345678", "IE", "+353"),
        ("+88212345678", "", "+882"),
        ("+9991234567", "", ""),
    ],
)
def test_a_number_tells_its_country(number, country, prefix):
    assert (country_of(number), country_prefix(number)) == (country, prefix)


def test_each_country_has_prefixes_and_each_of_them_leads_back():
    for country in COUNTRIES:
        prefixes = prefixes_of(country)
        assert prefixes
        assert {country_of(prefix.ljust(12, "0")) for prefix in prefixes} == {country}


def test_the_table_agrees_with_the_library_on_a_number_of_each_kind_of_each_country():
    phonenumbers = pytest.importorskip("phonenumbers")
    regions = set(phonenumbers.SUPPORTED_REGIONS)
    assert regions - COUNTRIES <= UNDIVIDED
    assert regions >= COUNTRIES
    assert {str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE} == CALLING_CODES
    wrong = []
    for region in sorted(regions - UNDIVIDED):
        # Fixed, mobile, and both in one. Freephone and such of an area shared by countries belong to all of them.
        for kind in (
            phonenumbers.PhoneNumberType.FIXED_LINE,
            phonenumbers.PhoneNumberType.MOBILE,
            phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
        ):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            if country_of(number) != phonenumbers.region_code_for_number(example):
                wrong.append((region, number, country_of(number)))
    assert wrong == []
