"""The audit: compares the venue's money and tokens with the ledger, and tells both sides.

It corrects nothing: a difference is a fact for a person, and no booking may be invented for it. It
compares only while nothing is in motion, and speaks when the same difference is seen twice.
"""

from __future__ import annotations

from engine.domain.effects import Severity
from engine.domain.events import BalancesListed, PositionsListed
from engine.domain.instruments import InstrumentId, Leg
from engine.executor.outbox import EffectOutbox
from engine.executor.settings import ExecutorSettings
from engine.executor.table import OrderTable

Difference = tuple[int, int]
"""(ours, the venue's)."""


class Audit:
    """Differences seen once, and those already told."""

    def __init__(self, table: OrderTable, outbox: EffectOutbox, settings: ExecutorSettings) -> None:
        self._table = table
        self._outbox = outbox
        self._settings = settings
        self._cash_seen: Difference | None = None
        self._cash_told: Difference | None = None
        self._seen: dict[tuple[InstrumentId, Leg], Difference] = {}
        self._told: dict[tuple[InstrumentId, Leg], Difference] = {}

    def _quiet_since(self, asked_ns: int | None) -> bool:
        """Say whether nothing has moved since the question and nothing is undecided."""
        table = self._table
        return (
            asked_ns is not None
            and table.moved_ns < asked_ns
            and not table.unknown
            and not table.ledger.state.fills.unsettled
        )

    def cash(self, event: BalancesListed, asked_ns: int | None) -> None:
        """Compare cash; the venue may or may not count what working orders reserve as spendable."""
        state = self._table.ledger.state
        theirs = event.cash_micro.get(state.currency)
        if theirs is None or not self._quiet_since(asked_ns):
            return
        ours = state.cash_settled_micro
        tolerance = self._settings.cash_tolerance_micro
        lowest = min(ours, ours - state.cash_reserved_micro) - tolerance
        found = None if lowest <= theirs <= ours + tolerance else (ours, theirs)
        if found is not None and found == self._cash_seen and found != self._cash_told:
            self._outbox.alert(
                Severity.WARNING,
                "cash_differs",
                f"the ledger has {ours} micro {state.currency}, the venue {theirs}",
            )
            self._cash_told = found
        self._cash_seen = found

    def positions(self, event: PositionsListed, asked_ns: int | None) -> None:
        """Compare settled tokens, leg by leg; less than a lot is dust."""
        if not self._quiet_since(asked_ns):
            return
        table = self._table
        theirs = {(instrument, leg): size for instrument, leg, size in event.holdings}
        for key, holding in table.ledger.held.items():
            first = Leg.YES if (key, Leg.BASE) not in theirs else Leg.BASE
            theirs.setdefault((key, first), 0)
            if holding.no.settled:
                theirs.setdefault((key, Leg.NO), 0)
        seen: dict[tuple[InstrumentId, Leg], Difference] = {}
        for (instrument, leg), size in theirs.items():
            post = table.posts.get(instrument)
            if post is None:
                continue  # nothing we trade
            ours = table.ledger.holding(instrument).leg(leg).settled
            if abs(ours - size) < post.instrument.lot:
                continue
            found = seen[instrument, leg] = (ours, size)
            if self._seen.get((instrument, leg)) == found != self._told.get((instrument, leg)):
                self._outbox.alert(
                    Severity.CRITICAL,
                    "position_differs",
                    f"the ledger has {ours} {leg} of {instrument}, the venue {size}",
                    instrument=instrument,
                )
                self._told[instrument, leg] = found
        self._seen = seen
        self._told = {key: told for key, told in self._told.items() if key in seen}
