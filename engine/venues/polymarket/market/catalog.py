"""Polymarket's catalog on request: the most traded open markets, for people to choose from.

The venue lists tens of thousands; the catalog takes the most traded ones, and says how many. What
a bot names need not be among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.errors import PitbossError
from engine.feeds.counts import FeedCounts
from engine.runtime.services import Services
from engine.venues.polymarket.hosts import public_rest
from engine.venues.polymarket.market.listing import Listing
from storage.feeds import put_title
from storage.live import put_instrument

PAGES_MAX = 5
"""Pages of 100 markets."""

Told = Callable[[bool, str], None]


async def sync(services: Services, told: Told) -> None:
    """Ask Gamma for its most traded markets and write them into the catalog."""
    counts = FeedCounts()
    rest = public_rest(services.config, counts)
    now_ns = services.clock.now_ns()
    try:
        listings = await rest.markets(
            now_ns, {"order": "volume24hr", "ascending": "false"}, pages_max=PAGES_MAX
        )
    except PitbossError as error:
        told(False, f"Polymarket told no listing: {error}")
        return
    finally:
        await rest.close()
    open_now = [one for one in listings if one.accepting]
    loop = services.ended.get_loop()

    def write(connection: Any) -> None:
        before = _known(connection, services.engine_id)
        for listing in open_now:
            _put(connection, services.engine_id, listing, now_ns)
        new = sum(listing.instrument.id not in before for listing in open_now)
        unread = sum(counts.anomalies.values())
        left = f"; {unread} could not be read" if unread else ""
        text = f"{len(open_now)} of Polymarket's most traded markets are open: {new} new{left}"
        loop.call_soon_threadsafe(lambda: told(True, text))

    services.state.write(write)


def _known(connection: Any, engine_id: str) -> set[str]:
    rows = connection.execute("SELECT id FROM instruments WHERE engine_id = ?", (engine_id,))
    return {name for (name,) in rows}


def _put(connection: Any, engine_id: str, listing: Listing, now_ns: int) -> None:
    put_instrument(connection, engine_id, listing.instrument, now_ns)
    put_title(
        connection, engine_id, listing.instrument.id,
        title=listing.title, slug=listing.slug, now_ns=now_ns,
    )  # fmt: skip
