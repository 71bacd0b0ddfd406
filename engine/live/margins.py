"""What margin makes of an account's perpetuals: what they take, must keep, and where they end.

All cash of the account is behind each position (cross margin), the owners are netted as a venue
nets them, and the formulas are those of `engine.domain.products.margin`. What needs a mark that is
missing or old is unknown, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import UNSET

from engine.caches.views import BookView
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.products.margin import (
    Exposure,
    buffer_ppm,
    liquidation_price,
    maintenance,
    unrealised,
)
from engine.domain.telemetry import MarginSeen
from engine.executor.executor import Executor
from engine.live.figures import margin_micro

MS = 1_000_000
S = 1_000 * MS


class _Position(NamedTuple):
    """One perpetual at its mark; `mark_e8` None = the mark is missing or old, `why` says so."""

    terms: Instrument
    held: Exposure
    mark_e8: int | None
    why: str

    @property
    def due_micro(self) -> int | None:
        """Return what it must keep; None = unknown."""
        if not self.held.size or self.terms.margin is UNSET:
            return 0
        if self.mark_e8 is None:
            return None
        tiers = self.terms.margin.tiers
        return maintenance(self.terms.contract, tiers, self.held.size, self.mark_e8)

    @property
    def gain_micro(self) -> int | None:
        """Return what closing it at the mark would bring; None = unknown."""
        if not self.held.size:
            return 0
        if self.mark_e8 is None:
            return None
        return unrealised(self.terms.contract, self.held, self.mark_e8)


def margins_of(
    executor: Executor, views: Mapping[InstrumentId, BookView], now_ns: int
) -> dict[InstrumentId, MarginSeen]:
    """Return every perpetual that an owner holds, as margin sees it."""
    state = executor.ledger.state
    if not state.netted:
        return {}
    keys = [key for key in executor.ledger.held if state.instruments[key].product.signed]
    positions = {key: _position(executor, key, views.get(key), now_ns) for key in keys}
    return {key: _seen(executor, key, positions, views.get(key)) for key in keys}


def _position(
    executor: Executor, key: InstrumentId, view: BookView | None, now_ns: int
) -> _Position:
    state = executor.ledger.state
    terms, netted = state.instruments[key], state.netted[key]
    if view is None or view.mark_e8 is None or view.marked_ns is None:
        return _Position(terms, netted.exposure, None, f"the venue has said no mark of {key} yet")
    age_ns = now_ns - view.marked_ns
    if age_ns > executor.gate.limits.mark_age_ms_max * MS:
        return _Position(terms, netted.exposure, None, f"the mark of {key} is {age_ns // S} s old")
    return _Position(terms, netted.exposure, view.mark_e8, "")


def _seen(
    executor: Executor,
    key: InstrumentId,
    positions: Mapping[InstrumentId, _Position],
    view: BookView | None,
) -> MarginSeen:
    mine = positions[key]
    others = [one for name, one in positions.items() if name != key]
    price, unknown = None, mine.why
    dues, gains = [one.due_micro for one in others], [one.gain_micro for one in others]
    if None in dues or None in gains:
        unknown = unknown or next(one.why for one in others if one.why)
    elif mine.terms.margin is not UNSET:
        price = liquidation_price(
            mine.terms.contract,
            mine.terms.margin.tiers,
            mine.held,
            executor.ledger.state.cash_settled_micro,
            others_maintenance=sum(one or 0 for one in dues),
            others_pnl=sum(one or 0 for one in gains),
        )
    away = None
    if price is not None and mine.mark_e8 is not None:
        away = buffer_ppm(mine.mark_e8, price, long=mine.held.size > 0)
    return MarginSeen(
        instrument=key,
        size=mine.held.size,
        used_micro=margin_micro(executor, key),
        mark_e8=None if view is None else view.mark_e8,
        marked_ns=None if view is None else view.marked_ns,
        due_micro=mine.due_micro,
        liquidation_e8=price,
        buffer_ppm=away,
        unknown=unknown,
    )
