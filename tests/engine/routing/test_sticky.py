"""What a destination keeps: for a time, and within a bound."""

from stentor.routing.sticky import Sticky


def test_a_choice_is_kept_until_its_time_and_no_longer():
    sticky = Sticky(10)
    sticky.put("a", "one", 100)
    assert sticky.get("a", 99) == "one"
    assert sticky.get("a", 100) is None
    assert sticky.get("b", 0) is None


def test_beyond_the_bound_what_was_used_longest_ago_is_forgotten():
    sticky = Sticky(3)
    for key in "abc":
        sticky.put(key, key, 100)
    sticky.put("a", "again", 100)
    sticky.put("d", "d", 100)
    assert [sticky.get(key, 0) for key in "abcd"] == ["again", None, "c", "d"]
    sticky.limit = 1
    sticky.put("e", "e", 100)
    assert len(sticky) == 1
