"""Markouts on a page: beside each fill, and per bot with count and standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import streamlit as st

from engine.domain.instruments import Mode
from pages.kit import guard, links, panels
from pages.kit.data import ask, engine_id
from pages.kit.tables import Col, ColKind, columns_of
from pages.kit.words import NOTHING, in_column
from storage.markouts import AT_RESOLUTION, HORIZONS_MS, MarkoutState
from storage.views import Row
from storage.views.markouts import BotMarkout, MarkoutShown, by_bot, of_fills

LABELS = {**{ms: f"{ms / 1_000:g} s" for ms in HORIZONS_MS}, AT_RESOLUTION: "At resolution"}
"""Horizon in ms → its name, in the order of time."""

COLUMNS = {f"markout_{ms}": (f"After {label}", "text") for ms, label in LABELS.items()}
COLUMNS[f"markout_{AT_RESOLUTION}"] = (LABELS[AT_RESOLUTION], "text")
"""Columns of a table of fills; `beside` fills them."""

_OF_FILLS = (
    columns_of(
        Col("at_ns", "Filled"),
        Col("way"),
        Col("price"),
        Col("size"),
        Col("value"),
        Col("state"),
        Col("instrument"),
        Col("bot"),
        Col("liquidity"),
        Col("realised"),
        Col("fee"),
        Col("fee_paid", "Fee in asset"),
    )
    | COLUMNS
    | columns_of(
        Col("order_id"),
        Col("source", "Size is"),
        Col("id", "Fill", ColKind.ID),
        Col("transaction_id"),
    )
)


def fill_columns(*left_out: str) -> dict[str, tuple[str, str]]:
    """Return the columns of a table of fills, without those its place says already."""
    return {name: one for name, one in _OF_FILLS.items() if name not in left_out}


WORDS = {
    MarkoutState.DUE: "due",
    MarkoutState.BLIND: "unknown: blind",
    MarkoutState.ONE_SIDED: "unknown: one side",
    MarkoutState.CLOSED: "unknown: closed",
    MarkoutState.IGNORED: "not followed",
    MarkoutState.VOID: "void",
}
HELP = "How the price moved after the fills, from our side of the trade."
MEANING = (
    "After = the mid's move after a fill, + in our favour, in cents per share or, of a pair or a "
    "perpetual, in basis points (bp) of the fill's price, whatever its size · unknown = the book "
    "was not proven, had one side or was closed at that moment · not followed = no engine ran · "
    "not kept = removed under the disk budget (still counted in the averages), or never followed"
)


def cents(value: float | None) -> str:
    return NOTHING if value is None else f"{in_column(value, signed=True)}¢"


def bps(value: float | None) -> str:
    return NOTHING if value is None else f"{in_column(value, signed=True)} bp"


def word(shown: MarkoutShown | None) -> str:
    """Return one markout; one without a row is never zero."""
    if shown is None:
        return "not kept"
    if shown.cents is not None:
        return cents(float(shown.cents))
    if shown.bps is not None:
        return bps(float(shown.bps))
    return WORDS[MarkoutState(shown.state)]


def beside(fills: Sequence[Row]) -> list[Row]:
    keys = [(row["account"], row["id"]) for row in fills]
    found = ask(of_fills, engine_id(), keys) if keys else {}
    return [
        {
            **row,
            **{
                f"markout_{ms}": word(found.get((row["account"], row["id"]), {}).get(ms))
                for ms in LABELS
            },
        }
        for row in fills
    ]


@guard.part("The markouts")
def show(mode: Mode, bot: str | None = None) -> None:
    """Draw the means of one mode's bots, or of one: maker and taker apart."""
    st.markdown("**Markouts**", help=HELP)
    rows = ask(by_bot, engine_id(), mode=mode, bot=bot)
    if not rows:
        panels.note("No markout yet: the first follows 0.3 s after the first fill.")
        return
    st.html(table(rows, mode))
    panels.note(
        "Mean markout in cents per share, of pairs and perpetuals in basis points (bp) of the "
        "fill's price, + in our favour, ± its standard error, over n fills; "
        f"unknown ones are counted separately and left out of the mean · {mode.upper()} only"
    )


def table(rows: Sequence[BotMarkout], mode: Mode) -> str:
    """Return a row per bot and liquidity, a column per horizon; each figure leads to its fills."""
    groups: dict[tuple[str, str, str, bool], dict[int, BotMarkout]] = {}
    for row in rows:
        key = (row.account, row.bot, row.liquidity, row.in_bps)
        groups.setdefault(key, {})[row.horizon_ms] = row
    body = "".join(
        _line(key, found, links.fills(mode, account=key[0], bot=key[1], liquidity=key[2]))
        for key, found in groups.items()
    )
    return panels.sheet(body, tuple(LABELS.values()))


def _line(key: tuple[str, str, str, bool], found: Mapping[int, BotMarkout], where: str) -> str:
    account, bot, liquidity, in_bps = key
    cells = "".join(_cell(found.get(ms), where) for ms in LABELS)
    who = f"{panels.anchor(bot, where)} {escape(liquidity)}{', in bp' * in_bps}, {escape(account)}"
    return f"<tr><th>{who}</th>{cells}</tr>"


def _cell(row: BotMarkout | None, where: str) -> str:
    if row is None:
        return f'<td class="pb-num">{NOTHING}</td>'
    if row.mean_cents is None:
        return f'<td class="pb-num">{NOTHING}<br><small>{row.unknown:,} unknown</small></td>'
    error = "" if row.error_cents is None else f" ± {in_column(row.error_cents)}"
    unknown = f", {row.unknown:,} unknown" if row.unknown else ""
    mean = bps(row.mean_cents) if row.in_bps else cents(row.mean_cents)
    return (
        f'<td class="pb-num">{panels.anchor(f"{mean}{error}", where)}'
        f"<br><small>n {row.known:,}{unknown}</small></td>"
    )
