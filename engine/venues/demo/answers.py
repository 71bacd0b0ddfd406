"""The demo exchange in the engine's words: requests of one account in, the door's events out.

A request the exchange's mode forbids had no effect: a place is ModeChanged, then OrderNotSent;
everything else raises VenueClosed for the caller to answer. A cancel's success comes in its
reply alone; the exchange's own report of it is left out, so that it is not received twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import asdict

from engine.domain import effects as fx
from engine.domain import events as ev
from engine.domain.fills import FillState
from engine.domain.instruments import AccountId
from engine.domain.orders import CancelReason, Order, OrderId, OrderReport, RejectReason
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.errors import BadInput, BrokenInvariant, VenueClosed
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import (
    AnyReport,
    CancelAnswer,
    Converted,
    Ended,
    Fill,
    Filled,
    FillMoved,
    Funded,
    Liquidated,
    ModeSwitched,
    Names,
    OperationReport,
    Placed,
    Redeemed,
    RestingOrder,
    StandingOrder,
    Ticket,
)


class Answers:
    """Translates for one key of one account. Keeps nothing."""

    def __init__(
        self, exchange: DemoExchange, account: AccountId, *, key: str, currency: str
    ) -> None:
        self._exchange = exchange
        self._account = account
        self._key = key
        self._currency = currency
        self._margined = exchange.clearing.margin.perpetuals
        self._names = Names(account, key)
        self.identity = self._names.identity
        self.known = self._names.known
        self.prepare = self._names.prepare

    def do(self, effect: fx.Effect, now_ns: int) -> list[ev.VenueEvent]:
        """Do what is asked. Raises VenueClosed; BrokenInvariant where no venue is asked for it."""
        match effect:
            case fx.PlaceOrder(order=order):
                return self.place(order, now_ns)
            case fx.CancelOrders(orders=orders):
                return self.cancel(orders, now_ns)
            case fx.CancelAll(scope=scope):
                return self.cancel_all(scope, now_ns)
            case fx.QueryOrder(order=number):
                return self.order(number)
            case fx.QueryOpenOrders():
                return self.open_orders()
            case fx.QueryFills(since_ns=since_ns):
                return self.fills(since_ns)
            case fx.QueryBalances():
                return self.balances()
            case fx.QueryRedemptions(since_ns=since_ns):
                return self.redemptions(since_ns)
            case fx.RedeemTokens() | fx.MergePairs() | fx.SplitCash() | fx.ApproveTrading():
                return self.operate(effect, now_ns)
            case fx.QueryOperation():
                return self.operation(effect)
            case _:
                raise BrokenInvariant(f"{type(effect).__name__} is not a venue's business")

    # -- requests ----------------------------------------------------------------------------------

    def place(self, order: Order, now_ns: int) -> list[ev.VenueEvent]:
        """Place an order; fills follow as reports."""
        return self.hand_in(self._names.ticket(order), order.id, now_ns)

    def hand_in(self, ticket: Ticket, order: OrderId, now_ns: int) -> list[ev.VenueEvent]:
        """Hand in the ticket of one of our orders; fills follow as reports."""
        account = self._account
        try:
            receipt = self._exchange.submit(account, ticket, now_ns)
        except VenueClosed as closed:
            refused = ev.OrderNotSent(account=account, order=order, reason=str(closed))
            return [self.mode(ev.VenueMode(closed.mode)), refused]
        if receipt.standing is StandingOrder.REJECTED:
            return [
                ev.OrderRejected(
                    account=account,
                    order=order,
                    reason=receipt.reason or RejectReason.OTHER,
                    venue_text=receipt.text,
                )
            ]
        if receipt.standing is StandingOrder.DELAYED:
            return [ev.OrderDelayed(account=account, order=order)]
        return [ev.OrderAccepted(account=account, order=order)]

    def cancel(self, orders: Sequence[OrderId], now_ns: int) -> list[ev.VenueEvent]:
        """Cancel these orders, each with its own answer. Raises VenueClosed."""
        cancel, account = self._exchange.cancel, self._account
        answers = [(order, cancel(account, self.identity(order), now_ns)) for order in orders]
        return [event for order, answer in answers for event in self._cancelled(order, answer)]

    def cancel_all(self, scope: fx.CancelScope, now_ns: int) -> list[ev.VenueEvent]:
        """Cancel everything of our key in scope; a held order is refused. Raises VenueClosed."""
        answers = self._exchange.cancel_all(
            self._account, now_ns, key=self._key, instrument=scope.instrument, tag=scope.bot
        )
        named = ((self.known(answer.identity), answer) for answer in answers)
        return [
            event
            for order, answer in named
            if order is not None
            for event in self._cancelled(order, answer)
        ]

    def _cancelled(self, order: OrderId, answer: CancelAnswer) -> list[ev.VenueEvent]:
        """Return what a cancel came to; first how much was filled, whose reports may be later."""
        if not answer.cancelled:
            return [ev.CancelRefused(account=self._account, order=order, venue_text=answer.text)]
        ended = self._exchange.account(self._account).ended.get(answer.identity)
        found: list[ev.VenueEvent] = []
        if ended is not None and ended.filled:
            found = [ev.OrderReported(account=self._account, report=self._report(ended))]
        return [*found, ev.OrderCancelled(account=self._account, order=order)]

    def operate(self, asked: fx.AnyWalletEffect, now_ns: int) -> list[ev.VenueEvent]:
        """Submit an operation; what it moves follows as a report. Raises VenueClosed."""
        if isinstance(asked, fx.ApproveTrading):  # this exchange needs no approval
            return [self._operation(asked.operation, ev.OperationState.CONFIRMED, "")]
        size = 0 if isinstance(asked, fx.RedeemTokens) else asked.size
        size = -size if isinstance(asked, fx.MergePairs) else size
        name = self._exchange.operate(
            self._account, asked.operation, asked.instrument, size, now_ns
        )
        if name is None:
            why = "the market is not resolved"
            return [self._operation(asked.operation, ev.OperationState.FAILED, "", why)]
        return [self._operation(asked.operation, ev.OperationState.SUBMITTED, name)]

    def operation(self, asked: fx.QueryOperation) -> list[ev.VenueEvent]:
        """Say how far an operation is. Raises VenueClosed."""
        if isinstance(asked.asked, fx.ApproveTrading):
            return [self._operation(asked.operation, ev.OperationState.CONFIRMED, "")]
        found = self._exchange.operation(self._account, asked.operation)
        if found is None:
            return [ev.OperationNotFound(account=self._account, operation=asked.operation)]
        return [self._operation(asked.operation, *found)]

    def _operation(
        self, operation: int, state: ev.OperationState, name: str, reason: str = ""
    ) -> ev.OperationMoved:
        return ev.OperationMoved(
            account=self._account,
            operation=operation,
            state=state,
            transaction=name,
            on_chain=name,
            reason=reason,
        )

    def mode(self, mode: ev.VenueMode) -> ev.ModeChanged:
        return ev.ModeChanged(account=self._account, mode=mode)

    # -- questions ---------------------------------------------------------------------------------

    def order(self, order: OrderId) -> list[ev.VenueEvent]:
        """Report one of our orders, live or ended. Raises VenueClosed."""
        found = self._exchange.order(self._account, self.identity(order))
        if found is None:
            return [ev.OrderNotFound(account=self._account, order=order)]
        return [ev.OrderReported(account=self._account, report=self._report(found))]

    def open_orders(self) -> list[ev.VenueEvent]:
        """List every live order of the account, those of other keys too. Raises VenueClosed."""
        orders = self._exchange.open_orders(self._account)
        reports = tuple(self._report(order) for order in orders)
        return [ev.OpenOrdersListed(account=self._account, orders=reports)]

    def fills(self, since_ns: int) -> list[ev.VenueEvent]:
        """List our key's fills since a time with their present states. Raises VenueClosed."""
        try:
            fills = self._exchange.fills(self._account, since_ns)
        except BadInput as forgotten:
            reason = str(forgotten)
            return [
                ev.QueryFailed(
                    account=self._account,
                    question=fx.QueryFills.__name__,
                    order=None,
                    reason=reason,
                )
            ]
        ours = [event for event in map(self._filled, fills) if event is not None]
        return [ev.FillsListed(account=self._account, since_ns=since_ns, fills=tuple(ours))]

    def balances(self) -> list[ev.VenueEvent]:
        """List settled cash and tokens; what open orders reserve still counts in both."""
        cash = {self._currency: self._exchange.wallet(self._account).cash}
        holdings = tuple(self._exchange.positions(self._account))
        return [
            ev.BalancesListed(account=self._account, cash_micro=cash),
            ev.PositionsListed(account=self._account, holdings=holdings),
        ]

    def redemptions(self, since_ns: int) -> list[ev.VenueEvent]:
        """List what was paid and closed without an order since a time. Raises VenueClosed."""
        paid = self._exchange.redemptions(self._account, since_ns)
        redemptions = tuple(self._redeemed(one) for one in paid)
        converted = self._exchange.conversions(self._account, since_ns)
        account = self._exchange.account(self._account)
        fundings, liquidations = account.margin_reports(since_ns)
        listed = ev.RedemptionsListed(
            account=self._account,
            since_ns=since_ns,
            redemptions=redemptions,
            conversions=tuple(map(self._converted, converted)),
            fundings=tuple(map(self._funded, fundings)),
            liquidations=tuple(map(self._liquidated, liquidations)),
        )
        return [listed]

    def _redeemed(self, paid: Redeemed) -> ev.TokensRedeemed:
        return ev.TokensRedeemed(account=self._account, **asdict(paid))

    def _converted(self, converted: Converted) -> ev.PairsConverted:
        return ev.PairsConverted(account=self._account, **asdict(converted))

    def _funded(self, paid: Funded) -> FundingPaid:
        return FundingPaid(
            account=self._account,
            instrument=paid.instrument,
            currency=self._currency,
            amount_micro=paid.amount_micro,
            stamp_ns=paid.stamp_ns,
            rate_e18=paid.rate_e18,
            mark_e8=paid.mark_e8,
            payment=f"demo-funding-{paid.instrument}-{paid.stamp_ns}",
        )

    def _liquidated(self, taken: Liquidated) -> PositionLiquidated:
        return PositionLiquidated(
            account=self._account,
            instrument=taken.instrument,
            currency=self._currency,
            liquidation=f"demo-{taken.number}",
            size=taken.size,
            value_micro=taken.value_micro,
            fee_micro=taken.fee_micro,
            mark_e8=taken.mark_e8,
            at_ns=taken.at_ns,
        )

    def _report(self, order: RestingOrder) -> OrderReport:
        ours = order.key == self._key
        return OrderReport(
            identity=order.identity,
            order=self.known(order.identity) if ours else None,
            ours=ours,
            instrument=order.instrument,
            leg=order.leg,
            side=order.side,
            price=order.price,
            size=order.size,
            filled=order.filled,
            state=order.state,
        )

    def _filled(self, fill: Fill | Filled) -> ev.OrderFilled | None:
        """Return a fill as the engine's event; None = it belongs to another key."""
        order = self.known(fill.identity)
        if order is None or fill.key != self._key:
            return None
        return ev.OrderFilled(
            account=self._account,
            order=order,
            fill=fill.id,
            price=fill.price,
            size=fill.size,
            fee_micro=fill.fee_micro,
            liquidity=fill.liquidity,
            state=fill.state,
            matched_ns=fill.at_ns if fill.instrument in self._margined else UNSET,
        )

    # -- reports -----------------------------------------------------------------------------------

    def received(self, report: AnyReport) -> ev.VenueEvent | None:
        """Return what a report means for the engine; None = nothing it does not know already."""
        match report:
            case Filled():
                return self._filled(report)
            case FillMoved() if report.key == self._key:
                return self._moved(report)
            case Ended() if report.key == self._key:
                return self._ended(report)
            case Placed() if report.held and report.key == self._key:
                order = self.known(report.identity)
                return (
                    None if order is None else ev.OrderAccepted(account=self._account, order=order)
                )
            case ModeSwitched():
                return self.mode(report.mode)
            case Redeemed():
                return self._redeemed(report)
            case Converted():
                return self._converted(report)
            case Funded():
                return self._funded(report)
            case Liquidated():
                return self._liquidated(report)
            case OperationReport(operation=operation, state=state, transaction=name, reason=reason):
                return self._operation(operation, state, name, reason)
            case _:
                return None

    def _moved(self, report: FillMoved) -> ev.VenueEvent:
        if report.state is FillState.CONFIRMED:
            return ev.FillSettled(account=self._account, fill=report.id)
        if report.state is FillState.FAILED:
            return ev.FillVoided(account=self._account, fill=report.id)
        return ev.FillAdvanced(account=self._account, fill=report.id, state=report.state)

    def _ended(self, report: Ended) -> ev.VenueEvent | None:
        order = self.known(report.identity)
        if order is None or report.reason is CancelReason.ASKED:
            return None
        if report.reason is None:
            return ev.OrderExpired(account=self._account, order=order)
        return ev.OrderCancelled(
            account=self._account, order=order, reason=report.reason, venue_text=report.text
        )
