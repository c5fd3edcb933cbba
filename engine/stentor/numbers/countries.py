"""Which country a number belongs to, from the number alone.

Owns the table of calling codes (ITU-T E.164.D), with what is needed to tell apart countries that share one: area
codes of the North American plan, Kazakhstan beside Russia, the islands that number with a larger neighbour. Where a
shared range is not divided at all, as for the mobile numbers of Christmas Island, it counts as the larger country's.
Numbers of no country (satellite, international freephone) have none.
"""

import re
from typing import Final

from stentor.numbers.prefixes import PrefixTable

_WHOLE: Final = """
EG20 ZA27 GR30 NL31 BE32 FR33 ES34 HU36 IT39 RO40 CH41 AT43 GB44 DK45 SE46 NO47 PL48 DE49 PE51 MX52 CU53 AR54 BR55
CL56 CO57 VE58 MY60 AU61 ID62 PH63 NZ64 SG65 TH66 RU7 JP81 KR82 VN84 CN86 TR90 IN91 PK92 AF93 LK94 MM95 IR98 US1
SS211 MA212 DZ213 TN216 LY218 GM220 SN221 MR222 ML223 GN224 CI225 BF226 NE227 TG228 BJ229 MU230 LR231 SL232 GH233
NG234 TD235 CF236 CM237 CV238 ST239 GQ240 GA241 CG242 CD243 AO244 GW245 IO246 AC247 SC248 SD249 RW250 ET251 SO252
DJ253 KE254 TZ255 UG256 BI257 MZ258 ZM260 MG261 RE262 ZW263 NA264 MW265 LS266 BW267 SZ268 KM269 SH290 ER291 AW297
FO298 GL299 GI350 PT351 LU352 IE353 IS354 AL355 MT356 CY357 FI358 BG359 LT370 LV371 EE372 MD373 AM374 BY375 AD376
MC377 SM378 UA380 RS381 ME382 XK383 HR385 SI386 BA387 MK389 CZ420 SK421 LI423 FK500 BZ501 GT502 SV503 HN504 NI505
CR506 PA507 PM508 HT509 GP590 BO591 GY592 EC593 GF594 PY595 MQ596 SR597 UY598 CW599 TL670 NF672 BN673 NR674 PG675
TO676 SB677 VU678 FJ679 PW680 WF681 CK682 NU683 WS685 KI686 NC687 TV688 PF689 TK690 FM691 MH692 KP850 HK852 MO853
KH855 LA856 BD880 TW886 MV960 LB961 JO962 SY963 IQ964 KW965 SA966 YE967 OM968 PS970 AE971 IL972 BH973 QA974 BT975
MN976 NP977 TJ992 TM993 AZ994 GE995 KG996 UZ998
"""
"""Country and calling code; of several that share a code the one whose numbers are not named below."""

_PARTS: Final = """
AG 1268, AI 1264, AS 1684, AX 35818, BB 1246, BM 1441, BQ 5993 5994 5997, BS 1242, CC 6189162, CX 6189164, DM 1767,
DO 1809 1829 1849, EH 2125288 2125289, GD 1473, GG 441481 447781 447839 4479111 4479117, GU 1671,
IM 441624 447524 447624 4474576, JE 441534 447509 4477003 4477007 4477008 447797 447829 447937, JM 1658 1876,
KN 1869, KY 1345, KZ 76 77, LC 1758, MP 1670, MS 1664, PR 1787 1939, SJ 4779, SX 1721, TA 2908, TC 1649, TT 1868,
VA 3906698, VC 1784, VG 1284, VI 1340, YT 262269 262639,
CA 1204 1226 1236 1249 1250 1257 1263 1289 1306 1343 1354 1365 1367 1368 1382 1387 1403 1416 1418 1428 1431 1437 1438
1450 1460 1468 1474 1506 1514 1519 1548 1579 1581 1584 1587 1604 1613 1639 1647 1672 1683 1705 1709 1742 1753 1778
1780 1782 1807 1819 1825 1867 1873 1879 1902 1905 1942 1600 1622 1633 1644 1655 1677 1688
"""
"""Countries within the numbering of another, by the prefixes that are theirs."""

_NOWHERE: Final = "800 808 870 878 881 882 883 888 979"
"""Calling codes of no country."""


def _prefixes() -> dict[str, str]:
    found = {f"+{code}": country for country, code in re.findall(r"([A-Z]{2})([0-9]+)", _WHOLE)}
    for row in _PARTS.split(","):
        country, *codes = row.split()
        found |= {f"+{code}": country for code in codes}
    return found | {f"+{code}": "" for code in _NOWHERE.split()}


_BY_PREFIX: Final = _prefixes()
_TABLE: Final = PrefixTable(_BY_PREFIX)
COUNTRIES: Final = frozenset(_BY_PREFIX.values()) - {""}
"""Every country of the table, by the two letters of ISO 3166 (and XK, Kosovo)."""

CALLING_CODES: Final = frozenset(re.findall(r"[0-9]+", _WHOLE)) | frozenset(_NOWHERE.split())
"""Every calling code, its digits alone."""


def country_of(number: str) -> str:
    """The country of an E.164 number, "" for one of no country or of none that is known."""
    return _TABLE.find(number) or ""


def country_prefix(number: str) -> str:
    """The beginning of a number that tells its country, "" when nothing does."""
    return _TABLE.longest(number)


def prefixes_of(country: str) -> tuple[str, ...]:
    """The prefixes whose numbers are the country's, but for those within them that are another's."""
    return tuple(prefix for prefix, owner in _BY_PREFIX.items() if owner == country)
