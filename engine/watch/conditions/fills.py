"""Large fills."""

from __future__ import annotations

from collections.abc import Iterator

from engine.domain.legs import traded
from engine.domain.money import MICRO
from engine.domain.plain import PlainDict
from engine.watch.conditions import StateSeen, amount, event, unreadable
from engine.watch.desk import Trouble

FILLS_MAX = 500
CURSOR = "fills cursor"
_QUERY = (
    "SELECT f.rowid AS number, f.account, f.id, f.mode, f.bot, f.instrument, f.side, f.leg, "
    "f.value_micro, a.currency FROM fills f JOIN accounts a ON a.engine_id = f.engine_id AND "
    "a.account = f.account WHERE f.engine_id = ? AND f.rowid > ? ORDER BY f.rowid LIMIT ?"
)


class FillsCondition:
    """Reads fills once each, in the order in which they were written."""

    every_s = 2.0
    kinds = ("large_fill",)

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give every new fill worth more than the threshold."""
        last = seen.state.execute("SELECT coalesce(max(rowid), 0) FROM fills").fetchone()[0]
        # A first look tells nothing of the past; a rebuilt table is numbered anew.
        number = min(int(seen.meta.get(CURSOR, last)), last)
        for row in seen.rows(_QUERY, number, FILLS_MAX):
            number = row["number"]
            try:
                found = _large(row, seen.alerts.thresholds.large_fill * MICRO)
            except (ValueError, TypeError) as error:
                found = unreadable(f"fill {row['account']}/{row['id']}", error)
            if found is not None:
                yield found
        seen.meta[CURSOR] = str(number)


def _large(row: PlainDict, threshold: float) -> Trouble | None:
    """Return the trouble of a fill worth more than a threshold, micro-units; None = it is not."""
    value = row["value_micro"]
    if value is None or value <= threshold:
        return None
    worth = amount(value, row["currency"])
    return Trouble(
        kind="large_fill",
        subject=event(f"{row['account']}/{row['id']}"),
        text=f"{row['side']}{traded(row['leg'])} of {row['instrument']} filled for {worth}",
        numbers={"value": worth},
        mode=row["mode"],
        account=row["account"],
        bot=row["bot"] or None,
        instrument=row["instrument"],
    )


CONDITION = FillsCondition
