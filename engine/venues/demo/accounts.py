"""The exchange's own records of customers and markets."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque

import msgspec

from engine.domain.events import OperationState
from engine.domain.instruments import AccountId, Instrument, Kind
from engine.domain.orders import Identity
from engine.errors import BadInput
from engine.venues.demo.matching import MatchingBook
from engine.venues.demo.orders import (
    Converted,
    Fill,
    Funded,
    Liquidated,
    Redeemed,
    RestingOrder,
)

TAKER_RATE_PPM_MAX = 500_000
"""Below it a fee, rounded as it is, never exceeds the proceeds it is taken from."""

MARGIN_REPORTS_KEPT_MAX = 10_000
"""Fundings, and liquidations, of a customer that can still be asked for: a year of hourly ones."""

REDEMPTIONS_KEPT_MAX = 10_000
"""Redemptions of a customer that can still be asked for: months of a busy one."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the exchange asks of every order and customer, in nanoseconds."""

    gtd_min_ns: int = 180_000_000_000
    """Shortest accepted time to a GTD order's expiry."""
    gtd_early_ns: int = 60_000_000_000
    """How long before its expiry a GTD order is removed."""
    beat_timeout_ns: int = 10_000_000_000
    """Longest accepted time between two heartbeats of an armed key."""
    beat_check_ns: int = 5_000_000_000
    """How often heartbeats are checked."""
    ended_kept_max: int = 5_000
    """Ended orders remembered per customer, for questions and duplicates."""
    fills_kept_max: int = 20_000
    """Fills remembered per customer."""
    redeem_mined_ns: int = 2_000_000_000
    """From the request to redeem until its transaction is mined."""
    redeem_confirmed_ns: int = 2_000_000_000
    """From there until it is confirmed, and pays."""
    auto_redeem: bool = False
    """The exchange redeems for its customers, too, as soon as a market is resolved."""


class Account:
    """One customer: its orders, fills and armed heartbeats.

    Customers that do not listen (the crowd) are not remembered beyond their open orders.
    """

    __slots__ = (
        "asked_ns",
        "beats",
        "conversions",
        "ended",
        "fills",
        "fills_from_ns",
        "fundings",
        "id",
        "liquidations",
        "listening",
        "open",
        "operations",
        "redemptions",
    )

    def __init__(self, customer: AccountId, *, listening: bool) -> None:
        self.id = customer
        self.listening = listening
        self.asked_ns = 0
        """When it asked last; 0 = not since this exchange runs."""
        self.open: dict[Identity, RestingOrder] = {}
        self.ended: OrderedDict[Identity, RestingOrder] = OrderedDict()
        self.fills: list[Fill] = []
        self.fills_from_ns: int | None = None
        """Fills before this are forgotten; None = none are."""
        self.beats: dict[str, tuple[str, int]] = {}
        """Armed keys: (token the next beat must carry, time of the last beat)."""
        self.redemptions: deque[Redeemed] = deque(maxlen=REDEMPTIONS_KEPT_MAX)
        self.conversions: deque[Converted] = deque(maxlen=REDEMPTIONS_KEPT_MAX)
        self.fundings: deque[Funded] = deque(maxlen=MARGIN_REPORTS_KEPT_MAX)
        self.liquidations: deque[Liquidated] = deque(maxlen=MARGIN_REPORTS_KEPT_MAX)
        self.operations: dict[int, tuple[OperationState, str]] = {}
        """Operations of its wallet that ended: (how, what the chain calls it)."""

    def asks(self, now_ns: int) -> None:
        """Note a question: who asks is here."""
        self.asked_ns = now_ns

    def remember(self, order: RestingOrder, kept_max: int) -> None:
        """Move an order from the open ones to the ended ones, forgetting the oldest."""
        del self.open[order.identity]
        if not self.listening:
            return
        self.ended[order.identity] = order
        while len(self.ended) > kept_max:
            self.ended.popitem(last=False)

    def record(self, report: Funded | Liquidated) -> None:
        """Remember what margin did, for questions."""
        if not self.listening:
            return
        if isinstance(report, Funded):
            self.fundings.append(report)
        else:
            self.liquidations.append(report)

    def margin_reports(self, since_ns: int) -> tuple[list[Funded], list[Liquidated]]:
        """Return its fundings and liquidations since a time."""
        paid = [one for one in self.fundings if one.stamp_ns >= since_ns]
        return paid, [one for one in self.liquidations if one.at_ns >= since_ns]

    def over(self, operation: int, state: OperationState, name: str) -> None:
        """Remember how an operation of the wallet ended, forgetting the oldest."""
        self.operations[operation] = state, name
        if len(self.operations) > REDEMPTIONS_KEPT_MAX:
            del self.operations[next(iter(self.operations))]

    def log(self, fill: Fill, kept_max: int) -> None:
        """Remember a fill, forgetting the older half when there are too many."""
        if not self.listening:
            return
        self.fills.append(fill)
        if len(self.fills) > kept_max:
            half = len(self.fills) // 2
            self.fills_from_ns = self.fills[half].at_ns + 1
            del self.fills[:half]

    def fills_since(self, since_ns: int) -> list[Fill]:
        """Return the fills at or after a time. Raises BadInput where some are forgotten."""
        if self.fills_from_ns is not None and since_ns < self.fills_from_ns:
            raise BadInput(f"fills of {self.id} before {self.fills_from_ns} are no longer kept")
        return self.fills[bisect_left(self.fills, since_ns, key=lambda fill: fill.at_ns) :]


SPAN_NS = 300 * 1_000_000_000
DAY_SPANS = 288


class TradedVolume(msgspec.Struct, kw_only=True):
    """What one market traded, in micro-units of its currency: price times size of every trade."""

    total_micro: int = 0
    """Since the exchange counts: one that an older version began counts from its next start on."""
    spans: dict[int, int] = {}
    """By five minutes, of the last day."""

    def add(self, micro: int, now_ns: int) -> None:
        """Count a trade."""
        span, spans = now_ns // SPAN_NS, self.spans
        self.total_micro += micro
        spans[span] = spans.get(span, 0) + micro
        if len(spans) > DAY_SPANS:
            self.spans = {one: sum_micro for one, sum_micro in spans.items() if self._of(one, span)}

    def day_micro(self, now_ns: int) -> int:
        """Return what was traded in the last 24 h, to five minutes."""
        return sum(micro for one, micro in self.spans.items() if self._of(one, now_ns // SPAN_NS))

    @staticmethod
    def _of(span: int, now: int) -> bool:
        """Say whether five minutes are of the day that ends with others."""
        return span > now - DAY_SPANS


class ExchangeMarket:
    """One instrument, its book and where it stands between listing and payout."""

    __slots__ = (
        "accepting",
        "book",
        "chained",
        "divisor",
        "instrument",
        "kind",
        "margined",
        "one",
        "payout",
        "proof",
        "share",
        "traded",
    )

    def __init__(self, instrument: Instrument) -> None:
        divisor, fees = instrument.value_divisor, instrument.fees
        self.kind = instrument.kind
        self.chained = instrument.kind is Kind.BINARY
        """Its fills settle on a chain, and it resolves; those of others are final at once."""
        self.margined = instrument.kind is Kind.PERPETUAL
        """Its positions are signed and held against margin."""
        if not self.chained and not self.margined and instrument.kind is not Kind.SPOT:
            raise BadInput(
                f"{instrument.id}: the demo exchange trades binaries, spot pairs and perpetuals"
            )
        if self.margined and instrument.taker_delay_ns:
            raise BadInput(f"{instrument.id}: orders of a perpetual are never held back")
        # Every match must be worth a whole number of micro-units, or cash would leak by rounding.
        uneven = instrument.one % instrument.tick if self.chained else 0
        if instrument.tick * instrument.lot % divisor or uneven:
            raise BadInput(f"{instrument.id}: tick and lot do not multiply to whole micro-units")
        if fees.maker_rate_ppm and self.chained:
            raise BadInput(f"{instrument.id}: makers of a binary pay no fee on the demo exchange")
        if fees.taker_rate_ppm > TAKER_RATE_PPM_MAX:
            raise BadInput(f"{instrument.id}: a taker's fee must stay below what it trades for")
        if not 0 <= fees.maker_rate_ppm <= max(fees.taker_rate_ppm, 0):
            raise BadInput(f"{instrument.id}: a maker's fee is 0 up to the taker's")
        self.instrument = instrument
        self.book = MatchingBook()
        self.accepting = True
        self.payout: int | None = None
        """What one YES pays in micro-units; None = not resolved."""
        self.proof = ""
        """Where the strike comes from; empty = no strike is proven."""
        self.traded = TradedVolume()
        self.divisor = divisor
        self.one = instrument.one
        self.share = 10**instrument.size_decimals

    def maker_fee_micro(self, amount_micro: int) -> int:
        """Return a maker's fee in micro-units, rounded down.

        So the fees of an order's parts never exceed that of the whole, which is what it reserves.
        """
        return amount_micro * self.instrument.fees.maker_rate_ppm // 1_000_000

    def hold_micro(self, price: int, size: int) -> int:
        """Return what a resting purchase reserves: its cost and a maker's fee, in micro-units."""
        amount = price * size // self.divisor
        return amount + self.maker_fee_micro(amount)
