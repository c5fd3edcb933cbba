"""Which time zones a number may be in, by its calling code and, where that says more, by what follows it.

Calling codes are those of ITU-T E.164; zones those of the tz database. A country of several zones has all of them,
unless an area code that mobile numbers carry too tells them apart: in North America and in Brazil. Of zones that
keep the same time one stands for all. A table of facts, checked in a test against another source of them.
"""

from typing import Final

_ZONES: Final = {
    "Africa/Abidjan": "225",
    "Africa/Accra": "233",
    "Africa/Addis_Ababa": "251",
    "Africa/Algiers": "213",
    "Africa/Asmara": "291",
    "Africa/Bamako": "223",
    "Africa/Bangui": "236",
    "Africa/Banjul": "220",
    "Africa/Bissau": "245",
    "Africa/Blantyre": "265",
    "Africa/Brazzaville": "242",
    "Africa/Bujumbura": "257",
    "Africa/Cairo": "20",
    "Africa/Casablanca": "212",
    "Africa/Conakry": "224",
    "Africa/Dakar": "221",
    "Africa/Dar_es_Salaam": "255",
    "Africa/Djibouti": "253",
    "Africa/Douala": "237",
    "Africa/Freetown": "232",
    "Africa/Gaborone": "267",
    "Africa/Harare": "263",
    "Africa/Johannesburg": "27",
    "Africa/Juba": "211",
    "Africa/Kampala": "256",
    "Africa/Khartoum": "249",
    "Africa/Kigali": "250",
    "Africa/Kinshasa Africa/Lubumbashi": "243",
    "Africa/Lagos": "234",
    "Africa/Libreville": "241",
    "Africa/Lome": "228",
    "Africa/Luanda": "244",
    "Africa/Lusaka": "260",
    "Africa/Malabo": "240",
    "Africa/Maputo": "258",
    "Africa/Maseru": "266",
    "Africa/Mbabane": "268",
    "Africa/Mogadishu": "252",
    "Africa/Monrovia": "231",
    "Africa/Nairobi": "254",
    "Africa/Ndjamena": "235",
    "Africa/Niamey": "227",
    "Africa/Nouakchott": "222",
    "Africa/Ouagadougou": "226",
    "Africa/Porto-Novo": "229",
    "Africa/Sao_Tome": "239",
    "Africa/Tripoli": "218",
    "Africa/Tunis": "216",
    "Africa/Windhoek": "264",
    "America/Anguilla": "1264",
    "America/Antigua": "1268",
    "America/Argentina/Buenos_Aires": "54",
    "America/Aruba": "297",
    "America/Asuncion": "595",
    "America/Barbados": "1246",
    "America/Belize": "501",
    "America/Bogota": "57",
    "America/Caracas": "58",
    "America/Cayenne": "594",
    "America/Cayman": "1345",
    "America/Chicago": (
        "1205 1210 1214 1217 1218 1224 1225 1228 1235 1251 1254 1256 1262 1274 1281 1309 1312 1314 1316 "
        "1318 1319 1320 1325 1327 1331 1334 1337 1346 1353 1361 1402 1405 1409 1414 1417 1430 1432 1447 "
        "1464 1469 1479 1501 1504 1507 1512 1515 1531 1534 1539 1557 1563 1572 1573 1580 1601 1608 1612 "
        "1615 1618 1629 1630 1636 1641 1651 1659 1660 1662 1682 1689 1708 1712 1713 1715 1726 1730 1731 "
        "1737 1763 1769 1773 1779 1806 1815 1816 1817 1830 1832 1847 1870 1872 1901 1903 1913 1918 1920 "
        "1931 1936 1938 1940 1945 1952 1956 1972 1975 1979 1985 "
    ),
    "America/Chicago America/New_York": "1219 1270 1423 1574 1606 1812 1850 1906",
    "America/Costa_Rica": "506",
    "America/Curacao": "599",
    "America/Denver": "1303 1307 1385 1406 1435 1505 1575 1719 1720 1748 1801 1915 1970 1983",
    "America/Denver America/Chicago": "1308 1605 1620 1701 1785",
    "America/Dominica": "1767",
    "America/Edmonton": "1368 1403 1587 1780 1825",
    "America/El_Salvador": "503",
    "America/Grand_Turk": "1649",
    "America/Grenada": "1473",
    "America/Guadeloupe": "590",
    "America/Guatemala": "502",
    "America/Guyana": "592",
    "America/Halifax": "1428 1506 1782 1902",
    "America/Halifax America/St_Johns": "1709",
    "America/Havana": "53",
    "America/Jamaica": "1658 1876",
    "America/La_Paz": "591",
    "America/Lima": "51",
    "America/Los_Angeles": (
        "1206 1209 1213 1253 1279 1310 1323 1341 1350 1360 1369 1408 1415 1424 1425 1442 1458 1503 1509 "
        "1510 1530 1559 1562 1564 1619 1626 1628 1650 1657 1661 1669 1702 1707 1714 1725 1738 1747 1760 "
        "1805 1818 1820 1831 1840 1858 1909 1916 1925 1949 1951 1971 "
    ),
    "America/Los_Angeles America/Boise": "1986",
    "America/Los_Angeles America/Denver": "1208 1541 1775",
    "America/Lower_Princes": "1721",
    "America/Managua": "505",
    "America/Manaus": "5565 5566 5567 5569 5592 5595",
    "America/Martinique": "596",
    "America/Miquelon": "508",
    "America/Montevideo": "598",
    "America/Montserrat": "1664",
    "America/Nassau": "1242",
    "America/New_York": (
        "1201 1202 1203 1207 1212 1215 1216 1220 1223 1227 1229 1231 1234 1239 1240 1248 1252 1260 1267 "
        "1269 1272 1276 1283 1301 1302 1304 1305 1313 1315 1317 1321 1324 1326 1329 1330 1332 1336 1339 "
        "1347 1351 1352 1363 1364 1380 1386 1401 1404 1407 1410 1412 1413 1419 1434 1440 1443 1445 1448 "
        "1463 1470 1472 1475 1478 1484 1502 1508 1513 1516 1517 1518 1540 1551 1561 1567 1570 1571 1582 "
        "1585 1586 1603 1607 1609 1610 1614 1616 1617 1631 1640 1645 1646 1656 1667 1678 1680 1681 1686 "
        "1703 1704 1706 1716 1717 1718 1724 1727 1728 1732 1734 1740 1743 1754 1757 1762 1765 1770 1771 "
        "1772 1774 1781 1786 1802 1803 1804 1810 1813 1814 1821 1826 1828 1835 1838 1839 1843 1845 1848 "
        "1854 1856 1857 1859 1860 1862 1863 1864 1865 1878 1904 1908 1910 1912 1914 1917 1919 1929 1930 "
        "1934 1937 1941 1943 1947 1948 1954 1959 1973 1978 1980 1984 1989 "
    ),
    "America/Panama": "507",
    "America/Paramaribo": "597",
    "America/Phoenix": "1480 1520 1602 1623",
    "America/Phoenix America/Denver": "1928",
    "America/Port-au-Prince": "509",
    "America/Port_of_Spain": "1868",
    "America/Puerto_Rico": "1787 1939",
    "America/Puerto_Rico America/St_Johns": "1879",
    "America/Regina": "1306 1639",
    "America/Rio_Branco": "5568",
    "America/Rio_Branco America/Manaus": "5597",
    "America/Rio_Branco America/Manaus America/Sao_Paulo America/Noronha": "55",
    "America/Santo_Domingo": "1809 1829 1849",
    "America/Sao_Paulo": (
        "5511 5512 5513 5514 5515 5516 5517 5518 5519 5521 5522 5523 5524 5525 5526 5527 5528 5529 5531 "
        "5532 5533 5534 5535 5536 5537 5538 5539 5541 5542 5543 5544 5545 5546 5547 5548 5549 5551 5552 "
        "5553 5554 5555 5556 5557 5558 5559 5561 5562 5563 5564 5571 5572 5573 5574 5575 5576 5577 5578 "
        "5579 5582 5583 5584 5585 5586 5587 5588 5589 5591 5593 5594 5596 5598 5599 "
    ),
    "America/Sao_Paulo America/Noronha": "5581",
    "America/St_Kitts": "1869",
    "America/St_Lucia": "1758",
    "America/St_Thomas": "1340",
    "America/St_Vincent": "1784",
    "America/Tegucigalpa": "504",
    "America/Thule America/Nuuk America/Danmarkshavn": "299",
    (
        "America/Tijuana America/Mazatlan America/Ciudad_Juarez America/Mexico_City "
        "America/Matamoros America/Cancun"
    ): ("52 "),
    "America/Toronto": (
        "1226 1249 1263 1273 1289 1343 1354 1365 1367 1382 1416 1437 1438 1450 1468 1514 1519 1548 1579 "
        "1581 1613 1647 1683 1705 1742 1753 1819 1873 1905 1942 "
    ),
    "America/Toronto America/Halifax": "1418",
    "America/Tortola": "1284",
    "America/Vancouver": "1236 1257 1604 1672 1778",
    "America/Vancouver America/Edmonton": "1250",
    "America/Vancouver America/Fort_Nelson America/Edmonton America/Winnipeg America/Toronto": "1867",
    "America/Winnipeg": "1204 1431 1474 1584",
    "America/Winnipeg America/Toronto": "1807",
    "Asia/Aden": "967",
    "Asia/Almaty": "77",
    "Asia/Amman": "962",
    "Asia/Ashgabat": "993",
    "Asia/Baghdad": "964",
    "Asia/Bahrain": "973",
    "Asia/Baku": "994",
    "Asia/Bangkok": "66",
    "Asia/Beirut": "961",
    "Asia/Bishkek": "996",
    "Asia/Brunei": "673",
    "Asia/Colombo": "94",
    "Asia/Damascus": "963",
    "Asia/Dhaka": "880",
    "Asia/Dili": "670",
    "Asia/Dubai": "971",
    "Asia/Dushanbe": "992",
    "Asia/Gaza": "970",
    "Asia/Ho_Chi_Minh": "84",
    "Asia/Hong_Kong": "852",
    "Asia/Hovd Asia/Ulaanbaatar": "976",
    "Asia/Jakarta Asia/Makassar Asia/Jayapura": "62",
    "Asia/Jerusalem": "972",
    "Asia/Kabul": "93",
    "Asia/Karachi": "92",
    "Asia/Kathmandu": "977",
    "Asia/Kolkata": "91",
    "Asia/Kuala_Lumpur": "60",
    "Asia/Kuwait": "965",
    "Asia/Macau": "853",
    "Asia/Manila": "63",
    "Asia/Muscat": "968",
    "Asia/Nicosia": "357",
    "Asia/Phnom_Penh": "855",
    "Asia/Pyongyang": "850",
    "Asia/Qatar": "974",
    "Asia/Riyadh": "966",
    "Asia/Samarkand": "998",
    "Asia/Seoul": "82",
    "Asia/Shanghai": "86",
    "Asia/Singapore": "65",
    "Asia/Taipei": "886",
    "Asia/Tbilisi": "995",
    "Asia/Tehran": "98",
    "Asia/Thimphu": "975",
    "Asia/Tokyo": "81",
    "Asia/Vientiane": "856",
    "Asia/Yangon": "95",
    "Asia/Yerevan": "374",
    "Atlantic/Azores Europe/Lisbon": "351",
    "Atlantic/Bermuda": "1441",
    "Atlantic/Canary Europe/Madrid": "34",
    "Atlantic/Cape_Verde": "238",
    "Atlantic/Faroe": "298",
    "Atlantic/Reykjavik": "354",
    "Atlantic/St_Helena": "247 290",
    "Atlantic/Stanley": "500",
    (
        "Australia/Perth Australia/Eucla Australia/Darwin Australia/Brisbane Australia/Adelaide "
        "Australia/Sydney Australia/Lord_Howe"
    ): ("61 "),
    "Europe/Amsterdam": "31",
    "Europe/Andorra": "376",
    "Europe/Athens": "30",
    "Europe/Belgrade": "381 383",
    "Europe/Berlin": "49",
    "Europe/Bratislava": "421",
    "Europe/Brussels": "32",
    "Europe/Bucharest": "40",
    "Europe/Budapest": "36",
    "Europe/Chisinau": "373",
    "Europe/Copenhagen": "45",
    "Europe/Dublin": "353",
    "Europe/Gibraltar": "350",
    "Europe/Helsinki": "358",
    "Europe/Istanbul": "90",
    (
        "Europe/Kaliningrad Europe/Moscow Europe/Astrakhan Asia/Yekaterinburg Asia/Omsk "
        "Asia/Novosibirsk Asia/Irkutsk Asia/Chita Asia/Vladivostok Asia/Magadan Asia/Kamchatka"
    ): ("7 "),
    "Europe/Kyiv": "380",
    "Europe/Ljubljana": "386",
    "Europe/London": "44",
    "Europe/Luxembourg": "352",
    "Europe/Malta": "356",
    "Europe/Minsk": "375",
    "Europe/Monaco": "377",
    "Europe/Oslo": "47",
    "Europe/Paris": "33",
    "Europe/Podgorica": "382",
    "Europe/Prague": "420",
    "Europe/Riga": "371",
    "Europe/Rome": "39",
    "Europe/San_Marino": "378",
    "Europe/Sarajevo": "387",
    "Europe/Skopje": "389",
    "Europe/Sofia": "359",
    "Europe/Stockholm": "46",
    "Europe/Tallinn": "372",
    "Europe/Tirane": "355",
    "Europe/Vaduz": "423",
    "Europe/Vienna": "43",
    "Europe/Vilnius": "370",
    "Europe/Warsaw": "48",
    "Europe/Zagreb": "385",
    "Europe/Zurich": "41",
    "Indian/Antananarivo": "261",
    "Indian/Chagos": "246",
    "Indian/Comoro": "269",
    "Indian/Mahe": "248",
    "Indian/Maldives": "960",
    "Indian/Mauritius": "230",
    "Indian/Mayotte Indian/Reunion": "262",
    "Pacific/Apia": "685",
    "Pacific/Auckland Pacific/Chatham": "64",
    "Pacific/Chuuk Pacific/Pohnpei": "691",
    "Pacific/Easter America/Santiago America/Coyhaique": "56",
    "Pacific/Efate": "678",
    "Pacific/Fakaofo": "690",
    "Pacific/Fiji": "679",
    "Pacific/Funafuti": "688",
    "Pacific/Galapagos America/Guayaquil": "593",
    "Pacific/Guadalcanal": "677",
    "Pacific/Guam": "1671",
    "Pacific/Honolulu": "1808",
    "Pacific/Honolulu America/Adak America/Anchorage": "1907",
    (
        "Pacific/Honolulu America/Anchorage America/Los_Angeles America/Phoenix America/Denver "
        "America/Chicago America/New_York America/Halifax America/St_Johns"
    ): ("1 "),
    "Pacific/Majuro": "692",
    "Pacific/Nauru": "674",
    "Pacific/Niue": "683",
    "Pacific/Norfolk": "672",
    "Pacific/Noumea": "687",
    "Pacific/Pago_Pago": "1684",
    "Pacific/Palau": "680",
    "Pacific/Port_Moresby Pacific/Bougainville": "675",
    "Pacific/Rarotonga": "682",
    "Pacific/Saipan": "1670",
    "Pacific/Tahiti Pacific/Marquesas Pacific/Gambier": "689",
    "Pacific/Tarawa Pacific/Kanton Pacific/Kiritimati": "686",
    "Pacific/Tongatapu": "676",
    "Pacific/Wallis": "681",
}
"""Zones, separated by blanks -> the beginnings of numbers that are in one of them, without the ``+``."""

_BY_PREFIX: Final = {
    prefix: tuple(zones.split()) for zones, prefixes in _ZONES.items() for prefix in prefixes.split()
}
_LONGEST: Final = max(map(len, _BY_PREFIX))


def calling_code(number: str) -> str:
    """The country's part of a number, with ``+``: its known beginning of at most three digits, "" for none."""
    for length in (3, 2, 1):
        if number[1 : 1 + length] in _BY_PREFIX:
            return number[: 1 + length]
    return ""


def zones_of(number: str) -> tuple[str, ...]:
    """The zones an E.164 number with ``+`` may be in, empty for one of no country."""
    for length in range(_LONGEST, 0, -1):
        found = _BY_PREFIX.get(number[1 : 1 + length])
        if found is not None:
            return found
    return ()
