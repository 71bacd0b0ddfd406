"""A liquidation of a venue: booked once, shared by owners in its direction, said with numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.effects import RaiseAlert
from engine.domain.events import CashKind, HoldingTransferred, RedemptionsListed
from engine.domain.fills import FillState
from engine.domain.instruments import MANUAL, UNASSIGNED, BotId, InstrumentId, Kind, Leg, Side
from engine.domain.liquidations import FACTS_MAX, PositionFacts, liquidated_parts
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.domain.products.funding import HOUR_NS
from engine.errors import BadInput
from engine.executor.ledger import Ledger, LedgerState
from engine.executor.settlement import trade_signed
from tests.executor.conftest import ACCOUNT, BOT, Build, Rig

PERPETUAL = Build().spot("venue:BTC/USD:USD", kind=Kind.PERPETUAL)
OTHER = BotId("other")
USD = 10**6
DIVISOR = PERPETUAL.value_divisor


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


class VenueFill(NamedTuple):
    """A fill as the venue made it; each increment at `price` micro-units."""

    owner: BotId
    size: int
    price: int


venue_facts = st.lists(
    st.one_of(
        st.builds(
            VenueFill,
            st.sampled_from((BOT, OTHER, MANUAL)),
            st.integers(-300, 300).filter(bool),
            st.integers(1, 10**6),
        ),
        st.integers(1, 10**6),  # the price of a liquidation of all that is held
    ),
    max_size=10,
)


class OfVenue:
    """What a venue did, each as its report; `booked` takes the reports in any order."""

    def __init__(self, facts: Sequence[VenueFill | int]) -> None:
        self.reports: list[Callable[[Ledger, int], object]] = []
        self.liquidations, net = 0, 0
        for number, fact in enumerate(facts, 1):
            if isinstance(fact, VenueFill):
                net += fact.size
                self.reports.append(partial(self.fill, number, fact))
            elif net:
                value = net * fact
                self.reports.append(partial(self.close, number, net, value))
                net, self.liquidations = 0, self.liquidations + 1
        self.net = net

    def fill(self, number: int, fact: VenueFill, ledger: Ledger, now_ns: int) -> None:
        what: dict[str, Any] = {"price": fact.price * DIVISOR, "size": abs(fact.size)}
        side = Side.BUY if fact.size > 0 else Side.SELL
        order = Build().order(
            number, instrument=PERPETUAL.id, leg=Leg.BASE, side=side, bot=fact.owner, **what
        )
        state = FillState.CONFIRMED
        event = Build().filled(number, f"f{number}", state=state, matched_ns=number, **what)
        ledger.book(order, event, now_ns)

    def close(self, number: int, size: int, value: int, ledger: Ledger, now_ns: int) -> None:
        event = taken(size, value, at_ns=number, fee_micro=number * 7, liquidation=str(number))
        ledger.liquidate(event, now_ns=now_ns)

    def booked(self, order: Sequence[int]) -> Ledger:
        """Return a ledger that took the reports in this order, and died in the middle."""
        ledger = held(10**12, {})
        for now_ns, place in enumerate(order, 1_000):
            self.reports[place](ledger, now_ns)
            ledger.check()
            if now_ns % 3 == 0:
                state = msgspec.msgpack.decode(
                    msgspec.msgpack.encode(ledger.state), type=LedgerState
                )
                ledger.restore(state)
        return ledger


@pytest.mark.long
@given(venue_facts, st.randoms(use_true_random=False))
def test_in_any_order_of_reports_every_owner_has_what_it_would_have_in_the_venues(
    facts: list[VenueFill | int], random: Random
) -> None:
    venue = OfVenue(facts)
    places = list(range(len(venue.reports)))
    right = venue.booked(places)
    random.shuffle(places)
    ledger = venue.booked(places)
    rounded = len(places) * (venue.liquidations + 1)
    assert ledger.holding(PERPETUAL.id).position == venue.net
    for owner in (BOT, OTHER, MANUAL, UNASSIGNED):
        found, due = (one.owned(PERPETUAL.id, owner) for one in (ledger, right))
        assert found.position == due.position
        made, ought = (
            one.realised_micro - one.fees_micro - one.yes.cost_micro for one in (found, due)
        )
        assert abs(made - ought) <= rounded
    assert ledger.owned(PERPETUAL.id, UNASSIGNED).position == 0
    worth = [one.state.cash_settled_micro - one.state.netted[PERPETUAL.id].cost
             for one in (ledger, right) if one.state.netted]  # fmt: skip
    assert len(set(worth)) <= 1


def test_a_fill_that_comes_behind_its_liquidation_leaves_nobody_a_position() -> None:
    venue = OfVenue([VenueFill(BOT, 10, 50), VenueFill(OTHER, 20, 50), 40])
    ledger = venue.booked([0, 2])
    sizes = {one: ledger.owned(PERPETUAL.id, one).position for one in (BOT, OTHER, UNASSIGNED)}
    assert sizes == {BOT: 0, OTHER: 0, UNASSIGNED: -20}, "what BOT held is all it can lose"
    ledger = venue.booked([0, 2, 1])
    assert ledger.holders(PERPETUAL.id).keys() == {BOT, OTHER, UNASSIGNED}
    assert all(one.flat for one in ledger.holders(PERPETUAL.id).values())
    made = {owner: one.realised_micro for owner, one in ledger.state.owners.items()}
    assert made == {BOT: 10 * -10, OTHER: 20 * -10, UNASSIGNED: 0}
    fees = {owner: one.fees_micro for owner, one in ledger.state.owners.items()}
    assert fees == {BOT: 7, OTHER: 14, UNASSIGNED: 0}


def test_a_close_that_comes_behind_its_liquidation_gives_back_what_that_took_too_much() -> None:
    venue = OfVenue([VenueFill(BOT, 10, 50), VenueFill(OTHER, 10, 50), VenueFill(BOT, -4, 60), 40])
    ledger = venue.booked([0, 1, 3, 2])
    assert all(one.flat for one in ledger.holders(PERPETUAL.id).values())
    assert ledger.state.owners[BOT].realised_micro == 4 * 10 - 6 * 10
    assert ledger.state.owners[OTHER].realised_micro == 10 * -10


def test_a_liquidation_that_comes_late_takes_nothing_of_what_was_bought_behind_it() -> None:
    venue = OfVenue([VenueFill(BOT, 10, 50), 40, VenueFill(OTHER, 5, 45)])
    ledger = venue.booked([0, 2, 1])
    found = {one: ledger.owned(PERPETUAL.id, one).position for one in (BOT, OTHER)}
    assert found == {BOT: 0, OTHER: 5}


@pytest.mark.parametrize(
    ("matched_ns", "ordered_ns", "left"),
    [(0, 900, 0), (0, 1_001, 20), (3, 900, 0), (4, 900, 20), (2, 1_001, 0)],
)
def test_a_fill_whose_time_does_not_say_it_was_before_what_lacks_it_where_its_order_was(
    matched_ns: int, ordered_ns: int, left: int
) -> None:
    """A venue ends the orders of an account it liquidates: at 3 by its clock, at 1,000 by ours."""
    ledger = held(10**12, {})
    ledger.liquidate(taken(20, 20 * 40, at_ns=3), now_ns=1_000)
    order = Build().order(
        1, instrument=PERPETUAL.id, leg=Leg.BASE, price=50, size=20, side=Side.BUY,
        bot=OTHER, created_ns=ordered_ns,
    )  # fmt: skip
    event = Build().filled(
        1, "f", price=50, size=20, state=FillState.CONFIRMED,
        matched_ns=matched_ns or msgspec.UNSET,
    )  # fmt: skip
    ledger.book(order, event, 2_000)
    assert ledger.owned(PERPETUAL.id, OTHER).position == left
    assert ledger.owned(PERPETUAL.id, UNASSIGNED).position == -left


def test_what_was_given_away_behind_a_liquidation_stays_given() -> None:
    venue = OfVenue([VenueFill(BOT, 10, 50), VenueFill(OTHER, 20, 50), 40])
    ledger = venue.booked([0])
    ledger.transfer(
        HoldingTransferred(
            account=ACCOUNT, instrument=PERPETUAL.id, leg=Leg.BASE, size=10, price=50,
            from_owner=BOT, to_owner=MANUAL, who="ann",
        ),
        now_ns=1_000,
    )  # fmt: skip
    for place in (2, 1):
        venue.reports[place](ledger, 2_000)
    assert all(one.flat for one in ledger.holders(PERPETUAL.id).values())
    venue = OfVenue([VenueFill(BOT, 10, 50), VenueFill(OTHER, 20, 50), 40, VenueFill(BOT, 8, 50)])
    ledger = venue.booked([0, 2, 3])
    ledger.transfer(
        HoldingTransferred(
            account=ACCOUNT, instrument=PERPETUAL.id, leg=Leg.BASE, size=8, price=50,
            from_owner=BOT, to_owner=MANUAL, who="ann",
        ),
        now_ns=3_000,
    )  # fmt: skip
    venue.reports[1](ledger, 4_000)
    found = {owner: one.position for owner, one in ledger.holders(PERPETUAL.id).items()}
    assert found == {BOT: 0, OTHER: 0, UNASSIGNED: 0, MANUAL: 8}


def test_a_fill_that_turns_out_void_behind_a_liquidation_is_as_if_it_had_never_been() -> None:
    venue = OfVenue([VenueFill(BOT, 10, 50), VenueFill(OTHER, 10, 50), 40])
    ledger = held(10**12, {})
    order = Build().order(
        9, instrument=PERPETUAL.id, leg=Leg.BASE, price=50, size=5, side=Side.BUY, bot=MANUAL
    )
    event = Build().filled(9, "f9", price=50, size=5, state=FillState.MATCHED, matched_ns=1)
    for number, report in enumerate(venue.reports):
        if number == 2:
            ledger.book(order, event, 1_500)
        report(ledger, 1_000 + number)
    assert ledger.owned(PERPETUAL.id, MANUAL).position == 1
    ledger.advance(event.fill, FillState.FAILED, 2_000)
    assert all(one.flat for one in ledger.holders(PERPETUAL.id).values())
    assert ledger.state.owners[MANUAL].realised_micro == 0
    assert ledger.state.owners[MANUAL].fees_micro == 0
    ledger.check()


def test_only_the_last_changes_are_kept_and_what_comes_later_counts_as_before_them() -> None:
    facts = PositionFacts()
    for number in range(2 * FACTS_MAX):
        facts.add_fill(BOT, 1, matched_ns=number + 1)
    facts.add_liquidation(2 * FACTS_MAX + 5, 0, 0, at_ns=2 * FACTS_MAX + 1, booked_ns=1)
    parts = facts.share({BOT: 2 * FACTS_MAX})
    assert [(one.owner, one.size) for one in parts] == [(BOT, 2 * FACTS_MAX), (UNASSIGNED, 5)]
    assert len(facts.kept) == FACTS_MAX
    assert facts.add_fill(OTHER, 5, matched_ns=1)
    parts = facts.share({BOT: 0, UNASSIGNED: -5, OTHER: 5})
    assert [(one.owner, one.size) for one in parts] == [(OTHER, 5), (UNASSIGNED, -5)]


def test_what_nobody_holds_was_unassigned_and_a_value_of_the_wrong_sign_is_refused() -> None:
    assert liquidated_parts({BOT: -5, MANUAL: 0}, 7) == [(UNASSIGNED, 7)]
    assert liquidated_parts({BOT: 2, OTHER: 1, MANUAL: -9}, 2) == [(BOT, 1), (OTHER, 1)]
    assert liquidated_parts({BOT: 2, OTHER: 1}, 7) == [(BOT, 2), (OTHER, 1), (UNASSIGNED, 4)]
    assert liquidated_parts({UNASSIGNED: -2, OTHER: -1}, -7) == [(OTHER, -1), (UNASSIGNED, -6)]
    for size, value in ((5, -1), (-5, 1), (0, 1)):
        with pytest.raises(BadInput, match="cannot be worth"):
            taken(size, value)
    whole = taken(-7, -9)
    assert msgspec.convert(msgspec.to_builtins(whole), PositionLiquidated) == whole
