from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.instruments import BotId, FeeSchedule, InstrumentId, Leg, Side
from engine.domain.settings import Limit, RiskLimits
from engine.errors import BrokenInvariant
from engine.risk.exposure import ExposureBook
from engine.risk.gate import DAY_NS, MEANINGS, Allowed, Breakers, Denied, DenyReason, RiskGate

NOW = 20_000 * DAY_NS + 1
M1 = InstrumentId("venue:m1")
WIDE = {
    name: Limit(absolute=10**9)
    for name, field in RiskLimits.model_fields.items()
    if field.annotation is Limit and name != "order_value_min"
}


class Desk:
    def __init__(self, build, equity=1_000_000_000, instruments=None, **limits):
        self.limits = RiskLimits(**(WIDE | limits))
        self.breakers = Breakers(self.limits)
        self.breakers.equity(equity, NOW)
        self.book = ExposureBook()
        for instrument in instruments or [build.binary()]:
            self.book.listed(instrument)
        self.gate = RiskGate(limits=self.limits, breakers=self.breakers, exposure=self.book)
        self.build = build

    def ask(self, age_ns=0, orders=0, reducing=0, **changes):
        """Ask about an order; `reducing` of it lead towards a position of zero, True = all."""
        order = self.build.order(**changes)
        return self.gate.check(
            order,
            reduces=lambda asked: asked.size if reducing is True else reducing,
            mark_age_ns=age_ns,
            open_orders=orders,
        )


def assert_denied(answer, reason, **numbers):
    assert isinstance(answer, Denied)
    assert answer.reason is reason
    assert reason in MEANINGS
    told = dict(answer.numbers)
    assert {name: told.get(name) for name in numbers} == numbers


def test_an_order_under_all_limits_is_allowed_in_full(build):
    assert Desk(build).ask() == Allowed(100 * build.share)


def test_a_size_off_the_lot_is_floored(build):
    assert Desk(build).ask(size=100 * build.share + 9_999) == Allowed(100 * build.share)


def test_the_latch_comes_before_everything(build):
    desk = Desk(build, daily_loss_max=Limit(absolute=0))
    desk.breakers.equity(1, NOW)
    desk.breakers.set_latch("anna", "stop")
    assert_denied(desk.ask(age_ns=None, size=1), DenyReason.LATCHED)


def test_a_stop_tells_its_numbers_before_stale_data_is_looked_at(build):
    desk = Desk(build, daily_loss_max=Limit(percent=5))
    desk.breakers.equity(949_999_999, NOW)
    assert_denied(
        desk.ask(age_ns=None),
        DenyReason.DAILY_LOSS,
        equity_micro=949_999_999,
        daily_loss_max_micro=50_000_000,
    )


def test_a_book_never_proven_is_stale_and_no_age_is_made_up(build):
    answer = Desk(build).ask(age_ns=None)
    assert_denied(answer, DenyReason.STALE_DATA, data_age_ns_max=10_000_000_000)
    assert "data_age_ns" not in dict(answer.numbers)


def test_stale_data_comes_before_open_orders(build):
    desk = Desk(build, open_orders_max=0)
    assert_denied(desk.ask(age_ns=10**11), DenyReason.STALE_DATA, data_age_ns=10**11)
    assert_denied(desk.ask(), DenyReason.OPEN_ORDERS, open_orders=0, open_orders_max=0)


@pytest.mark.parametrize("size", [0, 4_999_999, 1])
def test_below_the_venues_minimum_is_too_small(build, size):
    assert_denied(Desk(build).ask(size=size), DenyReason.ORDER_TOO_SMALL, asked_size=size)


def test_a_value_limit_that_leaves_less_than_the_minimum_denies(build):
    desk = Desk(build, order_value_max=Limit(absolute=1.999999))
    assert_denied(desk.ask(), DenyReason.ORDER_TOO_LARGE, order_value_max_micro=1_999_999)


def test_shrinking_below_the_minimum_value_denies(build):
    desk = Desk(build, order_value_min=Limit(absolute=30), exposure_bot_max=Limit(absolute=29))
    assert_denied(desk.ask(), DenyReason.EXPOSURE_BOT, order_value_min_micro=30_000_000)


def test_the_first_limit_that_leaves_nothing_is_the_reason(build):
    desk = Desk(
        build,
        exposure_instrument_max=Limit(absolute=30),
        exposure_market_max=Limit(absolute=1),
        exposure_account_max=Limit(absolute=0),
    )
    assert_denied(
        desk.ask(),
        DenyReason.EXPOSURE_MARKET,
        instrument_now_micro=0,
        instrument_would_be_micro=40_000_000,
        exposure_market_max_micro=1_000_000,
        exposure_account_max_micro=0,
        fitting_size=2_500_000,
    )


def test_the_tightest_limit_decides_the_size(build):
    desk = Desk(
        build,
        exposure_instrument_max=Limit(absolute=30),
        exposure_bot_max=Limit(absolute=20),
        exposure_total_max=Limit(absolute=25),
    )
    assert desk.ask() == Allowed(50 * build.share)


def test_percentages_follow_the_days_starting_equity(build):
    desk = Desk(build, exposure_instrument_max=Limit(percent=1))
    assert desk.ask() == Allowed(25 * build.share)
    desk.breakers.cash_moved(1_000_000_000)
    assert desk.ask() == Allowed(50 * build.share)


def test_before_equity_was_told_percentages_allow_nothing(build):
    limits = RiskLimits()
    book = ExposureBook()
    book.listed(build.binary())
    gate = RiskGate(limits=limits, breakers=Breakers(limits), exposure=book)
    answer = gate.check(build.order(), reduces=lambda _: 0, mark_age_ns=0, open_orders=0)
    assert_denied(answer, DenyReason.ORDER_TOO_LARGE, order_value_max_micro=0)


def test_the_gate_shows_what_it_reads(build):
    desk = Desk(build)
    assert desk.gate.breakers is desk.breakers
    assert desk.gate.exposure is desk.book


def test_applied_limits_count_at_once_for_gate_and_breakers(build):
    desk = Desk(build)
    tight = WIDE | {"exposure_instrument_max": Limit(absolute=20)}
    desk.gate.apply(RiskLimits(**(tight | {"daily_loss_max": Limit(absolute=1)})))
    assert desk.ask() == Allowed(50 * build.share)
    desk.breakers.equity(998_999_999, NOW)
    assert_denied(desk.ask(), DenyReason.DAILY_LOSS)


def held(desk, build, **changes):
    desk.book.holding(M1, **build.holding(**changes))


def test_a_sale_of_what_is_held_passes_though_exposure_is_over_its_limit(build):
    desk = Desk(build, exposure_instrument_max=Limit(absolute=1))
    held(desk, build, yes_settled=100 * build.share, cost_settled_micro=50_000_000)
    assert desk.ask(side=Side.SELL, reducing=True) == Allowed(100 * build.share)
    assert_denied(desk.ask(), DenyReason.EXPOSURE_INSTRUMENT)
    assert_denied(desk.ask(side=Side.SELL), DenyReason.EXPOSURE_INSTRUMENT)


def test_a_sale_is_stopped_by_latch_stop_and_stale_data_all_the_same(build):
    desk = Desk(build, daily_loss_max=Limit(absolute=1))
    held(desk, build, yes_settled=100 * build.share, cost_settled_micro=50_000_000)
    sale = {"side": Side.SELL, "reducing": True}
    assert_denied(desk.ask(age_ns=None, **sale), DenyReason.STALE_DATA)
    desk.breakers.equity(0, NOW)
    assert_denied(desk.ask(**sale), DenyReason.DAILY_LOSS)
    desk.breakers.set_latch("anna", "stop")
    assert_denied(desk.ask(**sale), DenyReason.LATCHED)


def test_a_sale_that_breaks_a_pair_shrinks_to_what_adds_no_risk(build):
    desk = Desk(build, exposure_instrument_max=Limit(absolute=10))
    size = 100 * build.share
    held(desk, build, yes_settled=size, no_settled=size, cost_settled_micro=100_000_000)
    sale = {"side": Side.SELL, "reducing": True, "price": 6_000}
    assert desk.ask(**sale) == Allowed(25 * build.share)  # each share sold may lose 0.40
    desk.gate.apply(RiskLimits(**(WIDE | {"exposure_instrument_max": Limit(absolute=0)})))
    assert_denied(desk.ask(**sale), DenyReason.EXPOSURE_INSTRUMENT)


def test_a_sale_over_the_limit_shrinks_to_the_present_exposure_and_not_to_nothing(build):
    desk = Desk(build, exposure_instrument_max=Limit(absolute=1))
    size = 100 * build.share
    held(desk, build, yes_settled=size, no_settled=size, cost_settled_micro=110_000_000)
    desk.book.live(build.order(1, price=1_000), 100 * build.share)  # NO wins: 20 lost, YES: 10
    assert desk.book.instrument_micro(M1) == 20_000_000
    sale = {"side": Side.SELL, "reducing": True, "price": 6_000}
    assert desk.ask(**sale) == Allowed(25 * build.share)


def test_a_buy_beyond_the_position_takes_no_room_from_what_the_other_outcome_could_lose(build):
    desk = Desk(build, exposure_instrument_max=Limit(absolute=30))
    held(desk, build, yes_settled=10 * build.share, cost_settled_micro=33_600_000)
    buy = {"leg": Leg.NO, "price": 6_000, "size": 25 * build.share}
    assert desk.ask(**buy, reducing=10 * build.share) == Allowed(10 * build.share)
    assert_denied(desk.ask(**buy), DenyReason.EXPOSURE_INSTRUMENT)


def test_a_linear_sale_never_adds_risk(build):
    spot = build.spot()
    desk = Desk(build, instruments=[spot], exposure_instrument_max=Limit(absolute=1))
    desk.book.holding(
        spot.id, **build.holding(yes_settled=1_000_000, cost_settled_micro=70_000_000)
    )
    sale = {"instrument": spot.id, "leg": Leg.BASE, "side": Side.SELL, "price": 7_000_000}
    assert desk.ask(**sale, size=1_000_000, reducing=True) == Allowed(1_000_000)
    assert_denied(desk.ask(**sale, size=1_000_000), DenyReason.EXPOSURE_INSTRUMENT)


def test_a_linear_sale_under_the_limits_is_not_shrunk_by_them(build):
    spot = build.spot()
    desk = Desk(build, instruments=[spot])
    sale = {"instrument": spot.id, "leg": Leg.BASE, "side": Side.SELL, "price": 7_000_000}
    assert desk.ask(**sale, size=1_000_000) == Allowed(1_000_000)


def test_a_takers_fee_is_part_of_what_must_fit(build):
    binary = build.binary(fees=FeeSchedule(taker_rate_ppm=70_000, exponent=1))
    desk = Desk(build, instruments=[binary], exposure_instrument_max=Limit(absolute=50))
    assert desk.ask(instrument=binary.id, price=5_000) == Allowed(100 * build.share)
    answer = desk.ask(instrument=binary.id, price=5_000, post_only=False)
    assert answer == Allowed(96_610_000)
    loss = binary.cost_micro(5_000, answer.size) + binary.taker_fee_micro(5_000, answer.size)
    assert loss <= 50_000_000


def test_a_bot_without_the_instrument_counts_it_on_top(build):
    desk = Desk(build, exposure_bot_max=Limit(absolute=20))
    assert desk.ask(bot=BotId("by hand")) == Allowed(50 * build.share)


@pytest.mark.parametrize(
    "wrong",
    [{"price": 0}, {"price": -1}, {"price": 10_000}, {"price": 10_001}, {"leg": Leg.BASE}],
)
def test_what_cannot_be_an_order_is_the_planners_bug(build, wrong):
    with pytest.raises(BrokenInvariant, match="no order for"):
        Desk(build).ask(**wrong)


def test_a_linear_instrument_has_no_yes(build):
    spot = build.spot()
    with pytest.raises(BrokenInvariant, match="no order for"):
        Desk(build, instruments=[spot]).ask(instrument=spot.id)


def test_an_instrument_nobody_listed_is_refused(build):
    with pytest.raises(BrokenInvariant, match="never listed"):
        Desk(build).ask(instrument=build.binary("venue:other").id)


@pytest.mark.long
@given(room=st.integers(1, 10**9), price=st.integers(1, 10**7), taker_ppm=st.integers(0, 20_000))
@settings(max_examples=300, deadline=None)
def test_the_most_of_a_fine_size_is_found_in_a_few_looks(build, room, price, taker_ppm):
    fees = FeeSchedule(taker_rate_ppm=taker_ppm)
    pair = build.spot(size_decimals=8, lot=1, size_min=0, fees=fees)
    desk = Desk(build, instruments=[pair], exposure_instrument_max=Limit(absolute=room / 10**6))
    room = desk.limits.exposure_instrument_max.micro(0)
    looks = 0
    risk = desk.book.risks[pair.id]

    class Counted(type(risk)):
        __slots__ = ()

        def loss_micro(self, *order):
            nonlocal looks
            looks += 1
            return super().loss_micro(*order)

    risk.__class__ = Counted
    answer = desk.ask(instrument=pair.id, leg=Leg.BASE, price=price, size=10**12, post_only=False)
    assert looks <= (12 if price > 10_000 else 30)
    if isinstance(answer, Allowed) and answer.size < 10**12:
        cost = pair.cost_micro(price, answer.size) + pair.taker_fee_micro(price, answer.size)
        most = answer.size + 1
        assert cost <= room
        assert pair.cost_micro(price, most) + pair.taker_fee_micro(price, most) > room


money = st.integers(0, 200_000_000)


@pytest.mark.long
@given(
    market=st.sampled_from(["event", "venue:one-of:event"]),
    limits=st.lists(money, min_size=6, max_size=6),
    holdings=st.tuples(money, money, money),
    working=st.lists(
        st.tuples(st.sampled_from(list(Side)), st.integers(1, 9_999), money), max_size=3
    ),
    beside=money,
    others=money,
    ask=st.tuples(
        st.sampled_from([Leg.YES, Leg.NO]),
        st.sampled_from(list(Side)),
        st.integers(1, 9_999),
        st.integers(0, 300_000_000),
        st.booleans(),
        st.booleans(),
    ),
)
@settings(max_examples=400, deadline=None)
def test_what_is_allowed_keeps_every_limit_and_is_the_most_that_does(
    build, market, limits, holdings, working, beside, others, ask
):
    fees = FeeSchedule(taker_rate_ppm=70_000, exponent=1)
    binary = build.binary(market=market, fees=fees)
    other = build.binary("venue:m2", market=market)
    names = ("order_value", "exposure_instrument", "exposure_market", "exposure_bot")
    names += ("exposure_account", "exposure_total")
    caps = {
        f"{name}_max": Limit(absolute=limit / 10**6)
        for name, limit in zip(names, limits, strict=True)
    }
    desk = Desk(build, instruments=[binary, other], **caps)
    book = desk.book
    yes, no, cost = holdings
    held(desk, build, yes_settled=yes, no_settled=no, cost_settled_micro=cost)
    for number, (side, price, size) in enumerate(working):
        book.live(build.order(number, side=side, price=price), size)
    book.live(build.order(9, instrument=other.id, price=5_000), 2 * beside)
    book.others_micro = others
    leg, side, price, asked, sale, post_only = ask
    reducing = sale and side is Side.SELL
    before = book.instrument_micro(M1)
    answer = desk.ask(
        instrument=binary.id,
        leg=leg,
        side=side,
        price=price,
        size=asked,
        reducing=reducing,
        post_only=post_only,
    )

    def keeps(size):
        order = build.order(77, leg=leg, side=side, price=price, post_only=post_only)
        book.live(order, size)
        sums = (
            book.instrument_micro(M1),
            book.market_micro(market),
            book.bot_micro(build.bot),
            book.account_micro(),
            book.total_micro(),
        )
        grown = sums[0] - before
        book.live(order, 0)
        value = binary.cost_micro(price, size)
        caps = [desk.limits.order_value_max.micro(0)]
        caps += [getattr(desk.limits, f"{name}_max").micro(0) for name in names[1:]]
        fits = all(total <= cap for total, cap in zip(sums, caps[1:], strict=True))
        return value <= caps[0] and (fits or (reducing and grown <= 0))

    if isinstance(answer, Allowed):
        assert binary.size_min <= answer.size <= asked
        assert answer.size % binary.lot == 0
        assert keeps(answer.size)
        most = answer.size + binary.lot
        assert most > asked or not keeps(most)
    else:
        assert asked < binary.size_min or not keeps(binary.size_min)


# -- a bot's capital, a market's instruments -------------------------------------------------------


def test_a_bot_is_bound_to_its_capital_whatever_its_strategy_asks(build):
    desk = Desk(build)
    desk.book.capital_micro[build.bot] = 10_000_000
    assert desk.ask() == Allowed(25 * build.share)
    desk.book.live(build.order(size=25 * build.share), 25 * build.share)
    assert_denied(desk.ask(), DenyReason.EXPOSURE_BOT, exposure_bot_max_micro=10_000_000)
    assert desk.ask(bot=BotId("another")) == Allowed(100 * build.share)


def test_capital_raises_no_limit_of_the_account(build):
    desk = Desk(build, exposure_bot_max=Limit(absolute=10))
    desk.book.capital_micro[build.bot] = 10**12
    assert desk.ask() == Allowed(25 * build.share)


def test_a_markets_limit_binds_over_all_its_instruments(build):
    one, two = (build.binary(f"venue:m{n}", market="venue:event:7") for n in (1, 2))
    desk = Desk(build, instruments=[one, two], exposure_market_max=Limit(absolute=50))
    desk.book.live(build.order(instrument=one.id), 100 * build.share)
    assert desk.ask(instrument=two.id) == Allowed(25 * build.share)


@pytest.mark.parametrize(("market", "over"), [("event", True), ("venue:one-of:event", False)])
def test_what_is_held_is_over_a_market_limit_by_its_own_worst_case(build, market, over):
    pair = [build.binary(market=market), build.binary("venue:m2", market=market)]
    desk = Desk(build, instruments=pair, exposure_market_max=Limit(absolute=100))
    for instrument in pair:
        no = {"no_settled": 100 * build.share, "cost_settled_micro": 60_000_000}
        desk.book.holding(instrument.id, **build.holding(**no))
    assert desk.gate.exceeded(pair[0].id, 0) is over
