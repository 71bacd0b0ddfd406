"""Colours of our own: what is written on the accent can be read in both themes."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser

from engine.domain.intents import ResidualReason
from pages.frame import look
from pages.kit.panels import facts_html
from pages.shared.why import left_words

READABLE = 4.5
"""The least contrast of text, WCAG 2.1, success criterion 1.4.3."""


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb`, WCAG 2.1."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [look._DARK, look._LIGHT])
def test_the_words_of_a_primary_button_can_be_read(theme: str) -> None:
    named = dict(re.findall(r"--pb-([\w-]+):(#[0-9a-f]{6})", theme))
    lighter, darker = sorted(
        (luminance(named["accent"]), luminance(named["on-accent"])), reverse=True
    )
    assert (lighter + 0.05) / (darker + 0.05) >= READABLE


def test_a_figure_beside_a_long_name_stands_in_one_line(browser: Browser) -> None:
    name = left_words(ResidualReason.DUST)
    table = facts_html([(name, "1,356"), ("a short name", "12,345,678")])
    page = browser.new_page()
    try:
        page.set_content(f"<style>{look._CSS}</style><div style='width:280px'>{table}</div>")
        lines = "cell => { const r = document.createRange(); r.selectNodeContents(cell);"
        lines += " return new Set([...r.getClientRects()].map(one => one.top)).size }"
        first, second = (one.evaluate(lines) for one in page.locator("td").all())
        wide = page.locator("table").evaluate("table => table.offsetWidth")
    finally:
        page.close()
    assert (first, second) == (1, 1)
    assert wide <= 280


def test_a_long_word_beside_a_name_breaks_and_leaves_the_page_its_width(browser: Browser) -> None:
    page = browser.new_page()
    try:
        table = facts_html([("Digest", "f" * 90)])
        page.set_content(f"<style>{look._CSS}</style><div style='width:280px'>{table}</div>")
        assert page.locator("table").evaluate("table => table.offsetWidth") <= 280
    finally:
        page.close()
