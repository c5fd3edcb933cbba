"""National numbers: how people in a country dial their own, and what that is in E.164.

Owns the table of national plans: country calling code, and the forms a number has at home. A number that fits no form
of its region is refused rather than sent to somebody else: one that merely lacks its plus, above all. Countries where
E.164 is not what is dialled with its beginning exchanged are left out (Argentina, Gabon). The lengths are those of
fixed and mobile numbers in the plans that countries publish with the ITU (Recommendation E.164, Operational Bulletin);
services with numbers of their own are left out too.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from stentor.errors import Refusal

_PUNCTUATION: Final = re.compile(r"[ \u00a0().,/\-]+")
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)

# Region, calling code, and the forms. "0+9": trunk prefix 0 and nine digits, of which the first is not 0; "8+34:10":
# it is 3 or 4. "1:11": dialled as it is, eleven digits that begin with 1. Lengths are one, a range, or several: "6/9".
_PLANS: Final = """
AD 376 3578:6 6:6/9, AE 971 0+8-9, AF 93 0+9, AL 355 0+8-9, AM 374 0+8, AO 244 29:9, AT 43 0+6-13, AU 61 0+9,
AZ 994 0+9, BA 387 0+8-9, BD 880 0+6-10, BE 32 0+8-9, BF 226 024-7:8, BG 359 0+7-9, BH 973 1367:8, BI 257 2367:8,
BJ 229 0:10, BN 673 2-578:7, BO 591 2-7:8, BR 55 1-9:10-11, BT 975 1:8 2-6:7 78:7-8, BW 267 2-6:7 7:8, BY 375 80+9,
BZ 501 2-8:7, CD 243 0+7-10, CF 236 267:8, CG 242 02:9, CH 41 0+9, CI 225 02:10, CL 56 2-9:9, CM 237 26:9,
CN 86 0+8-11 1:11, CO 57 36:10, CR 506 2-8:8, CU 53 0+8, CV 238 2-59:7, CY 357 29:8, CZ 420 2-7:9, DE 49 0+6-13,
DJ 253 27:8, DK 45 2-9:8, DZ 213 0+8-9, EC 593 0+8-9, EE 372 3467:7 58:7-8, EG 20 0+8-10, ER 291 0+7, ES 34 46-9:9,
ET 251 0+9, FI 358 0+5-10, FJ 679 2-9:7, FO 298 2-9:6, FR 33 0+9, GB 44 0+9-10, GE 995 0+9 57:9, GF 594 0+9,
GG 44 0+10, GH 233 0+9, GI 350 256:8, GL 299 1-9:6, GM 220 235-79:7 48:7/9, GN 224 3:8 6:9, GP 590 0+9,
GQ 240 235:9, GR 30 269:10, GT 502 2-8:8, GW 245 49:9, GY 592 2-7:7, HK 852 2-9:8, HN 504 237-9:8, HR 385 0+8-9,
HT 509 2-5:8, HU 36 06+8-9, ID 62 0+8-12, IE 353 0+7-10, IL 972 0+8-9, IM 44 0+10, IN 91 0+10, IQ 964 0+8-10,
IR 98 0+10, IS 354 3:9 4-8:7, IT 39 0:6-11 3:9-10, JE 44 0+10, JO 962 0+8-9, JP 81 0+9-10, KE 254 0+7-9, KG 996 0+9,
KH 855 0+8-9, KM 269 347:7, KR 82 0+1-7:8-10, KW 965 24-69:8, KZ 7 8+7:10, LA 856 0+8-10, LB 961 0+7 278:8,
LI 423 237:7 6:9, LK 94 0+9, LR 231 0+7-9, LS 266 256:8, LT 370 0+8, LU 352 245789:6-10 6:9, LV 371 26:8,
LY 218 0+9, MA 212 0+9, MC 377 0+8-9 389:8, MD 373 0+8, ME 382 0+8, MG 261 0+9, MK 389 0+8, ML 223 24-9:8,
MM 95 0+7-10, MN 976 0+8-10 5-9:8, MO 853 268:8, MQ 596 0+9, MR 222 2-4:8, MT 356 279:8, MU 230 2468:7 57:8,
MV 960 34679:7, MW 265 0+7/9, MX 52 2-9:10, MY 60 0+8-10, MZ 258 2:8 8:9, NA 264 0+8-9, NC 687 2-57-9:6,
NE 227 27-9:8, NG 234 0+10, NI 505 25-8:8, NL 31 0+9, NO 47 2-79:8, NP 977 0+8 9:10, NZ 64 0+8-10, OM 968 1279:8,
PA 507 1-57-9:7 6:8, PE 51 0+8 9:9, PF 689 48:8, PG 675 3-69:7 7:8 8:7-8, PH 63 0+8-10, PK 92 0+9-10, PL 48 1-9:9,
PS 970 0+8-9, PT 351 269:9, PY 595 0+7-9, QA 974 3-7:8, RE 262 0+9, RO 40 0+9, RS 381 0+7-10, RU 7 8+3489:10,
RW 250 0+9 2:9, SA 966 0+9, SC 248 24:7, SD 249 0+9, SE 46 0+7-9, SG 65 3689:8, SI 386 0+8, SK 421 0+9, SL 232 0+8,
SM 378 0:10 6:8, SN 221 37:9, SR 597 2-5:6 6-8:7, SS 211 0+9, ST 239 29:7, SV 503 25-7:8, SY 963 0+8-9,
SZ 268 237:8, TD 235 236-9:8, TG 228 279:8, TH 66 0+8-9, TJ 992 0-9:9, TM 993 8+8, TN 216 2-579:8, TR 90 0+10,
TW 886 0+8-9, TZ 255 0+9, UA 380 0+9, UG 256 0+9, UY 598 0+8 24:8, UZ 998 235-9:9, VA 39 0:9-11 3:9-10, VE 58 0+10,
VN 84 0+9-10, XK 383 0+8-9, YE 967 0+7-9, YT 262 0+9, ZA 27 0+9, ZM 260 0+9, ZW 263 0+9
"""
_NANP: Final = "AG AI AS BB BM BS CA DM DO GD GU JM KN KY LC MP MS PR SX TC TT US VC VG VI"
_NANP_FORMS: Final = ("1+2-9:10", "2-9:10")

_FORM: Final = re.compile(r"(?:(\d+)\+)?(?:([\d-]+):)?([\d/-]+)")


class Plan(msgspec.Struct, frozen=True):
    """One country's: calling code, the forms of a number at home as an expression whose one matching group is the
    number without its trunk prefix, and the forms in words."""

    code: str
    forms: re.Pattern[str]
    words: str


def _plans() -> Iterator[tuple[str, Plan]]:
    for region in _NANP.split():
        yield region, _plan("1", _NANP_FORMS)
    for row in _PLANS.split(","):
        region, code, *forms = row.split()
        yield region, _plan(code, forms)


def _plan(code: str, forms: Sequence[str]) -> Plan:
    expressions, words = [], []
    for form in forms:
        found = _FORM.fullmatch(form)
        assert found is not None, f"{form} is no form"
        trunk, first, lengths = found[1] or "", found[2] or "1-9", found[3].split("/")
        counts = [length.partition("-") for length in lengths]
        expressions += [
            f"{trunk}([{first}][0-9]{{{int(least) - 1},{int(most or least) - 1}}})"
            for least, _, most in counts
        ]
        digits = " or ".join(length.replace("-", " to ") for length in lengths)
        words.append(f"{trunk} and {digits} digits" if trunk else f"{digits} digits")
    return Plan(code, re.compile("|".join(expressions)), " or ".join(dict.fromkeys(words)))


PLANS: Final = dict(_plans())
"""By region, the two letters of ISO 3166."""


def from_national(text: str, region: str) -> str:
    """The E.164 form of a number as it is dialled in ``region``; blanks and punctuation between digits do not matter.

    Raises Refusal ``bad_destination`` whose detail says what would be right.
    """
    plan = PLANS[region]
    digits = _PUNCTUATION.sub("", text)
    if not _DIGITS.fullmatch(digits):
        raise _refusal(f"a destination is + and digits, or a number as it is dialled in {region}")
    if digits.startswith("00"):
        raise _refusal("write + in place of the leading 00")
    found = plan.forms.fullmatch(digits)
    if found is None:
        raise _refusal(f"a number of {region} is {plan.words}, any other begins with + and its country code")
    assert found.lastindex is not None, "each form has a group"
    return f"+{plan.code}{found[found.lastindex]}"


def _refusal(detail: str) -> Refusal:
    return Refusal("bad_destination", detail, "$.to")
