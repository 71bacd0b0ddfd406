"""Performance statistics of a run, each with what it is of; too few returns are said, not shown."""

from __future__ import annotations

import streamlit as st

from pages.kit import guard, panels, tiles
from pages.kit.data import ask
from pages.kit.tiles import Tile
from pages.kit.words import NOTHING
from storage.runs import RETURNS_MIN, Performance, of_run


@guard.part("The statistics of the run")
def show(engine_id: str, run: int, fills: str) -> None:
    """Draw what can be said of a run's returns; `fills` is where its fills are."""
    found = ask(of_run, engine_id, run)
    st.subheader("Performance")
    tiles.show([Tile(name, value, fills) for name, value in figures(found).items()])
    panels.note(source(found))


def figures(found: Performance) -> dict[str, str]:
    """Return the statistics by name, as a person reads them."""
    return {
        "Sharpe": _ratio(found.sharpe),
        "Sortino": _ratio(found.sortino),
        "Calmar": _ratio(found.calmar),
        "Volatility, yearly": _percent(found.volatility),
        "Max drawdown": _percent(found.drawdown),
        "Profit factor": _ratio(found.profit_factor),
        "Markets won, lost": f"{found.won:,}, {found.lost:,}",
    }


def source(found: Performance) -> str:
    """Return what the statistics are of."""
    markets = (
        "max drawdown is of every point of the curve, as a share of its peak; profit factor is "
        "what winning markets brought over what losing ones cost, after fees"
    )
    if not found.enough:
        return (
            f"No ratio: it needs {RETURNS_MIN} {found.step} returns of an equity above zero, this "
            f"run has {found.returns:,}. {markets.capitalize()}"
        )
    return (
        f"Ratios from {found.returns:,} {found.step} returns, yearly at 365 days, without a "
        f"risk-free rate; a step without a point counts as no return; {markets}"
    )


def _ratio(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.2f}".replace("-", "\N{MINUS SIGN}")


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:,.2f} %".replace("-", "\N{MINUS SIGN}")
