"""Bots that run and place nothing, with their own reasons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial

from engine.domain.plain import PlainDict
from engine.watch.conditions import Since, StateSeen, judged
from engine.watch.desk import Trouble

MINUTE_NS = 60 * 1_000_000_000
RUNNING = "running"
IDLE = "bot_idle"
REASONS_MAX = 3


class Bots:
    """Compares the bots that run with the orders that live."""

    every_s = 10.0
    kinds = (IDLE,)

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give bots that have had no order for too long."""
        rows = seen.rows(
            "SELECT name, mode, account, state, watching, unlisted FROM bots WHERE engine_id = ?"
        )
        working = {
            row["bot"]
            for row in seen.rows(
                "SELECT DISTINCT bot FROM orders WHERE engine_id = ? AND state IN "
                "('open', 'partial', 'sent', 'pending', 'cancelling', 'delayed', 'unknown')"
            )
        }
        minutes = seen.alerts.thresholds.bot_idle_min
        judge = partial(_idle, working=working, minutes=minutes)
        idle, unread = judged("the bot", rows, lambda row: str(row["name"]), judge)
        yield from unread
        for_ns = minutes * MINUTE_NS
        # An order that takes lives for less than the time between two looks.
        placed = {
            row["bot"]
            for row in seen.rows(
                "SELECT DISTINCT bot FROM orders WHERE engine_id = ? AND mode IN "
                "('demo', 'paper', 'live') AND created_ns BETWEEN ? AND ?",
                seen.now_ns - for_ns,
                seen.now_ns,
            )
        }
        stood = seen.stood(IDLE)
        for name in sorted(self._since.longer(idle, for_ns, seen.now_ns, stood) - placed):
            yield idle[name]


def _idle(row: PlainDict, working: set[str], minutes: int) -> Trouble | None:
    """Return the trouble of a bot that runs without an order; None = it rests, or has one.

    A bot that holds the position it wants has nothing to place.
    """
    if row["state"].lower() != RUNNING or row["name"] in working:
        return None
    if any(market.get("reached") for market in json.loads(row["watching"])):
        return None
    return Trouble(
        kind=IDLE,
        subject=row["name"],
        text=f"{row['name']} runs and has had no order for {minutes} min: {_why(row)}",
        mode=row["mode"],
        account=row["account"],
        bot=row["name"],
    )


def _why(row: PlainDict) -> str:
    """Return the reasons the bot itself gives, the most frequent first."""
    watching = json.loads(row["watching"])
    if not watching:
        return row["unlisted"] or "it watches no market"
    reasons: Counter[str] = Counter()
    for market in watching:
        reasons.update(filter(None, (market.get("denied"), *market.get("left", ()))))
    if not reasons:
        return f"none of its {len(watching)} markets meets its conditions; see its page"
    return ", ".join(
        f"{reason.replace('_', ' ')} ({count})"
        for reason, count in reasons.most_common(REASONS_MAX)
    )


CONDITION = Bots
