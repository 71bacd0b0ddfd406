"""Figures in a row of tiles, each a link down to what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from pages.kit.panels import plain


class Tile(NamedTuple):
    """A figure with its name. `behind` is the address of what it is made of; empty = nothing is."""

    name: str
    value: str
    behind: str = ""
    hint: str = ""


def show(tiles: Sequence[Tile]) -> None:
    """Draw tiles side by side; on a narrow screen they wrap."""
    st.html(html(tiles))


def html(tiles: Sequence[Tile]) -> str:
    """Return a row of tiles."""
    return f'<div class="pb-tiles">{"".join(map(_one, tiles))}</div>'


def _one(tile: Tile) -> str:
    hint = f' title="{plain(tile.hint)}"' if tile.hint else ""
    body = f"<i>{plain(tile.name)}</i><b>{plain(tile.value)}</b>"
    if not tile.behind:
        return f'<span class="pb-tile"{hint}>{body}</span>'
    return f'<a class="pb-tile" href="{tile.behind}" target="_self"{hint}>{body}</a>'
