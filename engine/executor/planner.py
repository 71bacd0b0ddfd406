"""The planner: from a wish and the facts to the legal orders that realise it. Pure.

Works in YES-space: BUY YES and SELL NO are bids, SELL YES and BUY NO are asks. A binary reduces
before it opens: a bid sells settled NO at 1 − p, the rest buys YES; an ask sells settled YES, the
rest buys NO at 1 − p. Anything else bids with cash and asks with what it has settled.

What may still fill counts against the wish: per direction, what is placed is at most what is wanted
less everything alive (kept, cancelling, unknown, sent), so a replacement waits for the proven end
of what it replaces (law H, for buys as well), and a sell never exceeds what is settled (law E).
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import zip_longest

from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument
from engine.domain.intents import Quotes
from engine.domain.orders import OrderType
from engine.errors import BrokenInvariant
from engine.executor.fitting import fit
from engine.executor.holdings import Holding
from engine.executor.levels import TargetLevels, wanted_of
from engine.executor.placing import Placer
from engine.executor.plan import NO_PLAN, Plan
from engine.executor.planner_swift import swift
from engine.executor.records import LiveOrder, Wish
from engine.executor.renewing import renewed
from engine.executor.settings import MS, ExecutorSettings

_GTC, _GTD = OrderType.GTC, OrderType.GTD


def plan(
    wish: Wish | None,
    *,
    instrument: Instrument,
    holding: Holding,
    working: Collection[LiveOrder],
    cash_free_micro: int,
    mark: BookMarked | None,
    settings: ExecutorSettings,
    now_ns: int,
) -> Plan:
    """Return what to place, cancel and leave for one instrument.

    `working` are the orders that may still fill, oldest first; `cash_free_micro` what no working
    order has reserved. No wish wants nothing: everything is cancelled.
    """
    if wish is None and not working:
        return NO_PLAN
    gtd_ms = settings.gtd_ms
    wanted = wanted_of(
        wish,
        instrument,
        0 if type(wish) is Quotes else holding.position,
        mark,
        resting=_GTC if gtd_ms is None else _GTD,
        tolerance_percent=settings.resize_tolerance_percent,
    )
    if gtd_ms is not None and wanted.type is _GTD:
        wanted.expires_ns = now_ns + gtd_ms * MS
    made = swift(wanted, instrument, holding, working, cash=cash_free_micro)
    if made is None:
        made = careful(wanted, instrument, holding, working, cash=cash_free_micro)
    return made if gtd_ms is None else renewed(made, working, now_ns)


def careful(
    wanted: TargetLevels,
    instrument: Instrument,
    holding: Holding,
    working: Collection[LiveOrder],
    *,
    cash: int,
) -> Plan:
    """Return the plan of any situation; cash is in micro-units, what no working order reserved."""
    told = len(wanted.residuals)
    # If cash is short while settled tokens could replace a resting buy, reduce first after all.
    for reduce_first in (False, True):
        del wanted.residuals[told:]
        made = _attempt(wanted, instrument, holding, working, cash=cash, reduce_first=reduce_first)
        if made is not None:
            return made
    raise BrokenInvariant(f"{instrument.id}: no plan, and none by reducing first")


def _attempt(
    wanted: TargetLevels,
    instrument: Instrument,
    holding: Holding,
    working: Collection[LiveOrder],
    *,
    cash: int,
    reduce_first: bool,
) -> Plan | None:
    """Plan once. None = cash is short and reducing first would help."""
    live_bids = [known for known in working if known.bid]
    live_asks = [known for known in working if not known.bid]
    bids = fit(wanted, instrument, holding, live_bids, bid=True, reduce_first=reduce_first)
    asks = fit(wanted, instrument, holding, live_asks, bid=False, reduce_first=reduce_first)
    cancels = tuple(bids.cancels + asks.cancels)
    if not bids.needs and not asks.needs:
        if not cancels and not wanted.residuals:
            return NO_PLAN
        return Plan((), cancels, tuple(wanted.residuals))
    placer = Placer(
        wanted,
        instrument,
        cash,
        ask_min=min([known.level for known in live_asks]) if live_asks else None,
        bid_max=max([known.level for known in live_bids]) if live_bids else None,
    )
    # Level by level, best first, so that scarce cash goes to the best prices.
    for bid, ask in zip_longest(bids.needs, asks.needs):
        if bid is not None:
            placer.place(bids, bid)
        if ask is not None:
            placer.place(asks, ask)
    if placer.short and not reduce_first and (bids.could_reduce or asks.could_reduce):
        return None
    return Plan(tuple(placer.places), cancels, tuple(wanted.residuals))
