"""The keys that say how much may go, and when: `[caps]`, `[[rate_limits]]` and `[[quiet_hours]]`."""

from typing import Annotated, Literal

from msgspec import Meta, field

from stentor.config.section import NAME_PATTERN, Prefix, Section, Tag, Text, TimeOfDay
from stentor.message import PRIORITY_WORDS
from stentor.pacing.caps import CapRules
from stentor.pacing.gate import Dimension, LimitRule
from stentor.pacing.quiet import QuietRule
from stentor.pacing.quota import Every


class CapKeys(Section, frozen=True, kw_only=True):
    """[caps]: how many messages of one account one number may be sent."""

    hour: Annotated[
        int, Meta(ge=0, le=1000, description="Messages to one number in any hour; 0: no cap.")
    ] = 0
    day: Annotated[int, Meta(ge=0, le=1000, description="Messages to one number in any day; 0: no cap.")] = 0
    same_text_hour: Annotated[
        int,
        Meta(ge=0, le=1000, description="Messages with the same text to one number in any hour; 0: no cap."),
    ] = 0
    same_text_day: Annotated[int, Meta(ge=0, le=1000, description="The same in any day; 0: no cap.")] = 0
    over: Annotated[
        Literal["refuse", "hold"],
        Meta(
            description="What becomes of one too many: refused with 429, or held until somebody releases it."
        ),
    ] = "refuse"
    exempt: Annotated[tuple[Text, ...], Meta(description="Accounts whose messages are not counted.")] = ()

    @property
    def rules(self) -> CapRules:
        """The caps in the form the engine keeps them."""
        return CapRules(self.hour, self.day, self.same_text_hour, self.same_text_day, self.over, self.exempt)


class RateLimit(Section, frozen=True, kw_only=True):
    """[[rate_limits]]: how much may go of what the selectors choose, in how long."""

    name: Annotated[
        str,
        Meta(
            pattern=NAME_PATTERN,
            title="1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit",
            description="What the limit is called in `stentor status`; what was used of it is kept under this name.",
        ),
    ]
    limit: Annotated[int, Meta(ge=1, le=1_000_000_000, description="How many may go in each `every`.")]
    every: Annotated[
        Every,
        Meta(description="The time `limit` is for. An even flow takes a month for thirty days."),
    ] = "second"
    unit: Annotated[
        Literal["messages", "segments"],
        Meta(description="What is counted: attempts at messages, or the segments they consist of."),
    ] = "messages"
    form: Annotated[
        Literal["smooth", "allowance"],
        Meta(
            description='"smooth": an even flow. "allowance": a fixed budget for each day or month of `zone`, which '
            "may go as fast as it can."
        ),
    ] = "smooth"
    burst: Annotated[
        float,
        Meta(
            ge=0,
            le=1_000_000,
            description="How many may go at once after a rest; 0: what flows in a tenth of a second, at least one.",
        ),
    ] = 0.0
    zone: Annotated[
        Text, Meta(description="Time zone in whose days and months an allowance is renewed, at midnight.")
    ] = "UTC"
    accounts: Annotated[
        tuple[Text, ...], Meta(description="Only messages of these accounts; a text or a list.")
    ] = field(default=(), name="account")
    channels: Annotated[
        tuple[Text, ...], Meta(description="Only what goes over these channels; a text or a list.")
    ] = field(default=(), name="channel")
    lanes: Annotated[
        tuple[Text, ...],
        Meta(description="Only what goes over these lanes, named as in `stentor status`; a text or a list."),
    ] = field(default=(), name="lane")
    prefixes: Annotated[
        tuple[Prefix, ...],
        Meta(description="Only destinations that begin with one of these; a text or a list."),
    ] = field(default=(), name="prefix")
    originators: Annotated[
        tuple[Text, ...], Meta(description="Only messages from these originators; a text or a list.")
    ] = field(default=(), name="from")
    per: Annotated[
        tuple[Dimension, ...],
        Meta(
            description="What has a limit of its own for each value, or combination of values, out of account, "
            "channel, lane (each of each channel), prefix and from; a text or a list. Without it, all that is chosen "
            "shares one."
        ),
    ] = ()

    @property
    def rule(self) -> LimitRule:
        """The limit in the form the engine keeps it."""
        return LimitRule(
            name=self.name,
            limit=self.limit,
            every=self.every,
            unit=self.unit,
            is_allowance=self.form == "allowance",
            burst=self.burst,
            zone=self.zone,
            accounts=self.accounts,
            channels=self.channels,
            lanes=self.lanes,
            prefixes=self.prefixes,
            originators=self.originators,
            per=self.per,
        )


class QuietHours(Section, frozen=True, kw_only=True):
    """[[quiet_hours]]: when nothing is sent, by the local time of the destination."""

    start: Annotated[TimeOfDay, Meta(description="When they begin, local time of the destination.")] = field(
        name="from"
    )
    until: Annotated[TimeOfDay, Meta(description="When they end; earlier than `from`: on the next day.")]
    prefixes: Annotated[
        tuple[Prefix, ...],
        Meta(description="Only destinations that begin with one of these; a text or a list."),
    ] = field(default=(), name="prefix")
    accounts: Annotated[
        tuple[Text, ...], Meta(description="Only messages of these accounts; a text or a list.")
    ] = field(default=(), name="account")
    exempt_priorities: Annotated[
        tuple[Literal["urgent", "high", "normal", "bulk"], ...],
        Meta(description="Priorities that are sent all the same; a text or a list."),
    ] = field(default=(), name="exempt_priority")
    exempt_accounts: Annotated[
        tuple[Text, ...],
        Meta(description="Accounts whose messages are sent all the same; a text or a list."),
    ] = field(default=(), name="exempt_account")
    exempt_tags: Annotated[
        tuple[Tag, ...],
        Meta(description="Tags of messages that are sent all the same; a text or a list."),
    ] = field(default=(), name="exempt_tag")

    @property
    def rule(self) -> QuietRule:
        """The hours in the form the engine keeps them."""
        return QuietRule(
            start_min=_minute(self.start),
            end_min=_minute(self.until),
            prefixes=self.prefixes,
            accounts=self.accounts,
            exempt_priorities=tuple(PRIORITY_WORDS.index(word) for word in self.exempt_priorities),
            exempt_accounts=self.exempt_accounts,
            exempt_tags=self.exempt_tags,
        )


def _minute(time: str) -> int:
    """Minutes since midnight of "22:00"."""
    return int(time[:2]) * 60 + int(time[3:])
