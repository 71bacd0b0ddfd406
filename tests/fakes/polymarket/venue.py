"""The venue without its sockets: markets, accounts, time, and everything that is said."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from engine.domain.fills import FillState
from engine.domain.instruments import InstrumentId, Leg
from engine.domain.orders import Identity
from engine.errors import BadInput
from engine.venues.demo.orders import RestingOrder
from tests.fakes.polymarket.auth import Auth
from tests.fakes.polymarket.chain import Relayer
from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.exchange import VenueExchange
from tests.fakes.polymarket.faults import Faults
from tests.fakes.polymarket.heartbeat import Heartbeats
from tests.fakes.polymarket.ledger import VenueLedger
from tests.fakes.polymarket.limits import Limits
from tests.fakes.polymarket.listing import Listed, defaults, identify, instrument_of, ticks
from tests.fakes.polymarket.market_events import MarketPublisher
from tests.fakes.polymarket.refusal import BAD_TOKEN, NO_BOOK, NO_MARKET, Refused
from tests.fakes.polymarket.series import GameStarts
from tests.fakes.polymarket.settings import Settings
from tests.fakes.polymarket.user_events import UserPublisher

PublishMarket = Callable[[tuple[str, ...], dict[str, Any], bool], None]
PublishUser = Callable[[str, str, dict[str, Any]], None]


class Venue:
    """Call `pump` before a request and after it; frames go to `on_market` and `on_user`."""

    def __init__(
        self, settings: Settings, clock: Clock, markets: list[Listed] | None = None
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.exchange = VenueExchange(settings, clock.now_ns())
        self.auth = Auth(settings, clock)
        self.ledger = VenueLedger(self.exchange, settings)
        self.exchange.worker.customers = self.ledger.signers
        self.heartbeats = Heartbeats(self.exchange, settings)
        self.limits = Limits(settings)
        self.games = GameStarts(self.exchange)
        self.faults = Faults(settings)
        self.journal: deque[dict[str, Any]] = deque(maxlen=settings.journal_max)
        self.markets: dict[InstrumentId, Listed] = {}
        self.by_condition: dict[str, Listed] = {}
        self.on_market: list[PublishMarket] = []
        self.on_user: list[PublishUser] = []
        worker = self.exchange.worker
        self.market_publisher = MarketPublisher(worker, self.markets, settings, self._send_market)
        self.user_publisher = UserPublisher(
            self.exchange, self.ledger, self.markets, settings, self._send_user
        )
        self.books = self.market_publisher.books
        self._touched: set[InstrumentId] = set()
        self.narrowed: set[str] = set()
        """Markets whose tick became finer by themselves; only those become coarser again."""
        self.relayer = Relayer(self)
        self.post_only_until_ns = 0
        self.geoblock = {"blocked": False, "ip": "127.0.0.1", "country": "CH", "region": "ZH"}
        self.cdn: dict[str, tuple[int, dict[str, Any]]] = {}
        """Gamma's rows with their ages."""
        self.stale: dict[str, dict[str, Any]] = {}
        """What a fault keeps serving as a token's book."""
        for market in defaults(clock.now_ns()) if markets is None else markets:
            self.add(market)

    # -- markets -----------------------------------------------------------------------------------

    def add(self, market: Listed) -> Listed:
        """Open a market for trading."""
        identify(market, self.settings.seed, len(self.by_condition))
        self.markets[market.instrument] = market
        self.by_condition[market.condition] = market
        for token in market.tokens:
            self.ledger.tokens[token] = (market, market.leg(token))
        self.exchange.listing.add(instrument_of(market))
        self.games.watch(market)
        self.drain()
        return market

    def resolve(self, market: Listed, payout_yes_micro: int) -> None:
        """Close a market and pay it."""
        self.pump()
        market.closed_ns = self.exchange.now_ns
        self.exchange.listing.resolve(market.instrument, payout_yes_micro, "uma")
        self.drain()

    def change_tick(self, market: Listed, tick: str) -> None:
        """Change a market's grid; what rests off it is cancelled."""
        self.exchange.listing.change_tick(market.instrument, ticks(tick))

    def market(self, condition: str) -> Listed:
        """Return a market the CLOB knows. Raises Refused with 404."""
        found = self.by_condition.get(condition)
        if found is None or self.exchange.now_ns < found.hydrates_ns:
            raise Refused(NO_MARKET, 404)
        return found

    def token(self, token: str) -> tuple[Listed, Leg]:
        """Return whose token this is. Raises Refused: 400 for nonsense, 404 for a stranger."""
        if not (token.isascii() and token.isdigit()):
            raise Refused(BAD_TOKEN)
        found = self.ledger.tokens.get(token)
        if found is None or self.exchange.now_ns < found[0].hydrates_ns:
            raise Refused(NO_BOOK, 404)
        return found

    def accepting(self, market: Listed) -> bool:
        """Say whether a market takes orders."""
        listed = self.exchange.order_entry.markets.get(market.instrument)
        return listed is not None and listed.accepting

    # -- time --------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Let everything happen that is due, and say it."""
        now_ns = self.clock.now_ns()
        if now_ns > self.exchange.now_ns:
            self.exchange.advance(now_ns)
        self.drain()

    def drain(self) -> None:
        """Say what happened and was not said yet."""
        exchange = self.exchange
        while public := exchange.take_public():
            for at_ns, event in public:
                self.market_publisher.receive(event, at_ns)
                instrument = getattr(event, "instrument", None)
                if isinstance(instrument, str):
                    self._touched.add(InstrumentId(instrument))
            if self.settings.auto_tick:
                self._retick()
        for account in list(exchange.outbox.reports):
            for at_ns, report in exchange.take(account):
                self.user_publisher.report(account, report, at_ns)

    def _retick(self) -> None:
        for instrument in sorted(self._touched):
            market, wire = self.markets[instrument], self.books[instrument]
            if market.tick not in {"0.01", "0.001"} or not self.accepting(market):
                continue
            bid, ask = wire.book.best_bid, wire.book.best_ask
            known = [price for price in (bid, ask) if price is not None]
            if not known:
                continue
            middle = sum(known) / len(known)
            edge = middle > 9_600 or middle < 400
            if edge and market.tick == "0.01":
                self.change_tick(market, "0.001")
                self.narrowed.add(market.slug)
            elif not edge and market.slug in self.narrowed:
                self.change_tick(market, "0.01")
                self.narrowed.discard(market.slug)
        self._touched.clear()

    # -- saying ------------------------------------------------------------------------------------

    def _send_market(self, tokens: tuple[str, ...], frame: dict[str, Any], custom: bool) -> None:
        for publish in self.on_market:
            publish(tokens, frame, custom)

    def _send_user(self, key: str, condition: str, frame: dict[str, Any]) -> None:
        for publish in self.on_user:
            publish(key, condition, frame)

    # -- questions ---------------------------------------------------------------------------------

    def open_orders(self, signer: str) -> Iterator[RestingOrder]:
        """Give every live order of a signer's wallets."""
        for account in self.ledger.accounts_of(signer):
            yield from self.exchange.account(account).open.values()

    def find_order(self, signer: str, identity: Identity) -> tuple[RestingOrder | None, bool]:
        """Return a signer's order and whether it lives."""
        for account in self.ledger.accounts_of(signer):
            record = self.exchange.account(account)
            if (found := record.open.get(identity)) is not None:
                return found, True
            if (found := record.ended.get(identity)) is not None:
                return found, False
        return None, False

    def invariants(self) -> dict[str, Any]:
        """Return the ledger in sums with every rule that does not hold; empty = all hold."""
        sums = self.exchange.invariants()
        problems = list(sums.problems)
        for instrument, wire in self.books.items():
            market = self.exchange.order_entry.markets.get(instrument)
            if market is None:
                continue
            bids, asks = market.book.depth()
            served = (tuple(wire.book.bids.items()), tuple(wire.book.asks.items()))
            if sorted(bids) != sorted(served[0]) or sorted(asks) != sorted(served[1]):
                problems.append(f"{instrument}: the told book is not the matching book")
        problems += self._reserved_problems()
        counts = msgspec.to_builtins(sums)
        return {**counts, "problems": problems, "verified": self.auth.verified}

    def _reserved_problems(self) -> list[str]:
        """Compare what wallets reserve with what their open orders need."""
        found = []
        for account, wallet in self.exchange.order_entry.ledger.wallets.items():
            needed = 0
            for order in self.exchange.account(account).open.values():
                market = self.exchange.order_entry.markets[order.instrument]
                if order.side.value == "buy":
                    plain = order.price * order.remaining // market.divisor
                    needed += order.held_micro or plain
            if needed != wallet.reserved:
                found.append(f"{account}: reserves {wallet.reserved}, its orders need {needed}")
        return found

    def settle_next(self, states: list[str], *, customers: bool = False) -> None:
        """Force the ends of the next transactions, or of the customers' own, by name."""
        worker = self.exchange.worker
        forced = worker.forced_customers if customers else worker.forced
        try:
            forced += [FillState(state.lower()) for state in states]
        except ValueError as error:
            raise BadInput(str(error)) from error
