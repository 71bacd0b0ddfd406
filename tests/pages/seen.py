"""What a page drawn by AppTest shows: its texts, and its tiles as a person reads them."""

from __future__ import annotations

import re
from html import unescape

from streamlit.testing.v1 import AppTest

FOLDS = (
    "fold_account",
    "fold_by_hand",
    "fold_import",
    "fold_job",
    "fold_kill",
    "fold_limits",
    "fold_recording",
    "fold_remove",
    "fold_run_export",
    "fold_run_note",
)
"""Every part of a page that is drawn when it is opened."""


_TILE = re.compile(r'class="pb-tile"(?: href="([^"]*)")?[^>]*><i>([^<]*)</i><b>([^<]*)</b>')
_LINK = re.compile(r'<a [^>]*href="([^"]*)"[^>]*>([^<]*)</a>')


def page_test(name: str) -> AppTest:
    """Return a page of the dashboard, found by its address as the frame finds it."""
    script = "import pages\nnext(one for one in pages.found_pages() if one.name == NAME).draw()\n"
    return AppTest.from_string(script.replace("NAME", repr(name)), default_timeout=150)


def bodies(page: AppTest) -> str:
    """Return all HTML of a page."""
    return "\n".join(
        node.proto.body for node in page.main if node.type == "html" and hasattr(node, "proto")
    )


def figures(page: AppTest) -> dict[str, str]:
    """Return every tile's figure by its name."""
    return {unescape(name): unescape(value) for _, name, value in _TILE.findall(bodies(page))}


def behind(page: AppTest) -> dict[str, str]:
    """Return where every tile leads by its name."""
    return {unescape(name): unescape(to) for to, name, _ in _TILE.findall(bodies(page))}


def links(page: AppTest) -> dict[str, str]:
    """Return where every link in HTML leads, by its text; of equal texts the first."""
    found: dict[str, str] = {}
    for to, text in _LINK.findall(bodies(page)):
        found.setdefault(unescape(text), unescape(to))
    return found


def unfolded(page: AppTest) -> None:
    """Open every fold before a page is drawn."""
    for key in FOLDS:
        page.session_state[key] = True


def texts(page: AppTest) -> str:
    """Return every text of a page."""
    return "\n".join(str(node.proto) for node in page.main if hasattr(node, "proto"))
