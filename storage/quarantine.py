"""Bots that must not run at the next start: one whose code could not be interrupted hung an engine.

A file of the home, written while the loop hangs, so it needs neither database nor journal.
"""

from __future__ import annotations

import json
from pathlib import Path

FILE = "quarantine.json"


def quarantined(home: Path) -> dict[str, str]:
    """Return the bots in quarantine and why; one file that cannot be read holds none."""
    try:
        found = json.loads((home / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): str(why) for name, why in found.items()}


def quarantine(home: Path, bot: str, why: str) -> None:
    """Put a bot into quarantine. Raises OSError."""
    _write(home, quarantined(home) | {bot: why})


def release(home: Path, bot: str) -> None:
    """Take a bot out of quarantine: a person starts it. Raises OSError."""
    found = quarantined(home)
    if found.pop(bot, None) is not None:
        _write(home, found)


def _write(home: Path, bots: dict[str, str]) -> None:
    made = home / f"{FILE}.new"
    made.write_text(json.dumps(bots), encoding="utf-8")
    made.replace(home / FILE)
