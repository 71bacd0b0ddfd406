"""What margin makes of an account's perpetuals: what they take, must keep, and where they end.

The owners are netted as a venue nets them; what backs a position, and where it ends, are
`engine.domain.products.backing`'s. What needs a mark that is missing or old is unknown, with the
reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import UNSET

from engine.caches.views import BookView
from engine.domain.instruments import InstrumentId
from engine.domain.products.backing import MarkedPosition, beside, due_micro, liquidated_at
from engine.domain.products.margin import buffer_ppm
from engine.domain.telemetry import MarginSeen
from engine.executor.executor import Executor
from engine.live.figures import margin_micro

MS = 1_000_000
S = 1_000 * MS


class _Position(NamedTuple):
    """One perpetual at its mark; where the mark is missing or old, `why` says so."""

    marked: MarkedPosition
    why: str

    @property
    def due_micro(self) -> int | None:
        """Return what it must keep; None = unknown."""
        of, held, mark_e8 = self.marked
        if not held.size or of.margin is UNSET:
            return 0
        return None if mark_e8 is None else due_micro(of, held.size, mark_e8)


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
    terms, held = state.instruments[key], state.netted[key]
    if view is None or view.mark_e8 is None or view.marked_ns is None:
        why = f"the venue has said no mark of {key} yet"
        return _Position(MarkedPosition(terms, held, None), why)
    age_ns = now_ns - view.marked_ns
    if age_ns > executor.gate.limits.mark_age_ms_max * MS:
        why = f"the mark of {key} is {age_ns // S} s old"
        return _Position(MarkedPosition(terms, held, None), why)
    return _Position(MarkedPosition(terms, held, view.mark_e8), "")


def _seen(
    executor: Executor,
    key: InstrumentId,
    positions: Mapping[InstrumentId, _Position],
    view: BookView | None,
) -> MarginSeen:
    mine = positions[key]
    of, held, mark_e8 = mine.marked
    rest = [one for name, one in positions.items() if name != key]
    taken = beside(of, (one.marked for one in rest))
    price, unknown = None, mine.why
    if taken is None:
        unknown = unknown or next(one.why for one in rest if one.why)
    else:
        price = liquidated_at(of, held, executor.ledger.state.cash_settled_micro, taken)
    away = None
    if price is not None and mark_e8 is not None:
        away = buffer_ppm(mark_e8, price, long=held.size > 0)
    return MarginSeen(
        instrument=key,
        size=held.size,
        used_micro=margin_micro(executor, key),
        mark_e8=None if view is None else view.mark_e8,
        marked_ns=None if view is None else view.marked_ns,
        due_micro=mine.due_micro,
        liquidation_e8=price,
        buffer_ppm=away,
        unknown=unknown,
    )
