"""Pieces every page uses: its head with source and age, the empty state, links, key and value."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

import streamlit as st


def head(title: str, source: str) -> None:
    """Draw the title and, below it, where the figures come from and how old they may be."""
    st.title(title)
    note(source)


def note(text: str) -> None:
    """Draw a line of small print: a source, an age."""
    st.html(f'<p class="pb-source">{escape(text)}</p>')


def empty(title: str, text: str, command: str = "") -> None:
    """Say that there is nothing, why, and what to do next."""
    code = f"<p><code>{escape(command)}</code></p>" if command else ""
    st.html(f'<div class="pb-empty"><b>{escape(title)}</b><p>{escape(text)}</p>{code}</div>')


def plain(text: str) -> str:
    """Return text as HTML shows it as it is, in an attribute too."""
    return escape(text)


def address(page: str, /, **query: str | int) -> str:
    """Return the address of a page of this desk, for an attribute of HTML."""
    return escape(f"/{page}" + (f"?{urlencode(query)}" if query else ""))


def anchor(text: str, to: str) -> str:
    """Return a link to what `address` gave, in this tab."""
    return f'<a href="{to}" target="_self">{escape(text)}</a>'


def link(text: str, page: str, /, **query: str | int) -> str:
    """Return a link to a page of this desk, in this tab."""
    return anchor(text, address(page, **query))


def links(*made: str) -> None:
    """Draw links in a row."""
    st.html(f'<p class="pb-source">{" · ".join(made)}</p>')


def facts(pairs: Mapping[str, str]) -> None:
    """Draw names with their values, two columns, in their order."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in pairs.items()
    )
    st.html(f'<table class="pb-facts">{rows}</table>')
