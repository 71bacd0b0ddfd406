"""Pieces every page uses: its head with source and age, the empty state, links, key and value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
import streamlit as st

from pages.kit.markdown import literal


def head(title: str, source: str) -> None:
    """Draw the title and, below it, where the figures come from and how old they may be."""
    st.title(literal(title))
    note(source)


def note(text: str) -> None:
    """Draw a line of small print: a source, an age."""
    st.html(f'<p class="pb-source">{escape(text)}</p>')


def empty(title: str, text: str, command: str = "") -> None:
    code = f"<p><code>{escape(command)}</code></p>" if command else ""
    st.html(f'<div class="pb-empty"><b>{escape(title)}</b><p>{escape(text)}</p>{code}</div>')


def plain(text: str) -> str:
    return escape(text)


def address(page: str, /, **query: str | int) -> str:
    return escape(f"/{page}" + (f"?{urlencode(query)}" if query else ""))


def anchor(text: str, to: str) -> str:
    return f'<a href="{to}" target="_self">{escape(text)}</a>'


def link(text: str, page: str, /, **query: str | int) -> str:
    return anchor(text, address(page, **query))


def links(*made: str) -> None:
    st.html(f'<p class="pb-source">{" · ".join(made)}</p>')


def facts(pairs: Mapping[str, str]) -> None:
    """Draw names with their values, two columns, in their order."""
    st.html(facts_html(pairs.items()))


def facts_html(pairs: Iterable[tuple[str, str]], look: str = "") -> str:
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in pairs)
    return f'<table class="pb-facts {look}">{"".join(rows)}</table>'


def sheet(lines: str, heads: Sequence[str] = (), *, title: str = "", below: str = "") -> str:
    """Return lines of HTML as a table in a block; heads stand over all columns but the first.

    `lines` and `below` are HTML, the rest is text.
    """
    head = "".join(f'<th class="pb-num">{escape(name)}</th>' for name in heads)
    return (
        f'<section class="pb-block">{title and f"<h4>{escape(title)}</h4>"}<div class="pb-scroll">'
        f'<table class="pb-facts pb-tight pb-wide">{head and f"<tr><th></th>{head}</tr>"}{lines}'
        f"</table></div>{below and f'<p>{below}</p>'}</section>"
    )


def said_line(label: str, value: str, said: str) -> str:
    """Return a line of a sheet: a name, a figure, and what is to be said of it, all HTML."""
    return (
        f'<tr><th class="pb-at">{label}</th><td class="pb-num">{value}</td>'
        f'<td class="pb-said">{said}</td></tr>'
    )


# -- Parts of a page that are drawn when they are opened: a closed form costs nothing --


@contextmanager
def panel(label: str, key: str, *, opened: bool = False, icon: str | None = None) -> Iterator[bool]:
    """Draw a panel; gives whether it is open, only then there is something to draw in it.

    To Streamlit a panel whose label changed, because it counts what is in it, is another panel:
    that one is opened where the former was.
    """
    known = st.session_state.get(f"panel:{key}")
    if known is not None and known[0] != (label, opened):
        st.session_state[key] = known[1]
    box = st.expander(label, expanded=opened, key=key, icon=icon, on_change="rerun")
    st.session_state[f"panel:{key}"] = (label, opened), bool(box.open)
    with box:
        yield bool(box.open)


# -- Figures in a row of tiles, each a link down to what it is made of --


class Tile(NamedTuple):
    """A figure with its name. `behind` is the address of what it is made of; empty = nothing is."""

    name: str
    value: str
    behind: str = ""
    hint: str = ""


def tiles(tiles: Sequence[Tile]) -> None:
    """Draw tiles side by side; on a narrow screen they wrap."""
    st.html(tiles_html(tiles))


def tiles_html(tiles: Sequence[Tile]) -> str:
    """Return more than five tiles as two rows that match: none is to stand alone in its row."""
    number = len(tiles)
    row = number if number < 6 else -(-number // 2)
    return f'<div class="pb-tiles" style="--row:{row}">{"".join(map(_tile, tiles))}</div>'


def _tile(tile: Tile) -> str:
    hint = f' title="{plain(tile.hint)}"' if tile.hint else ""
    body = f"<i>{plain(tile.name)}</i><b>{plain(tile.value)}</b>"
    if not tile.behind:
        return f'<span class="pb-tile"{hint}>{body}</span>'
    return f'<a class="pb-tile" href="{tile.behind}" target="_self"{hint}>{body}</a>'


# -- One cell of the status bar --


class StatusCell(msgspec.Struct, frozen=True):
    """One cell. `tone`: ok, warn, bad, dim or empty; `used` 0…1 draws a bar below the value."""

    name: str
    value: str
    tone: str = ""
    hint: str = ""
    used: float | None = None
