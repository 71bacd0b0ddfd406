from __future__ import annotations

from itertools import zip_longest
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument, Kind, Leg, Side
from engine.domain.intents import Quotes, ResidualReason, Target, Urgency
from engine.domain.orders import OrderState, OrderType
from engine.executor.fills import Holding
from engine.executor.orders import LiveOrder, working_of
from engine.executor.plan import Draft, Plan
from engine.executor.planner import plan, target_levels
from engine.executor.settings import ExecutorSettings

SHARE = 1_000_000
USD = 1_000_000
YES, NO, BASE = Leg.YES, Leg.NO, Leg.BASE
BUY, SELL = Side.BUY, Side.SELL
R = ResidualReason
S = OrderState
SETTINGS = ExecutorSettings()


class Scene:
    """One instrument with what is held, what works and what is wanted."""

    def __init__(self, build: Any, instrument: Instrument | None = None) -> None:
        self.build = build
        self.instrument = instrument or build.binary()
        self.holding = Holding(instrument=self.instrument.id)
        self.working: list[LiveOrder] = []
        self.cash = 1_000 * USD
        self.mark: BookMarked | None = None
        self.settings = SETTINGS
        self._number = 0

    def holds(self, yes: int = 0, no: int = 0, *, pending: int = 0) -> Scene:
        self.holding.yes.settled = yes * SHARE
        self.holding.no.settled = no * SHARE
        self.holding.yes.pending = pending * SHARE
        return self

    def sees(self, bid: int | None, ask: int | None) -> Scene:
        self.mark = BookMarked(
            instrument=self.instrument.id,
            best_bid=bid,
            best_ask=ask,
            mid2=None,
            two_sided_ns=None,
            proof_ns=0,
            trusted=True,
        )
        return self

    def works(
        self,
        leg: Leg,
        side: Side,
        price: int,
        size: int,
        state: OrderState = S.OPEN,
        **more: Any,
    ) -> LiveOrder:
        self._number += 1
        order = self.build.order(
            self._number,
            instrument=self.instrument.id,
            leg=leg,
            side=side,
            price=price,
            size=size * SHARE,
            **more,
        )
        known = working_of(order, self.instrument)
        known.state = state
        self.working.append(known)
        return known

    def quotes(self, *, bids: Any = (), asks: Any = (), unit: int = SHARE) -> Plan:
        return self.plan(
            Quotes(
                bot=self.build.bot,
                instrument=self.instrument.id,
                bids=tuple((price, size * unit) for price, size in bids),
                asks=tuple((price, size * unit) for price, size in asks),
                valid_until_ns=1,
            )
        )

    def target(self, position: int, limit: int, urgency: Urgency = Urgency.REST) -> Plan:
        return self.plan(
            Target(
                bot=self.build.bot,
                instrument=self.instrument.id,
                position=position * SHARE,
                limit_price=limit,
                urgency=urgency,
                valid_until_ns=1,
            )
        )

    def plan(self, intent: Any) -> Plan:
        position = 0 if isinstance(intent, Quotes) else self.holding.position
        return plan(
            target_levels(intent, self.instrument, position, self.mark, self.settings),
            instrument=self.instrument,
            holding=self.holding,
            working=self.working,
            cash_free_micro=self.cash,
            now_ns=7,
        )


@pytest.fixture
def scene(build: Any) -> Scene:
    return Scene(build)


def drafted(made: Plan) -> list[tuple[Leg, Side, int, int]]:
    return [(d.leg, d.side, d.price, d.size // SHARE) for d in made.places]


def left(made: Plan) -> list[tuple[ResidualReason, Side, int, int]]:
    return [(r.reason, r.side, r.price, r.size // SHARE) for r in made.residuals]


def test_with_cash_alone_both_sides_are_bought(scene: Scene) -> None:
    made = scene.quotes(bids=[(4_800, 100)], asks=[(5_200, 100)])

    assert drafted(made) == [(YES, BUY, 4_800, 100), (NO, BUY, 4_800, 100)]
    assert all(d.post_only and d.type is OrderType.GTC for d in made.places)
    assert not made.residuals


def test_an_ask_sells_settled_tokens_first_and_buys_the_complement_for_the_rest(
    scene: Scene,
) -> None:
    made = scene.holds(yes=60).quotes(asks=[(5_200, 100)])
    assert drafted(made) == [(YES, SELL, 5_200, 60), (NO, BUY, 4_800, 40)]


def test_a_bid_sells_settled_no_first_and_buys_yes_for_the_rest(scene: Scene) -> None:
    made = scene.holds(no=60).quotes(bids=[(4_700, 100)])
    assert drafted(made) == [(NO, SELL, 5_300, 60), (YES, BUY, 4_700, 40)]


def test_pending_tokens_are_not_waited_for(scene: Scene) -> None:
    made = scene.holds(pending=100).quotes(asks=[(5_200, 100)])
    assert drafted(made) == [(NO, BUY, 4_800, 100)]


def test_a_sale_below_the_minimum_becomes_a_buy(scene: Scene) -> None:
    made = scene.holds(yes=4).quotes(asks=[(5_200, 100)])
    assert drafted(made) == [(NO, BUY, 4_800, 100)]


def test_what_is_below_the_minimum_altogether_is_left(scene: Scene) -> None:
    made = scene.holds(yes=97).quotes(asks=[(5_200, 100), (5_300, 4)])

    assert drafted(made) == [(YES, SELL, 5_200, 97)]
    assert left(made) == [(R.BELOW_MIN, SELL, 5_200, 3), (R.BELOW_MIN, SELL, 5_300, 4)]


def test_sizes_are_cut_to_lots_and_dust_is_told(scene: Scene) -> None:
    made = scene.quotes(bids=[(4_800, 5_009_999), (4_700, 9_999), (4_600, 0)], unit=1)

    assert [d.size for d in made.places] == [5_000_000]
    assert [(r.reason, r.size) for r in made.residuals] == [
        (R.DUST, 9_999),
        (R.DUST, 9_999),
        (R.DUST, 0),
    ]


def test_bids_are_rounded_down_and_asks_up(scene: Scene) -> None:
    made = scene.quotes(bids=[(4_899, 10)], asks=[(5_101, 10)])
    assert drafted(made) == [(YES, BUY, 4_800, 10), (NO, BUY, 4_800, 10)]


@pytest.mark.parametrize("price", [-100, 0, 99, 10_000, 12_000])
def test_a_bid_outside_the_range_is_left(scene: Scene, price: int) -> None:
    made = scene.quotes(bids=[(price, 10)])
    assert (drafted(made), left(made)) == ([], [(R.OUT_OF_RANGE, BUY, price, 10)])


def test_levels_that_round_to_one_price_are_one_order(scene: Scene) -> None:
    made = scene.quotes(bids=[(4_850, 10), (4_820, 20)])
    assert drafted(made) == [(YES, BUY, 4_800, 30)]


def test_a_quote_never_takes(scene: Scene) -> None:
    made = scene.sees(4_900, 5_000).quotes(bids=[(5_300, 10)], asks=[(4_500, 10)])
    assert drafted(made) == [(YES, BUY, 4_900, 10), (NO, BUY, 5_000, 10)]


def test_a_quote_with_no_room_behind_the_touch_is_out_of_range(scene: Scene) -> None:
    made = scene.sees(None, 100).quotes(bids=[(300, 10)])
    assert left(made) == [(R.OUT_OF_RANGE, BUY, 300, 10)]


def test_an_order_at_a_wanted_price_is_kept(scene: Scene) -> None:
    scene.works(YES, BUY, 4_800, 100, S.PARTIAL)
    scene.works(NO, BUY, 4_800, 100, S.SENT)
    assert scene.quotes(bids=[(4_800, 100)], asks=[(5_200, 100)]) == Plan((), (), ())


def test_everything_at_unwanted_prices_is_cancelled_and_its_replacement_waits(
    scene: Scene,
) -> None:
    scene.works(YES, BUY, 4_700, 100)
    scene.works(NO, BUY, 4_700, 60)
    made = scene.quotes(bids=[(4_800, 100)], asks=[(5_200, 100)])

    assert made.cancels == (1, 2)
    assert drafted(made) == [(NO, BUY, 4_800, 40)]
    assert left(made) == [(R.WAITING_CANCEL, BUY, 4_800, 100), (R.WAITING_CANCEL, SELL, 5_200, 60)]


@pytest.mark.parametrize("state", [S.CANCELLING, S.UNKNOWN, S.DELAYED])
def test_what_may_still_fill_counts_against_the_intent(scene: Scene, state: OrderState) -> None:
    known = scene.works(YES, BUY, 4_700, 100, state)
    known.cancel_asked = True
    made = scene.quotes(bids=[(4_800, 100)])

    assert (made.places, made.cancels) == ((), ())
    assert left(made) == [(R.WAITING_CANCEL, BUY, 4_800, 100)]


def test_an_unknown_order_is_cancelled_once(scene: Scene) -> None:
    known = scene.works(YES, BUY, 4_700, 100, S.UNKNOWN)
    assert scene.quotes().cancels == (1,)
    known.cancel_asked = True
    assert scene.quotes().cancels == ()


def test_a_replacement_sale_waits_for_the_sale_it_replaces(scene: Scene) -> None:
    scene.holds(yes=60).works(YES, SELL, 5_100, 60, S.CANCELLING)
    made = scene.quotes(asks=[(5_200, 100)])

    assert drafted(made) == [(NO, BUY, 4_800, 40)]
    assert left(made) == [(R.WAITING_CANCEL, SELL, 5_200, 60)]


def test_a_small_excess_rests_and_a_large_one_goes_newest_first(scene: Scene) -> None:
    scene.works(YES, BUY, 4_800, 100)
    scene.works(YES, BUY, 4_800, 25)
    assert scene.quotes(bids=[(4_800, 100)]).cancels == ()
    assert scene.quotes(bids=[(4_800, 99)]).cancels == (2,)
    assert scene.quotes(bids=[(4_800, 70)]).cancels == (2, 1)


def test_a_shortfall_is_topped_up_if_that_is_a_legal_order(scene: Scene) -> None:
    scene.works(YES, BUY, 4_800, 60)
    assert drafted(scene.quotes(bids=[(4_800, 100)])) == [(YES, BUY, 4_800, 40)]
    assert scene.quotes(bids=[(4_800, 64)]) == Plan((), (), ())


def test_a_resting_complement_stays_when_tokens_settle(scene: Scene) -> None:
    scene.works(NO, BUY, 4_800, 100)
    assert scene.holds(yes=100).quotes(asks=[(5_200, 100)]) == Plan((), (), ())


def test_a_resting_complement_is_replaced_when_cash_is_short(scene: Scene) -> None:
    scene.works(NO, BUY, 4_800, 100)
    scene.holds(yes=100).cash = 10 * USD
    made = scene.quotes(bids=[(4_800, 100)], asks=[(5_200, 100)])

    assert made.cancels == (1,)
    assert (R.WAITING_CANCEL, SELL, 5_200, 100) in left(made)
    assert drafted(made) == [(YES, BUY, 4_800, 20)]


def test_a_complement_is_kept_when_tokens_cannot_replace_it(scene: Scene) -> None:
    scene.works(NO, BUY, 4_800, 100)
    scene.holds(yes=4).cash = 10 * USD
    made = scene.quotes(bids=[(4_800, 100)], asks=[(5_200, 100)])
    assert made.cancels == ()


def test_cash_goes_to_the_best_levels_first(scene: Scene) -> None:
    scene.cash = 50 * USD
    made = scene.quotes(bids=[(4_700, 100), (4_800, 50)], asks=[(5_200, 50)])

    assert drafted(made) == [(YES, BUY, 4_800, 50), (NO, BUY, 4_800, 50)]
    assert left(made) == [(R.NO_CASH, BUY, 4_700, 100)]


def test_a_buy_is_cut_to_what_cash_pays_for(scene: Scene) -> None:
    scene.cash = 10 * USD
    made = scene.quotes(bids=[(4_800, 100)])

    assert [d.size for d in made.places] == [20_830_000]
    assert made.residuals[0].reason is R.NO_CASH


@pytest.mark.parametrize(("held", "resting"), [(1_000, 0), (0, 1_000), (600, 400)])
def test_what_cash_leaves_beside_a_large_holding_is_dust(
    scene: Scene, held: int, resting: int
) -> None:
    scene.holds(yes=held).cash = 9 * USD
    if resting:
        scene.works(YES, BUY, 4_800, resting)
    made = scene.quotes(bids=[(4_800, 1_500)])
    assert drafted(made) == []
    assert [(reason, size) for reason, _, _, size in left(made)][1:] == [(R.DUST, 18)]
    scene.cash = 10 * USD
    assert drafted(scene.quotes(bids=[(4_800, 1_500)])) == [(YES, BUY, 4_800, 20)]


def test_where_the_venue_states_a_smallest_value_that_decides_what_is_dust(build: Any) -> None:
    scene = Scene(build, build.binary(notional_min_micro=USD)).holds(yes=1_000)
    scene.cash = 9 * USD
    assert drafted(scene.quotes(bids=[(4_800, 1_500)])) == [(YES, BUY, 4_800, 18)]


def test_a_taking_buy_keeps_its_worst_fee_back(scene: Scene) -> None:
    scene.sees(4_900, 5_000).cash = 50 * USD
    made = scene.target(100, 5_000, Urgency.CROSS)

    fee = scene.instrument.taker_fee_micro(5_000, made.places[0].size)
    assert scene.instrument.cost_micro(5_000, made.places[0].size) + fee <= 50 * USD
    assert made.places[0].size < 100 * SHARE


def test_we_never_stand_against_ourselves(scene: Scene) -> None:
    scene.works(NO, BUY, 5_200, 100, S.CANCELLING)  # an ask at 0.48
    made = scene.quotes(bids=[(4_900, 10), (4_700, 20)])

    assert drafted(made) == [(YES, BUY, 4_700, 20)]
    assert left(made) == [(R.OWN_CROSS, BUY, 4_900, 10)]


def test_a_intent_that_crosses_itself_gets_its_bid(scene: Scene) -> None:
    made = scene.quotes(bids=[(5_000, 10)], asks=[(5_000, 10)])

    assert drafted(made) == [(YES, BUY, 5_000, 10)]
    assert left(made) == [(R.OWN_CROSS, SELL, 5_000, 10)]


def test_no_intent_cancels_what_can_be_cancelled(scene: Scene) -> None:
    scene.works(YES, BUY, 4_800, 10)
    scene.works(YES, BUY, 4_700, 10, S.CANCELLING)
    scene.works(NO, BUY, 4_700, 10, S.DELAYED)
    scene.works(YES, BUY, 4_600, 10, S.SENT, type=OrderType.FAK, post_only=False)
    assert scene.plan(None) == Plan((), (1,), ())


def test_resting_orders_may_expire_by_themselves(scene: Scene) -> None:
    scene.settings = ExecutorSettings(gtd_ms=300_000)
    made = scene.quotes(bids=[(4_800, 10)])
    assert made.places[0].type is OrderType.GTD
    assert made.places[0].expires_ns == 7 + 300_000_000_000


# -- targets ---------------------------------------------------------------------------------------


def test_a_target_asks_for_the_difference_only(scene: Scene) -> None:
    scene.sees(4_700, 5_000).holds(yes=30, pending=20)
    assert drafted(scene.target(100, 4_800)) == [(YES, BUY, 4_800, 50)]
    assert drafted(scene.target(-70, 4_800)) == [(YES, SELL, 4_800, 30), (NO, BUY, 5_200, 90)]
    assert scene.target(50, 4_800) == Plan((), (), ())


def test_a_resting_target_stays_behind_the_touch(scene: Scene) -> None:
    made = scene.sees(4_700, 4_900).target(100, 5_500)
    assert drafted(made) == [(YES, BUY, 4_800, 100)]
    assert made.places[0].post_only


@pytest.mark.parametrize(
    ("urgency", "kind"), [(Urgency.CROSS, OrderType.FAK), (Urgency.NOW, OrderType.FOK)]
)
def test_an_urgent_target_takes_at_its_limit(
    scene: Scene, urgency: Urgency, kind: OrderType
) -> None:
    made = scene.sees(4_700, 4_900).target(100, 5_550, urgency)

    assert drafted(made) == [(YES, BUY, 5_500, 100)]
    assert (made.places[0].type, made.places[0].post_only) == (kind, False)


@pytest.mark.parametrize(("bid", "ask"), [(4_700, 4_900), (None, None)])
def test_an_urgent_target_the_touch_does_not_meet_is_left(
    scene: Scene, bid: int | None, ask: int | None
) -> None:
    made = scene.sees(bid, ask).target(100, 4_800, Urgency.CROSS)
    assert left(made) == [(R.NOT_MARKETABLE, BUY, 4_800, 100)]


def test_a_limit_of_certainty_means_any_price(scene: Scene) -> None:
    scene.sees(4_700, 4_900)
    assert drafted(scene.target(10, 10_000, Urgency.CROSS)) == [(YES, BUY, 9_900, 10)]
    assert drafted(scene.target(-10, 0, Urgency.CROSS)) == [(NO, BUY, 9_900, 10)]


def test_a_marketable_order_below_the_venues_value_is_left(build: Any) -> None:
    scene = Scene(build, build.binary(notional_min_micro=USD)).sees(100, 200)
    made = scene.target(10, 200, Urgency.CROSS)
    assert left(made) == [(R.BELOW_MIN, BUY, 200, 10)]
    assert drafted(scene.quotes(bids=[(100, 10)])) == [(YES, BUY, 100, 10)]


def test_a_target_never_rests_with_more_than_it_misses(scene: Scene) -> None:
    scene.sees(4_700, 5_000).works(YES, BUY, 4_800, 100)
    assert scene.target(99, 4_800).cancels == (1,)


def test_an_order_of_another_style_is_not_kept(scene: Scene) -> None:
    scene.sees(4_700, 4_800).works(YES, BUY, 4_800, 100)
    made = scene.target(100, 4_800, Urgency.CROSS)
    assert made.cancels == (1,)


# -- linear instruments ----------------------------------------------------------------------------


def test_spot_bids_with_cash_and_asks_with_what_is_settled(build: Any) -> None:
    scene = Scene(build, build.spot())
    scene.holding.yes.settled = 700
    made = scene.quotes(bids=[(5_000_000, 500)], asks=[(5_000_100, 1_000)], unit=1)

    assert [(d.leg, d.side, d.price, d.size) for d in made.places] == [
        (BASE, BUY, 5_000_000, 500),
        (BASE, SELL, 5_000_100, 700),
    ]
    assert [(r.reason, r.size) for r in made.residuals] == [(R.NO_INVENTORY, 300)]


def test_spot_never_sells_what_is_not_there(build: Any) -> None:
    scene = Scene(build, build.spot())
    made = scene.quotes(asks=[(5_000_100, 1_000)], unit=1)
    assert [r.reason for r in made.residuals] == [R.NO_INVENTORY]
    scene.holding.yes.settled = 90
    made = scene.quotes(asks=[(5_000_100, 1_000)], unit=1)
    assert [r.reason for r in made.residuals] == [R.BELOW_MIN]
    assert not made.places


@pytest.mark.parametrize("kind", ["spot", "perpetual"])
def test_every_order_of_a_linear_thing_is_worth_what_the_venue_takes(build: Any, kind: str) -> None:
    pair = msgspec.structs.replace(build.spot(), kind=Kind(kind), notional_min_micro=50 * USD)
    scene = Scene(build, pair)
    # What is held of a perpetual may be closed below it: see `test_reduce_only`.
    scene.holding.yes.settled = 1_000 if kind == "spot" else 0
    price = 5_000_000
    least = 50 * USD * pair.value_divisor // price
    made = scene.quotes(bids=[(price, least - 10)], asks=[(price + 100, least - 10)], unit=1)
    assert not made.places
    assert [(r.reason, r.side, r.price, r.size) for r in made.residuals] == [
        (R.BELOW_MIN, BUY, price, least - 10),
        (R.BELOW_MIN, SELL, price + 100, least - 10),
    ]
    made = scene.quotes(bids=[(price, least)], asks=[(price + 100, least)], unit=1)
    assert [draft.size for draft in made.places] == [least, least]


# -- a naive planner and the laws ------------------------------------------------------------------


def naive(intent: Quotes, instrument: Instrument, holding: Holding, cash: int) -> list[Any]:
    """The dumb way, for one binary with nothing working: every level, every lot, one by one."""
    least, one, out = max(instrument.size_min, instrument.lot), instrument.one, []
    needs: list[list[Any]] = [[], []]
    pools = [holding.no.settled, holding.yes.settled]
    for half, levels in enumerate((intent.bids, intent.asks)):
        for price, size in levels:
            sale = min(size, pools[half] // instrument.lot * instrument.lot)
            sale = sale if sale >= least else 0
            pools[half] -= sale
            needs[half].append((half, price, sale, size - sale if size - sale >= least else 0))
    rows = [[row for row in rows if row[2] or row[3]] for rows in needs]
    for half, level, sale, asked in (r for pair in zip_longest(*rows) for r in pair if r):
        if half == 1 and any(level <= other for other in (o[4] for o in out if o[5] == 0)):
            continue
        if half == 0 and any(level >= other for other in (o[4] for o in out if o[5] == 1)):
            continue
        if sale:
            leg, price = (NO, one - level) if half == 0 else (YES, level)
            out.append((leg, SELL, price, sale, level, half))
        leg, price = (YES, level) if half == 0 else (NO, one - level)
        opening = asked
        while opening and instrument.cost_micro(price, opening) > cash:
            opening -= instrument.lot
        if opening >= least:
            cash -= instrument.cost_micro(price, opening)
            out.append((leg, BUY, price, opening, level, half))
    return sorted(row[:4] for row in out)


LEVELS = st.dictionaries(st.integers(1, 99), st.integers(1, 4_000), max_size=3)
TOKENS = st.integers(0, 60 * SHARE)


@st.composite
def intents(draw: Any, build: Any) -> Quotes:
    lot = 10_000
    bids = sorted(((p * 100, n * lot) for p, n in draw(LEVELS).items()), reverse=True)
    asks = sorted((p * 100, n * lot) for p, n in draw(LEVELS).items())
    return Quotes(
        bot=build.bot,
        instrument=build.binary().id,
        bids=tuple(bids),
        asks=tuple(asks),
        valid_until_ns=1,
    )


@given(data=st.data(), yes=TOKENS, no=TOKENS, cash=st.integers(0, 60 * USD))
@settings(max_examples=150)
def test_with_nothing_working_the_naive_planner_agrees(
    build: Any, data: Any, yes: int, no: int, cash: int
) -> None:
    scene = Scene(build)
    scene.holding.yes.settled, scene.holding.no.settled, scene.cash = yes, no, cash
    intent = data.draw(intents(build))

    made = scene.plan(intent)

    real = sorted((d.leg, d.side, d.price, d.size) for d in made.places)
    assert real == naive(intent, scene.instrument, scene.holding, cash)


def assert_legal(scene: Scene, made: Plan) -> None:
    """Every law a plan must keep, whatever it was made from."""
    instrument, one, tick = scene.instrument, scene.instrument.one, scene.instrument.tick
    spent = 0
    selling = {YES: 0, NO: 0}
    for known in scene.working:
        if known.order.side is SELL:
            selling[known.order.leg] += known.remaining
    for draft in made.places:
        assert draft.size >= instrument.size_min
        assert draft.size % instrument.lot == 0
        assert draft.price % tick == 0
        assert tick <= draft.price <= one - tick
        if draft.side is SELL:
            selling[draft.leg] += draft.size
        else:
            spent += instrument.cost_micro(draft.price, draft.size)
    if any(d.side is SELL for d in made.places):
        assert selling[YES] <= scene.holding.yes.settled
        assert selling[NO] <= scene.holding.no.settled
    assert spent <= max(0, scene.cash)
    assert_no_own_cross(scene, made)


def level_of(scene: Scene, leg: Leg, side: Side, price: int) -> tuple[bool, int]:
    bid = (side is BUY) is (leg is not NO)
    return bid, scene.instrument.one - price if leg is NO else price


def assert_no_own_cross(scene: Scene, made: Plan) -> None:
    new = [level_of(scene, d.leg, d.side, d.price) for d in made.places]
    everything = new + [(known.bid, known.level) for known in scene.working]
    for bid, level in new:
        for other_bid, other in everything:
            if bid and not other_bid:
                assert level < other
            if not bid and other_bid:
                assert level > other


def assert_never_more_than_wanted(scene: Scene, intent: Quotes, made: Plan) -> None:
    for bid, levels in ((True, intent.bids), (False, intent.asks)):
        alive = sum(known.remaining for known in scene.working if known.bid is bid)
        new = sum(d.size for d in made.places if level_of(scene, d.leg, d.side, d.price)[0] is bid)
        if new:
            assert alive + new <= sum(size for _, size in levels)


def apply(scene: Scene, made: Plan, end: OrderState | None) -> None:
    """Let everything asked come true; `end` None = cancels are only on their way."""
    gone = set(made.cancels)
    for known in scene.working:
        if known.order.id in gone:
            known.state, known.cancel_asked = S.CANCELLING, True
    if end is not None:
        for known in [k for k in scene.working if k.order.id in gone]:
            release(scene, known)
            scene.working.remove(known)
    for draft in made.places:
        take(scene, draft)


def take(scene: Scene, draft: Draft) -> None:
    known = scene.works(draft.leg, draft.side, draft.price, 0)
    known.order = scene.build.order(
        known.order.id,
        instrument=scene.instrument.id,
        leg=draft.leg,
        side=draft.side,
        price=draft.price,
        size=draft.size,
    )
    known.remaining = draft.size
    if draft.side is BUY:
        scene.cash -= scene.instrument.cost_micro(draft.price, draft.size)


def release(scene: Scene, known: LiveOrder) -> None:
    if known.order.side is BUY:
        scene.cash += scene.instrument.cost_micro(known.order.price, known.remaining)


@given(data=st.data(), yes=TOKENS, no=TOKENS, cash=st.integers(0, 60 * USD))
@settings(max_examples=80)
def test_every_plan_is_legal_and_a_plan_that_came_true_asks_for_nothing_more(
    build: Any, data: Any, yes: int, no: int, cash: int
) -> None:
    scene = Scene(build)
    scene.holding.yes.settled, scene.holding.no.settled, scene.cash = yes, no, cash
    for _ in range(data.draw(st.integers(1, 4))):
        intent = data.draw(intents(build))
        made = scene.plan(intent)
        assert_legal(scene, made)
        assert_never_more_than_wanted(scene, intent, made)
        apply(scene, made, data.draw(st.sampled_from([None, S.CANCELLED])))
        for known in scene.working:
            state = data.draw(st.sampled_from([S.OPEN, S.PARTIAL, S.UNKNOWN, S.CANCELLING]))
            if known.state is not S.CANCELLING:
                known.state = state
                known.cancel_asked = state is S.CANCELLING
    for _ in range(6):  # cancels come true, then places, then there is peace
        made = scene.plan(intent)
        assert_legal(scene, made)
        assert_never_more_than_wanted(scene, intent, made)
        for known in [k for k in scene.working if k.state in {S.CANCELLING, S.UNKNOWN}]:
            release(scene, known)
            scene.working.remove(known)
        apply(scene, made, S.CANCELLED)
    made = scene.plan(intent)
    assert (made.places, made.cancels) == ((), ())


@given(data=st.data(), yes=TOKENS, no=TOKENS, cash=st.integers(0, 60 * USD))
@settings(max_examples=60)
def test_the_same_plan_twice_changes_nothing(
    build: Any, data: Any, yes: int, no: int, cash: int
) -> None:
    scene = Scene(build)
    scene.holding.yes.settled, scene.holding.no.settled, scene.cash = yes, no, cash
    intent = data.draw(intents(build))
    apply(scene, scene.plan(intent), S.CANCELLED)

    again = scene.plan(intent)
    assert (again.places, again.cancels) == ((), ())
