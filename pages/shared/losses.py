"""Where does it lose? PnL to the outcome, by the manner fills came about, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape

import msgspec
import streamlit as st

from engine.domain.instruments import Mode
from engine.domain.losses import losses
from engine.domain.products import quoted_in_cents
from pages.kit import guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.names import UNLISTED
from pages.kit.tables import TableRow
from pages.kit.words import in_column
from pages.shared.markouts import cents
from storage.live import watched_by
from storage.views.frame import listings_of
from storage.views.markouts import FILLS_MAX, of_bot, traded_kinds, with_books

HELP = "PnL of fills to their market's outcome, grouped by how they came about."
HEADS = ("Fills", "Markets", "PnL", "Per share", "95 %")


def resolves(kinds: Iterable[str | None]) -> bool:
    """Say whether one of these kinds of market ends with an outcome; of an unknown one it may."""
    known = list(kinds)
    return not known or any(kind is None or quoted_in_cents(kind) for kind in known)


@guard.part("Where it loses")
def of(mode: Mode, bot: str) -> None:
    """Draw the table of a bot, unless no market it watches or has traded ends with an outcome."""
    watched = [one.instrument for one in ask(watched_by, engine_id(), bot)]
    listed = ask(listings_of, engine_id(), tuple(sorted(watched)))
    kinds = [listed.get(one, UNLISTED)["listed_kind"] for one in watched]
    if not resolves([*kinds, *ask(traded_kinds, engine_id(), mode=mode, bot=bot)]):
        return
    fills = ask(of_bot, engine_id(), mode=mode, bot=bot)
    rows = losses(with_books(fills, config().decisions_path)) if fills else []
    show([msgspec.structs.asdict(row) for row in rows])
    if len(fills) == FILLS_MAX:
        panels.note(f"From its newest {FILLS_MAX:,} fills in resolved markets.")


def show(rows: Sequence[TableRow]) -> None:
    st.markdown("**Where it loses**", help=HELP)
    if not rows:
        panels.note("No fill is in a market whose outcome is known.")
        return
    st.html(_table(rows))
    panels.note(
        "PnL to the outcome in the account's currency after fees · per share in cents, with a 95 % "
        "interval over whole markets: none below two markets, and one that includes 0 proves "
        "nothing · unknown = the order's book is no longer stored"
    )


def _table(rows: Sequence[TableRow]) -> str:
    body, last = [], ""
    for row in rows:
        if row["by"] != last and row["by"] != "all":
            body.append(
                f'<tr><th colspan="{len(HEADS) + 1}">{escape(row["by"]).capitalize()}</th></tr>'
            )
        last = row["by"]
        body.append(f"<tr><td>{escape(row['bucket'])}</td>{_cells(row)}</tr>")
    return panels.sheet("".join(body), HEADS)


def _cells(row: TableRow) -> str:
    reach = "" if row["low"] is None else f"{cents(row['low'])} to {cents(row['high'])}"
    pnl = in_column(Decimal(f"{row['pnl']:.6f}"), signed=True)
    counts = f"{row['fills']:,}", f"{row['markets']:,}"
    figures = (*counts, pnl, cents(row["cents_per_share"]), reach)
    return "".join(f'<td class="pb-num">{figure}</td>' for figure in figures)
