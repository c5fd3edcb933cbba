"""The keys of routing: what is taken, and each way in which they can contradict themselves or the rest."""

from pathlib import Path
from time import process_time

import pytest

from stentor.aio.plugins import load_plugins
from stentor.aio.settings import load_config
from stentor.config import Config, ConfigErrors, Secret, effective, parse
from stentor.config.reload import Action, diff
from stentor.errors import Refusal
from stentor.routing.prices import Price
from stentor.routing.routes import Query, Step
from tests.engine.config.test_config import CHANNEL, SPECS, faults
from tests.engine.numbers.test_prefixes import many_prefixes

EXAMPLES = Path(__file__).resolve().parents[3] / "config" / "examples"
AB = CHANNEL + 'tags = ["eea"]\n' + CHANNEL.replace("alpha", "beta")
NOW_MS = 1_800_000_000_000
LIST = "channel,prefix,price,currency\nalpha,+40,0.01,EUR\nbeta,+40,0.02,EUR\n"


def route(*lines: str, channels: str = '["alpha", "beta"]') -> str:
    return "[[routes]]\nchannels = " + channels + "\n" + "".join(f"{line}\n" for line in lines)


def taken(text: str, files: dict[str, str] | None = None) -> Config:
    return parse(text, SPECS, "f", read_file=(files or {}).__getitem__)


def test_every_key_of_a_route_reaches_its_rule() -> None:
    text = AB + route(
        'name = "r"', 'country = ["RO", "44"]', 'account = "shop"', 'originator = ["Shop", "+40700000001"]',
        'tag = "otp"', 'hours = "08:00-20:00"', 'days = "mon-fri"', 'zone = "Europe/Bucharest"', "weights = [3, 1]",
        'sticky = "1h"', 'pool = "p"',
    ) + '[[pools]]\nname = "p"\noriginators = "Shop"\n'  # fmt: skip
    (rule,) = taken(text).rules
    assert (rule.countries, rule.prefixes, rule.places) == (("RO",), ("+44",), ("+44", "RO"))
    assert (rule.accounts, rule.tags) == ({"shop"}, {"otp"})
    assert rule.originators == {"Shop", "+40700000001"}
    assert rule.hours is not None
    assert rule.hours.zone == "Europe/Bucharest"
    assert (rule.weights, rule.sticky_s, rule.pool, rule.name) == ((3, 1), 3600, "p", "r")


def test_hours_that_are_always_and_all_kinds_ask_for_nothing() -> None:
    text = AB + route('days = "mon-sun"', 'originator_kind = ["name", "short_code", "international", "none"]')
    assert taken(text).rules[0].is_plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # one route
        (
            route('prefix = "+40"', 'country = "RO"'),
            "4: routes[0].country: stands beside prefix (make two routes of it)",
        ),
        (
            route('originator = "Shop"', 'originator_kind = "name"'),
            "4: routes[0].originator_kind: stands beside originator (an originator has its kind already)",
        ),
        (
            route('country = "UK"'),
            '3: routes[0].country[0]: there is no country "UK" (countries have two letters, like GB)',
        ),
        (route('country = "ro"'), '3: routes[0].country[0]: must be two capital letters, like "RO"'),
        (route('prefix = "+0"'), '3: routes[0].prefix[0]: must be digits after "+", like "+40"'),
        (
            route('hours = "8-20"'),
            '3: routes[0].hours[0]: "8-20" are no hours; write their begin and end, like "08:00-20:00"',
        ),
        (
            route('days = "Monday"'),
            '3: routes[0].days[0]: "Monday" is no day; write "mon" to "sun", or the first and last, like "mon-fri"',
        ),
        (
            route('days = "mon"', 'zone = "Bucharest"'),
            '4: routes[0].zone: "Bucharest" is no time zone; write one like "Europe/Bucharest"',
        ),
        (route('zone = "Europe/Bucharest"'), "3: routes[0].zone: says nothing without hours or days"),
        (
            route('originator = "12"'),
            "3: routes[0].originator[0]: write a number as + and digits, a short code as 3 to 15 digits, a name with "
            "at least one letter",
        ),
        (
            route('originator_kind = "alpha"'),
            '3: routes[0].originator_kind[0]: must be one of "international", "short_code", "name", "none"',
        ),
        (route('tag = "two words"'), '3: routes[0].tag[0]: must be a short word, like "eea"'),
        (route("weights = [1]"), "3: routes[0].weights: must have a number for each channel: 2, and not 1"),
        (
            route("weights = [0, 0]"),
            "3: routes[0].weights: are all 0 (give one channel a part of the messages)",
        ),
        (route("weights = [1, -1]"), "3: routes[0].weights[1]: must be at least 0"),
        (
            route("weights = [1, 1]", "least_cost = true"),
            "4: routes[0].least_cost: stands beside weights (give exactly one of them)",
        ),
        (
            route('require = "eea"'),
            '2: routes[0].channels[1]: "beta" lacks "eea", which the route requires '
            "(add it to channels.beta.tags, or leave the channel out)",
        ),
        # pools
        (route('pool = "p"'), '3: routes[0].pool: there is no pool "p" (declare it under [[pools]])'),
        (
            '[[pools]]\nname = "retail"\noriginators = "Shop"\n' + route('pool = "retial"'),
            '6: routes[0].pool: there is no pool "retial" (did you mean "retail"?)',
        ),
        (
            '[[pools]]\nname = "p"\noriginators = "Shop"\n' + route('from = "Shop"', 'pool = "p"'),
            "7: routes[0].pool: stands beside from (give exactly one of them)",
        ),
        (
            '[[pools]]\nname = "p"\noriginators = "Shop"\n' * 2,
            '5: pools[1].name: "p" is pools[0] already',
        ),
        (
            '[[pools]]\nname = "p"\noriginators = "Shop"\nno_names = ["RO", "US"]\nby_country = { US = ["55555"] }\n',
            "4: pools[0].no_names[0]: leaves nothing to send from in RO "
            "(give a number or short code in originators or by_country.RO)",
        ),
        (
            '[[pools]]\nname = "p"\noriginators = ["Shop", "Far too long a name"]\n',
            "3: pools[0].originators[1]: 19 characters: a name has at most 11",
        ),
        (
            '[[pools]]\nname = "p"\noriginators = "Shop"\nby_country = { RQ = ["123"] }\n',
            "4: pools[0].by_country.RQ: there is no country",
        ),
        # accounts and lists
        (
            '[accounts.shop]\nrequire = "eae"\n',
            '2: accounts.shop.require[0]: no channel has the tag "eae" (did you mean "eea"?)',
        ),
        (
            '[accounts.shop]\npool = "p"\n',
            '2: accounts.shop.pool: there is no pool "p" (declare it under [[pools]])',
        ),
        (
            '[numbers]\nallow = ["ro"]\n',
            '2: numbers.allow[0]: must be a prefix like "+40" or a country\'s two capital letters like "RO" '
            '(did you mean "RO"?)',
        ),
        (
            '[accounts.shop]\nallow = ["RO"]\ndeny = ["RO"]\n',
            '3: accounts.shop.deny[0]: "RO" is allowed as well (one of them must go)',
        ),
        # prices
        (
            '[[prices]]\nchannel = "alpa"\nprice = 1\ncurrency = "EUR"\n',
            '2: prices[0].channel: there is no channel "alpa" (did you mean "alpha"?)',
        ),
        (
            '[[prices]]\nchannel = "alpha"\nprice = 0.0000001\ncurrency = "EUR"\n',
            '3: prices[0].price: "0.0000001" is no price; write a number such as "0.0125", to six decimals',
        ),
        (
            '[[prices]]\nchannel = "alpha"\nprice = "1"\ncurrency = "EUR"\n'
            '[[prices]]\nchannel = "beta"\nprice = 1\ncurrency = "USD"\n',
            '8: prices[1].currency: "USD" cannot be compared with "EUR" (give all prices in one currency)',
        ),
        (
            '[[prices]]\nchannel = "alpha"\nprice = 1\ncurrency = "EUR"\n' * 2,
            "5: prices[1].prefix: has a price on this channel already",
        ),
        (
            route('prefix = "+40"', "least_cost = true")
            + '[[prices]]\nchannel = "alpha"\nprice = 1\ncurrency = "EUR"\n'
            + '[[prices]]\nchannel = "beta"\nprefix = "+4072"\nprice = 1\ncurrency = "EUR"\n',
            '2: routes[0].channels[1]: "beta" has no price for +40 '
            '(add prices, or set routing.unpriced = "not_offered")',
        ),
        (
            '[routing]\nprices_file = "p.csv"\n',
            '2: routing.prices_file: cannot read "p.csv": files cannot be read here',
        ),
        # between routes
        (
            route('country = "RO"') + route('prefix = "+40"'),
            '3: routes[0].country: country "RO" is claimed by routes[1] already',
        ),
        (
            route('hours = "08:00-20:00"') + route('hours = "20:00-08:00"') + route(),
            "7: routes[2].prefix: any destination is claimed by routes[1] already",
        ),
        (
            route('account = ["a", "b"]') + route('account = "b"'),
            "4: routes[1].prefix: any destination is claimed by routes[0] already",
        ),
    ],
)
def test_a_contradiction_names_line_key_and_what_would_be_right(text: str, expected: str) -> None:
    found = faults(text + AB)
    assert len(found) == 1
    assert found[0].startswith(expected)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (route('sticky = "1h"'), "routes[0].sticky: there is no choice to keep"),
        (
            route('account = ["a", "b"]') + route('account = ["b", "c"]'),
            "routes[1]: shares some messages with routes[0], which gets them",
        ),
        (
            "[accounts.shop]\n" + route('account = "shpo"'),
            'routes[0].account[0]: there is no [accounts.shpo], did you mean "shop"?',
        ),
        (
            '[accounts.shop]\nrequire = "eea"\n' + route(channels='["beta"]'),
            'accounts.shop.require: routes[0] has no channel with "eea", its messages are refused there',
        ),
        (
            '[numbers]\ndeny = "RO"\n' + route('prefix = "+40"'),
            "routes[0]: numbers.allow and numbers.deny leave it no destination",
        ),
        (
            '[routing]\nunpriced = "not_offered"\n[[prices]]\nchannel = "alpha"\nprice = 1\ncurrency = "EUR"\n'
            + route("least_cost = true"),
            'routes[0].channels[1]: "beta" has no price for any destination, it is not offered there',
        ),
    ],
)
def test_what_is_allowed_but_unwise_is_a_warning(text: str, warning: str) -> None:
    assert taken(AB + text).warnings == (warning,)


def test_an_account_that_cannot_use_a_route_for_others_is_no_reason_to_warn() -> None:
    text = (
        AB
        + '[accounts.shop]\nrequire = "eea"\n[accounts.bank]\n'
        + route('account = "bank"', channels='["beta"]')
    )
    assert taken(text).warnings == ()


def test_a_price_list_is_read_and_stands_beside_the_prices_of_the_file() -> None:
    text = AB + '[routing]\nprices_file = "p.csv"\n' + route("least_cost = true", 'prefix = "+40"')
    config = taken(text, {"p.csv": LIST})
    assert config.price_list == (Price("alpha", "+40", 10_000, "EUR"), Price("beta", "+40", 20_000, "EUR"))
    more = '[[prices]]\nchannel = "beta"\nprefix = "+4072"\nprice = 0.005\ncurrency = "EUR"\n'
    table = taken(text + more, {"p.csv": LIST}).route_table()
    assert table.decide(Query("+40721234567", NOW_MS, NOW_MS)).route.channels == ("beta", "alpha")


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("gamma,+41,1,EUR\n", '"p.csv" line 4: there is no channel "gamma"'),
        ("alpah,+41,1,EUR\n", '"p.csv" line 4: there is no channel "alpah" (did you mean "alpha"?)'),
        ("alpha,+40,1,EUR\n", '"p.csv" line 4: "alpha" has a price for "+40" already'),
        (
            "alpha,+41,1,USD\n",
            '"p.csv" line 4: "USD" cannot be compared with "EUR", give all prices in one currency',
        ),
        (
            "alpha,41,1,EUR\n",
            '"p.csv" line 4: "41" is no prefix; write digits after "+", like "+40", or nothing for any',
        ),
    ],
)
def test_a_fault_of_the_price_list_names_its_line(lines: str, fault: str) -> None:
    text = AB + '[routing]\nprices_file = "p.csv"\n'
    with pytest.raises(ConfigErrors) as caught:
        taken(text, {"p.csv": LIST + lines})
    (error,) = caught.value.errors
    assert (error.path, error.detail) == ("routing.prices_file", fault)


def test_of_many_faults_of_a_price_list_the_first_are_told_and_the_rest_counted() -> None:
    with pytest.raises(ConfigErrors) as caught:
        taken(AB + '[routing]\nprices_file = "p.csv"\n', {"p.csv": LIST + "x\n" * 100})
    assert len(caught.value.errors) == 21
    assert caught.value.errors[-1].detail == '"p.csv" has 80 faults more'


def test_the_price_list_is_found_beside_the_file_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "stentor.toml"
    file.write_text(
        '[channels.alpha]\ndriver = "smpp"\nhost = "h"\nsystem_id = "s"\n[routing]\nprices_file = "p.csv"\n'
    )
    with pytest.raises(ConfigErrors, match="No such file"):
        load_config(file)
    (tmp_path / "p.csv").write_text("channel,prefix,price,currency\nalpha,,0.01,EUR\n")
    assert load_config(file).price_list == (Price("alpha", "", 10_000, "EUR"),)


def test_what_is_in_force_is_printed_whole_and_means_the_same() -> None:
    text = (
        AB
        + route('country = "RO"', 'hours = "08:00-20:00"', "weights = [1, 2]", 'sticky = "90s"', 'pool = "p"')
        + '[[pools]]\nname = "p"\noriginators = ["Shop", "1234"]\nby_country = { HU = ["5678"] }\nno_names = "US"\n'
        + '[[prices]]\nchannel = "alpha"\nprice = 0.0125\ncurrency = "EUR"\n'
        + '[accounts.shop]\nrequire = "eea"\nallow = "RO"\n'
    )
    config = taken(text)
    assert taken(effective(config)).routes == config.routes
    assert taken(effective(config)).pools == config.pools
    assert taken(effective(config)).prices == config.prices
    assert taken(effective(config)).accounts == config.accounts


def test_a_hundred_thousand_prefixes_are_read_and_checked_in_seconds() -> None:
    prefixes = many_prefixes()
    text = AB + "".join(
        route(f"prefix = {prefixes[place::50]!r}", channels='["alpha"]' if place % 2 else '["beta"]')
        for place in range(50)
    )
    started = process_time()
    config = taken(text)
    assert process_time() - started < 10
    assert config.route_table().lookup(prefixes[1].ljust(10, "1")[:10])


@pytest.mark.parametrize(
    "added",
    [
        '[numbers]\ndeny = "KP"\n',
        '[accounts.shop]\nrequire = "eea"\n',
        '[[pools]]\nname = "p"\noriginators = "Shop"\n',
        '[[prices]]\nchannel = "alpha"\nprice = 1\ncurrency = "EUR"\n',
    ],
)
def test_a_reload_tells_of_everything_a_table_is_made_of(added: str) -> None:
    assert diff(taken(AB), taken(AB + added)).routes
    assert not diff(taken(AB + added), taken(AB + added + "# a remark\n")).routes


def test_tags_of_a_channel_change_routes_and_not_its_connections() -> None:
    plan = diff(taken(AB), taken(AB.replace('["eea"]', '["direct"]')))
    assert plan.routes
    assert [(change.name, change.action) for change in plan.channels] == [("alpha", Action.ADJUST)]


# -- the examples ---------------------------------------------------------------------------------------------


def example(name: str) -> Config:
    path = EXAMPLES / f"{name}.toml"
    return parse(
        path.read_text(),
        load_plugins().specs,
        read_secret=lambda kind, name: Secret("hush"),
        read_file=lambda name: (path.parent / name).read_text(),
    )


def decided(name: str, to: str, account: str = "default", **known) -> tuple[tuple[str, ...], str, list[Step]]:
    steps: list[Step] = []
    decision = example(name).route_table().decide(Query(to, NOW_MS, NOW_MS, account, **known), steps)
    return decision.route.channels, decision.originator, steps


def test_the_example_with_a_phone_keeps_it_for_its_country_and_for_alarms() -> None:
    assert decided("phone-and-carrier", "+40712345678")[0] == ("phone", "carrier")
    assert decided("phone-and-carrier", "+40712345678", tags=["bulk"])[0] == ("carrier",)
    assert decided("phone-and-carrier", "+36201234567")[0] == ("carrier",)


def test_the_example_with_prices_takes_the_cheapest_and_then_the_others() -> None:
    assert decided("least-cost", "+40712345678")[0] == ("east", "direct", "world")
    assert decided("least-cost", "+40722345678")[0] == ("direct", "east", "world")
    assert decided("least-cost", "+12025550123")[0] == ("world",)
    with pytest.raises(Refusal, match="nobody may send there"):
        decided("least-cost", "+40900123456")


def test_the_example_with_many_accounts_holds_each_to_its_own() -> None:
    assert decided("many-accounts", "+40712345678", "clinic")[0] == ("inside",)
    assert decided("many-accounts", "+40712345678", "shop")[1] in ("+40700000001", "+40700000002", "Shop")
    assert decided("many-accounts", "+12025550123", "shop")[1] == "+12025550100"
    with pytest.raises(Refusal, match="may not send to this destination"):
        decided("many-accounts", "+12025550123", "clinic")
    with pytest.raises(Refusal) as refused:
        decided("many-accounts", "+40712345678", "clinic", channel="outside")
    assert refused.value.code == "channel_not_allowed"


def test_several_channels_and_no_route_is_a_warning() -> None:
    config = parse(CHANNEL + CHANNEL.replace("alpha", "beta"), SPECS)
    assert config.warnings == ("routes: there is none, so only messages that name their channel are taken",)


def test_what_resembles_nothing_is_told_what_there_is() -> None:
    (fault,) = faults("colour = 1\n")
    assert fault.startswith("1: colour: unknown key (there are accounts, api, caps, channels, daemon,")
    (fault,) = faults(CHANNEL + "colour = 1\n")
    assert fault.startswith("5: channels.alpha.colour: unknown key (there are ")
