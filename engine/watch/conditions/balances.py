"""Accounts with little cash left."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from engine.domain.money import MICRO
from engine.domain.plain import PlainDict
from engine.watch.conditions import Since, StateSeen, amount, judged
from engine.watch.desk import Trouble

FOR_NS = 30 * 1_000_000_000
LOW = "balance_low"


class Balances:
    """Reads what each account may spend."""

    every_s = 5.0
    kinds = (LOW,)

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give accounts whose free cash is below the threshold for a while."""
        rows = seen.rows(
            "SELECT account, mode, currency, settled_micro, open_micro, doubtful_micro "
            "FROM capital WHERE engine_id = ?"
        )
        judge = partial(_low, least=seen.alerts.thresholds.balance_low * MICRO)
        low, unread = judged("the balance of", rows, lambda row: str(row["account"]), judge)
        yield from unread
        stood = seen.stood(LOW)
        for account in sorted(self._since.longer(low, FOR_NS, seen.now_ns, stood)):
            yield low[account]


def _low(row: PlainDict, least: float) -> Trouble | None:
    """Return the trouble of an account with less than `least` micro-units; None = it has more."""
    if row["settled_micro"] >= least:
        return None
    cash = amount(row["settled_micro"], row["currency"])
    held = amount(row["open_micro"] + row["doubtful_micro"], row["currency"])
    return Trouble(
        kind=LOW,
        subject=row["account"],
        text=f"{row['account']} has {cash} in cash, {held} of it reserved by orders",
        numbers={"cash": cash, "reserved": held},
        mode=row["mode"],
        account=row["account"],
    )


CONDITION = Balances
