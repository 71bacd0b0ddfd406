"""A liquidation of a venue: booked once, shared by owners in its direction, said with numbers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.effects import RaiseAlert
from engine.domain.events import CashKind, RedemptionsListed
from engine.domain.instruments import MANUAL, UNASSIGNED, BotId, InstrumentId, Kind
from engine.domain.owners import liquidated_parts
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.domain.products.funding import HOUR_NS
from engine.errors import BadInput
from engine.executor.ledger import Ledger
from engine.executor.settlement import trade_signed
from tests.executor.conftest import ACCOUNT, BOT, Build, Rig

PERPETUAL = Build().spot("venue:BTC/USD:USD", kind=Kind.PERPETUAL)
OTHER = BotId("other")
USD = 10**6


def taken(size: int, value: int, **changes: Any) -> PositionLiquidated:
    fields: dict[str, Any] = {
        "account": ACCOUNT, "instrument": PERPETUAL.id, "currency": "USD", "liquidation": "1",
    }  # fmt: skip
    return PositionLiquidated(**(fields | changes), size=size, value_micro=value)


def held(cash: int, positions: dict[BotId, tuple[int, int]]) -> Ledger:
    """Return a ledger whose owners traded these sizes for these values."""
    ledger = Ledger(currency="USD")
    ledger.listed(PERPETUAL)
    ledger.move_cash(cash)
    for owner, (size, value) in positions.items():
        trade_signed(ledger.state, ledger._own(PERPETUAL.id, owner), size, value)
    return ledger


def test_the_owners_in_its_direction_lose_their_part_and_the_others_keep_theirs() -> None:
    opened = {BOT: (300, 300 * USD), OTHER: (100, 120 * USD), MANUAL: (-100, -110 * USD)}
    ledger = held(1_000 * USD, opened)
    net = ledger.state.netted[PERPETUAL.id]
    assert (net.size, ledger.state.cash_settled_micro - 1_000 * USD) == (300, 5 * USD)
    ledger.liquidate(taken(300, 150 * USD, fee_micro=4 * USD))
    sizes = {owner: ledger.owned(PERPETUAL.id, owner).position for owner in opened}
    assert sizes == {BOT: 75, OTHER: 25, MANUAL: -100}
    assert ledger.state.netted[PERPETUAL.id].size == 0
    made = {owner: one.realised_micro for owner, one in ledger.state.owners.items()}
    # 225 of 300 were opened for 225 and closed for 112.5; 75 of 100 for 90, for 37.5.
    assert made == {BOT: -112_500_000, OTHER: -52_500_000}
    assert [ledger.state.owners[one].fees_micro for one in (BOT, OTHER)] == [3 * USD, 1 * USD]
    ledger.check()


def test_a_short_is_closed_for_what_it_cost_and_cash_is_the_venues_to_the_unit() -> None:
    ledger = held(50 * USD, {BOT: (-700, -100 * USD)})
    ledger.liquidate(taken(-700, -140 * USD, fee_micro=10 * USD))
    assert ledger.state.cash_settled_micro == 0
    assert ledger.state.cash_reserved_micro == 0
    ledger.check()


def test_it_is_booked_once_and_said_once(rig: Rig) -> None:
    rig = Rig(instruments=(PERPETUAL,))
    for _ in range(2):
        rig.feed(taken(0, 0, fee_micro=-3 * USD))
    said = [one for one in rig.effects if isinstance(one, RaiseAlert)]
    assert [one.kind for one in said] == ["position_liquidated"]
    assert rig.executor.ledger.state.fees_micro == -3 * USD
    rig.feed(taken(5, 5, liquidation="2", instrument=InstrumentId("venue:unknown")))
    rig.feed(taken(5, 5, liquidation="3", currency="BTC"))
    said = [one for one in rig.effects if isinstance(one, RaiseAlert)]
    assert [one.kind for one in said[1:]] == ["position_liquidated", "foreign_currency"]
    assert "it is not booked" in said[1].text
    assert rig.executor.ledger.state.fees_micro == -3 * USD


def test_a_listing_brings_what_was_missed_and_nothing_twice_and_warns_of_no_repetition() -> None:
    rig = Rig(instruments=(PERPETUAL,))
    paid = FundingPaid(
        account=ACCOUNT, instrument=PERPETUAL.id, currency="USD", stamp_ns=HOUR_NS,
        amount_micro=-250,
    )  # fmt: skip
    debt = taken(0, 0, fee_micro=-3 * USD)
    rig.feed(paid)
    listed = RedemptionsListed(
        account=ACCOUNT, since_ns=0, redemptions=(), liquidations=(debt,),
        fundings=(paid, msgspec.structs.replace(paid, stamp_ns=2 * HOUR_NS)),
    )  # fmt: skip
    for _ in range(2):
        rig.feed(listed)
    state = rig.executor.ledger.state
    assert (state.income_micro, state.fees_micro) == ({CashKind.FUNDING: -500}, -3 * USD)
    said = [one.kind for one in rig.effects if isinstance(one, RaiseAlert)]
    assert said == ["position_liquidated"]


def test_what_nobody_holds_was_unassigned_and_a_value_of_the_wrong_sign_is_refused() -> None:
    assert liquidated_parts({BOT: -5, MANUAL: 0}, 7) == [(UNASSIGNED, 7)]
    assert liquidated_parts({BOT: 2, OTHER: 1, MANUAL: -9}, 2) == [(BOT, 1), (OTHER, 1)]
    for size, value in ((5, -1), (-5, 1), (0, 1)):
        with pytest.raises(BadInput, match="cannot be worth"):
            taken(size, value)
    whole = taken(-7, -9)
    assert msgspec.convert(msgspec.to_builtins(whole), PositionLiquidated) == whole
