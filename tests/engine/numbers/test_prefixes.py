"""Tables of prefixes: the longest wins, and a hundred thousand of them cost no more than a few."""

import random
import timeit
from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from stentor.numbers.prefixes import PrefixTable
from stentor.routing.routes import RouteTable, Rule

DIGITS = st.text("0123", max_size=6)
PREFIXES = st.builds(lambda digits: f"+{digits}" if digits else "", DIGITS)
MANY = 100_000


@given(st.lists(PREFIXES, max_size=12), DIGITS)
def test_all_that_fit_are_found_longest_first(prefixes, digits):
    number = "+" + digits
    table = PrefixTable({prefix: f"<{prefix}>" for prefix in prefixes})
    fitting = sorted({prefix for prefix in prefixes if number.startswith(prefix)}, key=len, reverse=True)
    assert list(table.matches(number)) == [(prefix, f"<{prefix}>") for prefix in fitting]
    assert table.find(number) == (f"<{fitting[0]}>" if fitting else None)
    assert table.longest(number) == (fitting[0] if fitting else "")
    assert len(table) == len(set(prefixes))


def test_a_number_shorter_than_a_prefix_does_not_fit_it():
    assert PrefixTable({"+4071": 1}).find("+407") is None


def many_prefixes() -> list[str]:
    """As they come from a carrier's list of operators: two to ten digits, most of them long."""
    draw = random.Random(7)
    found: dict[str, None] = {}
    while len(found) < MANY:
        length = draw.choice((2, 3, 4, 5, 6, 6, 7, 7, 8, 9, 10))
        found[f"+{draw.randrange(1, 10)}" + "".join(draw.choices("0123456789", k=length - 1))] = None
    return list(found)


def test_a_hundred_thousand_prefixes_load_within_a_second_and_are_found_in_microseconds():
    prefixes = many_prefixes()
    rules = [Rule((f"c{place}",), tuple(prefixes[place::50])) for place in range(50)]
    rules.append(Rule(("rest",)))
    channels = [rule.channels[0] for rule in rules]
    started = process_time()
    table = RouteTable(rules, channels)
    load_s = process_time() - started
    numbers = [prefix.ljust(12, "5") for prefix in prefixes[::100]] + ["+99999999999"]
    rounds = timeit.repeat(
        lambda: [table.find(number) for number in numbers], timer=process_time, number=5, repeat=5
    )
    look_up_us = min(rounds) / 5 / len(numbers) * 1e6
    # In processor time, for others may compute as well; a search through all would take a thousand times as long.
    assert load_s < 5, load_s
    assert look_up_us < 15, look_up_us
    assert table.lookup("+99999999999")
