"""No asset is made or lost: any sequence of fills, fees in three assets, transfers, fundings, ends.

What each asset should be is summed here of the events alone, in whole units; no formula of the
product is asked but what a fill moved, rounded as the venue does.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.assets import Money, asset
from engine.domain.events import CashKind, HoldingTransferred
from engine.domain.fills import FillState
from engine.domain.instruments import BotId, Instrument, Kind, Leg, Side
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.domain.products.funding import HOUR_NS
from engine.executor.ledger import Ledger, LedgerState
from tests.executor.conftest import ACCOUNT, Build

BTC, BNB, USD = asset("BTC"), asset("BNB"), asset("USD")
BUILD = Build()
LOT = 1_000
"""Units of BTC in one increment of a size of five decimals."""
PAIR = BUILD.spot(base=BTC, size_decimals=5, price_decimals=2, lot=1)
PERPETUALS = tuple(
    BUILD.spot(f"venue:{name}/USD:USD", kind=Kind.PERPETUAL, size_decimals=5, price_decimals=2)
    for name in ("BTC", "ETH")
)
OWNERS = (BotId("a"), BotId("b"), BotId("manual"))
CASH = 10**12

owners, sizes, prices = st.sampled_from(OWNERS), st.integers(1, 900), st.integers(1, 10**7)
fees = st.one_of(
    st.none(), st.builds(Money, st.sampled_from([BTC, BNB, USD]), st.integers(-2_000, 4_000))
)


class Traded(NamedTuple):
    """A fill of a perpetual, or of the pair where `of` is 2."""

    of: int
    owner: BotId
    side: Side
    price: int
    size: int
    fee: Money | None


class Given(NamedTuple):
    """What one owner gives another of a perpetual."""

    of: int
    owner: BotId
    to: BotId
    price: int
    size: int


class Funded(NamedTuple):
    of: int
    amount: int
    rate: int | None
    mark: int


class Ended(NamedTuple):
    """The venue closes all that the account holds of a perpetual, or pays a debt of it."""

    of: int
    value: int
    fee: int


perpetuals = st.integers(0, 1)
steps = st.lists(
    st.one_of(
        st.builds(Traded, st.integers(0, 2), owners, st.sampled_from(Side), prices, sizes, fees),
        st.builds(Given, perpetuals, owners, owners, prices, sizes),
        st.builds(
            Funded, perpetuals, st.integers(-(10**7), 10**7),
            st.one_of(st.none(), st.integers(-(10**16), 10**16)), st.integers(1, 10**13),
        ),
        st.builds(Ended, perpetuals, st.integers(0, 10**9), st.integers(-(10**6), 10**6)),
    ),
    max_size=25,
)  # fmt: skip


class Summed:
    """A ledger beside the sums of what happened to it."""

    def __init__(self) -> None:
        self.ledger = Ledger(currency="USD")
        for of in (PAIR, *PERPETUALS):
            self.ledger.listed(of)
        self.ledger.move_cash(CASH)
        self.units = Counter({"USD": CASH, "BTC": 0, "BNB": 0})
        """Of USD what it would be if every signed position had been paid for."""
        self.sizes: Counter[str] = Counter()
        self.funding = 0

    def take(self, number: int, step: Any) -> None:
        of = PAIR if step.of == 2 else PERPETUALS[step.of]
        match step:
            case Traded():
                self._traded(number, step, of)
            case Given() if step.owner != step.to:
                self._given(step, of)
            case Funded():
                self._funded(number, step, of)
            case Ended():
                self._ended(number, step, of)
            case _:
                pass
        self.ledger.check()

    def _traded(self, number: int, step: Traded, of: Instrument) -> None:
        side, fee = step.side, step.fee
        held = self.ledger.owned(of.id, step.owner).yes.settled
        if of is PAIR and step.size > held - 5:
            side = Side.BUY  # of a pair only what is held is sold, and a fee may take a part of it
        if of is not PAIR and fee is not None and fee.asset == BTC:
            fee = Money(BNB, fee.amount)  # no perpetual trades an asset that a fee could be of
        order = BUILD.order(
            number, instrument=of.id, leg=Leg.BASE, side=side, price=step.price, size=step.size,
            bot=step.owner,
        )  # fmt: skip
        fill = BUILD.filled(
            number, f"f{number}", price=step.price, size=step.size, state=FillState.CONFIRMED,
            fee=msgspec.UNSET if fee is None else fee,
        )  # fmt: skip
        self.ledger.book(order, fill)
        sign = 1 if side is Side.BUY else -1
        self.units["USD"] -= sign * fill.moved_micro(of, side)
        if of is PAIR:
            self.units["BTC"] += sign * step.size * LOT
        else:
            self.sizes[of.id] += sign * step.size
        if fee is not None:
            self.units[fee.asset.id] -= fee.amount

    def _given(self, step: Given, of: Instrument) -> None:
        held = self.ledger.owned(of.id, step.owner).position
        if size := min(step.size, abs(held)):
            self.ledger.transfer(
                HoldingTransferred(
                    account=ACCOUNT, instrument=of.id, leg=Leg.BASE, size=size, price=step.price,
                    from_owner=step.owner, to_owner=step.to, who="ann",
                )
            )  # fmt: skip

    def _funded(self, number: int, step: Funded, of: Instrument) -> None:
        self.ledger.fund(
            FundingPaid(
                account=ACCOUNT, instrument=of.id, currency="USD", amount_micro=step.amount,
                stamp_ns=number * HOUR_NS, rate_e18=step.rate, mark_e8=step.mark,
            )
        )  # fmt: skip
        self.units["USD"] += step.amount
        self.funding += step.amount

    def _ended(self, number: int, step: Ended, of: Instrument) -> None:
        netted = self.ledger.state.netted.get(of.id)
        size = 0 if netted is None else netted.size
        value = step.value if size > 0 else -step.value if size < 0 else 0
        self.ledger.liquidate(
            PositionLiquidated(
                account=ACCOUNT, instrument=of.id, currency="USD", liquidation=f"l{number}",
                size=size, value_micro=value, fee_micro=step.fee,
            )
        )  # fmt: skip
        self.units["USD"] += value - step.fee
        self.sizes[of.id] -= size


def assert_kept(ledger: Ledger, summed: Summed) -> None:
    state = ledger.state
    cost = sum(one.cost for one in state.netted.values())
    assert state.cash_settled_micro - cost == summed.units["USD"]
    pair = ledger.holding(PAIR.id)
    assert pair.position * LOT + pair.dust == summed.units["BTC"]
    third = state.assets.get("BNB")
    assert -(third.fees if third else 0) == summed.units["BNB"]
    for of in PERPETUALS:
        held = state.netted.get(of.id)
        size = 0 if held is None else held.size
        assert size == summed.sizes[of.id]
        assert size == sum(one.position for one in ledger.holders(of.id).values())
        assert size or held is None or held.cost == 0, "what is flat cost nothing"
    assert state.income_micro.get(CashKind.FUNDING, 0) == summed.funding


@pytest.mark.long
@given(steps)
@settings(max_examples=150, deadline=None)
def test_no_asset_is_made_or_lost_by_any_sequence(given_steps: list[Any]) -> None:
    summed = Summed()
    for number, step in enumerate(given_steps, 1):
        summed.take(number, step)
        assert_kept(summed.ledger, summed)
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(summed.ledger.state), type=LedgerState)
    after_restart = Ledger(currency="USD")
    after_restart.restore(state)
    assert_kept(after_restart, summed)
