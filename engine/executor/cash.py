"""Cash and tokens that come or go without a trade: they shift anchor and peak, and are no profit.

Tokens shift them by what leaving them would bring, whatever they cost, as that is what the equity
that is judged counts them for. Their record says how much that was when they came. Where no book
had said it yet, the shift waits with the breakers for the first one: until then they count for
nothing, and without it their first mark would be a gain that a day may lose again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from engine.domain.effects import Severity
from engine.domain.events import CashKind, CashMoved, HoldingTransferred, RedemptionsListed
from engine.domain.instruments import BotId, InstrumentId, Leg
from engine.domain.money import money_text
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.executor.fills import Holding, exit_value_micro, payouts
from engine.executor.halts import ExecutorParts, Markets
from engine.executor.settings import MS
from engine.risk.gate import DAY_NS, Breakers

PAYMENTS_MAX = 1_000
"""Rewards and rebates remembered by name: far more than a listing reaches back."""


class CashMoves:
    """One account's deposits, withdrawals and payments. `mark_age_ns_max` is risk's own limit."""

    def __init__(
        self,
        parts: ExecutorParts,
        breakers: Breakers,
        markets: Markets,
        mark_age_ns_max: Callable[[], int],
        payments_listed: Callable[[RedemptionsListed, int], None],
    ) -> None:
        self._table, _, self._outbox, _ = parts
        self._breakers = breakers
        self._markets = markets
        self._mark_age_ns_max = mark_age_ns_max
        self._payments_listed = payments_listed

    def handlers(self) -> dict[type, Callable[[Any, int], None]]:
        """Return who takes which event."""
        return {
            CashMoved: self._moved,
            FundingPaid: self._funded,
            PositionLiquidated: self._liquidated,
            RedemptionsListed: self._listed,
            HoldingTransferred: self._transferred,
        }

    def _moved(self, event: CashMoved, now_ns: int) -> None:
        """Book a deposit or withdrawal. A reward or a rebate is profit, booked once by its name."""
        table, state = self._table, self._table.ledger.state
        if self._foreign(event):
            return
        if event.kind is CashKind.DEPOSIT:
            state.funded_ns = state.funded_ns or event.paid_ns or now_ns
            state.recount = state.recount and bool(event.tokens)
        elif event.payment in state.payments:
            return
        else:
            self._remember(event.payment, event.paid_ns)
        key, leg, amount = event.instrument, event.leg, event.amount_micro
        if key is not None and leg is not None and event.tokens:
            self._tokens_came(event, key, leg, now_ns)
            booked = table.ledger.take_in(
                key, leg, event.tokens, amount, event.owner, now_ns=now_ns
            )
            table.moved(key, now_ns)
        else:
            if event.kind is CashKind.DEPOSIT:
                self._breakers.cash_moved(amount)
            booked = table.ledger.move_cash(amount, event.kind, self._earned(event, now_ns))
            table.moved(None, now_ns)
        for anomaly in booked.anomalies:
            self._outbox.alert(
                Severity.CRITICAL,
                anomaly,
                "cash is below zero after a withdrawal",
                numbers={"moved": f"{money_text(amount)} {event.currency}"},
            )
        for instrument in table.instruments:
            table.dirty[instrument] = True

    def _funded(self, event: FundingPaid, now_ns: int) -> None:
        """Book funding once for a stamp and rate type; a second one is refused, and said."""
        table, amount = self._table, f"{money_text(event.amount_micro)} {event.currency}"
        if self._foreign(event):
            return
        if event.name in table.ledger.state.payments:
            self._outbox.alert(
                Severity.WARNING,
                "funding_twice",
                f"{event.instrument}: {event.rate_type} funding of {amount} came for a stamp whose "
                "funding is booked; it is not booked again",
                instrument=event.instrument,
                numbers={"funding": amount},
            )
            return
        self._remember(event.name, event.stamp_ns)
        booked = table.ledger.fund(event)
        table.moved(None, now_ns)  # of no instrument: it may be one that was never listed here
        for anomaly in booked.anomalies:
            self._outbox.alert(
                Severity.CRITICAL,
                anomaly,
                f"cash is below zero after funding of {amount}",
                numbers={"funding": amount},
            )
        for instrument in table.instruments:
            table.dirty[instrument] = True

    def _liquidated(self, event: PositionLiquidated, now_ns: int) -> None:
        """Book a liquidation once, and say it with its numbers."""
        table, state = self._table, self._table.ledger.state
        if self._foreign(event) or event.name in state.payments:
            return
        terms = state.instruments.get(event.instrument)
        if terms is None or not terms.product.signed:
            self._outbox.alert(
                Severity.CRITICAL,
                "position_liquidated",
                f"the venue liquidated {event.size} of {event.instrument}, which is known here as "
                "no perpetual: it is not booked, compare positions with the venue's",
                instrument=event.instrument,
            )
            return
        self._remember(event.name, event.at_ns or now_ns)
        table.ledger.liquidate(event, now_ns=now_ns)
        self._outbox.alert(
            Severity.CRITICAL,
            "position_liquidated",
            f"the venue liquidated {terms.size_text(event.size)} of {event.instrument} for "
            f"{money_text(abs(event.value_micro))} {event.currency}, and kept "
            f"{money_text(event.fee_micro)}",
            instrument=event.instrument,
            numbers={
                "size": terms.size_text(event.size),
                "value": f"{money_text(abs(event.value_micro))} {event.currency}",
                "kept": f"{money_text(event.fee_micro)} {event.currency}",
            },
        )
        table.moved(event.instrument, now_ns)
        for instrument in table.instruments:
            table.dirty[instrument] = True

    def _listed(self, event: RedemptionsListed, now_ns: int) -> None:
        """Book fundings and liquidations that were missed, before what else the listing holds.

        Names that are not remembered any more were booked: a listing reaches back to the last one.
        """
        known = self._table.ledger.state.payments
        oldest_ns = min(known.values()) if len(known) >= PAYMENTS_MAX else -1
        for paid in event.fundings:
            if paid.name not in known and paid.stamp_ns > oldest_ns:
                self._funded(paid, now_ns)
        for taken in event.liquidations:
            if taken.at_ns > oldest_ns:
                self._liquidated(taken, now_ns)
        self._payments_listed(event, now_ns)

    def _remember(self, payment: str, paid_ns: int) -> None:
        payments = self._table.ledger.state.payments
        payments[payment] = paid_ns
        if len(payments) > PAYMENTS_MAX:
            del payments[next(iter(payments))]

    def _foreign(self, event: CashMoved | FundingPaid | PositionLiquidated) -> bool:
        """Say whether cash is of another currency than the account's: an alert, not booked."""
        currency = self._table.ledger.state.currency
        if event.currency == currency:
            return False
        amount = event.value_micro if isinstance(event, PositionLiquidated) else event.amount_micro
        self._outbox.alert(
            Severity.WARNING,
            "foreign_currency",
            f"{money_text(amount)} {event.currency} moved on an account that "
            f"counts in {currency}; it is not booked",
            numbers={"moved": f"{money_text(amount)} {event.currency}"},
        )
        return True

    def _transferred(self, event: HoldingTransferred, now_ns: int) -> None:
        """Book what one owner gave another; both count it at its price from now on."""
        self._table.ledger.transfer(event, now_ns=now_ns)
        self._table.moved(event.instrument, now_ns)

    def _earned(self, event: CashMoved, now_ns: int) -> Mapping[BotId, int] | None:
        """Return by what weights owners share a payment: what of their orders rested, how long.

        Size times time of the post-only orders that are remembered, in the market it names or in
        all, since a day before it was paid. None = no such order is known.
        """
        if event.kind is CashKind.DEPOSIT:
            return None
        since_ns = (event.paid_ns or now_ns) - DAY_NS
        found: Counter[BotId] = Counter()
        for known in self._table.orders.values():
            order, ends_ns = known.order, known.changed_ns if known.state.ended else now_ns
            if order.post_only and event.instrument in (None, order.instrument):
                rested_ms = (ends_ns - max(order.created_ns, since_ns)) // MS
                found[order.bot] += order.size * max(0, rested_ms)
        return +found or None

    def _tokens_came(self, event: CashMoved, key: InstrumentId, leg: Leg, now_ns: int) -> None:
        """Shift by what their record says they are worth; else as soon as a book does."""
        worth = event.worth_micro
        if worth is msgspec.UNSET:  # of before it was kept: by the mark of now, if there is one
            worth = self.worth_micro(key, leg, event.tokens, now_ns)
        if worth is None:
            self._breakers.tokens_came(key, leg, event.tokens)
        else:
            self._breakers.cash_moved(worth)

    def worth_micro(self, key: InstrumentId, leg: Leg, tokens: int, now_ns: int) -> int | None:
        """Return what leaving tokens that are not held yet would bring; None = no book says it."""
        ledger = self._table.ledger
        terms = ledger.state.instruments[key]
        held = ledger.holding(key)
        alone = Holding(instrument=key)
        alone.leg(leg).settled = tokens
        if held.payout_yes_micro is not None:
            pays = payouts(alone, held.payout_yes_micro)
            unit: int = 10**terms.size_decimals
            return sum(of.settled * paid // unit for of, paid in pays)
        mark, age_ns = self._markets.marks.get(key), self._mark_age_ns_max()
        return exit_value_micro(alone, terms, mark, now_ns, age_ns) or None

    def marked(self, now_ns: int) -> None:
        """Shift by tokens that came before any book, where there is one now. Call before judging.

        Where no equity was ever judged, the first one contains them.
        """
        for came in self._breakers.unmarked:
            if came.instrument not in self._table.ledger.state.instruments:
                self._breakers.tokens_marked(came, 0)  # over and forgotten
                continue
            worth = self.worth_micro(came.instrument, came.leg, came.tokens, now_ns)
            if worth is not None:
                self._breakers.tokens_marked(came, worth)
