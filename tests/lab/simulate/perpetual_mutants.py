"""Engines and exchanges that are wrong about perpetuals: as in `mutants`, a judge must say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.domain.products.perpetual import PerpetualContract
from engine.domain.products.position import SignedPosition, SplitFill
from engine.executor import ledger, settlement
from engine.executor.ledger import Ledger
from engine.executor.settlement import move_signed
from engine.lab.simulate.faults import Fault
from tests.lab.simulate.mutants import Mutant

F = Fault
Patch = Any


def perpetual(name: str, apply: Callable[[Patch], None], *faults: Fault, **more: Any) -> Mutant:
    """Return a mutant of short worlds with a perpetual and one account."""
    return Mutant(name, apply, faults, **({"accounts": 1, "perp": True} | more))


# -- What an engine makes of a position ------------------------------------------------------------


def _shorts_are_no_exposure(patch: Patch) -> None:
    worst = PerpetualContract.worst_held

    def blind(self: Any, first: Any, second: Any) -> Any:
        return worst(self, first, second) if first.settled >= 0 else (0, 0)

    patch.setattr(PerpetualContract, "worst_held", blind)


def _positions_take_no_margin(patch: Patch) -> None:
    patch.setattr(PerpetualContract, "margin_micro", lambda *_: 0)


def _a_close_releases_all(patch: Patch) -> None:
    def early(state: Any, holding: Any, size: int, flow: int) -> None:
        move_signed(state, holding, size, flow)
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

    def one_side(self: Any, event: Any) -> Any:
        held = self.owned(event.instrument, event.from_owner).yes.settled
        booked = transfer(self, event)
        if self.state.instruments[event.instrument].product.signed:
            taker = self._own(event.instrument, event.to_owner)
            taker.yes.settled -= event.size if held > 0 else -event.size
        return booked

    patch.setattr(Ledger, "transfer", one_side)


MUTANTS = (
    perpetual("a short is no exposure", _shorts_are_no_exposure),
    perpetual("positions take no margin", _positions_take_no_margin),
    perpetual("a part's close releases all its margin", _a_close_releases_all),
    perpetual("a flip costs all its fill", _a_flip_costs_all_its_fill),
    perpetual("owners of positions are merged", _owners_of_positions_are_merged, F.CRASH),
    perpetual("a transfer moves one position", _a_transferred_position_stays),
)
