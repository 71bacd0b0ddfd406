"""The market maker's wishes and the record of why: fresh, stated again, or withdrawn."""

from __future__ import annotations

import msgspec

from engine.domain.decisions import Decision, Gate
from engine.domain.intents import Quotes
from engine.strategies.door import Context, Evaluation
from engine.strategies.market_maker.gates import Regime
from engine.strategies.market_maker.quotes import Edges, Fair, ladder
from engine.strategies.market_maker.state import (
    MS_NS,
    UNBOUNDED,
    MarketState,
    Sizes,
    StandingIntent,
)

Values = tuple[tuple[str, float], ...]


def fresh_wish(
    market: MarketState, edges: Edges, sizes: tuple[Sizes, Sizes], regime: Regime, now_ns: int
) -> StandingIntent:
    """Return the wish for a ladder at these edges."""
    bids, asks = ladder(sizes, edges, market)
    return StandingIntent(
        bids=bids,
        asks=asks,
        bid_sizes=sizes[0],
        ask_sizes=sizes[1],
        bid_edge=edges.bid,
        ask_edge=edges.ask,
        tick=market.tick,
        regime=regime,
        restate_ns=now_ns + market.p.refresh_ms * MS_NS if bids or asks else UNBOUNDED,
        valid_until_ns=_valid_until(market, now_ns),
    )


def same_wish(standing: StandingIntent, market: MarketState, now_ns: int) -> StandingIntent:
    """Return the same wish for longer; its edges stay, so that hysteresis cannot creep."""
    return msgspec.structs.replace(
        standing,
        restate_ns=now_ns + market.p.refresh_ms * MS_NS,
        valid_until_ns=_valid_until(market, now_ns),
    )


def no_wish(regime: Regime) -> StandingIntent:
    """Return the empty wish: it stands until something can be quoted."""
    return StandingIntent(regime=regime)


def _valid_until(market: MarketState, now_ns: int) -> int:
    """Return when a wish ends by itself: after a while, or when the close comes too near."""
    until_ns = now_ns + market.p.valid_for_ms * MS_NS
    return until_ns if market.stop_ns is None else min(until_ns, market.stop_ns)


def state_wish(context: Context, market: MarketState, wish: StandingIntent, now_ns: int) -> Quotes:
    """Remember the wish as the one that stands, and return it as an intent."""
    market.learned.standing = wish
    valid_until_ns = wish.valid_until_ns
    if wish.empty:
        valid_until_ns = now_ns + market.p.valid_for_ms * MS_NS
    return Quotes(
        bot=context.bot,
        instrument=market.instrument.id,
        bids=wish.bids,
        asks=wish.asks,
        valid_until_ns=valid_until_ns,
        decision=context.decision,
    )


def evaluation(
    context: Context,
    market: MarketState,
    gates: list[Gate],
    fair: Fair | None,
    *,
    regime: Regime,
    parts: Values,
    outcome: str,
    intent: Quotes | None,
    now_ns: int,
) -> Evaluation:
    """Return the intent, if any, with the record that explains it."""
    scale = market.scale
    book = context.view.book
    bids, asks = book.bid_prices, book.ask_prices
    inputs: Values = (
        ("position_shares", context.inventory.position * market.size_scale),
        ("capital", context.capital_micro * 1e-6),
        *((("best_bid", bids[-1] * scale),) if bids else ()),
        *((("best_ask", asks[0] * scale),) if asks else ()),
    )
    if fair is not None:
        inputs += fair.inputs
        parts = fair.build_up + parts
    provenance = market.learned.provenance
    decision = Decision(
        number=context.decision,
        bot=context.bot,
        instrument=market.instrument.id,
        at_ns=now_ns,
        regime=regime,
        inputs=inputs,
        build_up=parts,
        gates=tuple(gates),
        outcome=outcome,
        intent=intent,
        notes=(("strike_provenance", provenance),) if provenance else (),
    )
    return Evaluation(decision=decision, intents=() if intent is None else (intent,))
