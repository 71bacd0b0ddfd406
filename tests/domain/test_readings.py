"""The door of numbers from outside: an int in its range, or one named error."""

from __future__ import annotations

import math
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.domain.readings import (
    INT64_MAX,
    STAMP_NS_MAX,
    STAMP_NS_MIN,
    TEXT_MAX,
    shown,
    stamp_ns,
    whole_units,
)
from engine.errors import BadInput

NO_NUMBERS = (
    None, "", " ", "abc", "NaN", "nan", "Infinity", "-inf", math.nan, math.inf, -math.inf, True,
    [], {}, ["1"], "1_000", "١٢", "0x10", "1e", "1 2", "1\n", b"1", Decimal("sNaN"),
)  # fmt: skip


@pytest.mark.parametrize("value", NO_NUMBERS, ids=shown)
def test_what_is_no_number_is_refused(value: Any) -> None:
    for read in (lambda: whole_units(value, 6, "size"), lambda: stamp_ns(value, "timestamp")):
        with pytest.raises(BadInput, match="is not a number"):
            read()


@pytest.mark.parametrize(
    "value", ["1e999999", "1e99999999", "9" * 40, 10**5_000, -1, "-0.5", 1e300], ids=shown
)
def test_what_is_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(BadInput):
        whole_units(value, 6, "size")
    with pytest.raises(BadInput):
        stamp_ns(value, "timestamp")


@pytest.mark.parametrize(
    ("value", "decimals", "units"),
    [("25", 6, 25_000_000), (12.345678, 6, 12_345_678), ("1e1", 6, 10_000_000), (0, 6, 0),
     ("0.0000005", 6, 0), ("0.0000015", 6, 2), ("1e-999999", 6, 0), (INT64_MAX, 0, INT64_MAX)],
)  # fmt: skip
def test_numbers_are_counted_in_their_units(value: Any, decimals: int, units: int) -> None:
    assert whole_units(value, decimals, "size") == units


@pytest.mark.parametrize(
    "value", ["1795575000", 1795575000.0, "1795575000000", 1795575000000000, "1795575000000000000"]
)
def test_a_stamp_s_unit_is_told_by_its_magnitude(value: Any) -> None:
    assert stamp_ns(value, "timestamp") == 1_795_575_000 * 10**9


@pytest.mark.parametrize("value", ["0", "5", "179557500", "17955750000", "-1795575000", 1 << 63])
def test_a_stamp_of_no_known_unit_is_refused(value: Any) -> None:
    with pytest.raises(BadInput, match="between 2001 and 2100"):
        stamp_ns(value, "timestamp")


ANYTHING = st.one_of(
    st.integers(), st.floats(), st.text(), st.booleans(), st.none(), st.decimals(), st.binary(),
    st.lists(st.integers(), max_size=2), st.from_regex(r"[-+]?[0-9.]{0,30}(e[-+]?[0-9]{1,9})?"),
)  # fmt: skip


@given(ANYTHING, st.integers(0, 18))
@example("9" * 20, 0)
def test_nothing_but_a_number_in_range_or_bad_input_comes_back(value: Any, decimals: int) -> None:
    with suppress(BadInput):
        assert 0 <= whole_units(value, decimals, "x") <= INT64_MAX
    with suppress(BadInput):
        assert STAMP_NS_MIN <= stamp_ns(value, "x") < STAMP_NS_MAX
    assert len(shown(value)) <= TEXT_MAX


def test_a_wrong_value_is_repeated_shortly() -> None:
    assert shown("x" * 900) == "'" + "x" * 38 + "…"
    assert shown(1 << 9_000) == "a whole number of 9001 bits"
