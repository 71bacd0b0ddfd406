"""A label of a field that nobody titled is made of its name: words, bound and unit."""

from __future__ import annotations

import pytest

from engine.domain.labels import is_made, readable


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("fast_bars", "Fast, bars"),
        ("half_spread_ticks_min", "Half spread at least, ticks"),
        ("slippage_bps_max", "Slippage at most, bp"),
        ("stop_before_close_s", "Stop before close, s"),
        ("bars", "Bars"),
        ("max", "Max"),
        ("share", "Share"),
        ("open max", "Open at most"),
        ("", ""),
    ],
)
def test_a_name_is_read_as_words_with_its_bound_and_its_unit(name: str, label: str) -> None:
    assert readable(name) == label


def test_a_title_that_is_only_the_name_is_none() -> None:
    assert is_made("Fast Bars", "fast_bars")
    assert not is_made("Fast average, bars", "fast")
