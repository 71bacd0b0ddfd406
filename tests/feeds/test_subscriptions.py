"""One subscription per key, however many want it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.feeds import subscriptions
from engine.feeds.subscriptions import Subscriptions


def test_a_key_begins_with_its_first_holder_and_ends_with_its_last() -> None:
    subs = Subscriptions()
    assert subs.want("a", ["v:book:1", "v:book:2"]) == (["v:book:1", "v:book:2"], [])
    assert subs.want("b", ["v:book:2"]) == ([], [])
    assert subs.want("a", ["v:book:3"]) == (["v:book:3"], ["v:book:1"])
    assert subs.holders("v:book:2") == ("b",)
    assert subs.want("b", []) == ([], ["v:book:2"])
    assert subs.keys == ("v:book:3",)


def test_too_many_are_refused_and_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "KEYS_MAX", 2)
    subs = Subscriptions()
    subs.want("a", ["1", "2"])
    with pytest.raises(BadInput, match="more than 2 subscriptions"):
        subs.want("b", ["3"])
    assert subs.keys == ("1", "2")
    assert subs.holders("3") == ()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.frozensets(st.sampled_from("12345")))))
def test_told_keys_add_up_to_what_is_wanted(asked: list[tuple[str, frozenset[str]]]) -> None:
    subs, on, wants = Subscriptions(), set(), {}
    for holder, keys in asked:
        new, gone = subs.want(holder, sorted(keys))
        assert on.isdisjoint(new)
        assert on.issuperset(gone)
        on = (on | set(new)) - set(gone)
        wants[holder] = keys
        assert on == set(subs.keys) == set().union(*wants.values())
