"""From the document of a backtest to what a replay is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.domain.backtests import bots_of
from engine.domain.jobs import ReplayJob
from engine.domain.money import MICRO
from engine.errors import BadInput
from engine.lab.formats.numbers import stamp_ns
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay.setup import ReplayOptions


def options_of_document(
    document: ReplayJob, find: Callable[[str], Path], job: int | None = None
) -> ReplayOptions:
    """Return the replay a document asks for; `find` gives where a named recording is.

    `job` = the worker's job it belongs to. Raises BadInput naming what cannot be.
    """
    cash_micro = round(document.cash * MICRO)
    bots = bots_of(document.bots, cash_micro)
    strategies = " + ".join(dict.fromkeys(bot.strategy for bot in bots))
    return ReplayOptions(
        path=find(document.path),
        strategy=strategies or document.strategy,
        parameters={} if bots else {k: str(v) for k, v in document.parameters.items()},
        bots=bots,
        limits=document.limits,
        cash_micro=cash_micro,
        model=document.model,
        latency_ms=document.latency_ms,
        decisions=document.decisions,
        journal_full=document.journal,
        job=job,
        start_ns=_time(document.since, "Trade from"),
        until_ns=_time(document.until, "Play until"),
        instrument=document.instrument,
        outcomes=find(document.outcomes) if document.outcomes else None,
        funding=find(document.funding) if document.funding else None,
        bar_market=BarMarket(
            slippage_bps=document.slippage_bps,
            impact_bps=document.impact_bps,
            volume_share=document.volume_share,
            taker_fee_bps=document.fee_bps,
            maker_fee_bps=document.fee_bps,
        ),
    )


def _time(text: str, title: str) -> int | None:
    """Return a typed time in ns UTC; None where none was. Raises BadInput naming the field."""
    if not text.strip():
        return None
    found = stamp_ns(text)
    if found is None:
        raise BadInput(f"{title}: {text!r} is no time; write it as 2026-03-01T12:00:00")
    return found
