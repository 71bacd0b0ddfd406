"""A venue's listing, fetched page by page into the store of markets: resumable, in bounded memory.

A page and where the next one begins are one commit, so a death costs one page. What a complete
listing does not name any more is unlisted; one that ended far too early proves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import stamina

from engine.domain.listings import ListingPage, VenueListing
from engine.errors import BadInput, NotSent, OutcomeUnknown, Throttled
from storage.markets import MarketStore

ATTEMPTS_MAX = 6
WAIT_S_MAX = 60.0
"""A page is asked for so often in a row, the pauses growing up to this: about two minutes."""

PAGES_MAX = 20_000
"""Two million markets at a hundred a page: a listing that is longer leads in a circle."""

COMPLETE_SHARE = 0.5
"""A listing that names less than this share of the open markets known before is not believed to
be complete: markets end in thousands a day, not all at once."""

ListingProgress = Callable[[int, int, str], None]
"""Receives how many markets were listed, of about how many, and a note."""


async def fetch_listing(
    opened: Callable[[], VenueListing],
    store: MarketStore,
    venue: str,
    now_ns: Callable[[], int],
    progress: ListingProgress,
) -> dict[str, object]:
    """Fetch a whole listing, or the rest of one that was interrupted; give what it brought.

    Raises NotSent, OutcomeUnknown or Throttled without a page; the next call goes on there.
    """
    listing = opened()
    counts, skipped = Counter[str](), Counter[str]()
    known = store.open_markets(venue)
    cursor, resumed = store.begin(venue), False
    try:
        for number in range(PAGES_MAX):
            resumed |= number == 0 and bool(cursor)
            page = await _page(listing, cursor, first=number == 0)
            if page is None:  # the venue forgot where we stood: its listing is read anew
                cursor, resumed = store.restart(venue), False
                continue
            if page.cursor and page.cursor == cursor:
                raise OutcomeUnknown(f"the listing of {venue} leads nowhere: its cursor repeats")
            cursor = page.cursor
            skipped.update(page.skipped)
            counts.update(store.put(venue, page, now_ns()))
            listed = store.listed(venue)
            progress(listed, max(known, listed), f"{listed:,} markets listed")
            if not cursor:
                break
        else:
            raise OutcomeUnknown(f"the listing of {venue} has no end")
    finally:
        await listing.close()
    listed = store.listed(venue)
    complete = listed >= known * COMPLETE_SHARE
    unlisted = store.finish(venue, now_ns(), complete=complete)
    summary = f"{listed:,} markets listed, {counts['new']:,} new, {counts['changed']:,} changed"
    if not complete:
        summary += f"; the listing ended early ({known:,} were open before): nothing was unlisted"
    return {
        "told": summary,
        "listed": listed,
        "new": counts["new"],
        "changed": counts["changed"],
        "unlisted": unlisted,
        "resumed": resumed,
        "skipped": dict(skipped.most_common()),
    }


async def _page(listing: VenueListing, cursor: str, *, first: bool) -> ListingPage | None:
    """Return a page, asked for again after a pause; None = its cursor is not known any more."""
    try:
        async for attempt in stamina.retry_context(
            on=(NotSent, OutcomeUnknown, Throttled),
            attempts=ATTEMPTS_MAX,
            timeout=None,
            wait_initial=1.0,
            wait_max=WAIT_S_MAX,
        ):
            with attempt:
                return await listing.page(cursor)
    except BadInput:
        if not (first and cursor):
            raise
    return None
