"""Margin accounts of the exchange against sums and formulas of their own, and mutants of them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import AccountId, Instrument, InstrumentId, Kind
from engine.domain.products import margin
from engine.domain.products.funding import HOUR_NS, RateType
from engine.domain.products.margin import (
    MarginTier,
    Measure,
    TierTable,
    liquidation_price,
    tier_table,
)
from engine.errors import BadInput, BrokenInvariant
from engine.venues.demo import margin_ledger
from engine.venues.demo.margin_ledger import FUND, MarginLedger, WorkingSizes

E8, MICRO = 10**8, 10**6
A, B, C = (AccountId(name) for name in "abc")
CUSTOMERS = (A, B, C)
TIERS = tier_table(
    Measure.VALUE,
    [
        MarginTier(0, 50_000 * MICRO, 4_000, 125),
        MarginTier(50_000 * MICRO, 600_000 * MICRO, 5_000, 100),
        MarginTier(600_000 * MICRO, 3_000_000 * MICRO, 6_500, 75),
        MarginTier(3_000_000 * MICRO, 12_000_000 * MICRO, 100_000, 5),
    ],
)


def listed(name: str) -> Instrument:
    """Return a perpetual of which a lot at a tick is worth whole micro-units."""
    return Instrument(
        id=InstrumentId(name), kind=Kind.PERPETUAL, currency="pUSD", price_decimals=1,
        size_decimals=5, tick=1, lot=1,
    )  # fmt: skip


BTC, ETH = listed("demo:BTC-PERP"), listed("demo:ETH-PERP")
KEYS = (BTC.id, ETH.id)
UNIT = 10**5


def opened(*, deposit: int = 10_000 * MICRO) -> MarginLedger:
    ledger = MarginLedger()
    for instrument in (BTC, ETH):
        ledger.listed(instrument, TIERS, 40_000 * E8)
    for customer in CUSTOMERS:
        ledger.deposit(customer, deposit)
    return ledger


# -- One account through its life ------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_an_account_is_liquidated_exactly_where_the_formula_says(side: int) -> None:
    ledger = opened()
    buyer, seller = (A, B) if side > 0 else (B, A)
    ledger.deposit(B, 10**15)
    ledger.match(BTC.id, buyer, seller, 400_000, 2 * UNIT)  # 80,000 on a balance of 10,000
    held = ledger.accounts[A].positions[BTC.id]
    at = liquidation_price(BTC.contract, TIERS, held.exposure, 10_000 * MICRO)
    assert at is not None
    assert 0 < (40_000 * E8 - at) * side < 40_000 * E8
    # PnL and margin are each rounded against the account: two micro-units, here 1e-6 of a price.
    assert ledger.mark(BTC.id, at + side * 100) == []
    (taken,) = ledger.mark(BTC.id, at - side)
    assert (taken.customer, taken.size) == (A, side * 2 * UNIT)
    assert (ledger.accounts[A].balance, ledger.equity_micro(A)) == (0, 0)
    assert ledger.accounts[FUND].positions[BTC.id].size == side * 2 * UNIT
    assert ledger.equity_micro(FUND) > 0  # the margin that was left
    assert ledger.problems() == []


def test_a_crash_beyond_bankruptcy_costs_the_fund_and_nobody_else() -> None:
    ledger = opened()
    ledger.match(BTC.id, A, B, 400_000, 2 * UNIT)
    assert [one.customer for one in ledger.mark(BTC.id, 30_000 * E8)] == [A]
    assert ledger.equity_micro(A) == 0
    assert ledger.equity_micro(B) == 30_000 * MICRO
    assert ledger.equity_micro(FUND) == -10_000 * MICRO
    assert ledger.problems() == []


def test_funding_is_paid_once_for_a_stamp_and_rate_type() -> None:
    ledger = opened()
    ledger.match(BTC.id, A, B, 400_000, UNIT)
    rate = 10**14
    assert ledger.fund(BTC.id, 8 * HOUR_NS, rate) == {A: -4 * MICRO, B: 4 * MICRO}
    with pytest.raises(BadInput, match="regular funding of this stamp is paid already"):
        ledger.fund(BTC.id, 8 * HOUR_NS + 6_000_000, rate)
    assert ledger.fund(BTC.id, 8 * HOUR_NS, rate, RateType.SPECIAL)[A] == -4 * MICRO
    assert ledger.accounts[A].balance == 9_992 * MICRO
    assert ledger.problems() == []


def test_a_profit_on_another_contract_keeps_an_account_alive() -> None:
    ledger = opened()
    ledger.deposit(C, 10**15)
    ledger.match(BTC.id, A, C, 400_000, 2 * UNIT)
    ledger.match(ETH.id, C, A, 400_000, 2 * UNIT)  # short
    ledger.mark(ETH.id, 30_000 * E8)
    assert ledger.mark(BTC.id, 31_000 * E8) == []
    assert {one.customer for one in ledger.mark(ETH.id, 40_000 * E8)} == {A}


def test_what_is_in_use_cannot_leave_and_bad_marks_are_refused() -> None:
    ledger = opened()
    ledger.accounts[A].leverage = 10
    ledger.match(BTC.id, A, B, 400_000, UNIT)
    assert ledger.free_micro(A) == 6_000 * MICRO
    with pytest.raises(BrokenInvariant, match="more than it has free"):
        ledger.deposit(A, -6_000 * MICRO - 1)
    ledger.deposit(A, -6_000 * MICRO)
    for refused in (lambda: ledger.mark(BTC.id, 0), lambda: ledger.listed(BTC, TIERS, -1)):
        with pytest.raises(BadInput, match="is not above 0"):
            refused()


# -- What orders reserve ---------------------------------------------------------------------------


def test_orders_reserve_what_the_worse_side_opens_and_reducing_costs_nothing() -> None:
    ledger = opened()
    ledger.accounts[A].leverage = 10  # 4,000 a unit, of 10,000
    assert ledger.reserve(A, BTC.id, 2 * UNIT) == ""
    assert ledger.reserve(A, BTC.id, -2 * UNIT) == ""  # the other side fills, not both
    assert ledger.free_micro(A) == 2_000 * MICRO
    assert ledger.reserve(A, BTC.id, UNIT) == "it lacks 2000 of initial margin"
    assert ledger.free_micro(A) == 2_000 * MICRO
    ledger.match(BTC.id, A, B, 400_000, 2 * UNIT)
    ledger.release(A, BTC.id, 2 * UNIT)
    assert ledger.free_micro(A) == 2_000 * MICRO  # the position has what the order had
    ledger.deposit(A, -2_000 * MICRO)
    assert ledger.reserve(A, BTC.id, -2 * UNIT) == ""  # two asks of two: flips to a short of two
    assert ledger.reserve(A, BTC.id, -1) == "it lacks 0.04 of initial margin"
    with pytest.raises(BrokenInvariant, match="more margin is released than orders reserved"):
        ledger.release(A, BTC.id, 1)


def test_leverage_is_a_function_of_size() -> None:
    ledger = opened(deposit=10**13)
    ledger.accounts[A].leverage = 100
    assert ledger.reserve(A, BTC.id, 15 * UNIT) == ""  # 600,000: the second tier
    why = ledger.reserve(A, BTC.id, 1)
    assert why == "a position of 15.00001 allows a leverage of 75, not 100"
    ledger.accounts[A].leverage = 1
    assert "allows a leverage of 0" in ledger.reserve(A, BTC.id, 300 * UNIT)


def filled(orders: list[tuple[int, int]]) -> None:
    """Place orders as far as they are taken, then let each of them fill."""
    ledger = opened()
    ledger.accounts[A].leverage = 20
    ledger.deposit(B, 10**15)
    placed = [size * side for side, size in orders if not ledger.reserve(A, BTC.id, size * side)]
    assert ledger.free_micro(A) >= 0
    for size in placed:
        buyer, seller = (A, B) if size > 0 else (B, A)
        ledger.match(BTC.id, buyer, seller, 400_000, abs(size))
        ledger.release(A, BTC.id, size)
        assert ledger.free_micro(A) >= 0
    assert ledger.accounts[A].worst(BTC.id) == abs(sum(placed))


@given(st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 3 * UNIT)), max_size=12))
def test_what_was_reserved_is_enough_however_it_fills(orders: list[tuple[int, int]]) -> None:
    filled(orders)


@pytest.mark.parametrize("side", [1, -1])
def test_margin_that_orders_do_not_hold_is_seen(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [(side, 2 * UNIT)] * 5
    filled(orders)
    monkeypatch.setattr(WorkingSizes, "worst", lambda _, held: abs(held))
    with pytest.raises(AssertionError):
        filled(orders)


# -- Any life of three accounts, judged from what was asked alone ----------------------------------

Step = tuple[Any, ...]
_pairs = st.sampled_from([(a, b) for a in CUSTOMERS for b in CUSTOMERS if a != b])
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("match"), st.sampled_from(KEYS), _pairs, st.integers(300_000, 500_000),
            st.integers(1, 3 * UNIT),
        ),
        st.tuples(st.just("mark"), st.sampled_from(KEYS), st.integers(30_000 * E8, 50_000 * E8)),
        st.tuples(
            st.just("fund"), st.sampled_from(KEYS), st.integers(0, 3),
            st.integers(-(10**15), 10**15),
        ),
        st.tuples(st.just("fee"), st.sampled_from(CUSTOMERS), st.integers(0, 10**6)),
    ),
    max_size=25,
)  # fmt: skip


class Judge:
    """Recomputes every account from what was asked and who was liquidated, in fractions."""

    def __init__(self, ledger: MarginLedger) -> None:
        self.ledger = ledger
        self.worth: dict[AccountId, Fraction] = {
            customer: Fraction(account.balance) for customer, account in ledger.accounts.items()
        }
        """What each paid in, and was paid by fills, funding and fees."""
        self.sizes: dict[tuple[AccountId, InstrumentId], int] = {}
        self.marks = dict.fromkeys(KEYS, 40_000 * E8)
        self.stamps: set[tuple[InstrumentId, int]] = set()

    def play(self, step: Step) -> None:
        ledger, taken = self.ledger, []
        match step:
            case "match", key, (buyer, seller), price, size:
                ledger.match(key, buyer, seller, price, size)
                for who, side in ((buyer, 1), (seller, -1)):
                    self.worth[who] -= side * Fraction(price * size)
                    self.sizes[who, key] = self.sizes.get((who, key), 0) + side * size
                taken = ledger.liquidate()
            case "mark", key, mark:
                self.marks[key] = mark
                taken = ledger.mark(key, mark)
            case "fund", key, stamp, rate:
                self._fund(key, stamp, rate)
                taken = ledger.liquidate()
            case "fee", who, fee:
                ledger.charge(who, fee)
                self.worth[who] -= fee
                taken = ledger.liquidate()
        for who in {one.customer for one in taken}:
            self.worth[FUND] += self.worth[who]
            self.worth[who] = Fraction(0)
            for key in KEYS:
                size = self.sizes.pop((who, key), 0)
                self.sizes[FUND, key] = self.sizes.get((FUND, key), 0) + size
        self.check()

    def _fund(self, key: InstrumentId, stamp: int, rate: int) -> None:
        if (key, stamp) in self.stamps:
            before = {who: one.balance for who, one in self.ledger.accounts.items()}
            with contextlib.suppress(BadInput):
                self.ledger.fund(key, stamp * HOUR_NS, rate)
            assert before == {who: one.balance for who, one in self.ledger.accounts.items()}
            return
        self.stamps.add((key, stamp))
        self.ledger.fund(key, stamp * HOUR_NS, rate)
        total = 0
        for (who, of), size in self.sizes.items():
            if of == key and size:
                cash = -self._value(key, size) * Fraction(rate, 10**18) // 1
                self.worth[who] += cash
                total += cash
        self.worth[FUND] -= total

    def _value(self, key: InstrumentId, size: int) -> Fraction:
        return Fraction(size, UNIT) * self.marks[key] * MICRO / E8

    def _due(self, value: Fraction) -> Fraction:
        """Sum each tier's rate on what lies within it."""
        due = Fraction(0)
        for tier in TIERS.tiers:
            top = value if tier is TIERS.tiers[-1] else min(value, Fraction(tier.cap))
            due += max(Fraction(0), top - tier.floor) * Fraction(tier.maintenance_ppm, MICRO)
        return due

    def check(self) -> None:
        ledger = self.ledger
        assert ledger.problems() == []
        for who, account in ledger.accounts.items():
            held = {key: self.sizes.get((who, key), 0) for key in KEYS}
            assert held == {
                key: account.positions[key].size if key in account.positions else 0 for key in KEYS
            }
            equity = self.worth[who] + sum(self._value(key, size) for key, size in held.items())
            slack = len(KEYS)  # each position's PnL is rounded down once
            assert 0 <= equity - ledger.equity_micro(who) <= slack
            due = sum(self._due(abs(self._value(key, size))) for key, size in held.items())
            if who != FUND and any(held.values()):
                assert equity >= due


def played(steps: list[Step]) -> None:
    judge = Judge(opened())
    for step in steps:
        judge.play(step)


@given(STEPS)
def test_money_is_conserved_and_nobody_is_below_maintenance(steps: list[Step]) -> None:
    played(steps)


LIFE: list[Step] = [
    ("match", BTC.id, (A, B), 400_000, 2 * UNIT),
    ("match", ETH.id, (C, A), 400_000, UNIT),
    ("fund", BTC.id, 1, 10**14),
    ("fund", BTC.id, 1, 10**14),
    ("fee", A, 12),
    *(("mark", BTC.id, (40_000 - 25 * step) * E8) for step in range(400)),
]
"""A long and a short that pay funding twice, and are walked down to their end."""


def _twice(patch: pytest.MonkeyPatch) -> None:
    number = itertools.count()
    patch.setattr(margin_ledger, "funding_name", lambda *_: str(next(number)))


def _short_is_no_exposure(patch: pytest.MonkeyPatch) -> None:
    due = margin.maintenance
    patch.setattr(
        margin_ledger, "maintenance", lambda c, t, size, mark: due(c, t, max(size, 0), mark)
    )


def _tier_off_by_one(patch: pytest.MonkeyPatch) -> None:
    at = TierTable.index
    patch.setattr(TierTable, "index", lambda self, n, d=1: max(0, at(self, n, d) - 1))


def _never(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(margin_ledger, "liquidated", lambda *_: False)


def _funding_earns_everybody(patch: pytest.MonkeyPatch) -> None:
    cash = margin_ledger.funding_cash
    patch.setattr(margin_ledger, "funding_cash", lambda *given: abs(cash(*given)))


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "wrong", [_twice, _short_is_no_exposure, _tier_off_by_one, _never, _funding_earns_everybody]
)
def test_a_ledger_that_is_wrong_is_seen(
    wrong: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    played(LIFE)
    wrong(monkeypatch)
    with pytest.raises(AssertionError):
        played(LIFE)
