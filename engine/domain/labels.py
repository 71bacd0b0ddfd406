"""A label for people, made of a field's name: what a form says of one that has no title."""

from __future__ import annotations

QUALIFIERS = {"max": " at most", "min": " at least"}
UNITS = {"bps": "bp", "percent": "%"} | {
    name: name for name in ("s", "ms", "ticks", "shares", "days", "hours", "bars", "fills")
}
"""The last word of a name that says what its number counts, as a label has it."""


def readable(name: str) -> str:
    """Return a name with its words apart, its bound and its unit in words.

    `half_spread_ticks_min` is `Half spread at least, ticks`. Spaces count as underscores.
    """
    words = name.replace("_", " ").split()
    bound = unit = ""
    if len(words) > 1 and words[-1] in QUALIFIERS:
        bound = QUALIFIERS[words.pop()]
    if len(words) > 1 and words[-1] in UNITS:
        unit = f", {UNITS[words.pop()]}"
    text = " ".join(words)
    return f"{text[:1].upper()}{text[1:]}{bound}{unit}" or name


def is_made(title: str, name: str) -> bool:
    """Say whether a schema's title is only the field's name, as pydantic writes it."""
    return title.replace(" ", "_").lower() == name.lower()
