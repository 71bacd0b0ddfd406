"""The hourly up/down markets, whose slugs name the hour of New York: `…-november-25-6pm-et`.

They are series of our own name, `btc-updown-1h`. As recorded, Gamma says when such a market's hour
begins (`eventStartTime`) and ends; the slug has no year, so the window is Gamma's word alone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
HOUR_S = 3_600
SUFFIX = "-updown-1h"
NAMES = {"btc": "bitcoin", "eth": "ethereum", "sol": "solana", "xrp": "xrp"}
"""Asset → how slugs spell it. The first is as recorded; one that is not listed is said so."""

_ASSETS = {name: asset for asset, name in NAMES.items()}
_SLUG = re.compile(r"([a-z]+)-up-or-down-[a-z]+-[0-9]{1,2}-[0-9]{1,2}[ap]m-et")


def hourly_series(slug: str) -> str:
    """Return the series of an hourly market's slug; empty = it is none."""
    found = _SLUG.fullmatch(slug)
    asset = _ASSETS.get(found[1]) if found else None
    return f"{asset}{SUFFIX}" if asset else ""


def hourly_slug(series: str, start_s: int) -> str:
    """Return the slug of the window that begins then; empty = no such series is known."""
    name = NAMES.get(series.removesuffix(SUFFIX)) if series.endswith(SUFFIX) else None
    if name is None:
        return ""
    at = datetime.fromtimestamp(start_s, UTC).astimezone(NEW_YORK)
    hour, half = at.hour % 12 or 12, "am" if at.hour < 12 else "pm"
    return f"{name}-up-or-down-{at:%B}-{at.day}-{hour}{half}-et".lower()
