"""Figures of an account as the engine tells them, over a real executor."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.caches.views import BookView
from engine.domain.alerts import described
from engine.domain.assets import Money, asset
from engine.domain.events import (
    BalancesListed,
    BookMarked,
    CashMoved,
    FillSettled,
    FillVoided,
    InstrumentListed,
    InstrumentResolved,
    OpenOrdersListed,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderNamed,
    OrderSent,
    OrderUnanswered,
    TokensRedeemed,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import (
    AccountId,
    BotId,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Mode,
)
from engine.domain.intents import Quotes
from engine.domain.orders import Identity, OrderId, OrderState
from engine.domain.rates import RATE_AGE_NS_MAX
from engine.domain.settings import AccountSettings
from engine.errors import BrokenInvariant
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.live import figures
from engine.live.figures import (
    CONFIRMED,
    RewardsWatch,
    capital_of,
    earnings_of,
    holdings_of,
    uses_of,
)
from engine.risk.exposure import ExposureBook, share_total
from engine.risk.gate import Breakers, RiskGate
from tests.executor.conftest import Build, Rig

ACCOUNT, BOT, ONE = AccountId("demo"), BotId("maker"), InstrumentId("demo:m1")
SHARE = 1_000_000
NOW = 10_000_000_000


@pytest.fixture
def executor() -> Executor:
    """An executor with 1,000 pUSD that has just bought 10 of 100 YES at 0.48."""
    limits = AccountSettings(name="demo", venue="demo", mode=Mode.DEMO).limits
    gate = RiskGate(limits=limits, breakers=Breakers(limits), exposure=ExposureBook())
    made = Executor(
        account=ACCOUNT,
        mode=Mode.DEMO,
        currency="pUSD",
        ledger=Ledger(currency="pUSD"),
        gate=gate,
        settings=ExecutorSettings(starts_reconciled=True),
    )
    instrument = Instrument(
        id=ONE,
        kind=Kind.BINARY,
        currency="pUSD",
        price_decimals=4,
        size_decimals=6,
        tick=100,
        lot=10_000,
    )
    mark = BookMarked(
        instrument=ONE,
        best_bid=4_900,
        best_ask=5_100,
        mid2=10_000,
        two_sided_ns=NOW - 3,
        proof_ns=NOW - 2,
        trusted=True,
    )
    for message in (
        InstrumentListed(instrument=instrument),
        CashMoved(account=ACCOUNT, currency="pUSD", amount_micro=1_000_000_000),
        OpenOrdersListed(account=ACCOUNT, orders=()),
        mark,
        Quotes(bot=BOT, instrument=ONE, bids=((4_800, 100 * SHARE),), valid_until_ns=1 << 60),
        OrderNamed(account=ACCOUNT, order=OrderId(1), identity=Identity("i1")),
        OrderSent(account=ACCOUNT, order=OrderId(1)),
        OrderAccepted(account=ACCOUNT, order=OrderId(1)),
    ):
        made.receive(message, NOW)
        made.plan(NOW)
    made.receive(
        OrderFilled(
            account=ACCOUNT,
            order=OrderId(1),
            fill=FillId("f1"),
            price=4_800,
            size=10 * SHARE,
            fee_micro=0,
            liquidity=Liquidity.MAKER,
            state=FillState.MATCHED,
        ),
        NOW,
    )
    return made


def test_a_holding_is_told_pending_then_settled_with_its_cost_and_value(executor: Executor) -> None:
    (seen,) = holdings_of(executor)
    assert (seen.bot, seen.yes_pending, seen.yes_settled) == (BOT, 10 * SHARE, 0)
    assert (seen.yes_cost_micro, seen.value_micro, seen.mid2) == (4_800_000, 5_000_000, 10_000)
    executor.receive(FillSettled(account=ACCOUNT, fill=FillId("f1")), NOW)
    (seen,) = holdings_of(executor)
    assert (seen.bot, seen.yes_pending, seen.yes_settled) == (BOT, 0, 10 * SHARE)


def test_every_limit_that_has_a_use_is_told_with_what_it_allows(executor: Executor) -> None:
    uses = {(use.name, use.subject): use for use in uses_of(executor, [BOT], NOW)}
    worst = uses["exposure_instrument_max", ONE]
    assert (worst.used, worst.limit_value) == (48_000_000, 100_000_000)
    assert uses["exposure_market_max", ONE].used == 48_000_000
    assert uses["exposure_bot_max", BOT].used == 48_000_000
    assert uses["exposure_account_max", ""].used == 48_000_000
    assert uses["exposure_total_max", ""].used == 48_000_000
    assert (uses["open_orders_max", ""].used, uses["open_orders_max", ""].limit_value) == (1, 200)
    assert uses["daily_loss_max", ""].used == 0
    assert uses["data_age_ms_max", ONE].used == 2
    assert uses["mark_age_ms_max", ONE].used == 3


def test_whoever_holds_uses_the_limit_of_an_owner_though_no_bot_of_that_name_runs(
    executor: Executor,
) -> None:
    other = BotId("idle")
    seen = [use for use in uses_of(executor, [other], NOW) if use.name == "exposure_bot_max"]
    assert [(use.subject, use.used) for use in seen] == [(BOT, 48_000_000), (other, 0)]


def test_the_total_of_all_accounts_is_unknown_where_a_rate_is(executor: Executor) -> None:
    other = ExposureBook()
    other.rates.read("EUR", {}.get)
    share_total((executor.gate.exposure, other))
    (use,) = [one for one in uses_of(executor, [BOT], NOW) if one.name == "exposure_total_max"]
    assert (use.used, use.unknown) == (48_000_000, "")
    other.account.micro = 1
    (use,) = [one for one in uses_of(executor, [BOT], NOW) if one.name == "exposure_total_max"]
    assert (use.used, use.unknown) == (48_000_000, "no book gives a rate of EUR to USDC")


# -- capital: where all money of an account is, in every state it can be in ------------------------

M1, M2 = InstrumentId("venue:m1"), InstrumentId("venue:m2")
STEP = st.tuples(
    st.sampled_from(
        ("buy", "buy no", "both", "both", "accept", "accept", "lose", "fill", "fill", "fill",
         "settle", "settle", "void", "win", "lose it", "half", "pay", "cancel", "wait")
    ),
    st.sampled_from((M1, M2)),
    st.integers(0, 10**6),
)  # fmt: skip


def step(rig: Rig, what: str, name: InstrumentId, roll: int) -> None:
    """Let one thing happen to an account; what cannot happen now does nothing."""
    executor, ledger = rig.executor, rig.executor.ledger
    resolved = ledger.holding(name).payout_yes_micro is not None
    live = executor.working(name)
    unsettled = list(ledger.state.fills.unsettled)
    if what in {"buy", "buy no", "both"} and not resolved:
        # An odd size now and then: what is left of it is dust.
        size, price = (5 * 100 + roll % 6_000) * 10_000, 100 * (1 + roll % 48)
        rig.feed(rig.mark(name, best_bid=1, best_ask=9_999))
        quotes = Quotes(
            bot=BOT,
            instrument=name,
            valid_until_ns=1 << 60,
            bids=((price, size),) if what != "buy no" else (),
            asks=((10_000 - price, size),) if what != "buy" else (),
        )
        rig.feed(quotes)
    elif live and what in {"accept", "lose", "fill", "cancel"}:
        order = live[roll % len(live)]
        number = order.order.id
        if order.state is OrderState.PENDING:
            rig.send(number)
        if what == "accept" and order.state is OrderState.SENT:
            rig.feed(rig.event(OrderAccepted, number))
        elif what == "lose" and order.state is OrderState.SENT:
            rig.feed(rig.event(OrderUnanswered, number, reason="lost"))
        elif what == "fill" and order.remaining > 0:
            part = max(10_000, order.remaining * (roll % 100) // 100 // 10_000 * 10_000)
            rig.feed(rig.fill(number, 0, size=min(order.remaining, part), fee_micro=roll % 7))
        elif what == "cancel" and order.state in {OrderState.OPEN, OrderState.PARTIAL}:
            rig.feed(rig.event(OrderCancelled, number))
    elif unsettled and what in {"settle", "void"}:
        fill = unsettled[roll % len(unsettled)]
        kind = FillSettled if what == "settle" else FillVoided
        rig.feed(kind(account=executor.account, fill=fill))
    elif what in {"win", "lose it", "half"} and not resolved and roll % 3 == 0:
        pays = {"win": 1_000_000, "lose it": 0, "half": 500_000}[what]
        rig.feed(InstrumentResolved(instrument=name, payout_yes_micro=pays, source="venue"))
    elif what == "pay" and name in ledger.redeemable:
        amount = max(0, ledger.redeemable[name].redeemable_micro)
        paid = TokensRedeemed(
            account=executor.account, transaction=f"0x{roll}", instrument=name,
            amount_micro=amount if roll % 2 else amount // 2, at_ns=rig.now,
        )  # fmt: skip
        rig.feed(paid)
    elif what == "wait":
        rig.wait(1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEP, max_size=60), redeems=st.booleans(), roll=st.integers(0, 10**6))
def test_free_cash_is_what_may_be_committed_and_every_sum_of_capital_is_exact(
    steps: list[tuple[str, InstrumentId, int]], redeems: bool, roll: int
) -> None:
    build = Build()
    rig = Rig(
        cash=100,
        instruments=(build.binary("venue:m1", closes_ns=5), build.binary("venue:m2")),
        settings=ExecutorSettings(
            starts_reconciled=True, redeem_above_micro=0 if redeems else None
        ),
    )
    for one in steps:
        step(rig, *one)
        seen = capital_of(rig.executor, rig.now)
        state = rig.executor.ledger.state
        assert seen.free_micro == rig.executor.ledger.cash_free_micro
        assert seen.whole_micro == seen.deposits_micro + seen.realised_micro - seen.fees_micro
        assert sum(lock.micro for lock in seen.locks) == seen.whole_micro - seen.free_micro
        assert sum(lock.pending_micro for lock in seen.locks) == state.cash_pending_micro
        assert seen.redeeming_micro == sum(
            lock.redeemable_micro for lock in seen.locks if lock.redemption
        )
        known = [rig.executor.record(key) for key, r in state.reservations.items() if r.cash_micro]
        assert seen.doubtful_orders == sum(
            one is None or one.state not in CONFIRMED for one in known
        )
    free, ledger = capital_of(rig.executor, rig.now).free_micro, rig.executor.ledger
    # A price of one increment at a share of 10**4 increments: one micro-unit each.
    instrument = build.binary("venue:m3", size_decimals=2, price_decimals=4, lot=1)
    ledger.listed(instrument)
    order = build.order(
        10_000, instrument=instrument.id, price=1, size=free + 1, post_only=bool(roll % 2)
    )
    assert instrument.cost_micro(1, free) == free
    with pytest.raises(BrokenInvariant, match=f"{free} are free"):
        ledger.reserve(order)
    if free > 0:
        ledger.reserve(build.order(10_001, instrument=instrument.id, price=1, size=free))
        assert ledger.cash_free_micro == 0


def test_markets_beyond_the_last_one_told_are_told_as_one_sum(monkeypatch: Any) -> None:
    build = Build()
    names = [f"venue:m{number}" for number in range(5)]
    rig = Rig(instruments=tuple(build.binary(name) for name in names))
    for name in names:
        rig.rest(((4_000, 10),), name=name)
    monkeypatch.setattr(figures, "LOCKS_MAX", 2)
    seen = capital_of(rig.executor, rig.now)
    assert [lock.markets for lock in seen.locks] == [1, 1, 3]
    assert seen.locks[-1].orders_micro == 12_000_000
    assert sum(lock.micro for lock in seen.locks) == 20_000_000 == seen.open_micro


def test_what_the_venue_said_of_cash_stands_beside_the_ledger() -> None:
    rig = Rig()
    assert capital_of(rig.executor, rig.now).venue_micro is None
    rig.feed(BalancesListed(account=rig.executor.account, cash_micro={"USD": 7}))
    seen = capital_of(rig.executor, rig.now)
    assert (seen.venue_micro, seen.venue_ns, seen.settled_micro) == (7, rig.now, 1_000_000_000)


def test_an_asset_has_the_worth_of_a_fresh_bid_and_is_unknown_without_one() -> None:
    build, rig = Build(), Rig()
    pair = build.spot(base=asset("BTC"), size_decimals=5, price_decimals=2, lot=1)
    rig.feed(InstrumentListed(instrument=pair))
    for number, fee in enumerate((Money(asset("BTC"), 12), Money(asset("BNB"), 7)), 1):
        order = build.order(
            number, instrument=pair.id, leg=Leg.BASE, price=1_000_000, size=254, created_ns=1
        )
        event = build.filled(
            number, f"f{number}", price=1_000_000, size=254, fee=fee, state=FillState.CONFIRMED
        )
        rig.executor.ledger.book(order, event)

    bnb, btc = capital_of(rig.executor, rig.now).assets
    assert (bnb.asset, bnb.held, bnb.beside, bnb.rate) == ("BNB", "0", "-0.00000007", None)
    assert (btc.held, btc.beside, btc.rate) == ("0.00507", "0.00000988", None)
    assert (bnb.worth_micro, btc.worth_micro) == (None, None)

    rig.feed(rig.mark(pair.id, best_bid=1_000_000, best_ask=1_000_100, mid2=2_000_100))
    _, btc = capital_of(rig.executor, rig.now).assets
    assert btc.rate is not None
    assert (btc.rate.micro, btc.rate.source) == (10_000_000_000, f"best bid of {pair.id}")
    assert btc.worth_micro == 50_798_800
    _, old = capital_of(rig.executor, rig.now + RATE_AGE_NS_MAX + 1).assets
    assert (old.rate, old.worth_micro) == (btc.rate, None)


def test_what_counts_one_to_one_as_the_currency_is_known_of_assets_too(executor: Executor) -> None:
    build = Build()
    for number, paid in enumerate(("USDC", "BNB"), 50):
        fee = Money(asset(paid), 10**6)
        order = build.order(number, account=ACCOUNT, instrument=ONE)
        executor.ledger.book(order, build.filled(number, f"f{number}", fee=fee))
    marks = {}
    for quote in ("EUR", "USDC"):
        pair = build.spot(f"x:BNB/{quote}", base=asset("BNB"), currency=quote)
        executor.receive(InstrumentListed(instrument=pair), NOW)
        marks[quote] = Rig().mark(pair.id, best_bid=60_000, best_ask=60_001, proof_ns=NOW)
    executor.receive(marks["EUR"], NOW)
    bnb, usdc = capital_of(executor, NOW).assets
    assert bnb.rate is None
    assert usdc.rate is not None
    assert (usdc.rate.micro, usdc.rate.currency) == (10**6, "pUSD")
    executor.receive(marks["USDC"], NOW)
    bnb, _ = capital_of(executor, NOW).assets
    assert bnb.rate is not None
    assert (bnb.rate.micro, bnb.rate.source) == (600_000_000, "best bid of x:BNB/USDC")


# -- earnings: what working orders earn of their markets' rewards ----------------------------------

PAYS = {
    "rewards_daily_micro": 100_000_000, "rewards_spread_max": 300, "rewards_size_min": 50 * SHARE,
}  # fmt: skip


def resting(mode: Mode = Mode.DEMO) -> tuple[Rig, Any]:
    """An account with 100 bid at 0.49 in a market that pays, and a runner that sees its book."""
    rig = Rig(instruments=(Build().binary("venue:m1", **PAYS), Build().binary("venue:m2")))
    rig.executor.mode = mode
    rig.rest(((4_900, 100),), name="venue:m1")
    rig.rest(((4_900, 100),), name="venue:m2")
    views = {}
    for key, instrument in rig.executor.ledger.state.instruments.items():
        view = views[key] = BookView(instrument)
        view.book.replace([(4_900, 100 * SHARE)], [(5_100, 300 * SHARE)])
        view.trusted = True
    return rig, SimpleNamespace(
        core=SimpleNamespace(executor=rig.executor, cache=SimpleNamespace(views=views))
    )


@pytest.mark.parametrize("mode", [Mode.DEMO, Mode.PAPER])
def test_orders_are_told_with_what_they_earn_of_a_book_that_holds_them_or_not(mode: Mode) -> None:
    """A third of 100·4/9 of ours; of others 300·4/9 on one side, and in paper 100·4/9 on ours."""
    rig, runner = resting(mode)
    one, two = earnings_of(runner, rig.now + 1)
    assert (one.order, one.earns, one.said) == (1, True, "one side only: it scores a third")
    theirs = Fraction(300, 3) if mode is Mode.DEMO else 100 + Fraction(200, 3)
    assert one.daily_micro == int(100_000_000 * Fraction(100, 3) / (Fraction(100, 3) + theirs))
    assert (two.order, two.earns, two.said) == (2, False, "venue pays no rewards in this market")
    rig.feed(rig.event(OrderCancelled, 1))
    placed_anew, _ = earnings_of(runner, rig.now)
    assert (placed_anew.earns, placed_anew.said) == (
        False,
        "the venue has not confirmed that it rests",
    )


def test_a_book_that_is_not_trusted_gives_no_estimate() -> None:
    rig, runner = resting()
    runner.core.cache.views[M1].trusted = False
    one, _ = earnings_of(runner, rig.now)
    assert (one.earns, one.daily_micro) == (False, 0)
    assert one.said.startswith("not known")


def test_a_band_that_moves_is_told_once_and_only_where_an_order_rests() -> None:
    rig, _ = resting()
    watch = RewardsWatch()
    assert watch.moved(rig.executor) == []
    narrower = PAYS | {"rewards_spread_max": 150, "rewards_size_min": 200 * SHARE}
    rig.feed(InstrumentListed(instrument=Build().binary("venue:m1", **narrower)))
    (alert,) = watch.moved(rig.executor)
    assert (alert.kind, alert.instrument) == ("rewards_moved", M1)
    assert alert.text == (
        "venue:m1 pays 100 USD per day for 200 shares or more within 1.5¢ of the mid; previously "
        "100 USD per day for 50 shares or more within 3¢ of the mid"
    )
    assert watch.moved(rig.executor) == []
    rig.feed(rig.event(OrderCancelled, 1), rig.quotes(name="venue:m1"))
    rig.feed(InstrumentListed(instrument=Build().binary("venue:m1")))
    assert watch.moved(rig.executor) == []
    assert described("rewards_moved").title == "A market's rewards changed"
