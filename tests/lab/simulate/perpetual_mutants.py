"""Engines and exchanges that are wrong about perpetuals: as in `mutants`, a judge must say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from engine.domain import liquidations, owners
from engine.domain.liquidations import liquidated_parts
from engine.domain.owners import HoldersPast, funded_parts, shares
from engine.domain.products.margin import TierTable
from engine.domain.products.perpetual import PerpetualContract
from engine.domain.products.position import SignedPosition, SplitFill
from engine.executor import ledger, planning, settlement
from engine.executor.cash import CashMoves
from engine.executor.ledger import Ledger
from engine.executor.settlement import move_signed
from engine.executor.wallet import WalletOperations
from engine.lab.simulate.faults import Fault
from engine.risk.liquidation import Buffers
from engine.venues.demo import margin_ledger
from engine.venues.demo.margin_desk import MarginDesk
from engine.venues.demo.margin_ledger import MarginLedger
from tests.lab.simulate.mutants import Mutant

F = Fault
Patch = Any
LEAPING = (F.MARK_LEAPS, F.REPORT_LOST, F.REPORT_TWICE)


def perpetual(name: str, apply: Callable[[Patch], None], *faults: Fault, **more: Any) -> Mutant:
    """Return a mutant of short worlds with a perpetual and one account."""
    return Mutant(
        name,
        apply,
        faults,
        **({"seeds_max": 12, "minutes": 0.5, "accounts": 1, "perp": True} | more),
    )


# -- What an engine makes of a position ------------------------------------------------------------


def _a_position_s_fill_is_booked_again(patch: Patch) -> None:
    """Take a fill that is reported twice for two: a perpetual's is final with its first report."""
    book = Ledger.book

    def again(self: Any, order: Any, event: Any, now_ns: int = 0) -> Any:
        if event.fill in self.state.fills.states:
            event = replace(event, fill=f"{event.fill}-again-{now_ns}")
        return book(self, order, event, now_ns)

    patch.setattr(Ledger, "book", again)


def _shorts_are_no_exposure(patch: Patch) -> None:
    worst = PerpetualContract.worst_held

    def blind(self: Any, first: Any, second: Any) -> Any:
        return worst(self, first, second) if first.settled >= 0 else (0, 0)

    patch.setattr(PerpetualContract, "worst_held", blind)


def _positions_take_no_margin(patch: Patch) -> None:
    patch.setattr(PerpetualContract, "margin_micro", lambda *_: 0)


def _orders_take_no_margin(patch: Patch) -> None:
    patch.setattr(settlement, "share_closing", lambda *_: None)


def _no_order_is_too_near(patch: Patch) -> None:
    patch.setattr(Buffers, "too_near", lambda *_: ())


def _a_close_releases_all(patch: Patch) -> None:
    def early(state: Any, holding: Any, size: int, *what: Any) -> None:
        move_signed(state, holding, size, *what)
        if holding.yes.settled < 0 < size:
            kept = state.instruments[holding.instrument].product.margin_micro(
                holding.yes.cost_settled_micro
            )
            state.margin_micro -= kept
            state.cash_reserved_micro -= kept

    patch.setattr(settlement, "move_signed", early)


class _FlipsAtAllItsValue(SignedPosition, gc=False):
    def apply_fill(self, size: int, flow: int, fee: int = 0) -> SplitFill:
        before = self.size
        split = super().apply_fill(size, flow, fee)
        if before * self.size < 0:
            self.cost = flow
        return split


def _a_flip_costs_all_its_fill(patch: Patch) -> None:
    patch.setattr(settlement, "SignedPosition", _FlipsAtAllItsValue)
    patch.setattr(ledger, "balance", lambda _: None)  # the judges' own sums must say it


def _owners_of_positions_are_merged(patch: Patch) -> None:
    restore = Ledger.restore

    def merged(self: Any, state: Any) -> None:
        for key, holders in state.owned.items():
            if not state.instruments[key].product.signed:
                continue
            first, *others = holders.values()
            for held in others:
                first.yes.settled += held.yes.settled
                first.yes.cost_settled_micro += held.yes.cost_settled_micro
                first.realised_micro += held.realised_micro
                first.fees_micro += held.fees_micro
                del holders[held.owner]
        restore(self, state)

    patch.setattr(Ledger, "restore", merged)


def _a_transferred_position_stays(patch: Patch) -> None:
    transfer = Ledger.transfer

    def one_side(self: Any, event: Any, **when: Any) -> Any:
        held = self.owned(event.instrument, event.from_owner).yes.settled
        booked = transfer(self, event, **when)
        if self.state.instruments[event.instrument].product.signed:
            taker = self._own(event.instrument, event.to_owner)
            taker.yes.settled -= event.size if held > 0 else -event.size
        return booked

    patch.setattr(Ledger, "transfer", one_side)


def _owners_are_not_netted(patch: Patch) -> None:
    patch.setattr(planning, "netted_against", lambda *_: 1 << 60)


# -- What the venue does by itself -----------------------------------------------------------------


def _funding_is_booked_twice(patch: Patch) -> None:
    funded = CashMoves._funded

    def forgetful(self: Any, event: Any, now_ns: int) -> None:
        self._table.ledger.state.payments.pop(event.name, None)
        funded(self, event, now_ns)

    patch.setattr(CashMoves, "_funded", forgetful)


def _missed_fundings_stay_missed(patch: Patch) -> None:
    _not_listed(patch, fundings=())


def _missed_liquidations_stay_missed(patch: Patch) -> None:
    _not_listed(patch, liquidations=())


def _not_listed(patch: Patch, **nothing: Any) -> None:
    listed = CashMoves._listed
    patch.setattr(
        CashMoves, "_listed", lambda self, event, now: listed(self, replace(event, **nothing), now)
    )


def _funding_is_whoever_is_first(patch: Patch) -> None:
    def first(held: Any, paid: Any, contract: Any) -> Any:
        parts = funded_parts(held, paid, contract)
        return [(parts[0][0], paid.amount_micro)]

    patch.setattr(owners, "funded_parts", first)


def _late_funding_is_of_who_holds_now(patch: Patch) -> None:
    patch.setattr(HoldersPast, "paid_for", lambda _, held, *__: held)


def _a_late_fill_shares_no_funding(patch: Patch) -> None:
    patch.setattr(HoldersPast, "share_anew", lambda *_: [])


def _a_start_forgets_what_was_paid(patch: Patch) -> None:
    start = WalletOperations.start

    def forgetful(self: Any, now_ns: int) -> None:
        self._table.ledger.state.payments.clear()
        start(self, now_ns)

    patch.setattr(WalletOperations, "start", forgetful)


def _a_liquidation_is_booked_twice(patch: Patch) -> None:
    liquidated = CashMoves._liquidated

    def forgetful(self: Any, event: Any, now_ns: int) -> None:
        self._table.ledger.state.payments.pop(event.name, None)
        liquidated(self, event, now_ns)

    patch.setattr(CashMoves, "_liquidated", forgetful)


def _a_liquidation_is_whoever_is_first(patch: Patch) -> None:
    def first(held: Any, size: int) -> Any:
        return [(liquidated_parts(held, size)[0][0], size)]

    patch.setattr(liquidations, "liquidated_parts", first)


def _a_late_fill_reopens_what_is_closed(patch: Patch) -> None:
    patch.setattr(settlement, "_in_order", lambda *_: None)


def _a_liquidation_takes_more_than_is_held(patch: Patch) -> None:
    def whole(held: Any, size: int) -> Any:
        there = {owner: held[owner] for owner in sorted(held) if held[owner] * size > 0}
        if not there:
            return liquidated_parts(held, size)
        return list(zip(there, shares(size, list(there.values())), strict=True))

    patch.setattr(liquidations, "liquidated_parts", whole)


def _a_liquidation_costs_no_fee(patch: Patch) -> None:
    liquidate = Ledger.liquidate
    patch.setattr(
        Ledger,
        "liquidate",
        lambda self, event, **when: liquidate(self, replace(event, fee_micro=0), **when),
    )


# -- An exchange that is wrong ---------------------------------------------------------------------


def _no_fund_takes_over(patch: Patch) -> None:
    take_over = MarginLedger._take_over

    def alone(self: Any, customer: Any, account: Any) -> Any:
        with patch.context() as within:
            within.setattr(MarginLedger, "_trade", lambda *_: None)
            return take_over(self, customer, account)

    patch.setattr(MarginLedger, "_take_over", alone)


def _funding_goes_the_other_way(patch: Patch) -> None:
    cash = margin_ledger.funding_cash
    patch.setattr(margin_ledger, "funding_cash", lambda *of: -cash(*of))


def _a_stamp_is_paid_twice(patch: Patch) -> None:
    def paid_again(self: Any, key: Any, stamp_ns: int, rate: int) -> None:
        fund(self, key, stamp_ns, rate)
        self.ledger.funded.clear()
        fund(self, key, stamp_ns, rate)

    fund = MarginDesk.fund
    patch.setattr(MarginDesk, "fund", paid_again)


def _tiers(patch: Patch, by: int) -> None:
    index = TierTable.index

    def off(self: Any, *value: int) -> int:
        return max(0, min(len(self.tiers) - 1, index(self, *value) + by))

    patch.setattr(TierTable, "index", off)


def _a_tier_too_low(patch: Patch) -> None:
    _tiers(patch, -1)


def _a_tier_too_high(patch: Patch) -> None:
    _tiers(patch, 1)


AWAY = (F.REPORT_LOST, F.USER_FEED_DOWN, F.USER_FEED_SILENT)

MUTANTS = (
    perpetual(
        "a position's fill is booked twice", _a_position_s_fill_is_booked_again, F.REPORT_TWICE
    ),
    perpetual("a short is no exposure", _shorts_are_no_exposure),
    perpetual("positions take no margin", _positions_take_no_margin),
    perpetual("orders take no margin", _orders_take_no_margin, first=3),
    perpetual("no order is too near to liquidation", _no_order_is_too_near, first=20),
    perpetual("a part's close releases all its margin", _a_close_releases_all),
    perpetual("a flip costs all its fill", _a_flip_costs_all_its_fill),
    perpetual("owners of positions are merged", _owners_of_positions_are_merged, F.CRASH, first=10),
    perpetual("owners are not netted for reduce-only", _owners_are_not_netted),
    perpetual("a transfer moves one position", _a_transferred_position_stays, first=5),
    perpetual("funding is booked twice", _funding_is_booked_twice, F.REPORT_TWICE, first=5),
    perpetual(
        "missed funding stays missed", _missed_fundings_stay_missed, *AWAY, minutes=2.0, first=4
    ),
    perpetual("funding is whoever is first", _funding_is_whoever_is_first),
    perpetual(
        "late funding is of who holds now",
        _late_funding_is_of_who_holds_now,
        *(F.REPORT_LOST, F.REPORT_LATE),
        minutes=2.0,
        first=2,
    ),
    perpetual(
        "a late fill has no part of its funding",
        _a_late_fill_shares_no_funding,
        *(F.REPORT_LOST, F.REPORT_LATE),
        minutes=2.0,
        first=8,
    ),
    perpetual(
        "a start forgets what was paid",
        _a_start_forgets_what_was_paid,
        F.CRASH,
        minutes=1.5,
        first=2,
    ),
    perpetual("a liquidation is booked twice", _a_liquidation_is_booked_twice, *LEAPING, first=10),
    perpetual(
        "a missed liquidation stays missed",
        _missed_liquidations_stay_missed,
        *LEAPING,
        minutes=1.0,
        first=56,
    ),
    perpetual(
        "a liquidation is whoever is first",
        _a_liquidation_is_whoever_is_first,
        *LEAPING,
        first=12,
    ),
    perpetual(
        "a late fill reopens what is closed",
        _a_late_fill_reopens_what_is_closed,
        *LEAPING,
        minutes=2.0,
        first=30,
    ),
    perpetual(
        "a liquidation takes more than is held",
        _a_liquidation_takes_more_than_is_held,
        *LEAPING,
        minutes=2.0,
        first=15,
    ),
    perpetual("a liquidation costs no fee", _a_liquidation_costs_no_fee, *LEAPING),
    perpetual("no fund takes over", _no_fund_takes_over, *LEAPING),
    perpetual("the exchange pays funding the other way", _funding_goes_the_other_way),
    perpetual("the exchange pays a stamp twice", _a_stamp_is_paid_twice),
    perpetual("a tier too low", _a_tier_too_low, *LEAPING),
    perpetual("a tier too high", _a_tier_too_high, *LEAPING, first=4),
)
"""Each with the first seed that its judge has taken least time for: seldom a second."""
