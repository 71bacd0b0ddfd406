"""The table of where a bot loses, as it is drawn."""

from __future__ import annotations

import msgspec
from streamlit.testing.v1 import AppTest

from engine.domain.losses import OutcomeFill, losses
from pages.shared.losses import resolves


def _draw(rows: list[dict[str, object]]) -> None:
    from pages.shared.losses import show

    show(rows)


def drawn(*fills: OutcomeFill) -> str:
    rows = [msgspec.structs.asdict(row) for row in losses(fills)]
    page = AppTest.from_function(_draw, kwargs={"rows": rows}).run()
    assert not page.exception
    return " ".join([*(one.value for one in page.get("html")), *(m.value for m in page.markdown)])


def fill(market: str, paid: float) -> OutcomeFill:
    return OutcomeFill(market=market, bought=True, price=0.4, shares=10, fee=0, paid=paid)


def test_each_bucket_has_its_counts_and_an_interval() -> None:
    text = drawn(fill("a", 1.0), fill("b", 0.0))
    assert "all fills" in text
    assert "+10.00¢" in text
    assert "645.30¢" in text
    assert "Age of the quote" in text


def test_outcomes_are_spoken_of_only_where_a_market_may_have_one() -> None:
    assert resolves(["binary", "spot"])
    assert resolves([])
    assert resolves([None])
    assert not resolves(["spot", "perpetual"])


def test_without_an_outcome_it_says_so() -> None:
    assert "No fill is in a market whose outcome is known." in drawn()
