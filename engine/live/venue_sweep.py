"""Cancelling and listing at one venue until it shows nothing of ours twice in a row.

No core turns for it: what a KILL from beside and the end of an engine by a fault have in common.
"""

from __future__ import annotations

import asyncio

from engine.domain.effects import CancelScope
from engine.domain.events import CancelRefused, OrderCancelled
from engine.domain.orders import OrderId, OrderReport
from engine.domain.unread import unread_of_ours
from engine.executor.executor import Executor
from engine.executor.proof import LISTINGS_NEEDED
from engine.runtime.services import ClosingVenue
from storage.commands import many

RETRY_S = 0.5
"""Between two requests for what a listing still shows."""

APART_S = 1.0
"""Between two listings that show nothing: what was under way when the first was made has landed."""


class VenueSweep:
    """One account on its way to two complete listings in a row without an open order of ours.

    `executor` is what the journal knows of the account; None = it was not read, or has no record.
    """

    def __init__(self, executor: Executor | None) -> None:
        self._executor = executor
        self.listings = 0
        """Complete ones in a row that showed nothing of ours."""
        self.left: int | None = None
        """Orders of ours in the last listing; None = none was answered yet."""
        self.foreign: tuple[OrderReport, ...] = ()
        self.cancelled: set[OrderId] = set()
        self.refused: dict[OrderId, str] = {}
        self.unread: list[str] = []
        """Rows of the last listing that may be ours and cannot be read."""
        self._why = ""

    @property
    def clean(self) -> bool:
        """True once two listings in a row have shown nothing."""
        return self.listings >= LISTINGS_NEEDED

    async def run(self, venue: ClosingVenue) -> None:
        """Cancel and list until it is clean. Raises what the venue's answers raise."""
        while not self.clean:
            await self._once(venue)
            if not self.clean:
                await asyncio.sleep(RETRY_S if self.left else APART_S)

    def nothing_left(self) -> None:
        """Count it as clean: its venue lived in an engine that has ended."""
        self.listings = LISTINGS_NEEDED

    def failed(self, error: BaseException) -> None:
        """Begin the count of listings anew, and keep why."""
        self.listings = 0
        self._why = str(error) or self._why or "its venue does not answer"

    def missing(self, unaskable: str = "") -> list[str]:
        """Return what lacks until it is clean; empty = nothing. `unaskable` = why no one asks."""
        missing = []
        if not self.clean:
            why = f": {self._why}" if self._why else ""
            lacking = f"no two complete listings in a row without an open order{why}"
            missing.append(unaskable or lacking)
        if self.left:
            missing.append(f"{many(self.left, 'order')} still open when last listed")
        return missing + self.unread

    async def _once(self, venue: ClosingVenue) -> None:
        for event in await venue.cancel_all(CancelScope()):
            if isinstance(event, OrderCancelled):
                self.cancelled.add(event.order)
                self.refused.pop(event.order, None)
            elif isinstance(event, CancelRefused):
                self.refused[event.order] = event.venue_text
        listing = await venue.open_orders()
        listed, unread = listing.orders, unread_of_ours(listing.unread)
        # An order the journal has is ours under whichever key it was placed; no cancel reaches it.
        named = {name for _, name in self._executor.names()} if self._executor else set()
        self.foreign = tuple(one for one in listed if not (one.ours or one.identity in named))
        # A row that cannot be read and is not shown to be another's is an open order of ours.
        self.left = len(listed) - len(self.foreign) + len(unread)
        self.listings = 0 if self.left else self.listings + 1
        self.unread = [f"row {row.row} cannot be read: {row.reason}" for row in unread]
        self._why = ""
