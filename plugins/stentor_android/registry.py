"""Who may come in: invitations, accounts and phones, with what is remembered of each.

Owns what is kept beyond restarts. Tokens and passwords are held as digests only. Of a phone nothing is kept but its
name, model, app version, SIMs (masked by the phone itself), when and how it was last seen, and counters. Invariants: a
token names one phone at most; an invitation's name belongs to one phone that is current, and those it replaced only
help to tell whose old reports are.

The caller supplies octets that nobody can guess (``entropy``) and writes what :meth:`Registry.take_changes` gives;
``gone`` are logins that nobody has any more.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from stentor_android.protocol import Credentials, Registered, SIMCard

MAX_PHONES: Final = 10_000
MAX_SIMS: Final = 4
CODE_MS: Final = 60_000
MAX_CODES: Final = 1_000
PASSWORD_LENGTH: Final = 14
PREVIOUS_IDS: Final = 3
CHOSEN_ROUNDS: Final = 20_000
"""Of the digest of a password that somebody chose."""
MADE_ROUNDS: Final = 1
"""Of one that is made here: nobody finds 14 random letters by trying, so that slowness would only be the server's own
when a whole fleet registers."""
_TEXT: Final = 128
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", re.ASCII)
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CODE_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"


class Invitation(msgspec.Struct, gc=False):
    """A name that one phone may register under, with its private token's digest."""

    name: str
    digest: bytes
    created_at_ms: int


class Account(msgspec.Struct, gc=False):
    """A login that phones share. ``salted`` is the password's digest with ``salt`` in so many ``rounds``."""

    login: str
    salt: bytes
    salted: bytes
    created_at_ms: int
    rounds: int = CHOSEN_ROUNDS


class Phone(msgspec.Struct):
    """A registered phone. ``id`` comes back in webhooks, ``name`` is for people, ``model`` the app's own name.

    ``waits_for_push``: it has a token of a push service that only the app's vendor can use. ``previous`` are ids of
    registrations that this one replaced.
    """

    id: str
    name: str
    digest: bytes
    login: str
    model: str
    created_at_ms: int
    invited: bool = False
    version: tuple[int, int, int] = (0, 0, 0)
    waits_for_push: bool = False
    sims: tuple[SIMCard, ...] = ()
    seen_at_ms: int = 0
    streamed_at_ms: int = 0
    is_paused: bool = False
    previous: tuple[str, ...] = ()
    sent: int = 0
    failed: int = 0
    received: int = 0


class Registry:
    """Looks phones up, lets them in, and collects what has changed."""

    def __init__(self, private_token: str, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._shared = digest(private_token) if private_token else b""
        self._codes: dict[str, tuple[str, int]] = {}
        self._invitations: dict[str, Invitation] = {}
        self._by_invitation: dict[bytes, Invitation] = {}
        self._accounts: dict[str, Account] = {}
        self._phones: dict[str, Phone] = {}
        self._by_digest: dict[bytes, Phone] = {}
        self._by_name: dict[str, Phone] = {}
        self._changes: dict[str, bytes | None] = {}
        self.key = b""
        self.gone: list[str] = []

    # -- what is kept -----------------------------------------------------------------------------------------------

    def restore(self, kept: Mapping[str, bytes]) -> None:
        """Take what was remembered; the first time there is nothing, and a key is made for all that is derived."""
        self.key = kept.get("key", b"")
        if not self.key:
            self.key = self._entropy(32)
            self._changes["key"] = self.key
        for name, value in kept.items():
            kind, _, _ = name.partition("/")
            if kind == "invitation":
                self._invite(msgspec.msgpack.decode(value, type=Invitation))
            elif kind == "account":
                account = msgspec.msgpack.decode(value, type=Account)
                self._accounts[account.login] = account
            elif kind == "phone":
                self._enter(msgspec.msgpack.decode(value, type=Phone))

    def take_changes(self) -> dict[str, bytes | None]:
        """Names and what to remember under them, None to forget; the caller writes all of it."""
        changes, self._changes = self._changes, {}
        return changes

    def changed(self, phone: Phone) -> None:
        """Something about the phone is to be remembered."""
        if self._phones.get(phone.id) is phone:
            self._changes[f"phone/{phone.id}"] = msgspec.msgpack.encode(phone)

    def derived(self, purpose: str, device_id: str) -> str:
        """A secret of one phone for one purpose, the same as long as the channel's key is."""
        return hmac.digest(self.key, f"{purpose}/{device_id}".encode(), "sha256").hex()[:32]

    # -- looking up -------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Phone]:
        return iter(self._phones.values())

    def __len__(self) -> int:
        return len(self._phones)

    def by_digest(self, found: bytes) -> Phone | None:
        return self._by_digest.get(found)

    def by_id(self, device_id: str) -> Phone | None:
        return self._phones.get(device_id)

    def by_name(self, name: str) -> Phone | None:
        return self._by_name.get(name)

    @property
    def waiting(self) -> list[str]:
        """Names that were invited and have no phone yet."""
        return [name for name in self._invitations if name not in self._by_name]

    def account(self, credentials: Credentials, is_barred: bool = False) -> Account | None:
        """Whose login and password these are. Who is barred is believed a password made here, and no other."""
        account = self._accounts.get(credentials.login)
        if account is None or (is_barred and account.rounds > MADE_ROUNDS):
            return None
        salted = _salted(credentials.password, account.salt, account.rounds)
        return account if hmac.compare_digest(salted, account.salted) else None

    def has_account(self, login: str) -> bool:
        return login in self._accounts

    # -- inviting ---------------------------------------------------------------------------------------------------

    def invite(self, name: str, wall_ms: int) -> str | None:
        """A private token for a phone of this name; one asked for again replaces the one before. None for a name
        that is none, or that a phone without an invitation has."""
        phone = self._by_name.get(name)
        if not _NAME.fullmatch(name) or (phone is not None and not phone.invited):
            return None
        token = self._letters(24, _LETTERS)
        if (old := self._invitations.get(name)) is not None:
            del self._by_invitation[old.digest]
        invitation = Invitation(name, digest(token), wall_ms)
        self._invite(invitation)
        self._changes[f"invitation/{name}"] = msgspec.msgpack.encode(invitation)
        return token

    def remove(self, name: str) -> Phone | None:
        """Forget the phone and its invitation: its tokens name nobody from now on. Returns the phone there was."""
        invitation = self._invitations.pop(name, None)
        if invitation is not None:
            del self._by_invitation[invitation.digest]
            self._changes[f"invitation/{name}"] = None
        phone = self._by_name.get(name)
        if phone is not None:
            self._leave(phone)
        return phone

    def is_invitation(self, credentials: Credentials) -> bool:
        """Is this the token of one that was invited?"""
        return digest(credentials.token) in self._by_invitation

    def is_invited(self, name: str) -> bool:
        """Is there a token for a phone of this name?"""
        return name in self._invitations

    @property
    def is_full(self) -> bool:
        """No more phones may come in; one that comes again takes its own place."""
        return len(self._phones) >= MAX_PHONES

    def knows(self, name: str) -> bool:
        return name in self._invitations or name in self._by_name

    # -- registering ------------------------------------------------------------------------------------------------

    def register(
        self,
        credentials: Credentials,
        model: str,
        waits_for_push: bool,
        sims: tuple[SIMCard, ...],
        wall_ms: int,
        is_barred: bool = False,
    ) -> tuple[Registered, Phone, Phone | None] | None:
        """Let a phone in; its answer, itself, and the one whose place it takes. None when it may not.

        From who is barred only what nobody can guess is believed: tokens and passwords that were made here.
        """
        invitation: Invitation | None = None
        password: str | None = None
        match credentials.scheme:
            case "basic":
                account = self.account(credentials, is_barred)
            case "code":
                account = None if is_barred else self._by_code(credentials.token, wall_ms)
            case "bearer":
                found = digest(credentials.token)
                invitation = self._by_invitation.get(found)
                if invitation is None and (is_barred or not self._is_shared(found)):
                    return None
                account, password = self._new_account(wall_ms)
            case _:
                return None
        if account is None:
            return None
        old = self._by_name.get(invitation.name) if invitation is not None else None
        device_id, token = self._letters(21, _LETTERS), self._letters(21, _LETTERS)
        phone = Phone(
            id=device_id,
            name=invitation.name if invitation is not None else self._free_name(model, device_id),
            digest=digest(token),
            login=account.login,
            model=model[:_TEXT],
            created_at_ms=wall_ms,
            invited=invitation is not None,
            waits_for_push=waits_for_push,
            sims=clipped(sims),
            seen_at_ms=wall_ms,
        )
        if old is not None:
            phone.previous = (old.id, *old.previous)[:PREVIOUS_IDS]
            phone.is_paused = old.is_paused
            self._leave(old)
        self._enter(phone)
        self.changed(phone)
        return Registered(device_id, token, account.login, password), phone, old

    def issue_code(self, account: Account, wall_ms: int) -> tuple[str, int]:
        """A code that lets one phone join the account, and until when."""
        self._codes = {code: held for code, held in self._codes.items() if held[1] > wall_ms}
        while len(self._codes) >= MAX_CODES:
            del self._codes[next(iter(self._codes))]
        code = self._letters(6, _CODE_LETTERS)
        self._codes[code] = account.login, wall_ms + CODE_MS
        return code, wall_ms + CODE_MS

    def change_password(self, login: str, current: str, new: str, is_barred: bool = False) -> bool:
        """False for a wrong current password."""
        account = self.account(Credentials("basic", login=login, password=current), is_barred)
        if account is None:
            return False
        account.salt, account.rounds = self._entropy(16), CHOSEN_ROUNDS
        account.salted = _salted(new, account.salt, account.rounds)
        self._changes[f"account/{login}"] = msgspec.msgpack.encode(account)
        return True

    # -- inside -----------------------------------------------------------------------------------------------------

    def _is_shared(self, found: bytes) -> bool:
        return bool(self._shared) and hmac.compare_digest(found, self._shared)

    def _by_code(self, code: str, wall_ms: int) -> Account | None:
        login, until_ms = self._codes.pop(code.lower(), ("", 0))
        return self._accounts.get(login) if until_ms > wall_ms else None

    def _new_account(self, wall_ms: int) -> tuple[Account, str]:
        login = self._letters(6, _LETTERS[:36])
        while login in self._accounts:
            login = self._letters(6, _LETTERS[:36])
        password = self._letters(PASSWORD_LENGTH, _CODE_LETTERS)
        salt = self._entropy(16)
        account = Account(login, salt, _salted(password, salt, MADE_ROUNDS), wall_ms, MADE_ROUNDS)
        self._accounts[login] = account
        self._changes[f"account/{login}"] = msgspec.msgpack.encode(account)
        return account, password

    def _free_name(self, model: str, device_id: str) -> str:
        short = re.sub(r"[^A-Za-z0-9_.-]+", "-", model.rpartition("/")[2]).strip("-.")[:24] or "phone"
        return f"{short}-{device_id[:6]}"

    def _letters(self, count: int, letters: str) -> str:
        # 256 is no multiple of 62: two octets a letter leave a bias below one in a thousand.
        octets = self._entropy(2 * count)
        return "".join(
            letters[int.from_bytes(octets[at : at + 2]) % len(letters)] for at in range(0, 2 * count, 2)
        )

    def _invite(self, invitation: Invitation) -> None:
        self._invitations[invitation.name] = invitation
        self._by_invitation[invitation.digest] = invitation

    def _enter(self, phone: Phone) -> None:
        self._phones[phone.id] = phone
        self._by_digest[phone.digest] = phone
        self._by_name[phone.name] = phone

    def _leave(self, phone: Phone) -> None:
        del self._phones[phone.id], self._by_digest[phone.digest], self._by_name[phone.name]
        self._changes[f"phone/{phone.id}"] = None
        if not any(other.login == phone.login for other in self._phones.values()):
            self._accounts.pop(phone.login, None)
            self.gone.append(phone.login)
            self._changes[f"account/{phone.login}"] = None


def clipped(sims: tuple[SIMCard, ...]) -> tuple[SIMCard, ...]:
    """At most MAX_SIMS, none twice, texts of bounded length."""
    found: dict[int, SIMCard] = {}
    for sim in sims:
        if 1 <= sim.number <= MAX_SIMS:
            texts = [_clipped(text) for text in (sim.phone_number, sim.carrier_name, sim.iccid)]
            found[sim.number] = SIMCard(sim.number - 1, sim.number, *texts)
    return tuple(found.values())


def digest(token: str) -> bytes:
    """Tokens are long and random: one round hides them well."""
    return hashlib.sha256(token.encode()).digest()


def _clipped(text: str | None) -> str | None:
    return None if text is None else text[:40]


def _salted(password: str, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
