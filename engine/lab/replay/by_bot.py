"""What each bot of a replay made: the account's result in parts, to the micro-unit.

Of perpetuals the venue nets the account's owners, so realised and unrealised of one of them stand
at one mark and are said together.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.domain.events import BookMarked
from engine.domain.instruments import InstrumentId
from engine.domain.money import MICRO
from engine.executor.fills import mid_value_micro
from engine.executor.ledger import Ledger


class BotResult(msgspec.Struct, kw_only=True):
    """One bot's part of a run, in micro-units of the account's currency."""

    pnl_micro: int = 0
    """After fees, with funding and other income, what is left at its last two-sided mid."""
    unrealised_micro: int = 0
    """The part of it that is left, at that mid less its cost."""
    fees_micro: int = 0

    def summary(self) -> dict[str, float]:
        """Return it in the currency."""
        return {
            "pnl": self.pnl_micro / MICRO,
            "unrealised": self.unrealised_micro / MICRO,
            "fees": self.fees_micro / MICRO,
        }


def results_by_bot(
    ledger: Ledger, marks: Mapping[InstrumentId, BookMarked]
) -> dict[str, BotResult]:
    """Return what each owner of an account made; `marks` are those of what is still held."""
    found: dict[str, BotResult] = {}
    for owner, totals in ledger.state.owners.items():
        income = sum(totals.income_micro.values())
        found[owner] = BotResult(
            pnl_micro=totals.realised_micro + income - totals.fees_micro,
            fees_micro=totals.fees_micro,
        )
    for held in ledger.of_owners():
        if held.flat:
            continue
        terms = ledger.state.instruments[held.instrument]
        worth = mid_value_micro(held, terms, marks.get(held.instrument))
        left = worth - held.yes.cost_micro - held.no.cost_micro
        one = found.setdefault(held.owner, BotResult())
        one.pnl_micro += left
        one.unrealised_micro += left
    return found
