"""KILL where journal or state refuse: everything is cancelled at once, nothing is proven or kept.

A full disk or a damaged journal must not be why an order goes on resting. Recovery comes first
wherever it can; this is what is left where it cannot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from engine.config import Config
from engine.domain.effects import CancelScope
from engine.domain.settings import AccountSettings
from engine.errors import PitbossError, StorageError
from engine.live_house import ClosingVenue
from engine.live_venues import Venues, venues_of
from storage.database import reading
from storage.lease import take_lease
from storage.live import many
from storage.settings import in_force
from storage.users import ENGINE_ID

PATIENCE_S = 10.0
"""How long one account's venue may take before it is given up."""

AGAIN_S = 0.5
"""Between two requests for what a listing still shows."""


async def kill(
    config: Config, url: str, live: Callable[[Venues, int], Coroutine[Any, Any, None]]
) -> None:
    """Take the lease and `live` with venues and fence; where that is refused, cancel bare.

    Raises what refused.
    """
    fence, refused = 0, None
    try:
        fence = take_lease(config.journal_path, ENGINE_ID)
    except StorageError as error:
        refused = error
    # Once and here: they take the secrets out of the environment.
    venues = venues_of(config, url, fence=fence, killed=True)
    try:
        if refused is not None:
            raise refused
        await live(venues, fence)
    except (PitbossError, OSError):
        for said in await cancel_bare(config, venues):
            print(f"NOT PROVEN and not kept: {said}", flush=True)  # noqa: T201 the answer
        raise


async def cancel_bare(config: Config, venues: Venues) -> Iterator[str]:
    """Cancel everything of every account in force; give a sentence for each.

    Raises StorageError where not even the settings can be read.
    """
    with reading(config.state_path) as connection:
        accounts = in_force(connection, ENGINE_ID).document.accounts.values()
    told = await asyncio.gather(*(_cancelled(venues, one) for one in accounts))
    return (one for one in told if one)


async def _cancelled(venues: Venues, settings: AccountSettings) -> str:
    """Cancel at one account's venue until it lists nothing; say how that went."""
    opener = venues.openers.get((settings.venue, settings.mode))
    if opener is None:
        return ""
    left = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            venue = await opener.venue(settings)
            if venue is None:
                return ""
            try:
                while left != 0:
                    left = await _once(venue, left)
            finally:
                await venue.close()
    except (PitbossError, OSError) as error:
        why = str(error) or type(error).__name__
        return f"{settings.name}: {_left(left)}: {why}"
    return f"{settings.name}: cancelled; its venue lists no open order"


async def _once(venue: ClosingVenue, before: int | None) -> int:
    """Ask for the end of everything and return how many orders are open then."""
    if before is not None:
        await asyncio.sleep(AGAIN_S)
    await venue.cancel_all(CancelScope())
    return len((await venue.open_orders()).orders)


def _left(listed: int | None) -> str:
    if listed is None:
        return "NOT cancelled, as far as is known"
    return f"{many(listed, 'order')} still open when last listed"
