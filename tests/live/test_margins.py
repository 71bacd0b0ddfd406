"""Margin of an account's perpetuals as the engine tells it, over a real executor."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from engine.caches.views import BookView
from engine.domain.assets import asset
from engine.domain.events import InstrumentListed
from engine.domain.fills import FillState
from engine.domain.instruments import BotId, InstrumentId, Kind, Leg
from engine.domain.intents import Target, Urgency
from engine.domain.perpetual_events import MarkPriced
from engine.domain.products.margin import MarginTier, Measure, tier_table
from engine.domain.products.perpetual import MarginTerms
from engine.domain.telemetry import MarginSeen
from engine.live.figures import capital_of, holdings_of, margins_of
from tests.executor.conftest import BOT, Build, Rig, orders
from tests.executor.test_perpetual import PERPETUAL, filled, mark

OTHER = BotId("other")
E8 = 10**8
TERMS = MarginTerms(
    leverage=10, tiers=tier_table(Measure.VALUE, [MarginTier(0, 10**15, 4_000, 125)])
)
ETH = msgspec.structs.replace(Build().spot("venue:ETH/USD:USD", kind=Kind.PERPETUAL), margin=TERMS)
ALONE = msgspec.structs.replace(ETH, margin=msgspec.structs.replace(TERMS, isolated=True))


class Margined:
    """An account of 20 USD, what it receives, and what it says of margin."""

    def __init__(self, second: Any = ETH) -> None:
        self.rig = Rig(instruments=(PERPETUAL, second), cash=20)
        self.views = {one.id: BookView(one) for one in (PERPETUAL, second)}

    def trade(self, position: int, price: int, bot: BotId = BOT, of: Any = PERPETUAL) -> None:
        """Have an owner come to hold so much, filled at a price."""
        target = Target(
            bot=bot, instrument=of.id, position=position, urgency=Urgency.CROSS,
            limit_price=price + (10_000 if position > self.position(bot, of) else -10_000),
            valid_until_ns=self.rig.now + 10**12,
        )  # fmt: skip
        self.rig.feed(MarkPriced(instrument=of.id, mark_e8=price * E8 // of.price_unit))
        book = msgspec.structs.replace(mark(self.rig, price - 100, price + 100), instrument=of.id)
        (order,) = orders(self.rig.feed(book, target))
        filled(self.rig, order, price)

    def position(self, bot: BotId, of: Any) -> int:
        return self.rig.executor.ledger.owned(of.id, bot).position

    def marked(self, price_e8: int, name: InstrumentId = PERPETUAL.id, *, old_ns: int = 0) -> None:
        self.views[name].mark_e8 = price_e8
        self.views[name].marked_ns = self.rig.now - old_ns

    def seen(self, name: InstrumentId = PERPETUAL.id) -> MarginSeen:
        return margins_of(self.rig.executor, self.views, self.rig.now)[name]


@pytest.fixture
def desk() -> Margined:
    return Margined()


def test_a_short_is_liquidated_above_its_mark_and_a_long_below(desk: Margined) -> None:
    desk.trade(-1_000, 7_000_000)  # 70 USD short, 0.001 BTC at 70,000
    desk.marked(71_000 * E8)
    seen = desk.seen()
    assert (seen.size, seen.used_micro, seen.due_micro) == (-1_000, 7_000_000, 284_000)
    # P = (20 + 70) / (0.001 * 1.004), rounded towards the mark
    assert seen.liquidation_e8 == 90 * E8 * 10**6 // 1_004
    assert seen.buffer_ppm == (seen.liquidation_e8 - 71_000 * E8) * 10**6 // (71_000 * E8)
    assert seen.unknown == ""

    long = Margined()
    long.trade(1_000, 7_000_000)
    long.marked(71_000 * E8)
    # The price is what was opened for less the cash, by the size less its maintenance margin.
    assert long.seen().liquidation_e8 == -(-50 * E8 * 10**6 // 996)


def test_without_a_mark_or_with_an_old_one_the_distance_is_unknown(desk: Margined) -> None:
    desk.trade(-1_000, 7_000_000)
    seen = desk.seen()
    assert (seen.mark_e8, seen.due_micro, seen.buffer_ppm) == (None, None, None)
    assert seen.liquidation_e8 is not None, "its price needs no mark"
    assert seen.unknown == f"the venue has said no mark of {PERPETUAL.id} yet"
    desk.marked(71_000 * E8, old_ns=3_600 * 10**9)
    seen = desk.seen()
    assert (seen.mark_e8, seen.due_micro, seen.buffer_ppm) == (71_000 * E8, None, None)
    assert seen.unknown == f"the mark of {PERPETUAL.id} is 3600 s old"


def test_an_isolated_position_ends_where_its_own_margin_does_and_backs_no_other() -> None:
    desk = Margined(ALONE)
    desk.trade(-1_000, 7_000_000, of=ALONE)  # 70 USD short for 7 USD
    desk.marked(71_000 * E8, ALONE.id)
    assert desk.seen(ALONE.id).liquidation_e8 == 77 * E8 * 10**6 // 1_004
    desk.trade(-1_000, 7_000_000)
    desk.marked(71_000 * E8)
    assert desk.seen().liquidation_e8 == (20 - 7 + 70) * E8 * 10**6 // 1_004


def test_another_position_counts_with_its_gain_and_without_a_mark_nothing_is_guessed(
    desk: Margined,
) -> None:
    desk.trade(-1_000, 7_000_000)
    desk.trade(1_000, 300_000, of=ETH)  # 3 USD
    desk.marked(71_000 * E8)
    seen = desk.seen()
    assert seen.liquidation_e8 is None
    assert seen.unknown == f"the venue has said no mark of {ETH.id} yet"
    desk.marked(3_500 * E8, ETH.id)
    # 0.5 USD gained there, 0.014 USD to be kept for it.
    assert (
        desk.seen().liquidation_e8 == (90 + 500_000 / 10**6 - 14_000 / 10**6) * E8 * 10**6 // 1_004
    )


def test_what_no_price_liquidates_has_none_and_says_that_it_is_known(desk: Margined) -> None:
    desk.trade(100, 7_000_000)  # 7 USD long of 20 USD
    desk.marked(71_000 * E8)
    seen = desk.seen()
    assert (seen.liquidation_e8, seen.buffer_ppm, seen.unknown) == (None, None, "")


def test_capital_counts_margin_apart_and_every_sum_is_exact(desk: Margined) -> None:
    """Two owners against each other: the venue holds nothing, both take margin here."""
    desk.trade(1_000, 7_000_000)
    desk.trade(-900, 7_100_000, OTHER)
    desk.trade(300, 7_200_000)  # sells 700 of it: its owner realises, the account a part
    margins = margins_of(desk.rig.executor, desk.views, desk.rig.now)
    seen, state = capital_of(desk.rig.executor, desk.rig.now, margins), desk.rig.executor.ledger
    assert margins[PERPETUAL.id].size == -600
    assert seen.margin_micro == 2_100_000 + 6_390_000 == margins[PERPETUAL.id].used_micro
    assert (seen.doubtful_micro, seen.open_micro, seen.held_micro, seen.dust_micro) == (0, 0, 0, 0)
    assert seen.free_micro == state.cash_free_micro
    assert seen.between_micro != 0
    made = seen.deposits_micro + seen.realised_micro - seen.fees_micro + seen.income_micro
    assert seen.whole_micro == made
    assert sum(lock.micro for lock in seen.locks) == seen.whole_micro - seen.free_micro
    (lock,) = seen.locks
    assert (lock.margin_micro, lock.held_micro) == (seen.margin_micro, 0)


def test_a_holding_carries_its_margin_and_one_of_another_kind_none(desk: Margined) -> None:
    desk.trade(-1_000, 7_000_000)
    (seen,) = holdings_of(
        desk.rig.executor, margins_of(desk.rig.executor, desk.views, desk.rig.now)
    )
    assert seen.margin is not None
    assert json.loads(msgspec.json.encode(seen))["margin"]["size"] == -1_000
    assert holdings_of(desk.rig.executor)[0].margin is None


def test_a_position_against_margin_is_no_asset_that_the_account_has() -> None:
    pair = Build().spot("venue:BTC/USD", base=asset("BTC"))
    terms = msgspec.structs.replace(ETH, id=InstrumentId("venue:BTC/USD:USD"), base=pair.base)
    desk = Margined(terms)
    desk.trade(-2_000, 200_000, of=terms)
    assert capital_of(desk.rig.executor, desk.rig.now).assets == ()
    desk.rig.feed(InstrumentListed(instrument=pair))
    build = Build()
    order = build.order(90, instrument=pair.id, leg=Leg.BASE, price=200_000, size=1_000)
    bought = build.filled(90, "f90", price=200_000, size=1_000, state=FillState.CONFIRMED)
    desk.rig.executor.ledger.book(order, bought)
    (btc,) = capital_of(desk.rig.executor, desk.rig.now).assets
    assert btc.held == pair.size_text(1_000)
