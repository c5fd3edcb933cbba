"""Who is asking, and for which account: decided from the head of a request, before any of its body is read.

On the Unix socket the kernel's word on the peer's uid is the credential; what is not let in expressly is kept
out. Over TCP nobody is known yet, and only what asks for no credential is served.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from stentor.errors import Refusal

ROOT_UID: Final = 0
DEFAULT_ACCOUNT: Final = "default"
ACCOUNT_HEADER: Final = "stentor-account"
_account_name: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}").fullmatch

GroupsOf = Callable[[int], frozenset[int]]
"""All groups of a uid, looked up in the host's user database."""


class Access(msgspec.Struct, frozen=True):
    """Who is let in on the Unix socket, by number. ``accounts`` maps uids to the account they act for."""

    own_uid: int
    users: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    front_office: frozenset[int] = frozenset()
    accounts: Mapping[int, str] = {}


class Principal(msgspec.Struct, frozen=True, gc=False):
    """Who asks. ``account`` is the one all they read and write belongs to; an operator may also work on what
    belongs to no account: the channels."""

    uid: int
    account: str
    is_operator: bool


class Doorkeeper:
    """Applies an Access; a reload makes a new one. Groups are looked up once for each uid."""

    __slots__ = ("_access", "_groups_of", "_is_member")

    def __init__(self, access: Access, groups_of: GroupsOf) -> None:
        self._access = access
        self._groups_of = groups_of
        self._is_member: dict[int, bool] = {}

    def identify(self, uid: int | None, headers: Mapping[str, str]) -> Principal:
        """The principal behind a request; ``uid`` is None over TCP. Raises Refusal (400, 401, 403)."""
        if uid is None:
            raise Refusal("no_credential", "this listener knows no credential for this path", "$", 401)
        if not self._is_let_in(uid):
            raise Refusal(
                "not_let_in", f"uid {uid} is not let in; see api.unix_users and api.unix_groups", "$", 403
            )
        named = headers.get(ACCOUNT_HEADER)
        own = self._own_account(uid)
        if named is None or named == own:
            if own is None:
                raise Refusal(
                    "no_account", f"uid {uid} acts for no account; see accounts.*.unix_users", "$", 403
                )
            return Principal(uid, own, self._is_operator(uid))
        if not self._may_name_account(uid):
            raise Refusal("not_front_office", f"uid {uid} may not act for another account", "$", 403)
        if not _account_name(named):
            raise Refusal("bad_account", _BAD_ACCOUNT, _PATH, 400)
        return Principal(uid, named, self._is_operator(uid))

    def speak_for(self, account: str) -> Principal:
        """The principal of a request from within the daemon on behalf of an account, empty for the default one; no
        operator. Raises Refusal (400)."""
        account = account or DEFAULT_ACCOUNT
        if not _account_name(account):
            raise Refusal("bad_account", _BAD_ACCOUNT, _PATH, 400)
        return Principal(self._access.own_uid, account, is_operator=False)

    def _is_let_in(self, uid: int) -> bool:
        return uid in self._access.accounts or self._is_operator(uid)

    def _is_operator(self, uid: int) -> bool:
        """Let in for the daemon's sake, and not only as one of its customers."""
        access = self._access
        is_named = uid in (access.own_uid, ROOT_UID) or uid in access.users or uid in access.front_office
        return is_named or (bool(access.groups) and self._is_in_groups(uid))

    def _is_in_groups(self, uid: int) -> bool:
        found = self._is_member.get(uid)
        if found is None:
            if len(self._is_member) >= 1024:
                self._is_member.clear()
            found = self._is_member[uid] = not self._access.groups.isdisjoint(self._groups_of(uid))
        return found

    def _own_account(self, uid: int) -> str | None:
        """The mapped account; the default one while nobody is mapped, and for those who run the daemon."""
        access = self._access
        mapped = access.accounts.get(uid)
        if mapped is not None:
            return mapped
        is_default = not access.accounts or uid in (access.own_uid, ROOT_UID) or uid in access.front_office
        return DEFAULT_ACCOUNT if is_default else None

    def _may_name_account(self, uid: int) -> bool:
        return uid == ROOT_UID or uid in self._access.front_office


_BAD_ACCOUNT: Final = "an account is named by 1 to 64 of A-Z a-z 0-9 . _ : -"
_PATH: Final = f"$.headers.{ACCOUNT_HEADER}"
