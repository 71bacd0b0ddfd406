"""What a strategy's bots did together: how many run, what their fills made, how many there were.

A row is of one strategy, mode and currency; nothing is summed over them. A bot counts by the
strategy it has now, a removed one by its last, and fills by the mode they were made in. Amounts are
`Decimal`, summed as whole numbers outside SQL, where a sum beyond an int64 is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

import msgspec

from engine.domain.money import MICRO_DECIMALS
from storage.database import dicts
from storage.live import OWNED
from storage.settings import removed_bots
from storage.views import Row, shown

_MADE = ("realised_micro", "fees_micro", "funding_micro", "unrealised_micro")


class _Sum(msgspec.Struct):
    """One strategy in one mode and currency."""

    bots: set[str]
    running: set[str]
    removed: set[str]
    micro: dict[str, int]
    unpriced: int = 0
    fills: int = 0
    first_ns: int | None = None


def by_strategy(connection: Connection, engine_id: str) -> list[Row]:
    """Return what the bots there are and were made, by strategy, mode and currency, in their order.

    `total` = `realised` − `fees` + `funding` + `unrealised`, the last and the first None while a
    perpetual that is held has no price; `fills` without failed ones, the first at
    `first_ns`. A bot counts in the mode it is in, and in each it traded in; it runs in the first.
    """
    bots = dicts(
        connection,
        "SELECT b.name, b.strategy, b.mode, upper(b.state) = 'RUNNING' AS running, "
        "coalesce(a.currency, '') AS currency FROM bots b LEFT JOIN accounts a "
        "ON a.engine_id = b.engine_id AND a.account = b.account WHERE b.engine_id = ?",
        (engine_id,),
    )
    strategy_of = {bot["name"]: bot["strategy"] for bot in bots}
    there = frozenset(strategy_of)
    strategy_of = _strategies(connection, engine_id) | strategy_of
    sums: dict[tuple[str, str, str], _Sum] = {}

    def of(row: Row) -> _Sum:
        key = (strategy_of[row["name"]], row["mode"], row["currency"])
        found = sums.setdefault(key, _Sum(set(), set(), set(), dict.fromkeys(_MADE, 0)))
        (found.bots if row["name"] in there else found.removed).add(row["name"])
        return found

    for bot in bots:
        mine = of(bot)
        if bot["running"]:
            mine.running.add(bot["name"])
    for row in _made(connection, engine_id, strategy_of):
        mine = of(row)
        for name in _MADE:
            mine.micro[name] += row[name]
        mine.unpriced += row["unpriced"]
    for row in _fills(connection, engine_id, strategy_of):
        mine = of(row)
        mine.fills += row["fills"]
        mine.first_ns = min(mine.first_ns or row["first_ns"], row["first_ns"])
    return [_row(*key, one) for key, one in sorted(sums.items())]


def last_activated(connection: Connection, engine_id: str) -> dict[str, int]:
    """Return when a bot of each strategy was last started or resumed, by strategy."""
    rows = dicts(
        connection,
        "SELECT bot, at_ns FROM activations WHERE engine_id = ?",
        (engine_id,),
    )
    strategies = _strategies(connection, engine_id)
    found: dict[str, int] = {}
    for row in rows:
        strategy = strategies.get(row["bot"])
        if strategy is not None:
            found[strategy] = max(found.get(strategy, 0), row["at_ns"])
    return found


def _strategies(connection: Connection, engine_id: str) -> dict[str, str]:
    """Return the strategy of each bot, of removed ones their last."""
    gone = removed_bots(connection, engine_id).items()
    removed = {name: str(msgspec.json.decode(one.before)["strategy"]) for name, one in gone}
    there = connection.execute("SELECT name, strategy FROM bots WHERE engine_id = ?", (engine_id,))
    return removed | dict(there)


def _made(connection: Connection, engine_id: str, bots: Iterable[str]) -> list[Row]:
    return dicts(
        connection,
        OWNED + "SELECT bot AS name, mode, currency, realised_micro, fees_micro, funding_micro, "  # noqa: S608 our own words
        "unrealised_micro, unpriced FROM made WHERE bot IN (SELECT value FROM json_each(?2))",
        (engine_id, msgspec.json.encode(list(bots)).decode()),
    )


def _fills(connection: Connection, engine_id: str, bots: Iterable[str]) -> list[Row]:
    return dicts(
        connection,
        "SELECT f.bot AS name, f.mode, coalesce(a.currency, '') AS currency, count(*) AS fills, "
        "min(f.at_ns) AS first_ns FROM fills f LEFT JOIN accounts a ON a.engine_id = f.engine_id "
        "AND a.account = f.account WHERE f.engine_id = ? AND f.state != 'failed' "
        "AND f.bot IN (SELECT value FROM json_each(?)) GROUP BY 1, 2, 3",
        (engine_id, msgspec.json.encode(list(bots)).decode()),
    )


def _row(strategy: str, mode: str, currency: str, of: _Sum) -> Row:
    made = of.micro
    total = made["realised_micro"] - made["fees_micro"] + made["funding_micro"]
    amounts: dict[str, int | None] = {
        **made,
        "total_micro": total + made["unrealised_micro"],
    }
    if of.unpriced:
        amounts |= {"unrealised_micro": None, "total_micro": None}
    return {
        "strategy": strategy,
        "mode": mode,
        "currency": currency,
        "running": len(of.running),
        "stopped": len(of.bots) - len(of.running),
        "removed": len(of.removed),
        **{
            name.removesuffix("_micro"): shown(micro, MICRO_DECIMALS)
            for name, micro in amounts.items()
        },
        "fills": of.fills,
        "first_ns": of.first_ns,
    }
