"""From names in the configuration to the numbers the kernel speaks of: who is let in on the Unix socket."""

import grp
import os
import pwd
from collections.abc import Iterable
from functools import lru_cache

from stentor.api.credentials import Access
from stentor.config import Config, ConfigErrors, LocatedError


def access_of(config: Config) -> Access:
    """The users, groups and accounts of a configuration by number. Raises ConfigErrors for names nobody has."""
    errors: list[LocatedError] = []
    accounts: dict[int, str] = {}
    for name, account in config.accounts.items():
        for uid in _uids(account.unix_users, f"accounts.{name}.unix_users", errors):
            accounts[uid] = name
    access = Access(
        own_uid=os.getuid(),
        users=frozenset(_uids(config.api.unix_users, "api.unix_users", errors)),
        groups=frozenset(_gids(config.api.unix_groups, "api.unix_groups", errors)),
        front_office=frozenset(_uids(config.api.front_office, "api.front_office", errors)),
        accounts=accounts,
    )
    if errors:
        raise ConfigErrors("", tuple(errors))
    return access


def _uids(users: Iterable[int | str], path: str, errors: list[LocatedError]) -> Iterable[int]:
    for user in users:
        try:
            yield user if isinstance(user, int) else pwd.getpwnam(user).pw_uid
        except KeyError:
            errors.append(LocatedError(path, f"there is no user {user!r} on this machine"))


def _gids(groups: Iterable[int | str], path: str, errors: list[LocatedError]) -> Iterable[int]:
    for group in groups:
        try:
            yield group if isinstance(group, int) else grp.getgrnam(group).gr_gid
        except KeyError:
            errors.append(LocatedError(path, f"there is no group {group!r} on this machine"))


@lru_cache(maxsize=1024)
def groups_of(uid: int) -> frozenset[int]:
    """All groups of a uid by the host's user database; a uid without a name has none. Remembered."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    return frozenset(os.getgrouplist(user.pw_name, user.pw_gid))
