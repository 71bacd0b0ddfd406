"""Links between pages without loading the browser's page again.

Streamlit's own navigation does this by script; a link in HTML would load everything anew, which
takes ten times as long and forgets the mode that is shown. The script does what the browser's back
button does: it changes the address and says so. Without it a link is a link.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.domain.instruments import Mode
from engine.domain.plain import PlainDict, PlainView
from pages.kit import panels
from pages.kit.names import market
from pages.kit.words import moment
from storage.views.drill_down import FOREVER_NS

_SCRIPT = """
<script>
(() => {
  if (window.pbInPlace) { return; }
  window.pbInPlace = true;
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) { return; }
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) { return; }
    const link = event.target.closest?.('a[href^="/"]');
    if (!link || link.pathname === "/sign-out") { return; }
    event.preventDefault();
    history.pushState({}, "", link.href);
    window.dispatchEvent(new PopStateEvent("popstate"));
    document.querySelector(".stMain")?.scrollTo(0, 0);
  });
})();
</script>
"""


def start() -> None:
    st.html(_SCRIPT, unsafe_allow_javascript=True)


# -- What is behind a figure: the address of its orders or fills, and the same read back from --

WORKING, ALL, FILLS = "working", "all", "fills"
NAMES = ("account", "bot", "instrument", "state", "liquidity")
TIMES = ("since_ns", "until_ns")
ALWAYS: PlainView = {**dict.fromkeys(NAMES, ""), "since_ns": 0, "until_ns": FOREVER_NS}
"""The filter that lets everything through."""

NO_BOT = "no bot"
"""Shown for what no bot is known to have made; it cannot be filtered by."""


def fills(mode: Mode, /, **only: Any) -> str:
    """Return the address of the fills that fit; a name without a value filters nothing."""
    return orders(FILLS, mode, **only)


def orders(show: str, mode: Mode, /, **only: Any) -> str:
    # One order of names: the same rows have one address.
    given = {**ALWAYS, **only}
    kept = {name: given[name] for name in ALWAYS if given[name] not in (ALWAYS[name], None, NO_BOT)}
    return panels.address("orders", show=show, mode=mode.value, **kept)


def asked() -> PlainDict:
    """Return the filter the address of this page names; what it does not name is any."""
    found: PlainDict = dict(ALWAYS)
    if "order" in st.query_params:  # it names one order by its account, and filters nothing
        return found
    for name in NAMES:
        found[name] = st.query_params.get(name, "")
    for name in TIMES:
        given = st.query_params.get(name, "")
        if given.isdecimal():
            found[name] = min(int(given), FOREVER_NS)
    return found


def narrowed(only: Mapping[str, object]) -> bool:
    return any(only[name] != ALWAYS[name] for name in ALWAYS)


def said(only: PlainView) -> dict[str, str]:
    """Return each condition of a filter in words, by its name."""
    found = {
        name: f"{name} {market(only[name]) if name == 'instrument' else only[name]}"
        for name in NAMES
        if only[name]
    }
    if only["since_ns"]:
        found["since_ns"] = f"since {moment(only['since_ns'])}"
    if only["until_ns"] != FOREVER_NS:
        found["until_ns"] = f"before {moment(only['until_ns'])}"
    return found


def chips(show: str, mode: Mode, only: PlainView) -> None:
    conditions = said(only)
    if not conditions:
        return
    made = [
        f'<a class="pb-chip" href="{orders(show, mode, **{**only, name: ALWAYS[name]})}" '
        f'target="_self" title="Remove this filter">{panels.plain(text)} \N{MULTIPLICATION SIGN}'
        "</a>"
        for name, text in conditions.items()
    ]
    everything = panels.anchor("remove all", orders(show, mode))
    st.html(f'<p class="pb-source">Only {" ".join(made)} · {everything}</p>')
