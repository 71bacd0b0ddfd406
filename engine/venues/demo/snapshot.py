"""The whole exchange as bytes, so that it outlives its host: `encode_state`, `restore_state`.

Everything that decides what happens next is in it: books, wallets, timers, the generators, the
actors, and the events not yet taken. Who restores must have built it with the same actors.
"""

from __future__ import annotations

from collections import OrderedDict
from random import Random

import msgspec

from engine.domain.events import MarketEvent, OperationState, VenueMode
from engine.domain.fills import FillState
from engine.domain.instruments import AccountId, Instrument, InstrumentId
from engine.domain.products.position import SignedPosition
from engine.errors import BadInput
from engine.venues.demo.accounts import Account, ExchangeMarket, TradedVolume
from engine.venues.demo.clearing import RedeemTransaction, Transaction
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.ledger import ExchangeWallet
from engine.venues.demo.margin_ledger import FUND, WorkingSizes
from engine.venues.demo.orders import (
    AnyReport,
    Converted,
    Fill,
    Funded,
    Liquidated,
    Redeemed,
    RestingOrder,
)

VERSION = 1


class RngState(msgspec.Struct, frozen=True):
    """A Mersenne Twister's state, as `random.Random.getstate` gives it."""

    version: int
    words: tuple[int, ...]
    gauss: float | None


class AccountState(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's record; its open orders are among the exchange's."""

    id: AccountId
    listening: bool
    ended: list[RestingOrder]
    fills: list[Fill]
    fills_from_ns: int | None
    beats: dict[str, tuple[str, int]]
    redemptions: list[Redeemed] = []
    conversions: list[Converted] = []
    operations: dict[int, tuple[OperationState, str]] = {}
    fundings: list[Funded] = []
    liquidations: list[Liquidated] = []


class MarginState(msgspec.Struct, frozen=True, kw_only=True):
    """A margin account; its cash is its wallet's."""

    leverage: int
    positions: dict[InstrumentId, SignedPosition]
    working: dict[InstrumentId, WorkingSizes]


class MarginsState(msgspec.Struct, frozen=True, kw_only=True):
    """All of the margin desk."""

    marks_e8: dict[InstrumentId, int] = {}
    accounts: dict[AccountId, MarginState] = {}
    fund_micro: int = 0
    fees_micro: int = 0
    funded: list[str] = []
    liquidation_count: int = 0


class MarketSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A market; its resting orders are among the exchange's."""

    instrument: Instrument
    accepting: bool
    payout: int | None
    proof: str
    turn: int
    traded: TradedVolume = msgspec.field(default_factory=TradedVolume)


class ExchangeSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything."""

    version: int
    now_ns: int
    sequence: int
    timers: list[tuple[int, int, int, str, int]]
    mode: VenueMode
    counts: tuple[int, int, int, int, int, int]
    """Orders, trades, transactions, self-trades, heartbeats, published events."""
    settlement_rng: RngState
    forced: list[FillState]
    accounts: list[AccountState]
    markets: list[MarketSnapshot]
    orders: list[RestingOrder]
    wallets: dict[AccountId, ExchangeWallet]
    collateral: dict[InstrumentId, int]
    fees_micro: int
    deposits_micro: int
    base_deposits: dict[InstrumentId, int] = {}
    transactions: list[Transaction]
    redeeming: list[RedeemTransaction] = []
    redeem_count: int = 0
    margins: MarginsState = MarginsState()
    public: list[tuple[int, MarketEvent]]
    reports: dict[AccountId, list[tuple[int, AnyReport]]]
    actors: dict[str, bytes]


def rng_state(rng: Random) -> RngState:
    version, words, gauss = rng.getstate()
    return RngState(version, words, gauss)


def set_rng(rng: Random, state: RngState) -> None:
    """Put a generator back where it was."""
    rng.setstate((state.version, state.words, state.gauss))


def encode_state(exchange: DemoExchange) -> bytes:
    """Return the exchange as bytes. The same exchange gives the same bytes."""
    order_entry, clearing, outbox = exchange.order_entry, exchange.clearing, exchange.outbox
    ledger = order_entry.ledger
    snapshot = ExchangeSnapshot(
        version=VERSION,
        now_ns=exchange.timeline.now_ns,
        sequence=exchange.timeline.sequence,
        timers=exchange.timeline.timers,
        mode=exchange.guard.mode,
        counts=(
            order_entry.order_count,
            clearing.trade_count,
            clearing.transaction_count,
            clearing.self_trades,
            exchange.guard.heartbeat_count,
            outbox.published,
        ),
        settlement_rng=rng_state(exchange.settlement_rng),
        forced=exchange.settlement.forced,
        accounts=[_account_state(account) for account in order_entry.accounts.values()],
        markets=[_market_state(market) for market in order_entry.markets.values()],
        orders=list(order_entry.orders.values()),
        wallets=ledger.wallets,
        collateral=ledger.collateral,
        fees_micro=ledger.fees_micro,
        deposits_micro=ledger.deposits_micro,
        base_deposits=ledger.base_deposits,
        transactions=list(exchange.settlement.pending.values()),
        redeeming=list(clearing.redeeming.pending.values()),
        redeem_count=clearing.redeeming.count,
        margins=_margins_state(exchange),
        public=outbox.public,  # type: ignore[arg-type]  # only market events are published
        reports=outbox.reports,
        actors={name: actor.state() for name, actor in exchange.actors.items()},
    )
    return msgspec.msgpack.encode(snapshot)


def of_older_form(state: bytes) -> bool:
    """Say whether a version wrote it that lacked some of what is kept today. Raises BadInput."""
    return msgspec.msgpack.encode(_read(state)) != state


def _read(state: bytes) -> ExchangeSnapshot:
    try:
        return msgspec.msgpack.decode(state, type=ExchangeSnapshot)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadInput(f"the demo exchange's state cannot be read: {error}") from error


def restore_state(exchange: DemoExchange, state: bytes) -> None:
    """Make the exchange what `encode_state` saw. Raises BadInput where the bytes do not fit it.

    Actors the state lacks are in `unbegun`: the host begins them.
    """
    snapshot = _read(state)
    exchange.unbegun[:] = [name for name in exchange.begins if name not in snapshot.actors]
    actors = {*snapshot.actors, *exchange.unbegun}
    if snapshot.version != VERSION or actors != set(exchange.actors):
        raise BadInput("the demo exchange's state belongs to another version or another world")
    timeline = exchange.timeline
    timeline.now_ns, timeline.sequence = snapshot.now_ns, snapshot.sequence
    timeline.timers = snapshot.timers
    exchange.guard.mode = snapshot.mode
    counts = snapshot.counts
    exchange.order_entry.order_count = counts[0]
    exchange.clearing.trade_count, exchange.clearing.transaction_count = counts[1:3]
    exchange.clearing.self_trades, exchange.guard.heartbeat_count = counts[3:5]
    exchange.outbox.published = counts[5]
    exchange.outbox.public = list(snapshot.public)
    exchange.outbox.reports = snapshot.reports
    set_rng(exchange.settlement_rng, snapshot.settlement_rng)
    _restore_ledger(exchange, snapshot)
    _restore_margins(exchange, snapshot)
    _restore_accounts(exchange, snapshot)
    _restore_markets(exchange, snapshot)
    for name, actor in exchange.actors.items():
        if name in snapshot.actors:
            actor.restore(snapshot.actors[name])


def _account_state(account: Account) -> AccountState:
    return AccountState(
        id=account.id,
        listening=account.listening,
        ended=list(account.ended.values()),
        fills=account.fills,
        fills_from_ns=account.fills_from_ns,
        beats=account.beats,
        redemptions=list(account.redemptions),
        conversions=list(account.conversions),
        operations=account.operations,
        fundings=list(account.fundings),
        liquidations=list(account.liquidations),
    )


def _margins_state(exchange: DemoExchange) -> MarginsState:
    desk = exchange.order_entry.margins
    ledger = desk.ledger
    return MarginsState(
        marks_e8={key: one.mark_e8 for key, one in ledger.perpetuals.items()},
        accounts={
            name: MarginState(leverage=one.leverage, positions=one.positions, working=one.working)
            for name, one in ledger.accounts.items()
        },
        fund_micro=ledger.accounts[FUND].balance,
        fees_micro=ledger.fees_micro,
        funded=list(ledger.funded),
        liquidation_count=desk.liquidation_count,
    )


def _restore_margins(exchange: DemoExchange, snapshot: ExchangeSnapshot) -> None:
    """Put margin accounts onto their wallets again; the perpetuals are among the markets."""
    desk, state = exchange.order_entry.margins, snapshot.margins
    ledger = desk.ledger
    for market in snapshot.markets:
        if (mark_e8 := state.marks_e8.get(market.instrument.id)) is not None:
            desk.add(market.instrument, mark_e8)
    ledger.accounts[FUND].balance = state.fund_micro
    for name, saved in state.accounts.items():
        if name != FUND:
            ledger.open(name, snapshot.wallets[name], saved.leverage)
        account = ledger.accounts[name]
        account.positions, account.working = saved.positions, saved.working
    ledger.fees_micro = state.fees_micro
    ledger.funded = dict.fromkeys(state.funded)
    desk.liquidation_count = state.liquidation_count


def _market_state(market: ExchangeMarket) -> MarketSnapshot:
    return MarketSnapshot(
        instrument=market.instrument,
        accepting=market.accepting,
        payout=market.payout,
        proof=market.proof,
        turn=market.book.turn,
        traded=market.traded,
    )


def _restore_ledger(exchange: DemoExchange, snapshot: ExchangeSnapshot) -> None:
    ledger = exchange.order_entry.ledger
    ledger.wallets = snapshot.wallets
    ledger.collateral = snapshot.collateral
    ledger.fees_micro = snapshot.fees_micro
    ledger.deposits_micro = snapshot.deposits_micro
    ledger.base_deposits.update(snapshot.base_deposits)
    # A fill under way and the same fill in its customer's log are one object again.
    logged = {fill.id: fill for account in snapshot.accounts for fill in account.fills}
    for transaction in snapshot.transactions:
        transaction.fills = [logged.get(fill.id, fill) for fill in transaction.fills]
    exchange.settlement.pending = {item.number: item for item in snapshot.transactions}
    exchange.settlement.forced = snapshot.forced
    redeeming = exchange.clearing.redeeming
    redeeming.pending = {item.number: item for item in snapshot.redeeming}
    redeeming.count = snapshot.redeem_count


def _restore_accounts(exchange: DemoExchange, snapshot: ExchangeSnapshot) -> None:
    accounts = exchange.order_entry.accounts
    accounts.clear()
    for state in snapshot.accounts:
        account = accounts[state.id] = Account(state.id, listening=state.listening)
        account.ended = OrderedDict((order.identity, order) for order in state.ended)
        account.fills = state.fills
        account.fills_from_ns = state.fills_from_ns
        account.beats = state.beats
        account.redemptions.extend(state.redemptions)
        account.conversions.extend(state.conversions)
        account.operations = state.operations
        account.fundings.extend(state.fundings)
        account.liquidations.extend(state.liquidations)
    orders = exchange.order_entry.orders
    orders.clear()
    orders.update((order.number, order) for order in snapshot.orders)
    for order in snapshot.orders:
        accounts[order.customer].open[order.identity] = order


def _restore_markets(exchange: DemoExchange, snapshot: ExchangeSnapshot) -> None:
    markets = exchange.order_entry.markets
    markets.clear()
    resting: dict[InstrumentId, list[RestingOrder]] = {}
    for order in sorted(snapshot.orders, key=lambda order: order.priority):
        if order.priority:
            resting.setdefault(order.instrument, []).append(order)
    for state in snapshot.markets:
        market = markets[state.instrument.id] = ExchangeMarket(state.instrument)
        market.accepting = state.accepting
        market.payout = state.payout
        market.proof = state.proof
        market.traded = state.traded
        market.book.load(resting.get(state.instrument.id, []), state.turn)
