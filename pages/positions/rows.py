"""Positions as a table of links: each figure leads to the fills it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from engine.domain.instruments import Mode
from pages.kit import names, panels
from pages.kit.words import NOTHING, in_column
from pages.shared import drill_down
from pages.shared.pnl import figure
from storage.views import Row

LABELS = ("PnL", "YES", "NO", "Of it pending", "Cost", "Value", "Mark")


def table(rows: Sequence[Row], mode: Mode) -> str:
    """Return what is held, a row per market."""
    head = "".join(f'<th class="pb-num">{label}</th>' for label in LABELS)
    body = "".join(_line(row, mode) for row in rows)
    return (
        '<section class="pb-block"><div class="pb-scroll">'
        f'<table class="pb-facts pb-tight pb-wide"><tr><th></th>{head}</tr>{body}</table>'
        "</div></section>"
    )


def _line(row: Row, mode: Mode) -> str:
    where = drill_down.fills(mode, account=row["account"], instrument=row["instrument"])
    yes, no, pending = (
        None if row[first] is None else row[first] + row[second]
        for first, second in (
            ("yes_settled", "yes_pending"),
            ("no_settled", "no_pending"),
            ("yes_pending", "no_pending"),
        )
    )
    cells = [
        *(names.size(value) for value in (yes, no, pending)),
        in_column(row["cost"]),
        in_column(row["value"]),
        names.price(row["mark"], in_cents=names.cents(row)),
    ]
    shown = "".join(
        f'<td class="pb-num">{escape(text) if text == NOTHING else panels.anchor(text, where)}</td>'
        for text in cells
    )
    who = escape(f"{row['bot'] or drill_down.NOBODY}, {row['account']}, {row['currency']}")
    name = panels.anchor(names.market(row["instrument"]), where)
    return f"<tr><th>{name}<br><small>{who}</small></th>{figure(row['pnl'], where)}{shown}</tr>"
