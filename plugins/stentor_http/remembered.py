"""When the requests left whose answers were lost, kept beyond restarts: what a lookup needs to tell like from like.

Some carriers repeat nothing of ours, so a message is looked for by its numbers, its text and its time. After a kill the
engine knows only since when a message was due; an equal one that left before it would be taken for it.

What is kept says nothing to another account: when the channel was pointed elsewhere, what it has not is no proof.
Invariant: nothing is kept for longer than ``LONGEST_MS``.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from stentor.outcome import Submission
from stentor_http.carrier import Carrier
from stentor_http.parts import Keep

LONGEST_MS: Final = 3 * 86_400_000
PREFIX: Final = "doubt/"
ACCOUNT: Final = "account"
_TIME_OCTETS: Final = 8


class Remembered:
    """The moments of one channel's requests in doubt. ``is_same_account``: the last incarnation asked there too."""

    __slots__ = ("_at_ms", "_keep", "is_same_account")

    def __init__(self, carrier: Carrier, keep: Keep, kept: Mapping[str, bytes], wall_ms: int) -> None:
        self._keep = keep
        account = account_of(carrier)
        self.is_same_account = kept.get(ACCOUNT, account) == account
        if carrier.questions.lookup is not None and kept.get(ACCOUNT) != account:
            keep(ACCOUNT, account)
        self._at_ms: dict[str, int] = {}
        for name, value in kept.items():
            if not name.startswith(PREFIX):
                continue
            at_ms = int.from_bytes(value)
            if wall_ms - at_ms < LONGEST_MS:
                self._at_ms[name] = at_ms
            else:
                keep(name, None)

    def note(self, submission: Submission, at_ms: int) -> None:
        """Its request left then, and its answer was lost."""
        name = _name(submission)
        self._at_ms[name] = at_ms
        self._keep(name, at_ms.to_bytes(_TIME_OCTETS))

    def at_ms(self, submission: Submission) -> int:
        """When its request left; 0: nobody knows."""
        return self._at_ms.get(_name(submission), 0)

    def forget(self, submission: Submission) -> None:
        """It is in doubt no more, or nobody is asked any more."""
        name = _name(submission)
        if self._at_ms.pop(name, None) is not None:
            self._keep(name, None)


def account_of(carrier: Carrier) -> bytes:
    """What tells one account from another, without its secrets."""
    settings = carrier.description.settings
    shown = {
        name: text
        for name, text in carrier.settings.items()
        if name in settings and not settings[name].secret
    }
    said = carrier.name, carrier.url, sorted(shown.items())
    return blake2b(repr(said).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _name(submission: Submission) -> str:
    return f"{PREFIX}{submission.token:x}.{submission.attempt}"
