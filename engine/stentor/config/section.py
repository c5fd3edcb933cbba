"""What the tables of the file have in common: their base, and the types of values that several of them hold."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,31}$"
"""Names of channels, accounts and pools."""

LONGEST_VALIDITY_S: Final = 30 * 86_400  # carriers honour days; more is a mistake in the unit

Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Tag = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$", title='a short word, like "eea"')]
Name = Annotated[
    str,
    Meta(pattern=NAME_PATTERN, title="1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit"),
]
Prefix = Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{0,14}$", title='digits after "+", like "+40"')]
TimeOfDay = Annotated[
    str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", title='a time of day, like "22:00"')
]
Country = Annotated[
    str, Meta(pattern=r"^([A-Z]{2}|[1-9][0-9]{0,2})$", title='two capital letters, like "RO"')
]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every table of the file derives from."""
