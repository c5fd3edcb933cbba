"""Prices: exact, by the longest prefix of each channel, cheapest first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.routing.prices import Price, PriceTable, parse_price, price_text, read_prices

DIGITS = st.text("01", max_size=3)


def price(channel: str, prefix: str, millionths: int) -> Price:
    return Price(channel, prefix, millionths, "EUR")


@pytest.mark.parametrize(
    ("text", "millionths"),
    [("0", 0), ("1", 1_000_000), ("0.0125", 12_500), ("0.000001", 1), ("12.5", 12_500_000)],
)
def test_prices_are_exact_both_ways(text, millionths):
    assert parse_price(text) == millionths
    assert price_text(millionths) == text


@pytest.mark.parametrize("text", ["", "-1", "1,5", ".5", "1.", "1e3", "0.0000001", "٣", "9" * 10])
def test_what_is_no_price_is_refused(text):
    with pytest.raises(ValueError, match="is no price"):
        parse_price(text)


def test_each_channels_longest_prefix_counts_and_of_equal_prices_the_first_listed_leads():
    table = PriceTable(
        [price("a", "+40", 30), price("a", "+4072", 10), price("b", "+40", 20), price("c", "", 20)]
    )
    assert table.order(("a", "b", "c"), "+40721") == ("a", "b", "c")
    assert table.order(("a", "b", "c"), "+40731") == ("b", "c", "a")
    assert table.order(("c", "b", "a"), "+40731") == ("c", "b", "a")
    assert table.order(("a", "b"), "+361") == ()


@given(
    st.lists(st.tuples(st.sampled_from("abc"), DIGITS, st.integers(0, 3)), max_size=12),
    DIGITS,
    st.text("01", max_size=3),
)
def test_numbers_of_one_cell_have_one_order(rows, head, tail):
    table = PriceTable(price(channel, f"+4{digits}", cost) for channel, digits, cost in rows)
    one, other = f"+4{head}{tail}", f"+4{head}"
    if table.cell(one) == table.cell(other):
        assert table.order("abc", one) == table.order("abc", other)


def test_a_list_is_read_line_by_line_with_its_columns_in_any_order():
    text = '\ufeffPrefix,Channel,Currency,Price\n+40,alpha,EUR,0.01\n\n,beta,EUR," 0.02"\n'
    assert list(read_prices(text)) == [(2, price("alpha", "+40", 10_000)), (4, price("beta", "", 20_000))]


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "the first line must name the columns"),
        ("channel,prefix,price\n", 1, "the first line must name the columns"),
        ("channel,prefix,price,currency\na,+40,0.1\n", 2, "has 3 fields, not 4"),
        ("channel,prefix,price,currency\na,40,0.1,EUR\n", 2, '"40" is no prefix'),
        ("channel,prefix,price,currency\na,+40,x,EUR\n", 2, '"x" is no price'),
        ("channel,prefix,price,currency\na,+40,1,Euro\n", 2, '"Euro" is no currency'),
        ("channel,prefix,price,currency\na,+40,1," + "E" * 200_000 + "\n", 2, "field larger"),
    ],
)
def test_a_faulty_line_is_told_with_its_number(text, line, sentence):
    ((number, found),) = read_prices(text)
    assert number == line
    assert isinstance(found, str)
    assert sentence in found
