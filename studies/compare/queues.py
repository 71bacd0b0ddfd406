"""Where cancels come from: what a public feed cannot tell, and the exchange itself can.

While an order of ours stands in a level, each cancel of somebody else's there is noted: how much
stood ahead of us and behind us, how much went away, and how much of it from ahead. The share that
the realistic fill model uses is the one that would have taken as much from ahead in all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.instruments import AccountId, InstrumentId
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import RestingOrder

FITTED_STEPS = 40
"""Halvings of the interval in which the share is looked for: far finer than a percent."""


class Cancels(NamedTuple):
    """What was cancelled at one moment in a level of ours. Sizes in increments."""

    ahead: int
    behind: int
    cancelled: int
    gone: int
    """Of it, from ahead of us."""


class _Seen(NamedTuple):
    ahead: dict[int, int]
    behind: dict[int, int]


class Queues:
    """Looks at our levels after each step of the exchange. `found` fills."""

    def __init__(self, exchange: DemoExchange, account: AccountId) -> None:
        self._markets = exchange.order_entry.markets
        self._open = exchange.account(account).open
        self._seen: dict[int, _Seen] = {}
        self.found: list[Cancels] = []

    def step(self, changed: Collection[InstrumentId], traded: Collection[InstrumentId]) -> None:
        """Look at levels of changed books. Where something traded, what left is not told apart."""
        alive: dict[int, _Seen] = {}
        for order in self._open.values():
            before = self._seen.get(order.number)
            if before is not None and order.instrument not in changed:
                alive[order.number] = before
                continue
            now = alive[order.number] = self._look(order)
            if before is not None and order.instrument not in traded:
                self._note(before, now)
        self._seen = alive

    def _look(self, order: RestingOrder) -> _Seen:
        book = self._markets[order.instrument].book
        queue = (book.bids if order.bid else book.asks).get(order.level)
        sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        passed = 0
        for number, other in queue.orders.items() if queue else ():
            if number == order.number:
                passed = 1
            else:
                sides[passed][number] = other.remaining
        return _Seen(*sides)

    def _note(self, before: _Seen, now: _Seen) -> None:
        left = dict(chain(now.ahead.items(), now.behind.items()))
        gone = sum(size for number, size in before.ahead.items() if number not in left)
        behind_gone = sum(size for number, size in before.behind.items() if number not in left)
        ahead, behind = sum(before.ahead.values()), sum(before.behind.values())
        # Where nothing stands on one side there is no doubt, and nothing to be learnt.
        if ahead and behind and gone + behind_gone:
            self.found.append(Cancels(ahead, behind, gone + behind_gone, gone))


def share_of(cancels: Sequence[Cancels]) -> float:
    """Return the share, in percent, with which the model takes as much from ahead as was taken.

    It is `engine.venues.paper.queue`'s formula without its rounding. nan where nothing was seen.
    """
    if not cancels:
        return float("nan")
    table = np.array(cancels, dtype=np.float64)
    goal = float(table[:, 3].sum())
    low, high = 0.0, 100.0
    for _ in range(FITTED_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if float(_taken(table, middle).sum()) < goal else (low, middle)
    return (low + high) / 2


def _taken(table: NDArray[np.float64], percent: float) -> NDArray[np.float64]:
    """Return how much of each row's cancels the model takes from ahead."""
    ahead, behind, cancelled = table[:, 0], table[:, 1], table[:, 2]
    weight = ahead * percent
    gone = cancelled * weight / (weight + behind * (100 - percent))
    least = np.maximum(cancelled - behind, 0)
    taken: NDArray[np.float64] = np.clip(gone, least, np.minimum(ahead, cancelled))
    return taken
