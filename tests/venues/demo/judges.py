"""Judges: what an outsider can compute from public events and reports, without the core's code.

A judge keeps its own books and its own wallets and compares them with what the exchange answers.
"""

from __future__ import annotations

from collections import defaultdict

from engine.domain.events import BookChanged, BookReplaced, InstrumentResolved, TradePrinted
from engine.domain.instruments import AccountId, Side
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import AnyReport, Filled, FillMoved, Redeemed
from engine.venues.demo.timeline import Stamped

Levels = dict[int, int]


class BookJudge:
    """Rebuilds every book from the public stream and condemns a crossed one."""

    def __init__(self) -> None:
        self.books: dict[str, tuple[Levels, Levels]] = {}
        self.traded: dict[str, int] = defaultdict(int)
        self.payouts: dict[str, int] = {}
        self.last_ns = 0

    def receive(self, events: list[Stamped]) -> None:
        for at_ns, event in events:
            assert at_ns >= self.last_ns, "public time ran backwards"
            self.last_ns = at_ns
            if isinstance(event, BookReplaced):
                self.books[event.instrument] = (dict(event.bids), dict(event.asks))
            elif isinstance(event, BookChanged):
                self._change(event)
            elif isinstance(event, TradePrinted):
                assert event.size
                self.traded[event.instrument] += event.size
            elif isinstance(event, InstrumentResolved):
                assert event.instrument not in self.payouts, "resolved twice"
                self.payouts[event.instrument] = event.payout_yes_micro

    def _change(self, event: BookChanged) -> None:
        bids, asks = self.books[event.instrument]
        for side, price, size in event.changes:
            levels = bids if side is Side.BUY else asks
            levels[price] = size
            if not size:
                del levels[price]
        if bids and asks:
            assert max(bids) < min(asks), f"{event.instrument} is crossed"

    def compare(self, made: DemoExchange) -> None:
        for name, market in made.order_entry.markets.items():
            bids, asks = market.book.depth()
            assert self.books[name] == (dict(bids), dict(asks))


class WalletJudge:
    """Keeps one customer's cash and tokens from its reports alone."""

    def __init__(self, cash_micro: int) -> None:
        self.cash = cash_micro
        self.tokens: dict[tuple[str, str], int] = defaultdict(int)
        self.fills: dict[str, Filled] = {}
        self.over: set[str] = set()
        self.bought = 0

    def receive(self, reports: list[tuple[int, AnyReport]]) -> None:
        for _, report in reports:
            if isinstance(report, Filled):
                assert report.id not in self.fills, "filled twice"
                self.fills[report.id] = report
                self._book(report, 1)
            elif isinstance(report, FillMoved) and report.state.value in ("confirmed", "failed"):
                assert report.id not in self.over, "ended twice"
                self.over.add(report.id)
                if report.state.value == "failed":
                    self._book(self.fills[report.id], -1)
            elif isinstance(report, Redeemed):
                self.tokens[report.instrument, "yes"] -= report.yes
                self.tokens[report.instrument, "no"] -= report.no
                self.cash += report.amount_micro

    def _book(self, fill: Filled, sign: int) -> None:
        worth = fill.price * fill.size
        assert worth % 10_000 == 0, "a match is not worth whole micros"
        direction = 1 if fill.side is Side.BUY else -1
        self.cash -= sign * (direction * worth // 10_000 + fill.fee_micro)
        self.tokens[fill.instrument, fill.leg.value] += sign * direction * fill.size

    def compare(self, made: DemoExchange, customer: AccountId) -> None:
        wallet = made.wallet(customer)
        assert wallet.cash + wallet.pending == self.cash
        owned = {
            (name, leg): tokens.settled + tokens.pending
            for leg, held in (("yes", wallet.yes), ("no", wallet.no))
            for name, tokens in held.items()
            if tokens.settled + tokens.pending
        }
        assert owned == {key: size for key, size in self.tokens.items() if size}
        assert 0 <= wallet.reserved <= wallet.cash
        assert all(size >= 0 for size in self.tokens.values())
