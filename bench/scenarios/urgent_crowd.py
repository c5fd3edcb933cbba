"""Urgent messages beside a campaign with everything on: prefixes, channels, accounts, limits, quiet hours and caps."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.harness import Workplace, channel
from bench.scenario import Result, Scenario, Size
from bench.scenarios.urgent import ELSEWHERE, RATE, measure

PREFIXES = 10_000
OWN = PREFIXES // 2
"""Prefixes of the channel that is looked at; the others share the rest."""
CHANNELS = 50
OTHERS_RATE = 20
ACCOUNTS = 200
AMPLE = 1_000_000
"""What the limits let go in a second that are there to be counted against."""
TIGHT = "+36"
"""Destinations of a limit that much of the campaign waits for."""
STRIDE = 2000
"""Destinations this far apart walk through all prefixes in 50,000 messages."""


def configuration(port: int) -> str:
    """The first channel has half of the prefixes, the others the rest, and each has the next as its substitute."""
    names = [f"channel-{n}" for n in range(CHANNELS)]
    prefixes = [f"+407{n:04d}" for n in range(PREFIXES)]
    parts = [f"[api]\nfront_office = [{os.getuid()}]\n[limits]\nactive = 10_000\n{_quiet_hours()}{_caps()}"]
    parts += (f"[accounts.account-{n}]\n" for n in range(ACCOUNTS))
    for n, name in enumerate(names):
        own = prefixes[:OWN] if n == 0 else prefixes[OWN + n - 1 :: CHANNELS - 1]
        parts.append(channel(port, name, window=50, rate=OTHERS_RATE if n else RATE, **{"from": "Stentor"}))
        parts.append(_route([*own, *([] if n else [TIGHT, "+408"])], [name, names[(n + 1) % CHANNELS]]))
    for dimension in ("lane", "channel", "prefix", "from", "account"):
        concerned = f"prefix = {prefixes}\n" if dimension == "prefix" else ""
        parts.append(_limit(dimension, AMPLE, f'per = "{dimension}"\n{concerned}'))
    parts.append(_limit("tight", 20, f'prefix = "{TIGHT}"\n'))
    return "".join(parts)


def _route(prefixes: list[str], channels: list[str]) -> str:
    return f"[[routes]]\nprefix = {prefixes}\nchannels = {channels}\n"


def _limit(name: str, limit: int, rest: str) -> str:
    return f'[[rate_limits]]\nname = "{name}"\nlimit = {limit}\nunit = "segments"\n{rest}'


def _quiet_hours() -> str:
    """Quiet when it is night for those at noon: looked up for each message, urgent ones too, and in force for none."""
    begin = datetime.now(UTC) + timedelta(hours=12)
    return f'[[quiet_hours]]\nfrom = "{begin:%H:%M}"\nuntil = "{begin + timedelta(hours=2):%H:%M}"\n'


def _caps() -> str:
    return "[caps]\nhour = 1000\nday = 1000\nsame_text_hour = 100\nsame_text_day = 100\n"


def _campaign(place: Workplace, size: Size) -> dict[str, Any]:
    """All accounts' messages for the channel that is looked at, for the others, and for the tight limit."""
    half = 100_000_000 // STRIDE // 2

    def submit(messages: int, **options: Any) -> dict[str, Any]:
        accounts: dict[str, Any] = {
            "connections": ACCOUNTS,
            "header": "Stentor-Account: account-{n}",
            "stride": STRIDE,
        }
        return place.load("stream", messages=messages, priority="bulk", **accounts, **options)

    return {
        "tight": submit(size.pick(3000, 3000, 200), text="bulk tight {n}", to=TIGHT),
        "elsewhere": submit(size.pick(half, half // 2, 1000), text=f"{ELSEWHERE} {{n}}", first=half),
        "bulk": submit(size.pick(24_000, 12_000, 1500), text="bulk {n}"),
    }


def run(size: Size) -> Result:
    return measure(
        size, configuration, _campaign, header="Stentor-Account: account-7", to="+407", stride=STRIDE
    )


SCENARIO = Scenario(
    name="urgent-crowd",
    summary=f"urgent beside {PREFIXES:,} prefixes, {CHANNELS} channels, {ACCOUNTS} accounts, limits, quiet hours, caps",
    limit="As for urgent; a turn of the loop is longer, since the campaign goes over all channels and is read back.",
    estimate="3 to 6 ms at the median, 15 ms at the 99th percentile: 1,500 messages a second are in hand, not 500.",
    refutation="A 99th percentile above 25 ms: then something is done in one piece for all channels, accounts or "
    "limits, or urgent messages wait on the disk behind the campaign.",
    run=run,
)
