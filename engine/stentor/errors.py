"""Every exception stentor raises on purpose.

    StentorError
      ConfigError        the configuration is wrong: file, key and what would be right
      Refusal            one request is refused: stable code, sentence, place in the input
      Overloaded         not now: try again after some seconds
      JournalError       the journal cannot be used
        JournalFull      the disk has no room; lifts by itself when it has
        JournalBusy      a stranger holds the write lock; lifts when it lets go
        JournalDamaged   corrupt, newer, or of another program: the daemon must not go on
        SyncFailed       the kernel could not make writes durable: exit and recover from disk

What a peer (a carrier, a phone, a client's bytes) does is a value, never one of these. A bug of our own is
an AssertionError.
"""


class StentorError(Exception):
    """Root of the tree."""


class ConfigError(StentorError):
    """The configuration cannot be used.

    ``path`` is the full key (``channels.alpha.window``) or the file; ``suggestion`` says what would be right.
    """

    def __init__(self, path: str, detail: str, suggestion: str | None = None) -> None:
        super().__init__(path, detail, suggestion)
        self.path = path
        self.detail = detail
        self.suggestion = suggestion

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.path}: {self.detail}{hint}"


class Refusal(StentorError):
    """One request is refused for good; its neighbours are not touched.

    ``code`` is stable and documented, ``detail`` a sentence for people, ``path`` the JSON path of the field
    at fault (``$.to``), ``status`` the HTTP status that says it.
    """

    def __init__(self, code: str, detail: str, path: str = "$", status: int = 422) -> None:
        super().__init__(code, detail, path)
        self.code = code
        self.detail = detail
        self.path = path
        self.status = status

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"


class Overloaded(StentorError):
    """There is no room now; nothing was stored. ``code`` names the resource that is short."""

    def __init__(self, code: str, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(code, detail, retry_after_s)
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.detail


class JournalError(StentorError):
    """The journal cannot be used; the text says why and what to do."""


class JournalFull(JournalError):
    """The disk has no room for another commit. Nothing of the transaction was kept."""


class JournalBusy(JournalError):
    """Another program holds the journal's write lock. Nothing of the transaction was kept."""


class JournalDamaged(JournalError):
    """The file is corrupt, from a newer version, or not a journal. Nothing may be written to it."""


class SyncFailed(JournalError):
    """The kernel reported that writes did not reach the disk; what is in memory is no longer trustworthy."""
