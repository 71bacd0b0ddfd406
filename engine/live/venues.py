"""Which accounts this engine can open: what the plug-ins declare, with the credentials of a start.

Accounts asks an opening for the runner and its streams, and a venue's market for what it receives.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import msgspec

from engine.config import Config
from engine.domain.instruments import InstrumentId, Mode
from engine.domain.rates import par
from engine.domain.settings import AccountSettings
from engine.live.credentials import locked_keys, sparing, take_all
from engine.runtime.credentials import Keys, LockedKey
from engine.runtime.venue_plugin import AccountOpening, MarketData
from engine.venues.registry import found, plugins
from storage.database import reading
from storage.live_accounts import Unlock, unlocks
from storage.users import ENGINE_ID

UNLOCKING = "who was unlocked"
"""Under which it stands that the state does not say it; the name of no account."""


class Venues(msgspec.Struct, kw_only=True):
    """What this engine can open."""

    openers: dict[tuple[str, Mode], AccountOpening]
    markets: dict[str, MarketData]
    """The market of each venue."""
    broken: dict[str, str] = {}
    """Why a venue's folder gives none, as a sentence."""
    unread: tuple[str, ...] = ()
    """What could not be read where a KILL goes on all the same, as sentences."""

    def keyed(self) -> dict[tuple[str, Mode], AccountOpening]:
        return {place: one for place, one in self.openers.items() if one.keys is not None}

    def holders(self) -> list[tuple[str, str, Mode]]:
        return [
            (name, venue, mode)
            for (venue, mode), one in self.openers.items()
            for name in sorted(one.keys.accounts if one.keys else ())
        ]

    def _miscounted(self, settings: AccountSettings) -> str:
        plugin = plugins().get(settings.venue)  # a recording that is played has none
        pays = plugin.currency if plugin else settings.currency
        if pays == settings.currency:
            return ""
        return (
            f"account {settings.name!r} counts in {settings.currency!r} and its venue pays in "
            f"{pays!r}: give it the currency of its venue"
        )

    def refusal(self, settings: AccountSettings) -> str:
        """Return why no account of this venue and mode can be opened; empty = it can."""
        opener = self.openers.get((settings.venue, settings.mode))
        if opener is not None:
            return opener.refusal(settings) or self._miscounted(settings)
        if settings.venue in self.broken:
            return f"account {settings.name!r} stays closed: {self.broken[settings.venue]}"
        if settings.mode is Mode.LIVE:
            return f"account {settings.name!r} is live: nothing here can sign an order"
        if settings.venue in self.markets:
            return f"account {settings.name!r}: there is no {settings.mode} at {settings.venue!r}"
        received = ", ".join(repr(name) for name in self.markets) or "none"
        return (
            f"account {settings.name!r} needs the market of {settings.venue!r}, which this engine "
            f"does not receive; those it receives: {received}"
        )

    def unreceived(self, venue: str, accounts: Iterable[AccountSettings]) -> str:
        """Return why no market of a venue can be received beside them; empty = it can."""
        if venue not in self.markets:
            return f"nothing is received of {venue!r}: there are {', '.join(self.markets)}"
        if self.markets[venue].shared and not any(one.venue == venue for one in accounts):
            return (
                f"no account is at {plugins()[venue].title}, so nothing is received there: add a "
                f"paper account with venue {venue} under Settings and apply it"
            )
        return ""


def rate_markets(settings: AccountSettings) -> tuple[InstrumentId, ...]:
    """Return the pairs that say what an account's currency is worth; none = a rule does."""
    plugin = plugins().get(settings.venue)
    return () if plugin is None or par(settings.currency) else plugin.rate_markets


def venues_of(config: Config, url: str, *, killed: bool = False) -> Venues:
    """Return what can be opened. `url` is where the demo exchange is.

    Takes the secrets of live accounts out of the environment: call it once. Raises ConfigError.
    `killed` = a KILL is to be carried out: credentials that cannot be read raise nothing, their
    accounts stand blind, so that all others are cancelled.
    """
    spared: dict[str, str] | None = {} if killed else None
    credentials = take_all(os.environ, Path(".env"), config.vault_path, spared)
    locked = locked_keys(config.vault_path, credentials, spared)
    kept: dict[str, Unlock] = {}
    if credentials or locked or spared:
        # A KILL asks without them; that the state cannot be read is reported by who needs it.
        with sparing(spared, UNLOCKING), reading(config.state_path) as connection:
            kept = unlocks(connection, ENGINE_ID)
    if spared and "" in spared:  # whose they are cannot be read: whoever was unlocked and has none
        missing = {n: LockedKey("", one.wallet) for n, one in kept.items() if n not in credentials}
        locked = missing | locked
        spared = dict.fromkeys(locked, spared[""]) | spared
    there, broken = found()
    over_any = {
        mode: (one, spec)
        for one in there.values()
        if one.market is None
        for mode, spec in one.modes.items()
    }
    keys_of = partial(Keys, found=credentials, unlocks=kept, locked=locked, why=spared or {})
    made = Venues(openers={}, markets={}, broken=broken)
    made.unread = (spared[""],) if spared and "" in spared else ()
    for plugin in there.values():
        if plugin.market is None:
            continue
        setup = plugin.setup(config, {"exchange": url})
        made.markets[plugin.id] = plugin.market(setup)
        for mode, spec in plugin.modes.items():
            if spec.link is None:
                trader, other = over_any[mode]
                made.openers[plugin.id, mode] = AccountOpening(trader.setup(config), other)
                continue
            fields = spec.credential_fields
            keys = keys_of(plugin.id, fields) if fields else None
            made.openers[plugin.id, mode] = AccountOpening(setup, spec, keys)
    return made
