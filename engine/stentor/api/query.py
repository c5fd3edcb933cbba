"""Parameters of a query, checked. Each fault is a Refusal (422) with the path ``$.query.NAME``."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from stentor.errors import Refusal

TEXT_MAX: Final = 64
_control: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_zone_with_blank: Final = re.compile(r" (?=[0-9]{2}:[0-9]{2}\Z)", re.ASCII)
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def bad_query(name: str, detail: str) -> Refusal:
    """The refusal of one parameter."""
    return Refusal("bad_query", detail, f"$.query.{name}")


def text_of(fields: Mapping[str, str], name: str) -> str | None:
    """A short text, None when it is not given."""
    value = fields.get(name)
    if value is not None and not (0 < len(value) <= TEXT_MAX and value.isprintable()):
        raise bad_query(name, f"1 to {TEXT_MAX} printable characters")
    return value


def ref_of(fields: Mapping[str, str], name: str) -> str | None:
    """A client's own reference: whatever a submit takes as one."""
    value = fields.get(name)
    if value is not None and (len(value) > TEXT_MAX or _control(value)):
        raise bad_query(name, f"at most {TEXT_MAX} characters, and no control characters")
    return value


def number_of(fields: Mapping[str, str], name: str) -> str | None:
    """A number or name. A plus that was not percent-encoded has become a blank: no number begins with one."""
    value = text_of(fields, name)
    return "+" + value[1:] if value is not None and value.startswith(" ") else value


def time_ms_of(fields: Mapping[str, str], name: str) -> int | None:
    """Wall milliseconds of a time."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        # The plus of an offset is subject to the same mishap as that of a number.
        moment = msgspec.convert(_zone_with_blank.sub("+", value), _Moment)
    except msgspec.ValidationError:
        raise bad_query(name, "a time as in RFC 3339, with its offset: 2027-01-15T08:00:00Z") from None
    return (moment - _EPOCH) // timedelta(milliseconds=1)
