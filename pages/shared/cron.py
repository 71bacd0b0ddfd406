"""Times in cron's words, refused at the form where they can never be: hour 25, day 0, no name."""

from __future__ import annotations

import re

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("weekday", 0, 6, DAYS),
)
_STEPS = re.compile(r"^(?P<what>[^/]+)(?:/(?P<step>\d+))?$")


def trouble(cron: str) -> str:
    """Return why a cron line names no time, in words; empty = it can be saved.

    What it takes the engine's schedule takes: `*`, numbers, ranges, lists, steps, and names of
    months and weekdays. Odder things the schedule would know are refused here.
    """
    words = cron.split()
    if len(words) != len(FIELDS):
        return f"five words are needed (minute hour day month weekday), there are {len(words)}"
    for word, (name, least, most, names) in zip(words, FIELDS, strict=True):
        for part in word.lower().split(","):
            told = _part(part, least, most, names)
            if told:
                return f"{name} {word!r}: {told}"
    return ""


def _part(part: str, least: int, most: int, names: tuple[str, ...]) -> str:
    match = _STEPS.match(part)
    if match is None or match["step"] == "0":
        return f"{part!r} is nothing one can read"
    if match["what"] == "*":
        return "" if int(match["step"] or 1) <= most - least else "its step is longer than it all"
    ends = [_number(end, least, names) for end in match["what"].split("-")]
    named = [end in names for end in match["what"].split("-")]
    odd = len(set(named)) > 1 or (named[0] and match["step"])
    if len(ends) > 2 or None in ends or odd:
        return f"{part!r} is nothing one can read"
    known = [end for end in ends if end is not None]
    if any(not least <= end <= most for end in known):
        return f"it goes from {least} to {most}"
    if known != sorted(known):
        return "the first must not come after the last"
    if match["step"] and len(known) == 1:
        return "a step needs a range or *"
    if match["step"] and int(match["step"]) > known[-1] - known[0]:
        return "its step is longer than its range"
    return ""


def _number(text: str, least: int, names: tuple[str, ...]) -> int | None:
    if text in names:
        return names.index(text) + least
    return int(text) if text.isdecimal() and text.isascii() else None
