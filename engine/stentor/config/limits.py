"""What must hold in and between `[[rate_limits]]` and `[[quiet_hours]]` beyond the type of each key."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stentor.config.fields import Faults, nearest
from stentor.config.lines import Path
from stentor.config.pacing import QuietHours, RateLimit
from stentor.pacing.quiet import DAY_MIN

LIMIT_LISTS: Final = frozenset({"account", "channel", "lane", "prefix", "from", "per"})
QUIET_LISTS: Final = frozenset({"prefix", "account", "exempt_priority", "exempt_account", "exempt_tag"})
"""Keys whose one value may be written without its brackets."""


def check_limits(
    limits: Mapping[int, RateLimit | None],
    channels: Collection[str],
    accounts: Collection[str],
    faults: Faults,
) -> None:
    """Faults of the limits by their index, None for one that was found faulty already."""
    names: dict[str, int] = {}
    for index, limit in limits.items():
        if limit is None:
            continue
        path: Path = ("rate_limits", index)
        first = names.setdefault(limit.name, index)
        if first != index:
            faults.add((*path, "name"), f'"{limit.name}" is the name of rate_limits[{first}] already')
        _check_known(limit.channels, channels, "channel", path, faults)
        if accounts:
            _check_known(limit.accounts, accounts, "account", path, faults)
        check_zone(limit.zone, (*path, "zone"), faults)
        if limit.form == "allowance" and limit.every not in ("day", "month"):
            faults.add(
                (*path, "every"), "an allowance is for a day or a month", 'or leave out form = "allowance"'
            )
        if limit.form == "allowance" and limit.burst:
            faults.add((*path, "burst"), "an allowance may go at once as it is")
        if "prefix" in limit.per and not limit.prefixes:
            faults.add((*path, "per"), "which prefixes are to be told apart?", 'list them: prefix = ["+40"]')
        if len(set(limit.per)) < len(limit.per):
            faults.add((*path, "per"), "names something twice")


def check_quiet_hours(tables: Sequence[QuietHours], accounts: Collection[str], faults: Faults) -> None:
    """Faults of hours that are well-formed each by itself."""
    for index, hours in enumerate(tables):
        path: Path = ("quiet_hours", index)
        if hours.start == hours.until:
            faults.add((*path, "until"), "is when they begin, so they have no length")
        if accounts:
            _check_known(hours.accounts, accounts, "account", path, faults)
            _check_known(hours.exempt_accounts, accounts, "exempt_account", path, faults)
        if hours.start != hours.until and not _open_minutes(hours, tables):
            faults.add(
                (*path, "until"),
                "no minute of the day is left, with the other quiet hours for the same messages",
                "to send nothing at all, deny the destinations",
            )


def _open_minutes(hours: QuietHours, tables: Sequence[QuietHours]) -> set[int]:
    """The minutes of the local day in which messages may leave that ``hours`` concern. Exemptions are left aside: who
    is exempt from one is not in the others' way."""
    left = set(range(DAY_MIN))
    for other in tables:
        concerns_all = (not other.prefixes or other.prefixes == hours.prefixes) and (
            not other.accounts or other.accounts == hours.accounts
        )
        if concerns_all:
            left = {minute for minute in left if not other.rule.is_quiet(minute)}
    return left


def _check_known(
    names: Collection[str], known: Collection[str], what: str, path: Path, faults: Faults
) -> None:
    for place, name in enumerate(names):
        if name not in known:
            word = what.removeprefix("exempt_")
            hint = nearest(name, known) or f"declare [{word}s.{name}]"
            faults.add((*path, what, place), f'there is no {word} "{name}"', hint)


def check_zone(name: str, path: Path, faults: Faults) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        faults.add(path, f'there is no time zone "{name}"', 'write it like "Europe/Bucharest"')
