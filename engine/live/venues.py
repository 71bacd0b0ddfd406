"""Which venues this engine trades at, and what each needs: one `Opener` per venue and mode.

`venues_of` is the table: a venue or a mode is added there, with a file of its own beside it.
Accounts asks an opener for the runner and its streams, and a `MarketDataService` for the market of
the venue.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine.config import Config
from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor
from engine.live.credentials import locked_wallets, sparing, take_all
from engine.live.engine import Engine
from engine.runtime.account_runner import AccountRunner
from engine.runtime.services import ClosingVenue, Stream
from engine.venues.demo.client import DemoMarket
from engine.venues.demo.plugin import DEMO, DemoMarketData, DemoOpener
from engine.venues.paper.plugin import PaperOpener
from engine.venues.polymarket.account.opener import POLYMARKET, PolymarketOpener
from engine.venues.polymarket.market.source import PolymarketMarketData
from storage.database import reading
from storage.live_accounts import Unlock, unlocks
from storage.users import ENGINE_ID

UNLOCKING = "who was unlocked"
"""Under which it stands that the state does not say it; the name of no account."""


class Opener(Protocol):
    """How accounts of one venue and mode are put together."""

    def refusal(self, settings: AccountSettings) -> str:
        """Return why an account cannot be opened, as a sentence; empty = it can."""
        ...

    def runner(
        self, engine: Engine, settings: AccountSettings, executor: Executor, wiring: dict[str, Any]
    ) -> AccountRunner:
        """Return the account's runner; `wiring` is what every runner takes besides core and venue.

        A venue that must be closed, and cancelled at in a crash, is put into `engine.venues`.
        """
        ...

    def silent(self, settings: AccountSettings) -> str:
        """Return why a KILL cannot ask the venue, as a sentence; empty = it can.

        It needs a credential; that trading is locked does not matter.
        """
        ...

    async def venue(self, settings: AccountSettings) -> ClosingVenue | None:
        """Return the venue alone, for a KILL without an executor; None = nothing can rest there.

        Raises what the venue or its credential refuses.
        """
        ...

    def begin(
        self, engine: Engine, runner: AccountRunner, settings: AccountSettings, *, funded: bool
    ) -> list[Stream]:
        """Start blind: report why nothing may be placed yet; return what must be listened to.

        Not `funded` = the journal holds no first cash of the account.
        """
        ...


class MarketDataService(Protocol):
    """The market of one venue. Connects nowhere before an account of the venue exists."""

    def begin(self, engine: Engine, runners: list[AccountRunner]) -> list[Stream]:
        """Return what hears the market for the accounts of a start; called once, if there is one.

        `engine.shells` is complete by then.
        """
        ...

    def join(self, engine: Engine, runner: AccountRunner) -> list[Stream]:
        """Let an account opened later hear every market as it stands; `begin` may not have run."""
        ...


class Venues(msgspec.Struct, kw_only=True):
    """What this engine can open."""

    openers: dict[tuple[str, Mode], Opener]
    hearings: dict[str, MarketDataService]
    """The market of each venue."""
    demo_url: str = ""
    keys: frozenset[str] = frozenset()
    """Accounts of which environment or vault hold a key, open or not."""
    unread: tuple[str, ...] = ()
    """What could not be read where a KILL goes on all the same, as sentences."""

    def holders(self) -> dict[str, tuple[str, Mode]]:
        """Return venue and mode of every account of which there is a key."""
        return dict.fromkeys(self.keys, (POLYMARKET, Mode.LIVE))

    def market(self) -> DemoMarket:
        """Return where a recording listens to the demo exchange."""
        return DemoMarket(self.demo_url)

    def refusal(self, settings: AccountSettings) -> str:
        """Return why no account of this venue and mode can be opened; empty = it can."""
        opener = self.openers.get((settings.venue, settings.mode))
        if opener is not None:
            return opener.refusal(settings)
        if settings.mode is Mode.LIVE:
            return f"account {settings.name!r} is live: nothing here can sign an order"
        if settings.venue in self.hearings:
            return f"account {settings.name!r}: there is no {settings.mode} at {settings.venue!r}"
        heard = ", ".join(repr(name) for name in self.hearings)
        return (
            f"account {settings.name!r} needs the market of {settings.venue!r}, which this engine "
            f"does not hear; those it hears: {heard}"
        )


def venues_of(config: Config, url: str, *, fence: int, killed: bool = False) -> Venues:
    """Return the table. `url` is where the demo exchange is, `fence` which start it is.

    Takes the secrets of live accounts out of the environment: call it once. Raises ConfigError.
    `killed` = a KILL is to be carried out: credentials that cannot be read raise nothing, their
    accounts stand blind, so that all others are cancelled.
    """
    spared: dict[str, str] | None = {} if killed else None
    credentials = take_all(os.environ, Path(".env"), config.vault_path, spared)
    locked = locked_wallets(config.vault_path, credentials, spared)
    kept: dict[str, Unlock] = {}
    if credentials or locked or spared:
        # A KILL asks without them; that the state cannot be read is told by whoever needs it.
        with sparing(spared, UNLOCKING), reading(config.state_path) as connection:
            kept = unlocks(connection, ENGINE_ID)
    if spared and "" in spared:  # whose they are cannot be read: whoever was unlocked and has none
        missing = {name: one.wallet for name, one in kept.items() if name not in credentials}
        locked = missing | locked
        spared = dict.fromkeys(locked, spared[""]) | spared
    keys = frozenset(credentials) | frozenset(locked)
    paper = PaperOpener(fence)
    return Venues(
        openers={
            (DEMO, Mode.DEMO): DemoOpener(url),
            (DEMO, Mode.PAPER): paper,
            (POLYMARKET, Mode.PAPER): paper,
            (POLYMARKET, Mode.LIVE): PolymarketOpener(
                config, credentials=credentials, unlocks=kept, locked=locked, why=spared or {}
            ),
        },
        hearings={DEMO: DemoMarketData(url), POLYMARKET: PolymarketMarketData(config)},
        demo_url=url,
        keys=keys,
        unread=(spared[""],) if spared and "" in spared else (),
    )
