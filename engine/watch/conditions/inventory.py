"""Markets that close soon while something is held, and winners that wait to be redeemed."""

from __future__ import annotations

from collections.abc import Iterator

from engine.watch.conditions import Since, StateSeen, amount
from engine.watch.desk import Trouble

REDEEM_FOR_NS = 600 * 1_000_000_000
"""How long a winner may wait: what is redeemed automatically takes minutes."""

MINUTE_NS = 60 * 1_000_000_000
_QUERY = (
    "SELECT h.account, h.instrument, h.mode, h.currency, h.bot, h.yes_settled + h.yes_pending AS "
    "yes, h.no_settled + h.no_pending AS no, h.value_micro, h.payout_yes_micro, i.closes_ns, "
    "i.size_decimals FROM holdings h LEFT JOIN instruments i ON i.engine_id = h.engine_id AND "
    "i.id = h.instrument WHERE h.engine_id = ? AND (h.yes_settled + h.yes_pending + h.no_settled "
    "+ h.no_pending) > 0"
)


class InventoryCondition:
    """Reads what is held."""

    every_s = 10.0

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give holdings that need a decision."""
        rows = {f"{row['account']}/{row['instrument']}": row for row in seen.rows(_QUERY)}
        within_ns = seen.alerts.thresholds.closes_within_min * MINUTE_NS
        winners = {key for key, row in rows.items() if row["payout_yes_micro"] is not None}
        for key in sorted(self._since.longer(winners, REDEEM_FOR_NS, seen.now_ns)):
            yield _trouble("redeemable", key, rows[key], "is resolved and not redeemed")
        for key, row in sorted(rows.items()):
            closes_ns = row["closes_ns"]
            if key in winners or closes_ns is None:
                continue
            left_ns = closes_ns - seen.now_ns
            if 0 < left_ns <= within_ns:
                minutes = -(-left_ns // MINUTE_NS)
                yield _trouble("market_closing", key, row, f"closes within {minutes} min")


def _trouble(kind: str, key: str, row: dict[str, object], said: str) -> Trouble:
    held = " and ".join(
        f"{int(str(row[leg])) / 10 ** int(str(row['size_decimals'] or 0)):,.2f} {leg.upper()}"
        for leg in ("yes", "no")
        if row[leg]
    )
    worth = amount(int(str(row["value_micro"])), str(row["currency"]))
    return Trouble(
        kind=kind,
        subject=key,
        text=f"{row['instrument']} {said}; held: {held}, {worth} at mid",
        numbers={"held": held, "value": worth},
        mode=str(row["mode"]),
        account=str(row["account"]),
        bot=str(row["bot"]) or None,
        instrument=str(row["instrument"]),
    )


CONDITION = InventoryCondition
