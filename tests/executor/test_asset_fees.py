"""Fees in another asset than the currency: the traded one, or a third."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.assets import Money, asset
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import BotId, Instrument, Leg, Side
from engine.errors import BadInput, BrokenInvariant
from engine.executor.ledger import Anomaly, Ledger, LedgerState

BTC, BNB, USD = asset("BTC"), asset("BNB"), asset("USD")
CASH = 1_000 * 1_000_000
CONFIRMED = FillState.CONFIRMED
LOT = 1_000
"""Units of BTC in one increment of a size of five decimals."""


@pytest.fixture
def pair(build: Any) -> Instrument:
    found: Instrument = build.spot(base=BTC, size_decimals=5, price_decimals=2, lot=1)
    return found


@pytest.fixture
def ledger(pair: Instrument) -> Ledger:
    ledger = Ledger(currency="USD")
    ledger.listed(pair)
    ledger.move_cash(CASH)
    return ledger


def fill(ledger: Ledger, build: Any, pair: Instrument, fee: Money | None, **changes: Any) -> Any:
    changes = {"price": 1_000_000, "size": 254, "number": 1, "side": Side.BUY} | changes
    number, price, size = changes["number"], changes["price"], changes["size"]
    order = build.order(
        number, instrument=pair.id, leg=Leg.BASE, side=changes["side"], price=price, size=size,
        bot=changes.get("bot", build.bot),
    )  # fmt: skip
    return ledger.book(
        order,
        build.filled(
            number, f"f{number}", price=price, size=size, state=changes.get("state", CONFIRMED),
            fee=msgspec.UNSET if fee is None else fee, fee_micro=changes.get("fee_micro", 0),
        ),
    )  # fmt: skip


def units(ledger: Ledger, pair: Instrument) -> int:
    """Return what the account has of the traded asset, in its own units."""
    held = ledger.holding(pair.id)
    return held.position * LOT + held.dust


def test_a_buy_brings_what_the_fee_left_and_no_more_can_be_sold(
    ledger: Ledger, build: Any, pair: Instrument
) -> None:
    fill(ledger, build, pair, Money.paid(BTC, "0.00000254"))  # 0.1 % of 0.00254

    held = ledger.holding(pair.id)
    assert units(ledger, pair) == 254_000 - 254
    assert (held.yes.settled, held.dust) == (253, 746)
    assert ledger.state.cash_settled_micro == CASH - 25_400_000
    assert held.fees_micro == 25_400
    assert held.yes.cost_micro == 25_400_000 - 25_400
    sale = build.order(2, instrument=pair.id, leg=Leg.BASE, side=Side.SELL, size=254)
    with pytest.raises(BrokenInvariant, match="settled 253"):
        ledger.commit(sale, 254)
    ledger.check()


def test_dust_pays_the_next_fee_before_another_increment_does(
    ledger: Ledger, build: Any, pair: Instrument
) -> None:
    fill(ledger, build, pair, Money(BTC, 12))
    assert (ledger.holding(pair.id).yes.settled, ledger.holding(pair.id).dust) == (253, 988)

    fill(ledger, build, pair, Money(BTC, 988), number=2)
    assert (ledger.holding(pair.id).yes.settled, ledger.holding(pair.id).dust) == (507, 0)

    fill(ledger, build, pair, Money(BTC, -1_500), number=3)  # a rebate
    assert (ledger.holding(pair.id).yes.settled, ledger.holding(pair.id).dust) == (762, 500)
    ledger.check()


def test_a_sale_whose_fee_is_in_what_it_sells_lets_go_of_both(
    ledger: Ledger, build: Any, pair: Instrument
) -> None:
    fill(ledger, build, pair, None, size=236)
    fill(ledger, build, pair, Money(BTC, 3_000), number=2, side=Side.SELL, size=233)

    assert units(ledger, pair) == 0
    assert ledger.state.cash_settled_micro == CASH - 300_000
    assert ledger.holding(pair.id).fees_micro == 300_000
    assert ledger.holding(pair.id).realised_micro == 0
    ledger.check()


def test_a_fee_in_a_third_asset_moves_neither_cash_nor_tokens(
    ledger: Ledger, build: Any, pair: Instrument
) -> None:
    fill(ledger, build, pair, Money(BNB, 12), fee_micro=7)
    fill(ledger, build, pair, Money(BNB, 30), number=2, bot=BotId("other"))

    assert ledger.state.assets["BNB"].fees == 42
    assert ledger.state.owners[BotId("other")].asset_fees == {"BNB": 30}
    assert ledger.state.cash_settled_micro == CASH - 50_800_007
    assert units(ledger, pair) == 508_000
    ledger.check()
    ledger.state.assets["BNB"].fees += 1
    with pytest.raises(BrokenInvariant, match="BNB: the account has 43 units"):
        ledger.check()


def test_a_fee_in_the_currency_finer_than_a_micro_unit_is_rounded_up(
    ledger: Ledger, build: Any, pair: Instrument
) -> None:
    fill(ledger, build, pair, Money.paid(msgspec.structs.replace(USD, decimals=8), "0.06937084"))
    assert ledger.state.cash_settled_micro == CASH - 25_400_000 - 69_371
    ledger.check()


@pytest.mark.parametrize("side", list(Side))
def test_a_fee_above_its_fill_is_booked_and_said(
    ledger: Ledger, build: Any, pair: Instrument, side: Side
) -> None:
    fill(ledger, build, pair, None, size=1_000)
    booked = fill(ledger, build, pair, Money(BTC, 254_001), number=2, side=side)

    assert booked.anomalies == (Anomaly.FEE_ABOVE_FILL,)
    signed = 254_000 if side is Side.BUY else -254_000
    assert units(ledger, pair) == 1_000_000 + signed - 254_001
    ledger.check()


def test_an_asset_coarser_than_the_sizes_of_its_pair_is_refused(build: Any) -> None:
    with pytest.raises(BadInput, match="BTC has 4 decimals, sizes have 5"):
        build.spot(base=msgspec.structs.replace(BTC, decimals=4), size_decimals=5)


FEES = st.one_of(
    st.none(),
    st.builds(Money, st.sampled_from([BTC, BNB, USD]), st.integers(-2_000, 4_000)),
)
STATES = st.sampled_from([FillState.MATCHED, CONFIRMED])
FILLS = st.tuples(st.sampled_from(Side), st.integers(1, 900), FEES, STATES, st.integers(0, 1))


@given(st.lists(FILLS, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12))
@settings(max_examples=100, deadline=None)
def test_whatever_is_paid_in_no_asset_is_made_or_lost(
    build: Any, fills: list[Any], void: list[bool]
) -> None:
    pair = build.spot(base=BTC, size_decimals=5, price_decimals=2, lot=1)
    ledger = Ledger(currency="USD")
    ledger.listed(pair)
    cash = {"BTC": 0, "BNB": 0, "USD": CASH}
    ledger.move_cash(CASH)
    kept: list[tuple[int, Any]] = []
    for number, (wanted, size, fee, state, owner) in enumerate(fills, 1):
        owned = ledger.owned(pair.id, BotId(f"o{owner}")).yes.settled
        sells = wanted is Side.SELL and size <= owned - 5 and state is CONFIRMED
        side = Side.SELL if sells else Side.BUY
        changes = {"side": side, "size": size, "state": state, "bot": BotId(f"o{owner}")}
        fill(ledger, build, pair, fee, number=number, **changes)
        kept.append((number, (side, size, fee, state)))
        ledger.check()
    for (number, (side, size, fee, state)), gone in zip(kept, void, strict=False):
        if state is not CONFIRMED:
            after = FillState.FAILED if gone else CONFIRMED
            ledger.advance(FillId(f"f{number}"), after)
            if gone:
                continue
        sign = 1 if side is Side.BUY else -1
        cash["BTC"] += sign * size * LOT
        cash["USD"] -= sign * size * 100_000
        if fee is not None:
            cash[fee.asset.id] -= fee.amount
    ledger.check()
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(ledger.state), type=LedgerState)
    after_restart = Ledger(currency="USD")
    after_restart.restore(state)
    for one in (ledger, after_restart):
        third = one.state.assets.get("BNB")
        assert one.state.cash_settled_micro + one.state.cash_pending_micro == cash["USD"]
        assert units(one, pair) == cash["BTC"]
        assert -(third.fees if third else 0) == cash["BNB"]


def test_the_dust_of_all_owners_pays_as_the_venue_has_one_balance(
    ledger: Ledger, build: Any, pair: Instrument
) -> None:
    fill(ledger, build, pair, Money(BTC, 300), bot=BotId("a"))
    fill(ledger, build, pair, Money(BTC, 300), number=2, bot=BotId("b"))

    assert ledger.holding(pair.id).yes.settled == 507
    assert ledger.holding(pair.id).dust == 400
    assert ledger.owned(pair.id, BotId("a")).dust == 700
    assert ledger.owned(pair.id, BotId("b")).dust == -300
    ledger.check()
