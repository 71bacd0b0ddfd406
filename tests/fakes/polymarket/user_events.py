"""What the user channel says: one voice per API key, from the exchange's own reports."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from engine.domain.fills import FillState
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.orders import CancelReason, Identity
from engine.venues.demo.orders import (
    AnyReport,
    Ended,
    Filled,
    FillMoved,
    Placed,
    RestingOrder,
)
from tests.fakes.polymarket.exchange import VenueExchange
from tests.fakes.polymarket.ledger import VenueLedger
from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.rows import bend_order, order_frame, trade_frame
from tests.fakes.polymarket.settings import Settings
from tests.fakes.polymarket.settlement import Trade

Publish = Callable[[str, str, dict[str, Any]], None]
"""(API key, condition id, frame) → said."""

SENT_MAX = 100_000
TRADES_OF_MAX = 100_000

STATUS = {
    CancelReason.MARKET_RESOLVED: "CANCELED_MARKET_RESOLVED",
    CancelReason.MARKET_CLOSED: "CANCELED_MARKET_RESOLVED",
    CancelReason.NO_FUNDS: "CANCELED_NOT_ENOUGH_BALANCE",
    CancelReason.TICK_CHANGED: "INVALID",
}


class UserPublisher:
    """Turns reports into frames."""

    def __init__(
        self,
        exchange: VenueExchange,
        ledger: VenueLedger,
        markets: dict[InstrumentId, Listed],
        settings: Settings,
        publish: Publish,
    ) -> None:
        self._exchange = exchange
        self._ledger = ledger
        self._markets = markets
        self._settings = settings
        self._publish = publish
        self._sent: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._trades_of: OrderedDict[Identity, list[str]] = OrderedDict()

    def trades_of(self, identity: Identity) -> list[str]:
        """Return the ids of an order's trades."""
        return self._trades_of.get(identity, [])

    def report(self, account: AccountId, report: AnyReport, now_ns: int) -> None:
        """Take one report of one account."""
        match report:
            case Placed():
                self._order(account, report.identity, ("PLACEMENT", "LIVE"), now_ns)
            case Filled():
                self._filled(account, report, now_ns)
            case FillMoved():
                trade = self._exchange.worker.by_fill.get(report.id)
                if trade is not None:
                    self._trade(trade, report.key, report.state)
                self._ledger.settled(account, report.state)
            case Ended():
                self._ended(account, report, now_ns)
            case _:
                return

    def killed(self, order: RestingOrder, text: str, now_ns: int) -> None:
        """Tell of an order that was killed before it ever rested."""
        market = self._markets[order.instrument]
        frame = order_frame(order, market, [], ("CANCELLATION", f"CANCELED_{text}"), now_ns)
        self._publish(order.key, market.condition, bend_order(frame, order, self._settings.quirks))

    def _filled(self, account: AccountId, report: Filled, now_ns: int) -> None:
        trade = self._exchange.worker.by_fill.get(report.id)
        if trade is None:
            return
        mine = self._trades_of.setdefault(report.identity, [])
        if trade.id not in mine:
            mine.append(trade.id)
            if len(self._trades_of) > TRADES_OF_MAX:
                self._trades_of.popitem(last=False)
            order = self._find(account, report.identity)
            status = "LIVE" if order is not None and order.remaining else "MATCHED"
            if self._settings.quirks.trade_before_order:
                self._trade(trade, report.key, FillState.MATCHED)
            self._order(account, report.identity, ("UPDATE", status), now_ns)
        self._trade(trade, report.key, FillState.MATCHED)

    def _trade(self, trade: Trade, key: str, state: FillState) -> None:
        name = (trade.id, key, f"{state}{trade.attempt}")
        if name in self._sent:
            return
        self._sent[name] = None
        if len(self._sent) > SENT_MAX:
            self._sent.popitem(last=False)
        market = self._markets[trade.instrument]
        took = any(fill.key == key for fill in trade.taker)
        frame = trade_frame(trade, market, (key, took), state, self._settings.quirks)
        self._publish(key, market.condition, frame)

    def _ended(self, account: AccountId, report: Ended, now_ns: int) -> None:
        status = "CANCELED"
        if report.reason is None:
            status = "CANCELED_EXPIRED_ORDER"
        elif report.reason is CancelReason.KILLED_REST:
            status = f"CANCELED_{report.text}" if report.text else "CANCELED"
        else:
            status = STATUS.get(report.reason, "CANCELED")
        what = "CANCELLATION"
        if self._settings.quirks.update_canceled and report.filled:
            what, status = "UPDATE", "CANCELED"
        self._order(account, report.identity, (what, status), now_ns)

    def _order(
        self, account: AccountId, identity: Identity, what: tuple[str, str], now_ns: int
    ) -> None:
        order = self._find(account, identity)
        if order is None:
            return
        market = self._markets[order.instrument]
        frame = order_frame(order, market, list(self.trades_of(identity)), what, now_ns)
        self._publish(order.key, market.condition, bend_order(frame, order, self._settings.quirks))

    def _find(self, account: AccountId, identity: Identity) -> RestingOrder | None:
        record = self._exchange.account(account)
        return record.open.get(identity) or record.ended.get(identity)
