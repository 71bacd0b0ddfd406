"""What the fee of a fill is in the currency, and what was paid beside it."""

from __future__ import annotations

import pytest

from engine.domain.assets import Asset, Money
from engine.domain.events import OrderFilled
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import AccountId
from engine.domain.orders import OrderId

USDT, BNB = Asset(id="USDT", decimals=8), Asset(id="BNB", decimals=8)


def fill(**changes: Money) -> OrderFilled:
    return OrderFilled(
        account=AccountId("a"),
        order=OrderId(1),
        fill=FillId("f1"),
        price=1,
        size=1,
        fee_micro=5,
        liquidity=Liquidity.TAKER,
        **changes,
    )


@pytest.mark.parametrize(
    ("paid", "currency", "expected"),
    [
        (None, "USDT", (5, None)),
        (Money(USDT, 301), "USDT", (5 + 4, None)),  # 3.01 micro-units: what is paid is rounded up
        (Money(BNB, 301), "USDT", (5, Money(BNB, 301))),
        (Money(USDT, 301), None, (5, Money(USDT, 301))),
    ],
)
def test_a_fee_of_the_currency_is_added_and_another_stands_beside(
    paid: Money | None, currency: str | None, expected: tuple[int, Money | None]
) -> None:
    made = fill() if paid is None else fill(fee=paid)
    assert made.fees_in(currency) == expected
