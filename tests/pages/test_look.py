"""Colours of our own: what is written on the accent can be read in both themes."""

from __future__ import annotations

import re

import pytest

from pages.frame import look

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
