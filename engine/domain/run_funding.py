"""What funding brought in a backtest: a part of its summary, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

KEY = "funding"
"""Where it stands in a summary; there and null, or absent, where no perpetual was played."""


class RunFunding(msgspec.Struct, frozen=True, kw_only=True):
    """The funding of a run's perpetuals."""

    amount: float = 0.0
    """What came (+) or was paid, in the run's currency."""
    stamps: int = 0
    """Settled rates that its data says, whether something was held or not; 0 = none is known."""
    first: str = ""
    """When the first of them was due, UTC."""
    last: str = ""

    @property
    def sentence(self) -> str:
        """Say which stamps were counted, or that there are none."""
        if not self.stamps:
            return "Funding: not in this data, counted as none."
        when = f"1 stamp at {self.first}"
        if self.stamps > 1:
            when = f"{self.stamps:,} stamps from {self.first} to {self.last}"
        return f"Funding is part of PnL: {when}; none is counted before and behind."


def funding_of(summary: Mapping[str, object]) -> RunFunding | None:
    """Return what a summary says of funding; None = no perpetual was played, or it is an old one.

    Raises msgspec.ValidationError.
    """
    found = summary.get(KEY)
    return None if found is None else msgspec.convert(found, RunFunding)
