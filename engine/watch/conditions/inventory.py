"""Markets that close soon while something is held, and winners that wait to be redeemed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import msgspec

from engine.domain.plain import PlainView
from engine.watch.conditions import Since, StateSeen, amount
from engine.watch.desk import Trouble

REDEEM_FOR_NS = 600 * 1_000_000_000
"""How long a winner may wait: what is redeemed automatically takes minutes."""

MINUTE_NS = 60 * 1_000_000_000
SERIES = "closing series"
"""What is remembered of series over restarts, in the watch's memory."""

_QUERY = (
    "SELECT h.account, h.instrument, h.mode, h.currency, h.bot, h.yes_settled + h.yes_pending AS "
    "yes, h.no_settled + h.no_pending AS no, h.value_micro, h.payout_yes_micro, i.closes_ns, "
    "i.size_decimals, coalesce(i.series, '') AS series FROM holdings h LEFT JOIN instruments i ON "
    "i.engine_id = h.engine_id AND i.id = h.instrument WHERE h.engine_id = ? AND "
    "(h.yes_settled + h.yes_pending + h.no_settled + h.no_pending) > 0"
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
        closing: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        for key, row in sorted(rows.items()):
            closes_ns = row["closes_ns"]
            if key in winners or closes_ns is None:
                continue
            if 0 < closes_ns - seen.now_ns <= within_ns:
                closing[_place(key, row)].append((closes_ns, key))
        for place, held in closing.items():
            closes_ns, key = min(held)
            said = f"closes within {-(-(closes_ns - seen.now_ns) // MINUTE_NS)} min"
            if len(held) > 1:
                said += f", {len(held) - 1} more of its series within {within_ns // MINUTE_NS} min"
            yield _trouble("market_closing", place, rows[key], said)
        series = {place for place, held in closing.items() if place != held[0][1]}
        yield from _between(seen, series, within_ns)


def _between(seen: StateSeen, held: set[str], for_ns: int) -> Iterator[Trouble]:
    """Give the rolling series of which nothing is held just now, but was less than `for_ns` ago.

    A bot that holds each five minutes' market of one is one message, not twelve an hour.
    """
    kept: dict[str, int] = msgspec.json.decode(seen.meta.get(SERIES, "{}"))
    kept |= dict.fromkeys(held, seen.now_ns)
    kept = {place: at_ns for place, at_ns in kept.items() if 0 <= seen.now_ns - at_ns < for_ns}
    seen.meta[SERIES] = msgspec.json.encode(kept).decode()
    for place in sorted(kept.keys() - held):
        account, _, series = place.partition("/")
        text = f"of the series {series} nothing is held at this moment"
        yield Trouble(kind="market_closing", subject=place, text=text, account=account)


def _place(key: str, row: PlainView) -> str:
    """Return what a closing is about: a market of an account, or a series of it."""
    return f"{row['account']}/{row['series']}" if row["series"] else key


def _trouble(kind: str, key: str, row: PlainView, said: str) -> Trouble:
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
