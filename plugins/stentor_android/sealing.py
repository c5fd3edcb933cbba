"""End-to-end encryption as the fleet asks for it: whose messages are sealed, and the sealing."""

from collections.abc import Callable

import msgspec


class Sealer(msgspec.Struct, frozen=True):
    """``names`` are the phones whose messages are encrypted, ``is_for_all`` means every one."""

    encrypt: Callable[[str], str] | None = None
    is_for_all: bool = False
    names: frozenset[str] = frozenset()

    def seals(self, name: str) -> bool:
        return self.encrypt is not None and (self.is_for_all or name in self.names)

    def seal(self, text: str) -> str:
        """A value as only the phone can read it."""
        assert self.encrypt is not None
        return self.encrypt(text)
