"""The settlement worker: MATCHED → MINED → CONFIRMED, sometimes RETRYING, sometimes FAILED.

Everything one taker order matched at once is one transaction and shares one fate
(polymarket.md §4.3, §5.2). Its path is drawn when it is made, from the worker's own generator.
"""

from __future__ import annotations

from random import Random

import msgspec

from engine.domain.fills import FillState
from engine.errors import BrokenInvariant
from engine.venues.demo.orders import Fill
from engine.venues.demo.timeline import Timeline, TimelineEntry

MS = 1_000_000


class SettlementRules(msgspec.Struct, frozen=True, kw_only=True):
    """How long settlement takes and how often it goes wrong.

    The defaults are the venue's "a few seconds"; failures are off unless asked for.
    """

    mined_ns: tuple[int, int] = (1_500 * MS, 4_000 * MS)
    """Shortest and longest time from the match to MINED."""
    confirmed_ns: tuple[int, int] = (500 * MS, 2_500 * MS)
    """Shortest and longest time from MINED to CONFIRMED."""
    retry_ppm: int = 0
    """How many transactions in a million are tried again once before they are mined."""
    fail_ppm: int = 0
    """How many transactions in a million fail after a try."""


class Transaction(msgspec.Struct, kw_only=True):
    """Fills that share one fate. `path` is what still happens: (delay, state)."""

    number: int
    fills: list[Fill]
    path: list[tuple[int, FillState]]


class Settlement:
    """Transactions under way. The desk opens them and books what `step` says."""

    __slots__ = ("_rng", "_rules", "_timeline", "forced", "pending")

    def __init__(self, rules: SettlementRules, rng: Random, timeline: Timeline) -> None:
        self._rules = rules
        self._rng = rng
        self._timeline = timeline
        self.pending: dict[int, Transaction] = {}
        self.forced: list[FillState] = []
        """Ends of the next transactions, for scenarios: RETRYING, FAILED or CONFIRMED."""

    def open(self, number: int, fills: list[Fill], *, watched: bool) -> None:
        """Begin to settle. Nobody watching = the same end at the same time, in one step."""
        path = self._path()
        if not watched:
            path = [(sum(delay for delay, _ in path), path[-1][1])]
        self.pending[number] = Transaction(number=number, fills=fills, path=path)
        self._timeline.set(self._timeline.now_ns + path[0][0], TimelineEntry.SETTLE, number=number)

    def step(self, number: int) -> tuple[Transaction, FillState]:
        """Move a transaction to its next state; an ended one is no longer pending."""
        transaction = self.pending[number]
        _, state = transaction.path.pop(0)
        for fill in transaction.fills:
            if fill.state is FillState.CONFIRMED or fill.state is FillState.FAILED:
                raise BrokenInvariant(f"fill {fill.id} ended twice")
            fill.state = state
        if transaction.path:
            at_ns = self._timeline.now_ns + transaction.path[0][0]
            self._timeline.set(at_ns, TimelineEntry.SETTLE, number=number)
        else:
            del self.pending[number]
        return transaction, state

    def _path(self) -> list[tuple[int, FillState]]:
        rules, uniform = self._rules, self._rng.random
        mined = _between(rules.mined_ns, uniform())
        confirmed = _between(rules.confirmed_ns, uniform())
        chance = uniform() * 1_000_000
        if self.forced:
            end = self.forced.pop(0)
        elif chance < rules.fail_ppm:
            end = FillState.FAILED
        elif chance < rules.fail_ppm + rules.retry_ppm:
            end = FillState.RETRYING
        else:
            end = FillState.CONFIRMED
        if end is FillState.FAILED:
            return [(mined, FillState.RETRYING), (confirmed, FillState.FAILED)]
        plain = [(mined, FillState.MINED), (confirmed, FillState.CONFIRMED)]
        return [(mined, FillState.RETRYING), *plain] if end is FillState.RETRYING else plain


def _between(span: tuple[int, int], share: float) -> int:
    return span[0] + int((span[1] - span[0]) * share)
