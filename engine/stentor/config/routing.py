"""The keys that say which channel carries what: ``[routing]``, ``[[routes]]``, ``[[pools]]``, ``[[prices]]``.

A Route knows the rule it stands for; what must hold between tables is looked at in ``check_routing``.
"""

from decimal import Decimal
from math import ceil
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from stentor.config.section import Country, Name, Prefix, Section, Tag, Text
from stentor.routing.hours import Hours, make_hours
from stentor.routing.pools import Pool
from stentor.routing.prices import Price, make_price
from stentor.routing.routes import STICKY_LIMIT
from stentor.routing.rules import KINDS, Rule

_LONGEST_STICKY_S: Final = 366 * 86_400
DEFAULT_ZONE: Final = "UTC"


class RoutingKeys(Section, frozen=True, kw_only=True):
    """[routing]: what routes have in common."""

    prices_file: Annotated[
        str,
        Meta(
            description="A price list beside `[[prices]]`: CSV with the columns `channel,prefix,price,currency`; "
            "relative to the configuration's folder."
        ),
    ] = ""
    unpriced: Annotated[
        Literal["refuse", "not_offered"],
        Meta(
            description="What a channel of a `least_cost` route without a price for some of its destinations is: a "
            "fault of the configuration, or not offered there."
        ),
    ] = "refuse"
    sticky_destinations: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Destinations remembered for `sticky`, about 300 B each; those used longest ago are "
            "forgotten first.",
        ),
    ] = STICKY_LIMIT


class Route(Section, frozen=True, kw_only=True):
    """[[routes]]: which channels carry what. The longest prefix wins; without any route, every channel in
    order."""

    name: Annotated[
        str, Meta(max_length=64, description="What it is called in explanations; empty: its place.")
    ] = ""
    prefixes: Annotated[
        tuple[Prefix, ...],
        Meta(description="Beginnings of destinations, with `+`. Without it and `country`: any destination."),
    ] = field(default=(), name="prefix")
    countries: Annotated[
        tuple[Country, ...],
        Meta(description='Countries of destinations: two letters, like "RO", or a calling code, like "40".'),
    ] = field(default=(), name="country")
    accounts: Annotated[tuple[Text, ...], Meta(description="Accounts whose messages it is for.")] = field(
        default=(), name="account"
    )
    originators: Annotated[
        tuple[Text, ...], Meta(description="Originators of the messages it is for, exactly as sent.")
    ] = field(default=(), name="originator")
    kinds: Annotated[
        tuple[Literal["international", "short_code", "name", "none"], ...],
        Meta(description="Kinds of originators of the messages it is for; `none`: those that name none."),
    ] = field(default=(), name="originator_kind")
    tags: Annotated[
        tuple[Tag, ...], Meta(description="Tags of the messages it is for; one of them is enough.")
    ] = field(default=(), name="tag")
    hours: Annotated[
        tuple[Text, ...],
        Meta(description='Hours of the day at which messages are due, like "08:00-20:00" or "22:00-06:00".'),
    ] = ()
    days: Annotated[
        tuple[Text, ...], Meta(description='Days on which the hours begin, like "mon-fri" or "sun".')
    ] = ()
    zone: Annotated[
        str, Meta(description='Where hours and days are told, like "Europe/Bucharest"; empty: UTC.')
    ] = ""
    channels: Annotated[
        tuple[Text, ...],
        Meta(min_length=1, description="In order of preference; the next is used when one cannot."),
    ]
    weights: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=1_000_000)], ...],
        Meta(
            description="One number for each channel: what part of the messages goes there first. 0: only when "
            "another cannot."
        ),
    ] = ()
    least_cost: Annotated[
        bool, Meta(description="The channel with the lowest price for the destination first.")
    ] = False
    sticky_s: Annotated[
        float,
        Meta(
            ge=0,
            le=_LONGEST_STICKY_S,
            description="How long after its last message a destination keeps its first channel and its originator; "
            "0: not.",
        ),
    ] = field(default=0.0, name="sticky")
    require: Annotated[
        tuple[Tag, ...], Meta(description="Tags that each of its channels must have, like `eea`.")
    ] = ()
    originator: Annotated[
        str, Meta(max_length=21, description="Originator of messages that name none; empty: the channel's.")
    ] = field(default="", name="from")
    pool: Annotated[
        str, Meta(max_length=32, description="The pool that messages which name no originator are sent from.")
    ] = ""

    @property
    def when(self) -> Hours | None:
        """Its hours, None for always. Raises ValueError for texts that are none."""
        if not self.hours and not self.days:
            return None
        found = make_hours(self.hours, self.days, self.zone or DEFAULT_ZONE)
        return None if found.are_always else found

    @property
    def rule(self) -> Rule:
        """What it says, in the form a route table is compiled from."""
        codes = tuple(f"+{code}" for code in self.countries if code.isdigit())
        kinds = frozenset(self.kinds)
        return Rule(
            channels=self.channels,
            prefixes=(*self.prefixes, *codes),
            originator=self.originator,
            name=self.name,
            countries=tuple(country for country in self.countries if not country.isdigit()),
            accounts=frozenset(self.accounts),
            originators=frozenset(self.originators),
            kinds=kinds if kinds != frozenset(KINDS) else frozenset(),
            tags=frozenset(self.tags),
            hours=self.when,
            weights=self.weights,
            is_cheapest=self.least_cost,
            sticky_s=ceil(self.sticky_s),
            pool=self.pool,
            required=frozenset(self.require),
        )


class PoolKeys(Section, frozen=True, kw_only=True):
    """[[pools]]: originators to send from; which of them follows from the destination."""

    name: Annotated[Name, Meta(description="What routes and accounts call it.")]
    originators: Annotated[
        tuple[Text, ...],
        Meta(min_length=1, description="Numbers with `+`, short codes and names. Add new ones at the end."),
    ]
    by_country: Annotated[
        dict[Country, tuple[Text, ...]],
        Meta(description='Originators for one country instead of those, like `{ RO = ["1234"] }`.'),
    ] = field(default_factory=dict)
    no_names: Annotated[
        tuple[Country, ...],
        Meta(description="Countries where names are not allowed: the numbers and short codes are used."),
    ] = ()

    @property
    def pool(self) -> Pool:
        """What it says, in the form it is chosen from."""
        return Pool(self.name, self.originators, self.by_country, frozenset(self.no_names))


class PriceKeys(Section, frozen=True, kw_only=True):
    """[[prices]]: what a segment costs. The longest prefix of a channel counts."""

    channel: Annotated[Text, Meta(description="The channel.")]
    prefix: Annotated[
        str,
        Meta(
            pattern=r"^(\+[1-9][0-9]{0,14})?$",
            title='digits after "+", like "+40"',
            description="Beginning of destinations, with `+`; empty: any.",
        ),
    ] = ""
    price: Annotated[
        str | float, Meta(description="Price of a segment, to six decimals, as a number or a text.")
    ]
    currency: Annotated[
        str,
        Meta(
            pattern="^[A-Z]{3}$",
            title='three capital letters, like "EUR"',
            description="The currency, the same for all prices.",
        ),
    ]

    @property
    def entry(self) -> Price:
        """What it says. Raises ValueError for a price that is none."""
        text = self.price if isinstance(self.price, str) else format(Decimal(repr(self.price)), "f")
        return make_price(self.channel, self.prefix, text, self.currency)
