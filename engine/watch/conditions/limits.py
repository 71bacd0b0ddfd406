"""Limits nearly used up; the day's loss and the drawdown have kinds of their own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from engine.domain.plain import PlainDict
from engine.watch.conditions import Since, StateSeen, amount, judged
from engine.watch.desk import Trouble

FOR_NS = 30 * 1_000_000_000
"""How long it must be near: an order that rests for a second is no news."""

KINDS = {
    "daily_loss_max": "daily_loss",
    "drawdown_max": "drawdown",
    "kill_drawdown_max": "drawdown",
}
NEAR = "limit_near"
MONEY = "micro"


class Limits:
    """Compares use with limit."""

    every_s = 5.0
    kinds = (NEAR, *dict.fromkeys(KINDS.values()))

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give every limit that has been used beyond the threshold for a while."""
        share = seen.alerts.thresholds.limit_near_percent / 100
        rows = seen.rows(
            "SELECT account, name, subject, used, limit_value, unit, mode, currency "
            "FROM limit_use WHERE engine_id = ?"
        )
        near, unread = judged("the limit", rows, _key, partial(_near, share=share))
        yield from unread
        stood = seen.stood(*self.kinds)
        for key in sorted(self._since.longer(near, FOR_NS, seen.now_ns, stood)):
            yield near[key]


def _key(row: PlainDict) -> str:
    return f"{row['account']}/{row['name']}/{row['subject']}"


def _near(row: PlainDict, share: float) -> Trouble | None:
    """Return the trouble of a limit used beyond a share of it; None = it is not."""
    if not (row["limit_value"] > 0 and row["used"] >= share * row["limit_value"]):
        return None
    percent = f"{100 * row['used'] / row['limit_value']:.0f} %"
    title = row["name"].removesuffix("_max").replace("_", " ")
    of = f" of {row['subject']}" if row["subject"] else ""
    used, limit = (_said(row[name], row) for name in ("used", "limit_value"))
    return Trouble(
        kind=KINDS.get(row["name"], NEAR),
        subject=_key(row),
        text=f"{title}{of}: {used} of {limit} ({percent})",
        numbers={"used": used, "limit": limit, "share": percent},
        mode=row["mode"],
        account=row["account"],
    )


def _said(value: int, row: dict[str, object]) -> str:
    return amount(value, str(row["currency"])) if MONEY in str(row["unit"]) else f"{value:,}"


CONDITION = Limits
