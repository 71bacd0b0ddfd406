"""Backtests as one file that needs no desk and no network: figures, curves, inputs, fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape

from pages.kit.words import moment

WIDTH, HEIGHT, EDGE = 1_000, 260, 8
STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1060px;padding:0 1rem;"
    "background:#fff;color:#17202a}h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}"
    "table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:500}"
    "th,td{border-bottom:1px solid #d5dbe1;padding:.2rem .6rem .2rem 0;overflow-wrap:anywhere}"
    "td{font-variant-numeric:tabular-nums}svg{width:100%;height:auto}.note{color:#5d6b79}"
)


def document(title: str, note: str, blocks: Sequence[str]) -> str:
    """Return a whole page of HTML; `blocks` are HTML, the rest is text. It holds no script."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f'<p class="note">{escape(note)}</p>{"".join(blocks)}</body></html>'
    )


def facts(title: str, pairs: Mapping[str, str]) -> str:
    """Return names and their values as a table."""
    lines = (f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in pairs.items())
    return f"<h2>{escape(title)}</h2><table>{''.join(lines)}</table>"


def rows(title: str, names: Sequence[str], lines: Sequence[Mapping[str, object]]) -> str:
    """Return rows as a table with a head; what a row lacks is an empty cell."""
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_plain(line.get(name)))}</td>" for name in names) + "</tr>"
        for line in lines
    )
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>"


def _plain(value: object) -> str:
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def curve(title: str, points: Sequence[tuple[int, Decimal]], currency: str) -> str:
    """Return a curve as a drawing, its ends and extremes in words; none where it has no point."""
    if not points:
        return f'<h2>{escape(title)}</h2><p class="note">It has no equity curve.</p>'
    values = [float(value) for _, value in points]
    low, high = min(values), max(values)
    first_ns, span_ns = points[0][0], max(1, points[-1][0] - points[0][0])
    tall = (high - low) or 1.0
    places = " ".join(
        f"{EDGE + (WIDTH - 2 * EDGE) * (at_ns - first_ns) / span_ns:.1f},"
        f"{EDGE + (HEIGHT - 2 * EDGE) * (high - value) / tall:.1f}"
        for (at_ns, _), value in zip(points, values, strict=True)
    )
    said = (
        f"{moment(points[0][0])} to {moment(points[-1][0])} · lowest {low:,.2f}, highest "
        f"{high:,.2f}, last {values[-1]:,.2f} {currency}"
    )
    return (
        f'<h2>{escape(title)}</h2><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f'<polyline points="{places}" fill="none" stroke="#0f766e" stroke-width="1.5"/></svg>'
        f'<p class="note">{escape(said)}</p>'
    )
