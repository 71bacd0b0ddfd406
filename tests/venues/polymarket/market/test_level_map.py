from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.feeds.counts import BadFrame
from engine.venues.polymarket.market import level_map
from engine.venues.polymarket.market.level_map import LevelMap, OddShape, price_units


def part(price: str, size: str) -> bytes:
    return f'"price":"{price}","size":"{size}"'.encode()


@given(st.integers(1, 9_999), st.integers(1, 10**13), st.integers(0, 6))
def test_level_is_exact_and_mirrors(price, size, decimals):
    text = format(Decimal(size).scaleb(-decimals), "f")
    level = part(format(Decimal(price).scaleb(-4).normalize(), "f"), text)
    exact = size * 10 ** (6 - decimals)
    assert LevelMap()[level] == (price, exact)
    assert LevelMap(mirrored=True)[level] == (10_000 - price, exact)


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        ("0", "size zero"),
        ("0.00", "size zero"),
        ("-1", "size negative"),
        ("nan", "size not a number"),
        ("", "size not a number"),
        ("1.", "size not a number"),
        ("9" * 5_000, "size not a number"),
        ("1.0000001", "size too fine"),
    ],
)
def test_size_that_is_none_is_refused(size, kind):
    with pytest.raises(BadFrame, match=kind):
        LevelMap()[part("0.5", size)]


def test_trailing_zeros_beyond_an_increment_are_no_fineness():
    assert LevelMap()[part("0.5", "2.50000000")] == (5_000, 2_500_000)


@pytest.mark.parametrize("price", ["0", "1", "1.5", "-0.5", "0.00001", "x"])
def test_price_outside_the_market_is_refused(price):
    with pytest.raises(BadFrame, match="price"):
        LevelMap()[part(price, "1")]
    with pytest.raises(BadFrame, match="price"):
        price_units(price)


@pytest.mark.parametrize(
    "odd",
    [b'"size":"1","price":"0.5"', b'"price": "0.5","size":"1"', part("0.5", '1","x":"2'), b""],
)
def test_other_shapes_are_left_to_the_slow_reader(odd):
    with pytest.raises(OddShape):
        LevelMap()[odd]


def test_map_is_bounded(monkeypatch):
    monkeypatch.setattr(level_map, "LEVELS_MAX", 10)
    levels = LevelMap()
    for size in range(1, 100):
        assert levels[part("0.5", str(size))] == (5_000, size * 10**6)
    assert len(levels) <= 10
