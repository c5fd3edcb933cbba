"""Where descriptions come from: those shipped with the driver by name, a user's own from a file."""

from stentor_http.description import Description


def names() -> tuple[str, ...]:
    """The shipped carriers, sorted."""
    raise NotImplementedError


def shipped(name: str) -> Description:
    """Raises ConfigError at ``carrier`` for a name that is not shipped, with the nearest as suggestion."""
    raise NotImplementedError


def from_file(path: str) -> Description:
    """A user's own. Raises ConfigError whose path is ``FILE: key.of.the.fault``."""
    raise NotImplementedError
