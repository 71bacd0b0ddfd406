"""Decisions: why a strategy wished what it wished, one record per evaluation."""

from __future__ import annotations

import msgspec

from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import Intent


class Gate(msgspec.Struct, frozen=True, gc=False):
    """One condition a strategy looked at, in order. The first that fails is the reason."""

    name: str
    passed: bool
    value: float
    limit: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation: inputs, fair-value build-up, gates in order with values, and the wish.

    `inputs` and `build_up` are (name, value) in the units their names end with; prices are floats
    in the currency, because they are a model's numbers and not orders.
    """

    number: int
    bot: BotId
    instrument: InstrumentId
    at_ns: int
    regime: str
    inputs: tuple[tuple[str, float], ...]
    build_up: tuple[tuple[str, float], ...]
    gates: tuple[Gate, ...]
    outcome: str
    """`quote`, `hold` (sticky), or the name of the gate that failed."""
    intent: Intent | None
    """What is wished; None = the previous wish stands (sticky)."""
    notes: tuple[tuple[str, str], ...] = ()
    """(name, text): facts in words, for example where the strike was proven."""

    def alike(self, other: Decision | None) -> bool:
        """Say whether a reader would call the two the same: regime, outcome and wish."""
        return (
            other is not None
            and self.instrument == other.instrument
            and self.regime == other.regime
            and self.outcome == other.outcome
            and self.intent == other.intent
        )
