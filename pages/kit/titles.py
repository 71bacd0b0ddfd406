"""How markets are called in words, as their venues write it."""

from __future__ import annotations

from engine.errors import PitbossError
from pages.kit.data import engine_id, fresh
from storage import feeds


def titles() -> dict[str, str]:
    """Return market → its name in words; empty where the state cannot be read."""
    try:
        return fresh(feeds.titles, engine_id())
    except PitbossError:
        return {}  # the page that asks for rows says what is wrong; an id is a name, too
