"""How a market maker learns: references, trades, its own fills, and the book it is shown."""

from __future__ import annotations

from engine.caches.views import BookView
from engine.domain.events import ReferencePriced, TradePrinted
from engine.domain.instruments import Side
from engine.indicators.twap import TwapAccumulator
from engine.strategies.market_maker.parameters import FairSource, MarketMakerParameters
from engine.strategies.market_maker.state import (
    MS_NS,
    SECOND_NS,
    Learned,
    MarketState,
    Shared,
    WaitingFill,
)

BPS = 1e-4

FILL_AGE_NS_MAX = 5_000_000_000
"""A fill whose direction the position has not told by then is not marked out."""


def learn_reference(
    shared: Shared,
    learned: dict[str, Learned],
    event: ReferencePriced,
    p: MarketMakerParameters,
    now_ns: int,
) -> bool:
    """Take a reference or oracle price. True = it is one of ours and usable.

    A price that is not positive is left out; its age then fails the gate.
    """
    if event.price_e8 <= 0 or event.key not in {p.reference, p.oracle}:
        return False
    price = event.price_e8 / 1e8
    stamp_ns = now_ns if event.exchange_ns is None else event.exchange_ns
    if event.key == p.reference:
        _lead(shared, price, stamp_ns, p, now_ns)
    if event.key == p.oracle:
        shared.oracle_price = price
        shared.oracle_stamp_ns = stamp_ns
        shared.basis.oracle(price, stamp_ns)
        if p.twap_window_s:
            for known in learned.values():
                if known.twap is not None:
                    known.twap.take(price, stamp_ns)
    return True


def _lead(
    shared: Shared, price: float, stamp_ns: int, p: MarketMakerParameters, now_ns: int
) -> None:
    shared.volatility.take(price, stamp_ns)
    if p.reference != p.oracle:
        shared.basis.reference(price, stamp_ns)
    if p.event_jump_bps and shared.moves.take(price, now_ns) >= p.event_jump_bps * BPS * price:
        shared.cooldown_until_ns = now_ns + int(p.event_cooldown_s * SECOND_NS)


def learn_trade(learned: Learned, event: TradePrinted, now_ns: int) -> None:
    """Take a trade's signed size; what has no size or no side says nothing about the flow."""
    if event.size is not None and event.aggressor is not None:
        signed = event.size if event.aggressor is Side.BUY else -event.size
        learned.flow.take(float(signed), now_ns)


def learn_book(market: MarketState, view: BookView, now_ns: int) -> None:
    """Sample the mid of a book that is trusted, two-sided and not crossed; others teach nothing.

    A jump's cool-down lasts until `event_cooldown_s` after the jump has left its window.
    """
    book = view.book
    if not (view.trusted and book.bid_prices and book.ask_prices):
        return
    best_bid, best_ask = book.bid_prices[-1], book.ask_prices[0]
    if best_bid >= best_ask:
        return
    learned, p = market.learned, market.p
    mid = (best_bid + best_ask) * 0.5
    volatility = learned.volatility
    # The same refusal as its own, without the call: most evaluations come between two samples.
    if volatility.at_ns is None or now_ns - volatility.at_ns >= volatility.sample_ns_min:
        volatility.take(mid, now_ns)
    learned.markouts.observe(mid * market.scale, now_ns, market.shared.means)
    if p.event_jump_ticks:
        moved = learned.moves.take(mid, now_ns)
        if moved >= market.event_jump:
            learned.cooldown_until_ns = now_ns + int(p.event_cooldown_s * SECOND_NS)


def learn_position(market: MarketState, position: int, now_ns: int) -> None:
    """Take the position and give the fills that wait for it their direction.

    A fill arrives with its leg's price alone: the position says whether it bought or sold in
    YES-space. Where the fills since the last evaluation went both ways, they are not marked out:
    guessing would put one side's loss on the other.
    """
    learned = market.learned
    before, learned.position = learned.position, position
    if not learned.waiting:
        return
    moved = 0 if before is None else position - before
    if moved:
        if sum(fill.size for fill in learned.waiting) == abs(moved):
            for fill in learned.waiting:
                sign = 1 if moved > 0 else -1
                price = _yes_price(market, fill, sign)
                learned.markouts.fill(sign, price * market.scale, fill.at_ns)
        else:
            learned.markouts.dropped += len(learned.waiting)
        learned.waiting.clear()
    elif now_ns - learned.waiting[-1].at_ns > FILL_AGE_NS_MAX:
        learned.markouts.dropped += len(learned.waiting)
        learned.waiting.clear()


def _yes_price(market: MarketState, fill: WaitingFill, sign: int) -> int:
    """Return the fill's price in YES-space: p or one − p, whichever is nearer to what we wished."""
    if not market.binary:
        return fill.price
    other = market.one - fill.price
    standing = market.learned.standing
    wished = standing and (standing.bids if sign > 0 else standing.asks)
    if wished:
        near = float(wished[0][0])
    elif market.learned.markouts.mid is not None:
        near = market.learned.markouts.mid * market.one
    else:
        return fill.price
    return fill.price if abs(fill.price - near) <= abs(other - near) else other


def watch_settlement(market: MarketState) -> None:
    """Have the instrument's settlement window averaged, from the last known oracle price on."""
    learned, shared, p = market.learned, market.shared, market.p
    closes_ns = market.closes_ns
    if p.fair is not FairSource.REFERENCE or not p.twap_window_s or closes_ns is None:
        learned.twap = None
        return
    start_ns = closes_ns - int(p.twap_window_s * SECOND_NS)
    twap = learned.twap
    if twap is not None and twap.start_ns == start_ns and twap.end_ns == closes_ns:
        return
    # A price too old to be quoted on is too old to stand for a part of the window.
    held_ns = p.oracle_age_ms_max * MS_NS
    learned.twap = TwapAccumulator(start_ns=start_ns, end_ns=closes_ns, held_ns=held_ns)
    if shared.oracle_stamp_ns is not None:
        learned.twap.take(shared.oracle_price, shared.oracle_stamp_ns)
