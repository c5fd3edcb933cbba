"""National numbers: how people in a country dial their own, and what that is in E.164.

Owns the table of national plans: country calling code, trunk prefix, and the length of a number. Where there is a
trunk prefix it must be dialled, and where there is none the length must be right: a number that merely lacks its plus
is then refused rather than sent to somebody else.
"""

import re
from typing import Final

import msgspec

from stentor.errors import Refusal

_PUNCTUATION: Final = re.compile(r"[ \u00a0().,/\-]+")
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_MOST_DIGITS: Final = 15

# Region, calling code, then the trunk prefix as "0" or "06", or the digits of a number that has none as "9" or "7-8".
# NANP numbers have ten digits and may be dialled with their trunk prefix 1 or without it.
_TRUNK: Final = """
AE 971 0, AF 93 0, AL 355 0, AM 374 0, AT 43 0, AU 61 0, AZ 994 0, BA 387 0, BD 880 0, BE 32 0, BG 359 0, BO 591 0,
BY 375 8, CD 243 0, CH 41 0, CN 86 0, CU 53 0, DE 49 0, DZ 213 0, EC 593 0, EG 20 0, ER 291 0, ET 251 0, FI 358 0,
FR 33 0, GB 44 0, GE 995 0, GF 594 0, GG 44 0, GH 233 0, GP 590 0, HR 385 0, HU 36 06, ID 62 0, IE 353 0, IL 972 0,
IM 44 0, IN 91 0, IQ 964 0, IR 98 0, JE 44 0, JO 962 0, JP 81 0, KE 254 0, KG 996 0, KH 855 0, KR 82 0, KZ 7 8,
LA 856 0, LB 961 0, LK 94 0, LR 231 0, LT 370 0, LY 218 0, MA 212 0, MD 373 0, ME 382 0, MG 261 0, MK 389 0, MM 95 0,
MN 976 0, MQ 596 0, MW 265 0, MY 60 0, NA 264 0, NG 234 0, NL 31 0, NP 977 0, NZ 64 0, PE 51 0, PH 63 0, PK 92 0,
PS 970 0, PY 595 0, RE 262 0, RO 40 0, RS 381 0, RU 7 8, RW 250 0, SA 966 0, SD 249 0, SE 46 0, SI 386 0, SK 421 0,
SL 232 0, SS 211 0, SY 963 0, TH 66 0, TM 993 8, TR 90 0, TW 886 0, TZ 255 0, UA 380 0, UG 256 0, UY 598 0, VE 58 0,
VN 84 0, XK 383 0, YE 967 0, YT 262 0, ZA 27 0, ZM 260 0, ZW 263 0
"""
_WHOLE: Final = """
AD 376 6-9, AO 244 9, BF 226 8, BH 973 8, BI 257 8, BJ 229 8-10, BN 673 7, BR 55 10-11, BT 975 7-8, BW 267 7-8,
BZ 501 7, CF 236 8, CG 242 9, CI 225 10, CL 56 9, CM 237 9, CO 57 10, CR 506 8, CV 238 7, CY 357 8, CZ 420 9, DJ 253 8,
DK 45 8, EE 372 7-8, ES 34 9, FJ 679 7, FO 298 6, GA 241 8, GI 350 8, GL 299 6, GM 220 7, GN 224 9, GQ 240 9, GR 30 10,
GT 502 8, GW 245 9, GY 592 7, HK 852 8, HN 504 8, HT 509 8, IS 354 7-9, IT 39 6-11, KM 269 7, KW 965 8, LI 423 7-9,
LS 266 8, LU 352 6-11, LV 371 8, MC 377 8-9, ML 223 8, MO 853 8, MR 222 8, MT 356 8, MU 230 7-8, MV 960 7, MX 52 10,
MZ 258 8-9, NC 687 6, NE 227 8, NI 505 8, NO 47 8, OM 968 8, PA 507 7-8, PF 689 8, PG 675 7-8, PL 48 9, PT 351 9,
QA 974 8, SC 248 7, SG 65 8, SM 378 6-10, SN 221 9, SR 597 6-7, ST 239 7, SV 503 8, SZ 268 8, TD 235 8, TG 228 8,
TJ 992 9, TN 216 8, UZ 998 9, VA 39 6-11
"""
_NANP: Final = "AG AI AS BB BM BS CA DM DO GD GU JM KN KY LC MP MS PR SX TC TT US VC VG VI"


class Plan(msgspec.Struct, frozen=True):
    """One country's: calling code, trunk prefix ("" for none), and how many digits a number has without it."""

    code: str
    trunk: str
    least: int
    most: int
    is_trunk_optional: bool = False


def _plans() -> dict[str, Plan]:
    plans = {region: Plan("1", "1", 10, 10, is_trunk_optional=True) for region in _NANP.split()}
    for row in _TRUNK.split(","):
        region, code, trunk = row.split()
        plans[region] = Plan(code, trunk, 6, _MOST_DIGITS - len(code))
    for row in _WHOLE.split(","):
        region, code, length = row.split()
        least, _, most = length.partition("-")
        plans[region] = Plan(code, "", int(least), int(most or least))
    return plans


PLANS: Final = _plans()
"""By region, the two letters of ISO 3166."""


def from_national(text: str, region: str) -> str:
    """The E.164 form of a number as it is dialled in ``region``; blanks and punctuation between digits do not matter.

    Raises Refusal ``bad_destination`` whose detail says what would be right.
    """
    plan = PLANS[region]
    digits = _PUNCTUATION.sub("", text)
    if not _DIGITS.fullmatch(digits):
        raise _refusal(f"a destination is + and digits, or a number as it is dialled in {region}")
    if plan.trunk == "0" and digits.startswith("00"):
        raise _refusal("write + in place of the leading 00")
    if plan.trunk and digits.startswith(plan.trunk):
        digits = digits.removeprefix(plan.trunk)
    elif plan.trunk and not plan.is_trunk_optional:
        raise _refusal(
            f"a number of {region} begins with {plan.trunk}, any other with + and its country code"
        )
    if not plan.least <= len(digits) <= plan.most:
        length = str(plan.least) if plan.least == plan.most else f"{plan.least} to {plan.most}"
        raise _refusal(
            f"a number of {region} has {length} digits, any other begins with + and its country code"
        )
    return f"+{plan.code}{digits}"


def _refusal(detail: str) -> Refusal:
    return Refusal("bad_destination", detail, "$.to")
