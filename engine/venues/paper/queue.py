"""Queue positions: how much displayed size stands ahead of each own order at a level.

The recorded book does not contain our orders. When an order becomes live, all that is displayed at
its price on its side is ahead of it. From then on, with `before` the displayed size, `printed` the
traded volume the book has not shown yet, and `after` the new displayed size of a level:

    explained = min(before − after, printed)     the fall the trades caused; they already filled
    standing  = before − explained               what stood after the trades
    cancelled = standing − after                 everything else that went away
    ahead     = min(ahead, standing)

and of `cancelled` the model takes from ahead of us, all in whole size increments:

    least   max(0, cancelled − behind)                            behind us first
    gone    ⌊cancelled · ahead · w / (ahead · w + behind · (100 − w))⌋
    most    min(ahead, cancelled)                                 ahead of us first

with behind = standing − ahead, and `gone` within `least` and `most`. The weight w, in percent, is
the model: 0 pessimistic, 100 optimistic, between them the realistic one; 50 takes in proportion to
the position. `gone` grows with w, and never faster than `ahead`: so for equal inputs the queues of
two weights keep their order for ever, and so do two orders at one level. Increases join behind us.
Volume printed more than `PRINT_NS_MAX` ago without a fall is forgotten: other orders joined at the
same moment.
"""

from __future__ import annotations

import msgspec

from engine.domain.instruments import Instrument, Side
from engine.domain.orders import Order, OrderState

PRINT_NS_MAX = 1_000_000_000
"""How long a print waits for the fall of its level; venues send both within milliseconds."""

_BUY = Side.BUY


class QueuedOrder(msgspec.Struct, eq=False, gc=False):
    """One own order at the venue, in YES-space: `bid` and `price` say where it stands in the book.

    BUY NO at q is an ask at one − q, SELL NO a bid at one − q. `ahead` is the displayed size that
    trades first; the two `held` fields are what the account keeps back for it.
    """

    order: Order
    bid: bool
    price: int
    remaining: int
    ahead: int = 0
    cash_held: int = 0
    tokens_held: int = 0
    ends_ns: int | None = None
    state: OrderState = OrderState.PENDING

    @property
    def filled(self) -> int:
        return self.order.size - self.remaining


def queued(order: Order, instrument: Instrument) -> QueuedOrder:
    """Return an order as it comes in: nothing stands ahead of it, nothing is held for it."""
    product = instrument.product
    mirrored = order.leg is product.second
    level = product.one - order.price if mirrored else order.price
    return QueuedOrder(order, (order.side is _BUY) is not mirrored, level, order.size)


class OwnLevel(msgspec.Struct, eq=False, gc=False):
    """Our orders at one price of one side, oldest first, and the prints the book owes a fall.

    `displayed` is the size the recorded book shows here.
    """

    orders: list[QueuedOrder] = []
    printed: int = 0
    printed_ns: int = 0
    displayed: int = 0

    def note_print(self, size: int, now_ns: int) -> None:
        """Remember traded volume whose fall the book will show next."""
        if now_ns - self.printed_ns > PRINT_NS_MAX:
            self.printed = 0
        self.printed += size
        self.printed_ns = now_ns

    def shown(self, after: int, percent: int, now_ns: int) -> None:
        """Move the queue for a new displayed size of this level; `percent` is the weight w."""
        before, self.displayed = self.displayed, after
        printed = self.printed
        if printed and now_ns - self.printed_ns > PRINT_NS_MAX:
            printed = 0
        if after < before:
            standing = before
            if printed:
                standing -= min(before - after, printed)
                printed -= before - standing
            for resting in self.orders:
                resting.ahead = ahead_after(percent, resting.ahead, standing, after)
        if self.printed:  # a later fall cannot be larger than what is displayed now
            self.printed = min(printed, after)


def ahead_after(percent: int, ahead: int, standing: int, after: int) -> int:
    """Return the volume ahead after cancels took a level from `standing` to `after`."""
    ahead = ahead if ahead < standing else standing
    cancelled = standing - after
    if not ahead or not cancelled:
        return ahead
    behind = standing - ahead
    weight = ahead * percent
    whole = weight + behind * (100 - percent)
    gone = cancelled * weight // whole if whole else cancelled
    gone = gone if gone > cancelled - behind else cancelled - behind
    return ahead - gone if gone < ahead else 0


def allot(
    levels: dict[int, OwnLevel], price: int, size: int, now_ns: int, *, bids: bool
) -> list[tuple[QueuedOrder, int]]:
    """Share a print of `size` at `price` among our orders on the side it hit; move the queues.

    Price-time: orders better than the print trade first and without a queue, because whatever
    stood ahead of them traded before the print; then those at its price, behind what is ahead.
    What one of our orders takes is gone for the next. The sum never exceeds `size`.
    """
    fills, left = _met(levels, size, [p for p in _reached(levels, price, bids=bids) if p != price])
    level = levels.get(price)
    if level is not None:
        level.note_print(size, now_ns)
        for resting in level.orders:
            reach = left - resting.ahead
            if reach <= 0:
                resting.ahead -= left
                continue
            resting.ahead = 0
            filled = min(resting.remaining, reach)
            fills.append((resting, filled))
            left -= filled
    return fills


def overtaken(
    levels: dict[int, OwnLevel], price: int, size: int, *, bids: bool
) -> list[tuple[QueuedOrder, int]]:
    """Share a print on the *other* side at `price` among our orders it stands at or beyond.

    Whoever traded there had come to rest where our order, live before, should have met him: a
    displayed ask at or below our bid is one the recorded book could show only because our bid was
    not in it. So he would have traded with us, before anybody came for him; price-time again, best
    first, and no order stands ahead. The sum never exceeds `size`.
    """
    return _met(levels, size, _reached(levels, price, bids=bids))[0]


def all_reached(
    levels: dict[int, OwnLevel], price: int, *, bids: bool
) -> list[tuple[QueuedOrder, int]]:
    """Return everything of ours at `price` or better, whole: an optimist's print without size."""
    reached = _reached(levels, price, bids=bids)
    return [(resting, resting.remaining) for p in reached for resting in levels[p].orders]


def _reached(levels: dict[int, OwnLevel], price: int, *, bids: bool) -> list[int]:
    """Return our prices at `price` or better, best first."""
    return sorted((p for p in levels if (p >= price if bids else p <= price)), reverse=bids)


def _met(
    levels: dict[int, OwnLevel], size: int, prices: list[int]
) -> tuple[list[tuple[QueuedOrder, int]], int]:
    """Share `size` among our orders at these prices, which no order precedes; give the rest."""
    fills: list[tuple[QueuedOrder, int]] = []
    for price in prices:
        for resting in levels[price].orders:
            if not size:
                return fills, 0
            resting.ahead = 0
            filled = min(resting.remaining, size)
            fills.append((resting, filled))
            size -= filled
    return fills, size
