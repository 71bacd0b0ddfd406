"""Perpetuals: what is held long or short moves cash by what it gains, and by nothing else."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.commands import PlaceManual
from engine.domain.events import BookMarked, HoldingTransferred
from engine.domain.fills import FillState
from engine.domain.instruments import MANUAL, BotId, InstrumentId, Kind, Leg, Side
from engine.domain.intents import Target, Urgency
from engine.domain.orders import OrderId
from engine.domain.perpetual_events import MarkPriced
from engine.domain.products.margin import MarginTier, Measure, tier_table
from engine.domain.products.perpetual import MarginTerms
from engine.domain.settings import Limit
from engine.executor.executor import ExecutorSettings
from engine.executor.halts import EQUITY
from engine.executor.ledger import Ledger, LedgerState
from engine.executor.manual import ManualRefused
from engine.live.lifecycle import ledger_side
from tests.executor.conftest import ACCOUNT, BOT, LIMITS, Build, Rig, orders

TIERS = tier_table(Measure.VALUE, [MarginTier(0, 10**15, 4_000, 125)])
FULL = Build().spot("venue:BTC/USD:USD", kind=Kind.PERPETUAL)
PERPETUAL = msgspec.structs.replace(FULL, margin=MarginTerms(leverage=10, tiers=TIERS))
DIVISOR = FULL.value_divisor
OWNERS = (BOT, BotId("other"), MANUAL)
CASH = 10**15


class Trade(NamedTuple):
    """One fill, or what one owner gives another (`to` is not empty)."""

    owner: BotId
    side: Side
    price: int
    size: int
    fee: int
    void: bool
    to: str


trades = st.builds(
    Trade, st.sampled_from(OWNERS), st.sampled_from(Side), st.integers(1, 10**7),
    st.integers(1, 5_000), st.integers(-50, 500), st.booleans(), st.sampled_from(("", *OWNERS)),
)  # fmt: skip


class Books:
    """A ledger beside what its fills come to in fractions."""

    def __init__(self) -> None:
        self.build, self.ledger = Build(), Ledger(currency="USD")
        self.ledger.listed(PERPETUAL)
        self.ledger.move_cash(CASH)
        self.flow = self.fees = self.net = 0
        self.sizes = dict.fromkeys(OWNERS, 0)

    def take(self, number: int, trade: Trade) -> None:
        held = self.ledger.owned(PERPETUAL.id, trade.owner).position
        if trade.to and trade.to != trade.owner and held:
            self._transfer(trade, BotId(trade.to), held)
        elif not trade.to:
            self._fill(number, trade)
        self.ledger.check()

    def _transfer(self, trade: Trade, to: BotId, held: int) -> None:
        size = min(trade.size, abs(held))
        sign = 1 if held > 0 else -1
        self.ledger.transfer(
            HoldingTransferred(
                account=ACCOUNT,
                instrument=PERPETUAL.id,
                leg=Leg.BASE,
                size=size,
                price=trade.price,
                from_owner=trade.owner,
                to_owner=to,
                who="ann",
            )
        )
        self.sizes[trade.owner] -= sign * size
        self.sizes[to] += sign * size

    def _fill(self, number: int, trade: Trade) -> None:
        order = self.build.order(
            number, instrument=PERPETUAL.id, leg=Leg.BASE, side=trade.side, price=trade.price,
            size=trade.size, bot=trade.owner,
        )  # fmt: skip
        event = self.build.filled(
            number, f"f{number}", price=trade.price, size=trade.size, fee_micro=trade.fee
        )
        self.ledger.book(order, event)
        if trade.void:
            self.ledger.advance(event.fill, FillState.FAILED)
            return
        self.ledger.advance(event.fill, FillState.CONFIRMED)
        sign = 1 if trade.side is Side.BUY else -1
        moved = event.moved_micro(PERPETUAL, trade.side)
        self.flow += sign * moved
        self.fees += trade.fee
        self.sizes[trade.owner] += sign * trade.size


def marked(price: int) -> dict[InstrumentId, BookMarked]:
    mark = BookMarked(
        instrument=PERPETUAL.id, best_bid=price, best_ask=price, mid2=2 * price, two_sided_ns=0,
        proof_ns=0, trusted=True,
    )  # fmt: skip
    return {PERPETUAL.id: mark}


@given(st.lists(trades, max_size=25), st.integers(1, 10**7))
def test_positions_are_the_sum_of_fills_and_equity_is_what_they_are_worth_at_the_mark(
    given_trades: list[Trade], price: int
) -> None:
    books = Books()
    for number, trade in enumerate(given_trades, 1):
        books.take(number, trade)
    state, ledger = books.ledger.state, books.ledger
    found = {owner: ledger.owned(PERPETUAL.id, owner).position for owner in OWNERS}
    assert found == books.sizes
    assert ledger.holding(PERPETUAL.id).position == sum(found.values())
    worth = sum(size * price // DIVISOR for size in found.values())
    equity = CASH - books.flow - books.fees + worth
    assert ledger.shown_equity_micro(marked(price)) == equity
    assert ledger.equity_micro(marked(price), now_ns=0, mark_age_ns_max=1) == equity
    made = state.realised_micro + sum(
        held.position * price // DIVISOR - held.yes.cost_settled_micro
        for held in ledger.holders(PERPETUAL.id).values()
    )
    assert CASH + made - books.fees == equity, "owners' gains sum to the account's at one mark"
    if not any(found.values()):
        assert state.cash_settled_micro == equity
        assert (state.margin_micro, state.cash_reserved_micro) == (0, 0)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=LedgerState)
    ledger.restore(again)
    assert ledger.shown_equity_micro(marked(price)) == equity


@pytest.mark.long
@given(st.lists(trades, max_size=12))
def test_the_venue_nets_owners_so_cash_is_what_one_position_would_have_realised(
    given_trades: list[Trade],
) -> None:
    books = Books()
    for number, trade in enumerate(given_trades, 1):
        books.take(number, trade)
    netted = books.ledger.state.netted.get(PERPETUAL.id)
    if netted is None:
        return
    assert netted.size == sum(books.sizes.values())
    cash = books.ledger.state.cash_settled_micro
    assert cash - netted.cost == CASH - books.flow - books.fees


def test_a_short_without_a_mark_is_no_gain() -> None:
    books = Books()
    books.take(1, Trade(BOT, Side.SELL, 7_000_000, 1_000, 0, False, ""))
    assert books.ledger.equity_micro({}, now_ns=0, mark_age_ns_max=1) == CASH - 70_000_000


def mark(rig: Rig, bid: int, ask: int) -> BookMarked:
    return rig.mark(PERPETUAL.id, best_bid=bid, best_ask=ask, mid2=bid + ask)


def want(rig: Rig, position: int, limit: int) -> list[Any]:
    target = Target(
        bot=BOT, instrument=PERPETUAL.id, position=position, limit_price=limit,
        urgency=Urgency.CROSS, valid_until_ns=rig.now + 10**12,
    )  # fmt: skip
    at = 7_000_000 * 10**8 // PERPETUAL.price_unit
    rig.feed(MarkPriced(instrument=PERPETUAL.id, mark_e8=at))
    return orders(rig.feed(mark(rig, 6_999_900, 7_000_100), target))


def test_a_target_is_denied_while_the_mark_is_not_known(desk: Rig) -> None:
    target = Target(
        bot=BOT, instrument=PERPETUAL.id, position=-1_000, limit_price=6_990_000,
        urgency=Urgency.CROSS, valid_until_ns=desk.now + 10**12,
    )  # fmt: skip
    assert orders(desk.feed(mark(desk, 6_999_900, 7_000_100), target)) == []
    assert [*desk.executor.planning.denials] == ["liquidation_buffer"]
    desk.feed(MarkPriced(instrument=PERPETUAL.id, mark_e8=70_000 * 10**8))
    assert len(orders(desk.feed(mark(desk, 6_999_900, 7_000_100), target))) == 1


def filled(rig: Rig, order: Any, price: int) -> None:
    rig.open(order.id)
    rig.feed(
        rig.build.filled(
            order.id, f"f{order.id}", price=price, size=order.size, state=FillState.CONFIRMED
        )
    )


@pytest.fixture
def desk() -> Rig:
    return Rig(instruments=(PERPETUAL,), cash=10)


def test_a_target_below_zero_sells_what_is_not_held_for_its_margin(desk: Rig) -> None:
    (order,) = want(desk, -1_000, 6_990_000)
    assert (order.side, order.leg, order.size) == (Side.SELL, Leg.BASE, 1_000)
    state = desk.executor.ledger.state
    assert state.cash_reserved_micro == 6_990_000 + 69_900, "a tenth of the value, and the fee"
    filled(desk, order, 7_000_000)
    assert state.cash_settled_micro == 10_000_000
    assert (state.cash_reserved_micro, state.margin_micro) == (7_000_000, 7_000_000)
    assert desk.executor.ledger.owned(PERPETUAL.id, BOT).average_price(PERPETUAL) == 7_000_000
    assert desk.gate.exposure.instrument_micro(PERPETUAL.id) == 70_000_000


def test_what_closes_needs_no_free_cash_and_what_flips_only_its_own_margin(desk: Rig) -> None:
    (order,) = want(desk, -1_400, 6_990_000)
    filled(desk, order, 7_000_000)
    assert desk.executor.ledger.cash_free_micro == 200_000
    (order,) = want(desk, 0, 7_010_000)
    assert (order.side, order.size) == (Side.BUY, 1_400)
    filled(desk, order, 7_000_000)
    (order,) = want(desk, 500, 7_010_000)
    filled(desk, order, 7_000_000)
    (order,) = want(desk, -700, 6_990_000)
    assert (order.side, order.size) == (Side.SELL, 1_200)
    reserved = desk.executor.ledger.state.reservations[OrderId(order.id)]
    assert (reserved.tokens, reserved.cash_micro) == (500, 4_893_000 + 48_930)


def test_what_free_cash_does_not_pay_for_is_left(desk: Rig) -> None:
    (order,) = want(desk, 10_000, 7_010_000)
    cost = Fraction(7_010_000 * order.size, DIVISOR) * Fraction(11, 100) * Fraction(10, 11)
    assert order.size < 10_000
    assert cost <= 10_000_000
    assert desk.executor.ledger.cash_free_micro >= 0


def test_a_death_finds_long_and_short_as_they_were(desk: Rig) -> None:
    (order,) = want(desk, -1_000, 6_990_000)
    filled(desk, order, 7_000_000)
    snapshot = desk.executor.snapshot()
    other = Rig(instruments=(PERPETUAL,), cash=0, empty=True, settings=ExecutorSettings())
    other.executor.restore(snapshot)
    state = other.executor.ledger.state
    assert other.executor.ledger.owned(PERPETUAL.id, BOT).position == -1_000
    assert (state.margin_micro, state.netted[PERPETUAL.id].size) == (7_000_000, -1_000)
    assert other.gate.exposure.instrument_micro(PERPETUAL.id) == 70_000_000


def test_a_short_sold_at_any_price_counts_at_the_bid_it_meets(desk: Rig) -> None:
    """Its limit is a cent: counted at that it would need no margin and be no risk."""
    (order,) = want(desk, -10_000, 1)
    needs = Fraction(6_999_900 * order.size, DIVISOR) * Fraction(101, 1000)
    assert (order.price, order.size) == (1, 1_410)
    assert needs <= 10_000_000
    tight = LIMITS.model_copy(update={"exposure_instrument_max": Limit(absolute=35)})
    limited = Rig(instruments=(PERPETUAL,), cash=1_000, limits=tight)
    (order,) = want(limited, -10_000, 1)
    assert order.size * 6_999_900 // DIVISOR <= 35_000_000
    by_hand = PlaceManual(
        account=ACCOUNT, instrument=PERPETUAL.id, leg=Leg.BASE, side=Side.SELL, price=1,
        size=10_000, urgency=Urgency.CROSS,
    )  # fmt: skip
    poor = Rig(instruments=(PERPETUAL,), cash=10)
    poor.feed(mark(poor, 6_999_900, 7_000_100))
    _, refused = poor.executor.place(by_hand, poor.now)
    assert isinstance(refused, ManualRefused)
    assert refused.why.startswith("it may cost 70.69899 USD")


def test_an_order_by_hand_that_rests_is_held_to_the_venues_smallest_value() -> None:
    listed = msgspec.structs.replace(FULL, notional_min_micro=50_000_000)
    desk = Rig(instruments=(listed,), cash=1_000)
    desk.feed(mark(desk, 6_999_900, 7_000_100))
    small = PlaceManual(
        account=ACCOUNT, instrument=listed.id, leg=Leg.BASE, side=Side.BUY, price=5_000_000,
        size=990, urgency=Urgency.REST,
    )  # fmt: skip
    _, made = desk.executor.place(small, desk.now)
    assert isinstance(made, ManualRefused)
    assert made.why == "an order must be worth at least 50 USD"
    _, made = desk.executor.place(msgspec.structs.replace(small, size=1_000), desk.now)
    assert not isinstance(made, ManualRefused)


@pytest.mark.parametrize(
    ("side", "size", "urgency", "why"),
    [
        (Side.BUY, 1_000, Urgency.CROSS, ""),
        (Side.BUY, 400, Urgency.NOW, ""),
        (Side.BUY, 1_100, Urgency.CROSS, "manual has 0.001 here that this order can close"),
        (Side.SELL, 100, Urgency.CROSS, "manual has 0 here that this order can close"),
        (Side.BUY, 500, Urgency.REST, "one that rests could open later"),
    ],
)
def test_an_order_by_hand_that_only_reduces_never_opens(
    desk: Rig, side: Side, size: int, urgency: Urgency, why: str
) -> None:
    short = PlaceManual(
        account=ACCOUNT, instrument=PERPETUAL.id, leg=Leg.BASE, side=Side.SELL, price=6_990_000,
        size=1_000, urgency=Urgency.CROSS,
    )  # fmt: skip
    desk.feed(MarkPriced(instrument=PERPETUAL.id, mark_e8=70_000 * 10**8))
    desk.feed(mark(desk, 6_999_900, 7_000_100))
    _, opened = desk.executor.place(short, desk.now)
    filled(desk, opened[0].order, 7_000_000)
    assert desk.executor.ledger.owned(PERPETUAL.id, MANUAL).position == -1_000
    price = 7_010_000 if side is Side.BUY else 6_990_000
    asked = msgspec.structs.replace(
        short, side=side, price=price, size=size, urgency=urgency, reduce_only=True
    )
    _, made = desk.executor.place(asked, desk.now)
    if why:
        assert isinstance(made, ManualRefused)
        assert why in made.why
        return
    filled(desk, made[0].order, 7_000_000)
    assert desk.executor.ledger.owned(PERPETUAL.id, MANUAL).position == size - 1_000
    assert desk.executor.ledger.owned(PERPETUAL.id, BOT).position == 0


def test_the_sum_of_what_a_ledger_says_is_its_equity_with_a_short_open(desk: Rig) -> None:
    (order,) = want(desk, -1_000, 6_990_000)
    filled(desk, order, 7_000_000)
    side = ledger_side(desk.executor, at_ns=desk.now, seq=1)
    assert side is not None
    terms = side.cash_micro + side.pending_micro + side.redeemable_micro + side.inventory_micro
    assert side.equity_micro == terms == 10_000_000


def test_equity_of_a_short_without_a_price_is_unknown_and_not_judged(desk: Rig) -> None:
    (order,) = want(desk, -1_000, 6_990_000)
    filled(desk, order, 7_000_000)
    kept = msgspec.msgpack.decode(desk.executor.snapshot()) | {"marks": []}
    found = Rig(instruments=(PERPETUAL,), cash=0, empty=True)
    found.executor.restore(msgspec.msgpack.encode(kept))
    for bare in ({}, {"best_bid": 6_999_900}):
        none = {"best_bid": None, "best_ask": None, "mid2": None, "two_sided_ns": None}
        found.feed(found.mark(PERPETUAL.id, **(none | bare)))
        assert found.executor.equity_mid_micro(found.now) is None
        assert ledger_side(found.executor, at_ns=found.now, seq=1) is None
        assert EQUITY in found.executor.unhealthy
    found.feed(mark(found, 6_999_900, 7_000_100))
    assert found.executor.equity_mid_micro(found.now) == 10_000_000
    assert EQUITY not in found.executor.unhealthy


def test_what_closes_beyond_a_limit_closes_whole_lots() -> None:
    """A transfer leaves any size behind: the venue takes multiples of its lot alone."""
    lots = msgspec.structs.replace(PERPETUAL, lot=100, size_min=100)
    tight = LIMITS.model_copy(update={"exposure_instrument_max": Limit(absolute=50)})
    rig = Rig(instruments=(lots,), cash=1_000, limits=tight)
    (order,) = want(rig, -500, 6_990_000)
    filled(rig, order, 7_000_000)
    rig.feed(
        HoldingTransferred(
            account=ACCOUNT, instrument=PERPETUAL.id, leg=Leg.BASE, size=37, price=7_000_000,
            from_owner=BOT, to_owner=MANUAL, who="ann",
        )
    )  # fmt: skip
    (order,) = want(rig, 1_000, 7_010_000)
    assert (order.side, order.size) == (Side.BUY, 400)


def test_an_order_that_closed_takes_margin_where_its_position_goes_another_way(desk: Rig) -> None:
    (order,) = want(desk, -1_000, 6_990_000)
    filled(desk, order, 7_000_000)
    (order,) = want(desk, 0, 7_010_000)
    state = desk.executor.ledger.state
    assert (state.reservations[order.id].tokens, state.reservations[order.id].cash_micro) == (
        1_000, 0,
    )  # fmt: skip
    desk.feed(
        HoldingTransferred(
            account=ACCOUNT, instrument=PERPETUAL.id, leg=Leg.BASE, size=400, price=7_000_000,
            from_owner=BOT, to_owner=MANUAL, who="ann",
        )
    )  # fmt: skip
    kept = state.reservations[order.id]
    assert (kept.tokens, kept.cash_micro) == (600, 2_804_000 + 28_040)
    assert state.cash_reserved_micro == state.margin_micro + kept.cash_micro
    assert desk.executor.ledger.owned(PERPETUAL.id, BOT).yes.reserved == 600
    desk.executor.ledger.check()
