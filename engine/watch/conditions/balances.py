"""Accounts with little cash left."""

from __future__ import annotations

from collections.abc import Iterator

from engine.domain.money import MICRO
from engine.watch.conditions import Since, StateSeen, amount
from engine.watch.desk import Trouble

FOR_NS = 30 * 1_000_000_000


class Balances:
    """Reads what each account may spend."""

    every_s = 5.0

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give accounts whose free cash is below the threshold for a while."""
        rows = seen.rows(
            "SELECT account, mode, currency, settled_micro, open_micro, doubtful_micro "
            "FROM capital WHERE engine_id = ?"
        )
        least = seen.alerts.thresholds.balance_low * MICRO
        low = {row["account"]: row for row in rows if row["settled_micro"] < least}
        for account in sorted(self._since.longer(low, FOR_NS, seen.now_ns)):
            row = low[account]
            cash = amount(row["settled_micro"], row["currency"])
            held = amount(row["open_micro"] + row["doubtful_micro"], row["currency"])
            yield Trouble(
                kind="balance_low",
                subject=account,
                text=f"{account} has {cash} in cash, {held} of it reserved by orders",
                numbers={"cash": cash, "reserved": held},
                mode=row["mode"],
                account=account,
            )


CONDITION = Balances
