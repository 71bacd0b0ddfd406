"""What an order offers and asks for, as the venue wants it written: integers, never floats.

Rules: reference of the trading API, §1.5. Pure.
"""

from __future__ import annotations

from engine.domain.instruments import Instrument, Side
from engine.domain.orders import AT_ONCE, Order
from engine.errors import BadInput

CENT = 10_000
"""0.01 pUSD or share in millionths: the finest budget and the finest size."""
SHARE_STEP = 100
"""0.0001 share: the finest shares of a BUY that matches at once, safe on every tick."""


def amounts(order: Order, instrument: Instrument) -> tuple[int, int]:
    """Return (maker amount, taker amount) in millionths of pUSD and shares.

    A BUY that must match at once states a budget of whole cents and the shares it buys at its worst
    price, so it may ask for up to a cent's worth of shares less than `order.size`; where the book
    is better than that price the venue spends the budget and gives more shares. Everything else is
    exact. Raises BadInput where price · size is finer than a millionth.
    """
    money, rest = divmod(order.price * order.size, instrument.value_divisor)
    if rest:
        raise BadInput(f"order {order.id}: price · size is finer than the venue's millionths")
    if order.side is Side.SELL:
        return order.size, money
    if order.type not in AT_ONCE:
        return money, order.size
    budget = money // CENT * CENT
    shares = budget * instrument.value_divisor // order.price if order.price > 0 else 0
    return budget, shares // SHARE_STEP * SHARE_STEP
