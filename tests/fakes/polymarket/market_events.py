"""What the market channel says, from the exchange's public events (polymarket.md §4.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.domain.books import Book
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    Event,
    InstrumentListed,
    InstrumentResolved,
)
from engine.domain.instruments import InstrumentId, Leg, Side
from tests.fakes.polymarket.books import LEGS, WireBook, last_text, price_text, size_text
from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.settings import Settings
from tests.fakes.polymarket.settlement import SettlementWorker, Trade, TradeOpened

MS = 1_000_000
Publish = Callable[[tuple[str, ...], dict[str, Any], bool], None]
"""(tokens it is about; none = everybody, frame, only for custom features) → said."""

TICK_TEXTS = {1000: "0.1", 100: "0.01", 50: "0.005", 25: "0.0025", 10: "0.001", 1: "0.0001"}


class MarketPublisher:
    """Keeps the public books and turns public events into frames."""

    def __init__(
        self,
        worker: SettlementWorker,
        markets: dict[InstrumentId, Listed],
        settings: Settings,
        publish: Publish,
    ) -> None:
        self._worker = worker
        self._markets = markets
        self._settings = settings
        self._publish = publish
        self.books: dict[InstrumentId, WireBook] = {}
        self._prints: dict[InstrumentId, list[tuple[str, dict[str, Any]]]] = {}
        self.batches = 0

    def receive(self, event: Event, at_ns: int) -> None:
        """Take one public event."""
        stamp = str(at_ns // MS)
        match event:
            case InstrumentListed():
                self._listed(event, stamp)
            case BookReplaced():
                self._replaced(event, stamp)
            case TradeOpened():
                for name in event.trades:
                    self._traded(self._worker.trades[name], stamp)
            case BookChanged():
                self._changed(event, stamp)
            case InstrumentResolved():
                self._resolved(event, stamp)
            case _:
                return

    def _listed(self, event: InstrumentListed, stamp: str) -> None:
        market = self._markets[event.instrument.id]
        if market.instrument not in self.books:
            self.books[market.instrument] = WireBook(market)
            self._publish((), new_market(market, stamp), True)
            return
        new = TICK_TEXTS[event.instrument.tick]
        if new != market.tick:
            old, market.tick = market.tick, new
            for token in market.tokens:
                frame = {
                    "event_type": "tick_size_change",
                    "market": market.condition,
                    "asset_id": token,
                    "old_tick_size": old,
                    "new_tick_size": new,
                    "timestamp": stamp,
                }
                self._publish((token,), frame, False)

    def _replaced(self, event: BookReplaced, stamp: str) -> None:
        wire = self.books[event.instrument]
        wire.book = Book()
        wire.book.replace(event.bids, event.asks)
        wire.said_ms = stamp
        for leg in LEGS:
            self._publish((wire.market.token(leg),), wire.frame(leg, stamp, full=True), False)

    def _traded(self, trade: Trade, stamp: str) -> None:
        """Print a trade at the resting order's price, in the resting order's token."""
        market = self._markets[trade.instrument]
        maker = trade.makers[-1]
        taker = trade.taker[0]
        same = maker.leg is taker.leg
        side = taker.side if same else taker.side.opposite
        market.last, market.last_side = last_text(maker.price), side.value.upper()
        market.volume_micro += sum(fill.amount_micro for fill in trade.taker)
        token = market.token(maker.leg)
        frame = {
            "market": market.condition,
            "asset_id": token,
            "price": price_text(maker.price),
            "size": size_text(trade.size),
            "fee_rate_bps": "0",
            "side": "BUY" if side is Side.BUY else "SELL",
            "timestamp": stamp,
            "event_type": "last_trade_price",
            "transaction_hash": trade.tx_hash,
        }
        self._prints.setdefault(trade.instrument, []).append((token, frame))

    def _changed(self, event: BookChanged, stamp: str) -> None:
        wire = self.books[event.instrument]
        prints = self._prints.pop(event.instrument, [])
        before = wire.tops(Leg.YES)
        frames = wire.changed(event.changes, stamp)
        self.batches += 1
        tokens = wire.market.tokens
        if wire.tops(Leg.YES) != before:
            for leg in LEGS:
                self._publish((wire.market.token(leg),), wire.best(leg, stamp), True)
        quirks = self._settings.quirks
        if not quirks.trade_after_changes:
            self._print(prints, tokens)
        if quirks.duplicate_changes and frames:
            frames.append(frames[-1])
        for frame in frames:
            self._publish(tokens, frame, False)
        if quirks.trade_after_changes:
            self._print(prints, tokens)
        if prints:
            for leg in LEGS:
                about = tokens if quirks.echo_complement else (wire.market.token(leg),)
                self._publish(about, wire.frame(leg, stamp, full=quirks.full_books), False)

    def _print(self, prints: list[tuple[str, dict[str, Any]]], tokens: tuple[str, str]) -> None:
        # The trade moves both tokens' last price, so whoever follows either must hear of it.
        for _, frame in prints:
            self._publish(tokens, frame, False)

    def _resolved(self, event: InstrumentResolved, stamp: str) -> None:
        market = self._markets[event.instrument]
        market.resolved = True
        if event.payout_yes_micro in {0, 1_000_000}:
            market.winner = 0 if event.payout_yes_micro else 1
        won = market.winner
        frame = {
            "event_type": "market_resolved",
            "id": market.gamma_id,
            "market": market.condition,
            "assets_ids": list(market.tokens),
            "winning_asset_id": None if won is None else market.tokens[won],
            "winning_outcome": None if won is None else market.outcomes[won],
            "timestamp": stamp,
            "tags": list(market.tags),
        }
        self._publish(market.tokens, frame, True)


def new_market(market: Listed, stamp: str) -> dict[str, Any]:
    """Return a `new_market` frame."""
    frame = {
        "event_type": "new_market",
        "id": market.gamma_id,
        "question": market.question,
        "market": market.condition,
        "condition_id": market.condition,
        "slug": market.slug,
        "description": market.question,
        "assets_ids": list(market.tokens),
        "clob_token_ids": list(market.tokens),
        "outcomes": list(market.outcomes),
        "event_message": {
            "id": market.gamma_id,
            "ticker": market.slug,
            "slug": market.slug,
            "title": market.question,
            "description": market.question,
        },
        "timestamp": stamp,
        "tags": list(market.tags),
        "active": True,
        "sports_market_type": "",
        "line": "",
        "game_start_time": "",
        "order_price_min_tick_size": market.tick,
        "group_item_title": market.question,
        "taker_base_fee": "1000" if float(market.fee_rate) else "0",
        "fees_enabled": bool(float(market.fee_rate)),
        "fee_schedule": {
            "exponent": str(market.fee_exponent),
            "rate": market.fee_rate,
            "taker_only": True,
            "rebate_rate": market.rebate_rate,
        },
    }
    if market.version == "v2":
        frame["version"] = "v2"
    return frame
