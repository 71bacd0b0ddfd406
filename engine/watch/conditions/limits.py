"""Limits nearly used up; the day's loss and the drawdown have kinds of their own."""

from __future__ import annotations

from collections.abc import Iterator

from engine.watch.conditions import Since, StateSeen, amount
from engine.watch.desk import Trouble

FOR_NS = 30 * 1_000_000_000
"""How long it must be near: an order that rests for a second is no news."""

KINDS = {
    "daily_loss_max": "daily_loss",
    "drawdown_max": "drawdown",
    "kill_drawdown_max": "drawdown",
}
MONEY = "micro"


class Limits:
    """Compares use with limit."""

    every_s = 5.0

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give every limit that has been used beyond the threshold for a while."""
        share = seen.alerts.thresholds.limit_near_percent / 100
        rows = seen.rows(
            "SELECT account, name, subject, used, limit_value, unit, mode, currency "
            "FROM limit_use WHERE engine_id = ?"
        )
        near = {
            f"{row['account']}/{row['name']}/{row['subject']}": row
            for row in rows
            if row["limit_value"] > 0 and row["used"] >= share * row["limit_value"]
        }
        for key in sorted(self._since.longer(near, FOR_NS, seen.now_ns)):
            row = near[key]
            percent = f"{100 * row['used'] / row['limit_value']:.0f} %"
            title = row["name"].removesuffix("_max").replace("_", " ")
            of = f" of {row['subject']}" if row["subject"] else ""
            used, limit = (_said(row[name], row) for name in ("used", "limit_value"))
            yield Trouble(
                kind=KINDS.get(row["name"], "limit_near"),
                subject=key,
                text=f"{title}{of}: {used} of {limit} ({percent})",
                numbers={"used": used, "limit": limit, "share": percent},
                mode=row["mode"],
                account=row["account"],
            )


def _said(value: int, row: dict[str, object]) -> str:
    return amount(value, str(row["currency"])) if MONEY in str(row["unit"]) else f"{value:,}"


CONDITION = Limits
