"""An engine that has traded for hours holds no more than one that has traded for one."""

from __future__ import annotations

import pytest

from bench.memory import aged, held


def test_what_is_reached_on_two_ways_is_counted_once() -> None:
    part = bytearray(10_000)
    assert 10_000 < held([part, part]) < 11_000


@pytest.mark.soak
def test_memory_does_not_grow_with_the_age_of_a_desk() -> None:
    (engine, exchange), *later = aged((1.0, 2.0, 4.0))
    for older_engine, older_exchange in later:
        assert older_engine <= 1.05 * engine
        assert older_exchange <= 1.15 * exchange
