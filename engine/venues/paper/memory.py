"""What of the paper venue survives a restart, as bytes: never books, never queue positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from engine.domain.events import TokensRedeemed, VenueEvent
from engine.domain.instruments import AccountId, Instrument, Kind, Leg
from engine.domain.orders import Order, OrderState
from engine.errors import BadInput
from engine.venues.paper.account import Wallet
from engine.venues.paper.market import PaperMarket
from engine.venues.paper.matching import Matching, PaperAgenda, PaperDue
from engine.venues.paper.queue import QueuedOrder
from engine.venues.paper.records import FillRecord, PaperUnsettled

FORMAT = 1


class _Holding(msgspec.Struct, frozen=True, array_like=True):
    leg: Leg
    settled: int
    pending: int
    short_micro: int


class _Market(msgspec.Struct, frozen=True, array_like=True):
    instrument: Instrument
    closed: bool
    payout_yes_micro: int | None
    holdings: tuple[_Holding, ...]


class _Order(msgspec.Struct, frozen=True, array_like=True):
    order: Order
    remaining: int
    state: OrderState
    cash_held: int
    tokens_held: int


class _Memory(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    account: AccountId
    cash: dict[str, tuple[int, int, int]]
    """Per currency: settled, pending, blocked."""
    markets: tuple[_Market, ...]
    open: tuple[_Order, ...]
    ended: tuple[_Order, ...]
    forgotten_max: int
    fills: tuple[FillRecord, ...]
    fills_dropped_ns: int
    fill_count: int
    unsettled: tuple[PaperUnsettled, ...]
    undelivered: tuple[VenueEvent, ...]
    redemptions: tuple[TokensRedeemed, ...] = ()


_DECODER = msgspec.msgpack.Decoder(_Memory)


def dump(floor: Matching, undelivered: Iterable[VenueEvent]) -> bytes:
    """Return everything that must survive; `undelivered` happened but was not heard yet."""
    return msgspec.msgpack.encode(
        _Memory(
            format=FORMAT,
            account=floor.account,
            cash={name: (p.cash, p.pending, p.blocked) for name, p in floor.purses.items()},
            markets=tuple(_market(market) for market in floor.markets.values()),
            open=_orders(floor.open.values()),
            ended=_orders(floor.ended.values()),
            forgotten_max=floor.forgotten_max,
            fills=tuple(floor.fills),
            fills_dropped_ns=floor.fills_dropped_ns,
            fill_count=floor.fill_count,
            unsettled=tuple(floor.unsettled.values()),
            undelivered=tuple(undelivered),
            redemptions=tuple(floor.redemptions),
        )
    )


class Owned(NamedTuple):
    """What an account's own books say it holds in one instrument, everything settled."""

    instrument: Instrument
    payout_yes_micro: int | None
    """None = not resolved."""
    tokens: Mapping[Leg, int]
    """By leg; what is not a binary counts as YES."""


def rebuilt(
    account: AccountId,
    *,
    cash: Mapping[str, int],
    owned: Iterable[Owned],
    open_orders: Iterable[tuple[Order, int]],
    fill_count: int,
) -> bytes:
    """Return the memory of a venue whose process is gone, from the account's own books.

    `cash` in micro-units by currency; an open order comes with what of it may still fill. It stands
    nowhere and holds nothing: `PaperVenue.session_lost` must end it. Raises BadInput for a short,
    whose backing the books do not tell.
    """
    return msgspec.msgpack.encode(
        _Memory(
            format=FORMAT,
            account=account,
            cash={name: (micro, 0, 0) for name, micro in cash.items()},
            markets=tuple(_owned(one) for one in owned),
            open=tuple(
                _Order(order, remaining, OrderState.OPEN, 0, 0) for order, remaining in open_orders
            ),
            ended=(),
            forgotten_max=0,
            fills=(),
            fills_dropped_ns=-1,
            fill_count=fill_count,
            unsettled=(),
            undelivered=(),
        )
    )


def _owned(one: Owned) -> _Market:
    if min(one.tokens.values(), default=0) < 0:
        raise BadInput(
            f"{one.instrument.id}: a short cannot be brought back by a paper account; close it by "
            "an account of its own"
        )
    binary = one.instrument.kind is Kind.BINARY
    legs = (Leg.YES, Leg.NO) if binary else (Leg.BASE,)
    tokens = one.tokens if binary else {Leg.BASE: one.tokens[Leg.YES]}
    return _Market(
        instrument=one.instrument,
        closed=one.payout_yes_micro is not None,
        payout_yes_micro=one.payout_yes_micro,
        holdings=tuple(_Holding(leg, tokens[leg], 0, 0) for leg in legs),
    )


def load(floor: Matching, agenda: PaperAgenda, state: bytes) -> tuple[VenueEvent, ...]:
    """Fill an unused floor; return what was not heard yet. Raises BadInput where it cannot."""
    try:
        memory = _DECODER.decode(state)
    except msgspec.MsgspecError as problem:
        raise BadInput(f"the paper account's saved state cannot be read: {problem}") from problem
    if memory.format != FORMAT or memory.account != floor.account:
        raise BadInput(
            f"the saved state is of account {memory.account} in format {memory.format}, "
            f"not of {floor.account} in format {FORMAT}"
        )
    try:
        _fill(floor, agenda, memory)
    except KeyError as missing:
        raise BadInput(
            f"the paper account's saved state speaks of {missing} and does not hold it"
        ) from missing
    return memory.undelivered


def _fill(floor: Matching, agenda: PaperAgenda, memory: _Memory) -> None:
    floor.purses = {}
    for currency, (cash, pending, blocked) in memory.cash.items():
        purse = floor.purses[currency] = Wallet(cash)
        purse.pending, purse.blocked = pending, blocked
    for kept in memory.markets:
        floor.markets[kept.instrument.id] = _revived(kept, floor.purses[kept.instrument.currency])
    for saved in memory.ended:
        floor.ended[saved.order.id] = _resting(floor, saved)
    for saved in memory.open:
        floor.open[saved.order.id] = resting = _resting(floor, saved)
        floor.pocket(saved.order).hold_again(resting, saved.cash_held, saved.tokens_held)
    floor.forgotten_max = memory.forgotten_max
    floor.fills.extend(memory.fills)
    floor.fills_dropped_ns = memory.fills_dropped_ns
    floor.redemptions.extend(memory.redemptions)
    floor.fill_count = memory.fill_count
    for unsettled in memory.unsettled:
        floor.unsettled[unsettled.fill] = unsettled
        agenda.push(unsettled.due_ns, PaperDue.SETTLES, unsettled.fill)


def _resting(floor: Matching, saved: _Order) -> QueuedOrder:
    """Bring an order back; it stands nowhere in the book."""
    resting = QueuedOrder(saved.order, floor.markets[saved.order.instrument].instrument)
    resting.remaining, resting.state = saved.remaining, saved.state
    return resting


def _market(market: PaperMarket) -> _Market:
    return _Market(
        instrument=market.instrument,
        closed=market.closed,
        payout_yes_micro=market.payout_yes_micro,
        holdings=tuple(
            _Holding(leg, p.holding.settled, p.holding.pending, p.holding.short_micro)
            for leg, p in market.pockets.items()
        ),
    )


def _orders(resting: Iterable[QueuedOrder]) -> tuple[_Order, ...]:
    return tuple(_Order(r.order, r.remaining, r.state, r.cash_held, r.tokens_held) for r in resting)


def _revived(kept: _Market, purse: Wallet) -> PaperMarket:
    market = PaperMarket(kept.instrument, purse)
    market.closed = kept.closed
    market.payout_yes_micro = kept.payout_yes_micro
    for saved in kept.holdings:
        holding = market.pockets[saved.leg].holding
        holding.settled, holding.pending = saved.settled, saved.pending
        holding.short_micro = saved.short_micro
    return market
