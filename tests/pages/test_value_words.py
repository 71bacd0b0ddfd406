"""What a strategy saw, in units; a name nobody knows stays as it is."""

from __future__ import annotations

import pytest

from pages.kit.value_words import told

BINARY = {"listed_kind": "binary", "currency": "pUSD"}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("best_bid", 0.51, ("best bid", "51¢")),
        ("fair", 0.5123, ("fair value", "51.23¢")),
        ("to_close_s", 61.0, ("time to close", "61 s")),
        ("position_shares", 12.0, ("position", "12 shares")),
        ("sigma_bps_per_sqrt_s", 0.25, ("volatility", "0.25 bps per √s")),
        ("capital", 250.0, ("capital", "250 pUSD")),
        ("width_vol", 0.00012, ("width for volatility", "0.012¢")),
        ("skew", -0.015, ("skew for the position", "\N{MINUS SIGN}1.5¢")),
        ("ask_edge", 0.5225, ("ask before the tick", "52.25¢")),
        ("my_number", 2.5, ("my number", "2.5")),
    ],
)
def test_a_value_has_its_label_and_unit(name: str, value: float, shown: tuple[str, str]) -> None:
    assert told(name, value, BINARY) == shown
    assert told("fair", 0.51, {"listed_kind": None}) == ("fair value", "0.51")


def test_a_part_of_a_price_is_in_the_currency_where_its_venue_has_no_cents() -> None:
    spot = {"listed_kind": "spot", "currency": "USD"}
    assert told("width_fee", 12.5, spot) == ("width for the fee", "12.5 USD")
    assert told("capital", 1_000.0, {"listed_kind": None}) == ("capital", "1,000")
