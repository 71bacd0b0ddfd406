"""The whole exchange under arbitrary requests, watched by judges that share none of its code."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.domain.fills import FillState
from engine.domain.instruments import AccountId, Leg, Side
from engine.domain.orders import Identity, OrderState, OrderType
from engine.errors import BadInput, BrokenInvariant
from engine.venues.demo.accounts import Rules
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import StandingOrder
from engine.venues.demo.snapshot import encode_state
from tests.venues.demo.builders import (
    ANN,
    BOB,
    CAT,
    COIN,
    SHARE,
    USD,
    S,
    buy_no,
    buy_yes,
    exchange,
    put,
    run,
    ticket,
)
from tests.venues.demo.judges import BookJudge, WalletJudge

CUSTOMERS = (ANN, BOB, CAT)


class Market(RuleBasedStateMachine):
    """Three customers do anything; sometimes settlement fails; in the end the market resolves."""

    @initialize(delay=st.sampled_from([0, 250_000_000]), tick=st.sampled_from([100, 10]))
    def open(self, delay: int, tick: int) -> None:
        self.made = exchange(taker_delay_ns=delay, tick=tick)
        self.books = BookJudge()
        self.wallets = {customer: WalletJudge(1_000 * USD) for customer in CUSTOMERS}
        self.names = 0
        self.resolved = False

    @rule(
        who=st.sampled_from(CUSTOMERS),
        leg=st.sampled_from([Leg.YES, Leg.NO]),
        side=st.sampled_from([Side.BUY, Side.BUY, Side.SELL]),
        cents=st.integers(44, 56),
        shares=st.integers(500, 90_000),
        type_=st.sampled_from([*OrderType, OrderType.GTC, OrderType.GTC]),
        post_only=st.booleans(),
    )
    def place(
        self,
        who: AccountId,
        leg: Leg,
        side: Side,
        cents: int,
        shares: int,
        type_: OrderType,
        post_only: bool,
    ) -> None:
        self.names += 1
        expires = self.made.now_ns + 3 * S if type_ is OrderType.GTD else None
        intent = ticket(
            f"o{self.names}",
            leg,
            side,
            cents,
            shares / 100,
            type=type_,
            post_only=post_only and type_ in (OrderType.GTC, OrderType.GTD),
            expires_ns=expires,
        )
        receipt = self.made.submit(who, intent, self.made.now_ns)
        order = self.made.order(who, intent.identity)
        assert (order is None) is (receipt.standing is StandingOrder.REJECTED)
        if order is not None:
            assert order.filled == receipt.filled
            assert order.state.ended is (receipt.standing is StandingOrder.MATCHED)
            assert not (type_ is OrderType.FOK and 0 < receipt.filled < intent.size)
            assert not (intent.post_only and receipt.filled)

    @rule(who=st.sampled_from(CUSTOMERS), pick=st.integers(0, 99))
    def cancel(self, who: AccountId, pick: int) -> None:
        orders = self.made.open_orders(who)
        if orders:
            order = orders[pick % len(orders)]
            held = order.state is OrderState.DELAYED
            answer = self.made.cancel(who, order.identity, self.made.now_ns)
            assert answer.cancelled is not held

    @rule(who=st.sampled_from(CUSTOMERS))
    def cancel_all(self, who: AccountId) -> None:
        self.made.cancel_all(who, self.made.now_ns)
        left = self.made.open_orders(who)
        assert all(order.state is OrderState.DELAYED for order in left)

    @rule(who=st.sampled_from(CUSTOMERS), shares=st.integers(-50, 50))
    def convert(self, who: AccountId, shares: int) -> None:
        if self.made.convert(who, COIN, shares * SHARE, self.made.now_ns):
            wallet = self.wallets[who]
            wallet.cash -= shares * USD
            for leg in ("yes", "no"):
                wallet.tokens[COIN, leg] += shares * SHARE

    @rule(seconds=st.sampled_from([0.1, 0.25, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        run(self.made, seconds)

    @rule(end=st.sampled_from([FillState.FAILED, FillState.RETRYING]))
    def spoil_the_next_settlement(self, end: FillState) -> None:
        self.made.settlement.forced.append(end)

    @precondition(lambda self: not self.resolved)
    @rule(payout=st.sampled_from([0, USD // 2, USD]), chance=st.integers(0, 9))
    def resolve(self, payout: int, chance: int) -> None:
        if chance == 0:
            self.made.listing.resolve(COIN, payout, "referee")
            self.resolved = True

    @invariant()
    def judges_agree(self) -> None:
        if not hasattr(self, "made"):
            return
        self.books.receive(self.made.take_public())
        self.books.compare(self.made)
        for customer, wallet in self.wallets.items():
            wallet.receive(self.made.take(customer))
            wallet.compare(self.made, customer)
        sums = self.made.invariants()
        assert sums.problems == ()
        tokens = {
            leg: sum(wallet.tokens[COIN, leg] for wallet in self.wallets.values())
            for leg in ("yes", "no")
        }
        if not self.resolved:
            assert tokens["yes"] == tokens["no"]
            cash = sum(wallet.cash for wallet in self.wallets.values())
            assert cash + tokens["yes"] + sums.fees == 3_000 * USD

    def teardown(self) -> None:
        """When everything has settled, every cent is in a wallet, a fee, or a pair."""
        if not hasattr(self, "made"):
            return
        run(self.made, 60)
        self.judges_agree()
        assert self.made.invariants().pending == 0
        assert not self.made.settlement.pending


Market.TestCase.settings = settings(max_examples=40, stateful_step_count=35)
TestMarket = Market.TestCase


INTENTS = st.lists(
    st.tuples(
        st.sampled_from(CUSTOMERS),
        st.sampled_from([Side.BUY, Side.BUY, Side.SELL]),
        st.sampled_from([Leg.YES, Leg.NO]),
        st.integers(45, 55),
        st.integers(5, 40),
        st.sampled_from([OrderType.GTC, OrderType.GTC, OrderType.FAK, OrderType.FOK]),
    ),
    max_size=30,
)


@given(INTENTS)
def test_swapping_the_legs_reflects_the_book_and_changes_no_wallet(
    intents: list[tuple[AccountId, Side, Leg, int, int, OrderType]],
) -> None:
    plain, swapped = exchange(), exchange()
    for made in (plain, swapped):
        for customer in CUSTOMERS:
            made.convert(customer, COIN, 50 * SHARE, made.now_ns)
    for number, (who, side, leg, cents, shares, type_) in enumerate(intents):
        other = Leg.NO if leg is Leg.YES else Leg.YES
        first = ticket(f"o{number}", leg, side, cents, shares, type=type_)
        second = ticket(f"o{number}", other, side, cents, shares, type=type_)
        receipts = (
            plain.submit(who, first, plain.now_ns),
            swapped.submit(who, second, swapped.now_ns),
        )
        assert receipts[0] == receipts[1]
    bids, asks = plain.order_entry.markets[COIN].book.depth()
    mirrored = tuple(tuple((10_000 - price, size) for price, size in side) for side in (asks, bids))
    assert swapped.order_entry.markets[COIN].book.depth() == mirrored
    for customer in CUSTOMERS:
        one, other = plain.wallet(customer), swapped.wallet(customer)
        assert (one.cash, one.reserved, one.pending) == (other.cash, other.reserved, other.pending)


def test_time_never_runs_backwards() -> None:
    made = exchange()
    run(made, 1)
    with pytest.raises(BrokenInvariant, match="backwards"):
        made.submit(ANN, buy_yes("a", 50, 5), made.now_ns - 1)


def test_what_is_due_happens_before_a_request() -> None:
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 10, type=OrderType.GTD, expires_ns=made.now_ns + S))
    receipt = made.submit(BOB, buy_no("b", 50, 10), made.now_ns + 2 * S)
    assert receipt.standing is StandingOrder.LIVE


def test_the_exchange_is_not_advanced_from_within() -> None:
    made = exchange()

    class Meddler:
        name = "meddler"

        def wake(self, topic: int, now_ns: int) -> None:
            del topic
            made.advance(now_ns + 1)

        def state(self) -> bytes:
            return b""

        def restore(self, state: bytes) -> None:
            del state

    made.join(Meddler())
    made.timeline.set(made.now_ns, 5, "meddler")
    with pytest.raises(BrokenInvariant, match="within itself"):
        run(made, 1)


def test_an_account_is_opened_once_and_cash_moves_are_no_profit() -> None:
    made = exchange()
    with pytest.raises(BadInput):
        made.open_account(ANN, 0)
    made.deposit(ANN, 5 * USD)
    made.deposit(ANN, -5 * USD)
    assert made.wallet(ANN).cash == 1_000 * USD
    assert made.invariants().deposits == 3_000 * USD


def test_old_fills_and_orders_are_forgotten_but_never_passed_off_as_none() -> None:
    made = exchange(rules=Rules(gtd_min_ns=0, gtd_early_ns=0, fills_kept_max=4, ended_kept_max=3))
    for number in range(5):
        put(made, BOB, buy_no(f"b{number}", 50, 5))
        put(made, ANN, buy_yes(f"a{number}", 50, 5))
        run(made, 1)
    with pytest.raises(BadInput, match="no longer kept"):
        made.fills(ANN, 0)
    recent = made.fills(ANN, made.now_ns - 2 * S)
    assert [fill.identity for fill in recent] == ["a3", "a4"]
    assert made.order(ANN, Identity("a1")) is None
    assert made.order(ANN, Identity("a2")) is not None


def test_the_crowd_is_not_remembered_and_receives_nothing() -> None:
    made = exchange()
    quiet = AccountId("quiet")
    made.open_account(quiet, 100 * USD, listening=False)
    put(made, quiet, buy_yes("a", 50, 5))
    put(made, BOB, buy_no("b", 50, 5))
    assert made.order(quiet, Identity("a")) is None
    assert made.fills(quiet, 0) == []
    run(made, 10)
    assert made.positions(quiet) == [(COIN, Leg.YES, 5 * SHARE)]


def test_nobody_taking_is_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.venues.demo.timeline.PUBLIC_MAX", 3)
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 5))
    with pytest.raises(BrokenInvariant, match="public events"):
        put(made, ANN, buy_yes("b", 50, 5))
    monkeypatch.setattr("engine.venues.demo.timeline.REPORTS_MAX", 1)
    made.take_public()
    with pytest.raises(BrokenInvariant, match="reports of ann"):
        put(made, ANN, buy_yes("c", 50, 5))


def test_silence_costs_nothing_and_changes_nothing() -> None:
    states = []
    for publishing in (True, False):
        made: DemoExchange = exchange()
        made.take_public()
        made.outbox.published = 0
        made.outbox.publishing = publishing
        put(made, BOB, buy_no("b", 50, 5))
        put(made, ANN, buy_yes("a", 50, 5))
        assert bool(made.take_public()) is publishing
        made.outbox.published = 0
        states.append(encode_state(made))
    assert states[0] == states[1]
