"""The planner: from a wish and the facts to the legal orders that realise it. Pure.

Works in YES-space: BUY YES and SELL NO are bids, SELL YES and BUY NO are asks. A binary reduces
before it opens: a bid sells settled NO at 1 − p, the rest buys YES; an ask sells settled YES, the
rest buys NO at 1 − p. Anything else bids with cash and asks with what it has settled.

What may still fill counts against the wish: per direction, what is placed is at most what is wanted
less everything alive (kept, cancelling, unknown, sent), so a replacement waits for the proven end
of what it replaces (law H, for buys as well), and a sell never exceeds what is settled (law E).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import zip_longest

import msgspec

from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument, Kind, Leg, Side
from engine.domain.intents import Quote, Quotes, ResidualReason
from engine.domain.orders import OrderId, OrderState, OrderType
from engine.errors import BrokenInvariant
from engine.executor.fitting import fit
from engine.executor.holdings import Holding
from engine.executor.levels import TargetLevels, wanted_of
from engine.executor.placing import Placer
from engine.executor.plan import NO_PLAN, Draft, Need, Plan, Residual
from engine.executor.renewing import renewed
from engine.executor.settings import MS, ExecutorSettings
from engine.executor.table import LiveOrder, Wish

# The swift planner: the plain situations, in which most plans are made, without the careful
# steps.
# Each direction is in one of three: nothing works (all is placed), exactly what is wished rests
# (it stays), or nothing that works is wished and what is alive leaves no room (it goes, and the
# wish waits). Where a direction is in none of them, or where our own orders, cash or a minimum
# could matter, it answers None and the careful planner decides. What it answers is what that one
# would.

_BUY, _SELL = Side.BUY, Side.SELL
_YES, _NO, _BASE = Leg.YES, Leg.NO, Leg.BASE
_BINARY = Kind.BINARY
_OPEN, _PARTIAL = OrderState.OPEN, OrderState.PARTIAL
_SENT, _PENDING, _UNKNOWN = OrderState.SENT, OrderState.PENDING, OrderState.UNKNOWN
_FAK, _FOK = OrderType.FAK, OrderType.FOK
_WAITING_CANCEL = ResidualReason.WAITING_CANCEL
_NEVER = 2**62
"""A level above every ask."""


class Way(msgspec.Struct, gc=False):
    """One direction of a plan, bids or asks, on its way through the swift planner."""

    bid: bool
    levels: Sequence[Quote]
    live: list[LiveOrder]
    needs: list[Need]


def swift(
    wanted: TargetLevels,
    instrument: Instrument,
    holding: Holding,
    working: Collection[LiveOrder],
    *,
    cash: int,
) -> Plan | None:
    """Return the plan of a plain situation, None where the careful planner must look.

    After None, `wanted` is as it was.
    """
    bids = Way(True, wanted.bids, [], [])
    asks = Way(False, wanted.asks, [], [])
    if not wanted.post_only or _could_meet(bids, asks, working):
        return None
    cancels: list[OrderId] = []
    binary = instrument.kind is _BINARY
    if (bids.live or bids.levels) and not _plain(
        bids, wanted, instrument, holding.no.settled if binary else 0, cancels
    ):
        return None
    if (asks.live or asks.levels) and not _plain(
        asks, wanted, instrument, holding.yes.settled, cancels
    ):
        return None
    if bids.needs or asks.needs:
        return _made(wanted, instrument, bids, asks, cancels, cash=cash)
    if cancels or wanted.residuals:
        return Plan((), tuple(cancels), tuple(wanted.residuals))
    return NO_PLAN


def _could_meet(bids: Way, asks: Way, working: Collection[LiveOrder]) -> bool:
    """Sort the orders by direction; say whether any bid reaches any ask, wished or working."""
    bid_max = bids.levels[0][0] if bids.levels else 0
    ask_min = asks.levels[0][0] if asks.levels else _NEVER
    for known in working:
        level = known.level
        if known.bid:
            bids.live.append(known)
            bid_max = max(bid_max, level)
        else:
            asks.live.append(known)
            ask_min = min(ask_min, level)
    return bid_max >= ask_min


def _plain(
    way: Way, wanted: TargetLevels, instrument: Instrument, settled: int, cancels: list[OrderId]
) -> bool:
    """Find out which situation a direction is in and what it needs; False = none of the plain."""
    smallest = instrument.smallest
    live, levels = way.live, way.levels
    if live:
        if levels and live[0].level in (sizes := dict(levels)):
            return len(live) == len(levels) and _rests(live, sizes, wanted)
        if not _goes(way, smallest, cancels):
            return False
    opens = way.bid or instrument.kind is _BINARY
    pool = settled - settled % instrument.lot if settled > 0 else 0
    needs = way.needs
    for price, size in levels:
        selling = 0
        if pool >= smallest:
            selling = min(size, pool)
            if selling < smallest:
                selling = 0
            pool -= selling
        opening = size - selling
        if opening and (opening < smallest or not opens):
            return False
        needs.append((price, selling, opening))
    return True


def _rests(live: list[LiveOrder], sizes: dict[int, int], wanted: TargetLevels) -> bool:
    """Say whether each order rests at a wished level of its own, in its style and size."""
    style, tolerance = wanted.type, wanted.tolerance_percent
    for known in live:
        order, state, left = known.order, known.state, known.remaining
        size = sizes.pop(known.level, None)
        if size is None or not size <= left <= size + size * tolerance // 100:
            return False
        if order.type is not style or not order.post_only:
            return False
        if not (state is _OPEN or state is _PARTIAL or state is _SENT or state is _PENDING):
            return False
    return True


def _goes(way: Way, smallest: int, cancels: list[OrderId]) -> bool:
    """Cancel what is at no wished level; False where one is at one, or something could be placed.

    What is alive counts against the wish, so nothing new fits beside it but a smaller rest.
    """
    room = 0
    wished = dict(way.levels)
    for size in wished.values():
        room += size
    for known in way.live:
        state, style = known.state, known.order.type
        room -= known.remaining
        if known.level in wished or style is _FAK or style is _FOK:
            return False
        if (
            state is _OPEN
            or state is _PARTIAL
            or state is _SENT
            or state is _PENDING
            or (state is _UNKNOWN and not known.cancel_asked)
        ):
            cancels.append(known.order.id)
    return room < smallest


def _made(
    wanted: TargetLevels,
    instrument: Instrument,
    bids: Way,
    asks: Way,
    cancels: list[OrderId],
    *,
    cash: int,
) -> Plan | None:
    """Write the plan down, level by level, bids first; None where cash does not pay for all."""
    places: list[Draft] = []
    residuals = [*wanted.residuals]
    for row in range(max(len(bids.needs), len(asks.needs))):
        for way in (bids, asks):
            if row >= len(way.needs):
                continue
            if way.live:
                _wait(way, row, residuals)
            else:
                cash -= _draft(way, row, wanted, instrument, places)
                if cash < 0:
                    return None
    return Plan(tuple(places), tuple(cancels), tuple(residuals))


def _wait(way: Way, row: int, residuals: list[Residual]) -> None:
    """Leave a level over until what it replaces has proven to be gone."""
    level, selling, opening = way.needs[row]
    side = _BUY if way.bid else _SELL
    if selling:
        residuals.append(Residual(_WAITING_CANCEL, side, level, selling))
    if opening:
        residuals.append(Residual(_WAITING_CANCEL, side, level, opening))


def _draft(
    way: Way, row: int, wanted: TargetLevels, instrument: Instrument, places: list[Draft]
) -> int:
    """Draft one level, selling before opening; return what the buy costs."""
    level, selling, opening = way.needs[row]
    style, expires_ns = wanted.type, wanted.expires_ns
    sell_leg = buy_leg = _BASE
    sell_at = buy_at = level
    if instrument.kind is _BINARY:
        if way.bid:
            sell_leg, buy_leg, sell_at = _NO, _YES, instrument.one - level
        else:
            sell_leg, buy_leg, buy_at = _YES, _NO, instrument.one - level
    if selling:
        places.append(Draft(sell_leg, _SELL, sell_at, selling, style, True, expires_ns))
    if not opening:
        return 0
    places.append(Draft(buy_leg, _BUY, buy_at, opening, style, True, expires_ns))
    return -(-buy_at * opening // instrument.value_divisor)


# -- The planner: from a wish and the facts to the legal orders that realise it. Pure --------------

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
