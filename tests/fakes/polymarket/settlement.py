"""Trades as the venue tells them: buckets of one transaction, and how far each is settled.

The demo exchange's settlement worker decides the fate (MATCHED → MINED → CONFIRMED, RETRYING,
FAILED); here its transactions become trade rows with ids, hashes and times.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Container
from hashlib import sha256
from random import Random
from uuid import UUID

import msgspec

from engine.domain.events import Event
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import InstrumentId
from engine.domain.orders import Identity
from engine.venues.demo.clearing import Settlement, SettlementRules, Transaction
from engine.venues.demo.orders import Fill
from engine.venues.demo.timeline import ExchangeOutbox, Timeline
from tests.fakes.polymarket.settings import Settings

TRADES_MAX = 200_000
MS = 1_000_000


class Trade(msgspec.Struct, kw_only=True, gc=False):
    """One trade row: the taker's side of one level and the maker orders it met."""

    id: str
    bucket: int
    instrument: InstrumentId
    taker: list[Fill]
    makers: list[Fill]
    at_ns: int
    moved_ns: int
    limit: int
    """The taker's own price, which the venue writes as the row's."""
    attempt: int = 0
    watched: bool = True

    @property
    def size(self) -> int:
        """Return its size in 1e-6 share."""
        return sum(fill.size for fill in self.taker)

    @property
    def state(self) -> FillState:
        """Return how far it is settled; every side shares one fate."""
        return self.taker[0].state

    @property
    def tx_hash(self) -> str:
        """Return the transaction's hash; a retry has another one, an unmined trade none."""
        if self.state in {FillState.MATCHED, FillState.RETRYING, FillState.FAILED}:
            return ""
        # Buckets of one taker order travel in one transaction.
        return "0x" + sha256(f"{self.taker[0].identity}/{self.attempt}".encode()).hexdigest()


class TradeOpened(Event, frozen=True, kw_only=True):
    """The exchange matched; the trades it became."""

    instrument: InstrumentId
    trades: tuple[str, ...]


class SettlementWorker(Settlement):
    """The demo exchange's worker, with an ear for every transaction."""

    __slots__ = (
        "_outbox",
        "_seed",
        "_settings",
        "by_fill",
        "customers",
        "ends",
        "forced_customers",
        "limits",
        "tape",
        "trades",
    )

    def __init__(
        self, settings: Settings, rng: Random, timeline: Timeline, outbox: ExchangeOutbox
    ) -> None:
        super().__init__(_rules(settings), rng, timeline)
        self._settings = settings
        self._outbox = outbox
        self._seed = settings.seed
        self.trades: OrderedDict[str, Trade] = OrderedDict()
        self.by_fill: dict[FillId, Trade] = {}
        self.limits: OrderedDict[Identity, int] = OrderedDict()
        """Prices of orders as they were handed in."""
        self.customers: Container[str] = ()
        """Wallets of those who trade through the front; everybody else is the crowd."""
        self.forced_customers: list[FillState] = []
        """Ends of the customers' next transactions: in a busy crowd `forced` hardly meets one."""
        self.ends: Counter[FillState] = Counter()
        """How many fills of customers ended how."""

    def reread(self) -> None:
        """Take changed latencies and chances."""
        self._rules = _rules(self._settings)

    def open(self, number: int, fills: list[Fill], *, watched: bool) -> None:
        """Begin to settle, and make the trade rows."""
        if self.forced_customers and any(fill.customer in self.customers for fill in fills):
            self.forced.insert(0, self.forced_customers.pop(0))
        super().open(number, fills, watched=watched)
        trades = [
            self._trade(number, bucket, pairs, watched=watched)
            for bucket, pairs in enumerate(self._buckets(fills))
        ]
        event = TradeOpened(
            instrument=fills[0].instrument, trades=tuple(trade.id for trade in trades)
        )
        self._outbox.publish(event)
        while len(self.trades) > TRADES_MAX:
            _, old = self.trades.popitem(last=False)
            for fill in (*old.taker, *old.makers):
                self.by_fill.pop(fill.id, None)

    def step(self, number: int) -> tuple[Transaction, FillState]:
        """Move a transaction on, and its trades with it."""
        transaction, state = super().step(number)
        if not transaction.path:
            self.ends[state] += sum(fill.customer in self.customers for fill in transaction.fills)
        for fill in transaction.fills[::2]:
            trade = self.by_fill.get(fill.id)
            if trade is not None:
                trade.moved_ns = self._timeline.now_ns
                if state is FillState.RETRYING and fill is trade.taker[0]:
                    trade.attempt += 1
        return transaction, state

    def limit(self, order: Identity, price: int) -> None:
        """Remember an order's own price."""
        self.limits[order] = price
        if len(self.limits) > TRADES_MAX:
            self.limits.popitem(last=False)

    def failing(self) -> list[str]:
        """Return the trades of customers that are still to fail."""
        return [
            self.by_fill[fill.id].id
            for transaction in self.pending.values()
            for fill in transaction.fills
            if transaction.path[-1][1] is FillState.FAILED and fill.customer in self.customers
        ]

    def _buckets(self, fills: list[Fill]) -> list[list[tuple[Fill, Fill]]]:
        """Group (taker, maker) pairs: one price per bucket, not too many makers.

        With `mixed_buckets` one trade tells several prices.
        """
        most = self._settings.bucket_makers_max
        buckets: list[list[tuple[Fill, Fill]]] = []
        for pair in zip(fills[::2], fills[1::2], strict=True):
            last = buckets[-1] if buckets else []
            alike = last and last[0][0].price == pair[0].price
            if last and (alike or self._settings.quirks.mixed_buckets) and len(last) < most:
                last.append(pair)
            else:
                buckets.append([pair])
        return buckets

    def _trade(
        self, number: int, bucket: int, pairs: list[tuple[Fill, Fill]], *, watched: bool
    ) -> Trade:
        root = sha256(f"{self._seed}/trade/{number}/{bucket}".encode()).digest()
        now_ns = self._timeline.now_ns
        trade = Trade(
            id=str(UUID(bytes=root[:16], version=4)),
            bucket=bucket,
            instrument=pairs[0][0].instrument,
            taker=[taker for taker, _ in pairs],
            makers=[maker for _, maker in pairs],
            at_ns=now_ns,
            moved_ns=now_ns,
            limit=self.limits.get(pairs[0][0].identity, pairs[0][0].price),
            watched=watched,
        )
        self.trades[trade.id] = trade
        for fill in (*trade.taker, *trade.makers):
            self.by_fill[fill.id] = trade
        return trade


def _rules(settings: Settings) -> SettlementRules:
    return SettlementRules(
        mined_ns=_span(settings.mined_ms),
        confirmed_ns=_span(settings.confirmed_ms),
        retry_ppm=settings.retry_ppm,
        fail_ppm=settings.fail_ppm,
    )


def _span(span_ms: tuple[int, int]) -> tuple[int, int]:
    return span_ms[0] * MS, span_ms[1] * MS
