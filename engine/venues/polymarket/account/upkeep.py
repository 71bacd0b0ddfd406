"""What a live account needs beside its streams: terms of markets, fresh balances, a second chance.

None of it decides anything. The venue caches balances and refreshes them late (trading API, §5.2):
it is asked to look again after each settlement, heard or listed, and after a refusal for want of
funds. It answers 401 to good keys now and then (§7, no. 9), so a refused credential is asked about
again, each time later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.domain.events import HealthChanged
from engine.domain.instruments import InstrumentId
from engine.errors import PitbossError
from engine.live.engine import Engine
from engine.runtime.account_runner import AccountRunner
from engine.venues.polymarket.account.door import PolymarketDoor
from engine.venues.polymarket.account.user_stream import PolymarketUser

if TYPE_CHECKING:
    from engine.venues.polymarket.account.venue import PolymarketVenue

S = 1_000_000_000
LOOK_S = 0.25
TEND_S = 1.0
"""One market's balances at a time: three questions a second, the venue takes five."""
LIST_RETRY_NS_MIN = 1 * S
LIST_RETRY_NS_MAX = 60 * S
"""A new market's terms are answered with 404 for minutes (trading API, §3.1)."""
AUTH_PAUSE_NS_MIN = 5 * S
AUTH_PAUSE_NS_MAX = 300 * S
AUTH_CALM_NS = 600 * S
"""A credential that worked for this long is trusted as at first."""


class PolymarketTend:
    """Tends one open account."""

    def __init__(
        self, house: Engine, shell: AccountRunner, door: PolymarketDoor, user: PolymarketUser
    ) -> None:
        self._house = house
        self._shell = shell
        self._door = door
        self._user = user
        self._retry: dict[InstrumentId, tuple[int, int]] = {}
        """Markets whose terms were not answered: (when to ask again, pause after that)."""
        self._auth_pause_ns = AUTH_PAUSE_NS_MIN
        self._auth_due_ns = self._auth_cleared_ns = 0

    # -- terms -------------------------------------------------------------------------------------

    async def markets(self, venue: PolymarketVenue) -> None:
        """Ask for the terms of every market somebody may trade in, until cancelled."""
        while True:
            for key in self._wanted(venue):
                await self._list(venue, key)
            await asyncio.sleep(LOOK_S)

    def _wanted(self, venue: PolymarketVenue) -> list[InstrumentId]:
        """Return what is held or worked, then everything open that the account hears."""
        executor, now_ns = self._shell.desk.executor, self._house.clock.now_ns()
        views = self._shell.desk.cache.views
        heard = [
            key for key in self._door.known if (view := views.get(key)) is None or not view.closed
        ]
        return [
            key
            for key in dict.fromkeys([*executor.concerned(), *heard])
            if not venue.lists(key) and self._retry.get(key, (0, 0))[0] <= now_ns
        ]

    async def _list(self, venue: PolymarketVenue, key: InstrumentId) -> None:
        instrument = self._shell.desk.executor.ledger.state.instruments.get(key)
        if instrument is None:
            return
        try:
            await venue.list_market(instrument)
        except PitbossError as error:
            _, pause_ns = self._retry.get(key, (0, LIST_RETRY_NS_MIN))
            later_ns = self._house.clock.now_ns() + pause_ns
            self._retry[key] = (later_ns, min(2 * pause_ns, LIST_RETRY_NS_MAX))
            self._house.log.info("market.waits", instrument=key, reason=str(error))
            return
        self._retry.pop(key, None)

    # -- money and key -----------------------------------------------------------------------------

    async def run(self, venue: PolymarketVenue) -> None:
        """Refresh balances after settlements and ask about doubts, until cancelled."""
        while True:
            await asyncio.sleep(TEND_S)
            await self._refresh(venue)
            await self._reassure()

    async def _refresh(self, venue: PolymarketVenue) -> None:
        settled, told = self._user.settled, self._door.outdated
        for order in list(told):
            del told[order]
            known = self._shell.desk.executor.order(order)
            if known is not None:
                settled[known.instrument] = None
        if not settled:
            return
        key = next(iter(settled))
        del settled[key]
        instrument = self._shell.desk.executor.ledger.state.instruments.get(key)
        try:
            await venue.refresh_balance()
            if instrument is not None:
                await venue.refresh_balance(instrument)
        except PitbossError as error:
            settled[key] = None
            self._house.log.info("balance.waits", instrument=key, reason=str(error))

    async def _reassure(self) -> None:
        """Ask whether the venue takes our key again after it had refused it."""
        door, now_ns = self._door, self._house.clock.now_ns()
        if not door.doubt:
            self._auth_due_ns = 0
            return
        if not self._auth_due_ns:
            if now_ns - self._auth_cleared_ns > AUTH_CALM_NS:
                self._auth_pause_ns = AUTH_PAUSE_NS_MIN
            self._auth_due_ns = now_ns + self._auth_pause_ns
        if now_ns < self._auth_due_ns:
            return
        self._auth_pause_ns = min(2 * self._auth_pause_ns, AUTH_PAUSE_NS_MAX)
        self._auth_due_ns = now_ns + self._auth_pause_ns
        try:
            await door.balances()
        except PitbossError:
            return
        door.doubt, self._auth_cleared_ns = "", now_ns
        account = self._shell.account
        self._shell.report(HealthChanged(account=account, source="auth", healthy=True))
